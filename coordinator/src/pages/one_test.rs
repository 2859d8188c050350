//! `/tests/one`: how one test did, run by run.

use axum::extract::{Query, State};
use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::days;
use super::error::PageError;
use super::gate::Visitor;
use super::layout::{Frame, Html, Place, page as whole};
use super::test_trends::duration;
use super::words::{moment, name, number, short_ref, short_sha};
use crate::services::Services;
use crate::trends::one_test::{Case, RUNS_MAX, Test, cases};
use crate::trends::{DAYS, days_before};

/// How much of a message is shown, in characters; the run's page has more of it.
const MESSAGE_CHARS: usize = 200;

/// The plot is as wide as this, in its own units, and its field begins here and is this high.
const WIDTH: f64 = 800.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 12.0;
const HEIGHT: f64 = 140.0;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    repository: String,
    suite: String,
    class: String,
    name: String,
    days: Option<u64>,
}

/// Where the page of a test is.
pub(super) fn address(test: &Test, span: u64) -> String {
    let [repository, suite, class, name] = [&test.repository, &test.suite, &test.class, &test.name]
        .map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string());
    format!("/tests/one?repository={repository}&suite={suite}&class={class}&name={name}&days={span}")
}

/// Durations of one run after the other, as dots: the failed ones look different, not only by their colour.
fn plot(cases: &[Case]) -> Markup {
    let timed: Vec<(u64, &Case)> =
        cases.iter().rev().filter_map(|case| Some((case.duration_us?, case))).collect();
    let longest = timed.iter().map(|(us, _)| *us).max().unwrap_or(0).max(1);
    if timed.len() < 2 {
        return html! {};
    }
    let x = |at: usize| LEFT + at as f64 * (WIDTH - LEFT - 16.0) / (timed.len() - 1) as f64;
    let y = |us: u64| TOP + HEIGHT - us as f64 / longest as f64 * HEIGHT;
    html! {
        div.scroll.picture tabindex="0" role="region" aria-label="Plot of durations" {
            svg.plot viewBox={ "0 0 " (WIDTH) " " (TOP + HEIGHT + 14.0) } role="img" aria-labelledby="plot-title plot-text" {
                title #plot-title { "How long it took, from run to run" }
                desc #plot-text { "The oldest on the left, failures as squares; the table has the same figures." }
                @for half in 0..=2_u64 {
                    @let us = longest * half / 2;
                    line.grid x1=(LEFT) y1=(y(us)) x2=(WIDTH) y2=(y(us)) {}
                    text x=(LEFT - 6.0) y=(y(us) + 4.0) text-anchor="end" { @if us == 0 { "0" } @else { (duration(us)) } }
                }
                @for (at, (us, case)) in timed.iter().enumerate() {
                    @let (x, y) = (x(at), y(*us));
                    @match case.outcome.as_str() {
                        "failed" | "error" => rect.bad x=(format!("{:.1}", x - 4.0)) y=(format!("{:.1}", y - 4.0)) width="8" height="8" {
                            title { (short_sha(&case.sha)) ": " (case.outcome) ", " (duration(*us)) }
                        },
                        _ => circle.dot cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r="3" {
                            title { (short_sha(&case.sha)) ": " (case.outcome) ", " (duration(*us)) }
                        },
                    }
                }
            }
        }
    }
}

fn message(case: &Case) -> String {
    let line = case.message.lines().next().unwrap_or_default();
    let mut shown: String = line.chars().take(MESSAGE_CHARS).collect();
    if shown.len() < case.message.trim_end().len() {
        shown.push('…');
    }
    shown
}

