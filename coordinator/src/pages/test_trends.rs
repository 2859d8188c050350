//! `/tests`: which tests are flaky, which fail, and which are slow.

use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;

use super::error::PageError;
use super::gate::Visitor;
use super::layout::{Frame, Html, Place, page as whole};
use super::limits::TESTS_SHOWN;
use super::words::{ago, name, number};
use super::{days, one_test};
use crate::services::Services;
use crate::trends::one_test::Test;
use crate::trends::tests::{Order, Question, TestTrend, repositories, trends};
use crate::trends::{DAYS, days_before};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Filter {
    repository: String,
    days: Option<u64>,
}

/// `850 µs`, `1.2 ms`, `34 ms`, `5.6 s`, `78 s`
pub(super) fn duration(us: u64) -> String {
    let tenths = |value: u64, unit: u64| match value {
        value if value < 10 * unit => format!("{}.{}", value / unit, value * 10 / unit % 10),
        value => number(value / unit),
    };
    match us {
        0..=999 => format!("{us} µs"),
        1_000..=999_999 => format!("{} ms", tenths(us, 1_000)),
        _ => format!("{} s", tenths(us, 1_000_000)),
    }
}

fn form(filter: &Filter, span: u64, repositories: &[String]) -> Markup {
    html! {
        form.filter method="get" action="/tests" {
            label { "Repository "
                select name="repository" {
                    option value="" { "All" }
                    @for repository in repositories {
                        option value=(repository) selected[*repository == filter.repository] { (repository) }
                    }
                }
            }
            (days::select(span))
            button type="submit" { "Filter" }
        }
    }
}

fn test(trend: &TestTrend, span: u64) -> Markup {
    let TestTrend { repository, suite, class, name: test, .. } = trend.clone();
    let address = one_test::address(&Test { repository, suite, class, name: test }, span);
    let group = [&trend.suite, &trend.class].into_iter().filter(|part| !part.is_empty());
    let group: Vec<&str> = group.map(String::as_str).collect();
    html! {
        a href=(address) { (name(&trend.name)) }
        @if !group.is_empty() { br; span.hint { (name(&group.join(" › "))) } }
    }
}

fn failed(trend: &TestTrend, now_ms: u64) -> Markup {
    match (&trend.last_failed_run, trend.last_failed_ms) {
        (Some(run), Some(at)) => html! { a href={ "/runs/" (run) } { (ago(at, now_ms)) } },
        _ => html! { "–" },
    }
}

fn section(order: Order, trends: &[TestTrend], span: u64, now_ms: u64) -> Markup {
    let (id, title, nothing) = match order {
        Order::Flaky => ("flaky-title", "Flaky", "No test both passed and failed on one commit."),
        Order::Failing => ("failing-title", "Failing most", "No test failed."),
        Order::Slow => ("slow-title", "Slowest", "No report says how long a test took."),
    };
    let region = format!("Tests: {}", title.to_lowercase());
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) { (title) }
            @if order == Order::Flaky { p.hint { "On how many commits the same job had the test pass and fail, or its tool had to run it again." } }
            @if trends.is_empty() { p.nothing { (nothing) } }
            @else {
                div.scroll tabindex="0" role="region" aria-label=(region) {
                    table {
                        thead { tr {
                            th scope="col" { "Test" } th scope="col" { "Repository" }
                            @if order == Order::Flaky { th.num scope="col" { "Commits" } }
                            th.num scope="col" { "Passed" } th.num scope="col" { "Failed" }
                            th.num scope="col" { "Mean" } th.num scope="col" { "Longest" }
                            th scope="col" { "Failed last" }
                        } }
                        tbody {
                            @for trend in trends.iter().take(TESTS_SHOWN) {
                                tr {
                                    th scope="row" { (test(trend, span)) }
                                    td { (name(&trend.repository)) }
                                    @if order == Order::Flaky { td.num { (number(trend.flaky_commits)) } }
                                    td.num { (number(trend.passed)) }
                                    td.num { (number(trend.failed)) }
                                    td.num { (trend.mean_us.map_or_else(|| "–".to_owned(), duration)) }
                                    td.num { (trend.longest_us.map_or_else(|| "–".to_owned(), duration)) }
                                    td { (failed(trend, now_ms)) }
                                }
                            }
                        }
                    }
                }
                @if trends.len() > TESTS_SHOWN { p.hint { "There are more: " code { "GET /api/v1/tests?order=" (order.word()) } " has them." } }
            }
        }
    }
}

pub(super) async fn page(
    State(services): State<Services>,
    visitor: Visitor,
    Query(filter): Query<Filter>,
) -> Result<Html, PageError> {
    let span = days::chosen(filter.days, DAYS);
    let now_ms = services.clock.unix_ms();
    let since_ms = days_before(now_ms, span);
    let repositories = repositories(&services.history, since_ms).await?;
    let mut sections = Vec::new();
    for order in Order::ALL {
        let repository = filter.repository.clone();
        let question = Question { repository, since_ms, order, limit: TESTS_SHOWN as u64 + 1, offset: 0 };
        sections.push(section(order, &trends(&services.history, &question).await?, span, now_ms));
    }
    let main = html! {
        h1 { "Tests" }
        p { "What the reports of test runners say (" code { "docs/TESTS.md" } "), over all jobs of the days that are chosen." }
        (form(&filter, span, &repositories))
        @for section in &sections { (section) }
    };
    let frame = Frame {
        title: "Tests",
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

    #[test]
    fn durations_are_short_and_say_their_unit() {
        for (us, text) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_000, "1.0 ms"),
            (9_990, "9.9 ms"),
            (10_000, "10 ms"),
            (999_999, "999 ms"),
            (1_250_000, "1.2 s"),
            (1_234_000_000, "1,234 s"),
        ] {
            assert_eq!(duration(us), text);
        }
    }
}