fn table(cases: &[Case]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Each run of the test" {
            table {
                thead { tr {
                    th scope="col" { "Began" } th scope="col" { "Outcome" } th.num scope="col" { "Took" }
                    th scope="col" { "Job" } th scope="col" { "Branch" } th scope="col" { "Commit" } th scope="col" { "Message" }
                } }
                tbody {
                    @for case in cases {
                        tr {
                            th scope="row" { a href={ "/runs/" (case.run) } { (moment(case.began_ms)) } }
                            td { (case.outcome) }
                            td.num { (case.duration_us.map_or_else(|| "–".to_owned(), duration)) }
                            td { (name(&case.job)) }
                            td { (name(short_ref(&case.git_ref))) }
                            td { code { (short_sha(&case.sha)) } }
                            td { (name(&message(case))) }
                        }
                    }
                }
            }
        }
        @if cases.len() as u64 == RUNS_MAX { p.hint { "The newest " (number(RUNS_MAX)) "." } }
    }
}

pub(super) async fn page(
    State(services): State<Services>,
    visitor: Visitor,
    Query(Asked { repository, suite, class, name: test, days }): Query<Asked>,
) -> Result<Html, PageError> {
    if test.is_empty() {
        return Err(PageError::not_found("The address names no test."));
    }
    let span = days::chosen(days, DAYS);
    let now_ms = services.clock.unix_ms();
    let asked = Test { repository, suite, class, name: test };
    let found = cases(&services.history, &asked, days_before(now_ms, span)).await?;
    let failed = found.iter().filter(|case| matches!(case.outcome.as_str(), "failed" | "error")).count();
    let group: Vec<&str> = [&asked.suite, &asked.class]
        .into_iter()
        .map(String::as_str)
        .filter(|part| !part.is_empty())
        .collect();
    let main = html! {
        h1 { (name(&asked.name)) }
        p { @if !group.is_empty() { (name(&group.join(" › "))) " · " } (name(&asked.repository)) " · " a href={ "/tests?days=" (span) } { "All tests" } }
        form.filter method="get" action="/tests/one" {
            input type="hidden" name="repository" value=(asked.repository);
            input type="hidden" name="suite" value=(asked.suite);
            input type="hidden" name="class" value=(asked.class);
            input type="hidden" name="name" value=(asked.name);
            (days::select(span))
            button type="submit" { "Filter" }
        }
        @if found.is_empty() { p.nothing { "No report names it in these days." } }
        @else {
            p { "It failed in " (number(failed as u64)) " of " (number(found.len() as u64)) " jobs." }
            (plot(&found))
            (table(&found))
        }
    };
    let frame = Frame {
        title: "One test",
        session: Some(&visitor.session),
        here: Some(Place::Tests),
        live: None,
        now_ms,
    };
    Ok(whole(&frame, main))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(outcome: &str, duration_us: Option<u64>) -> Case {
        Case {
            run: "r".to_owned(),
            job: "j".to_owned(),
            sha: "a".repeat(40),
            git_ref: "refs/heads/main".to_owned(),
            began_ms: 1,
            outcome: outcome.to_owned(),
            duration_us,
            message: String::new(),
        }
    }

    #[test]
    fn failures_are_squares_and_what_has_no_time_is_not_in_the_plot() {
        let plot = |cases: &[Case]| plot(cases).into_string();
        let both = plot(&[case("failed", Some(10)), case("skipped", None), case("passed", Some(5))]);
        assert_eq!((both.matches("<rect").count(), both.matches("<circle").count()), (1, 1), "{both}");
        assert!(both.contains("cx=\"64.0\"") && both.contains("cy=\"82.0\""), "{both}");
        assert_eq!(plot(&[case("passed", Some(5)), case("passed", None)]), "", "one is no line");
    }

    #[test]
    fn a_message_is_its_first_line() {
        let long =
            |message: &str| super::message(&Case { message: message.to_owned(), ..case("failed", None) });
        assert_eq!(long("one"), "one");
        assert_eq!(long("one\ntwo"), "one…");
    }

    #[test]
    fn an_address_holds_whatever_a_test_is_called() {
        let test =
            Test { repository: "o/n".into(), suite: String::new(), class: "a&b".into(), name: "ü x".into() };
        let wanted = "/tests/one?repository=o%2Fn&suite=&class=a%26b&name=%C3%BC%20x&days=7";
        assert_eq!(address(&test, 7), wanted);
    }
}
