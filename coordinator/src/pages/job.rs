//! The page of one job of a run: its steps, and a window of the log of one of them.

use axum::extract::{Path, Query, State};
use maud::{Markup, html};
use serde::Deserialize;
use slipway_scheduler::{InstanceId, JobResult};

use super::causes;
use super::error::PageError;
use super::find_run;
use super::gate::Visitor;
use super::layout::{Frame, Html, Place as Here, page as whole, piece};
use super::limits::PAGE_ROWS;
use super::log;
use super::outline::{Outline, Place, Step};
use super::rows;
use super::run;
use super::search;
use super::words::{Mark, count, name, number, took};
use crate::records::{AttemptKey, RecordsError};
use crate::services::Services;
use crate::view::{self, AttemptView, InstanceView, RunView};

/// What of a job is wanted.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    /// From 1; none: the last one.
    pub(super) attempt: Option<u32>,
    /// The step whose log is shown.
    step: Option<u32>,
    /// Which page of it, from 1.
    page: Option<usize>,
    /// A line that is to be on it.
    line: Option<u64>,
    /// What to search for.
    pub(super) q: String,
    /// Where the search begins.
    pub(super) from: Option<u64>,
    /// The number of the line there.
    pub(super) from_line: Option<u64>,
}

/// A job's instance and one of its attempts.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) run: RunView,
    pub(super) instance: InstanceView,
    pub(super) attempt: Option<AttemptView>,
    key: Option<AttemptKey>,
}

impl Chosen {
    /// Where its log is, and whether it is over.
    pub(super) fn log(&self) -> Option<(AttemptKey, bool)> {
        let attempt = self.attempt.as_ref()?;
        Some((self.key?, attempt.finished_ms.is_some()))
    }

    fn path(&self) -> String {
        format!("/runs/{}/jobs/{}", self.run.run, self.instance.instance_id)
    }

    /// The query of this attempt's addresses, with its question mark.
    fn query(&self) -> String {
        self.attempt.as_ref().map_or_else(String::new, |attempt| format!("?attempt={}", attempt.attempt))
    }
}

/// The attempt that a path and a query name.
pub(super) async fn choose(
    services: &Services,
    run: String,
    instance: &str,
    attempt: Option<u32>,
) -> Result<Chosen, PageError> {
    let run = find_run(services, run).await?;
    let unknown = || PageError::not_found("This run has no such job.");
    let id: InstanceId = instance.parse().map_err(|_| unknown())?;
    let found = services.driver.query(move |view| view::instance(view, run, id)).await?;
    let (shown, instance) = found.ok_or_else(unknown)?;
    let chosen = match attempt {
        None => instance.attempts.last(),
        Some(number) => {
            let found = instance.attempts.iter().find(|attempt| attempt.attempt == number);
            Some(found.ok_or_else(|| PageError::not_found("This job has no such attempt."))?)
        }
    };
    let key = chosen.map(|attempt| AttemptKey { run, instance: id, attempt: attempt.attempt });
    Ok(Chosen { attempt: chosen.cloned(), run: shown, key, instance })
}

pub(super) fn head(chosen: &Chosen, now_ms: u64) -> Markup {
    let Chosen { instance, attempt, .. } = chosen;
    let last = instance.attempts.last();
    html! {
        div #head {
            p.summary {
                (Mark::of(instance.state, instance.result).long())
                @if let Some(last) = last { " " (took(last.started_ms, last.finished_ms, now_ms)) }
                @if let Some(agent) = &instance.agent { " on " (name(agent)) }
            }
            @if let Some(reason) = &instance.waits_for { p.note { "It waits: " (name(reason)) } }
            @if let Some(told) = &instance.gave_up { p.note { (name(told)) } }
            @if let Some(attempt) = attempt {
                @if let Some(cause) = attempt.cause { p.note { (causes::explained(cause)) } }
                @if let Some(message) = &attempt.message { p.note { (name(message)) } }
            }
            @if instance.attempts.len() > 1 {
                nav aria-label="Attempts" {
                    ul.tabs {
                        @for each in &instance.attempts {
                            @let here = attempt.as_ref().is_some_and(|attempt| attempt.attempt == each.attempt);
                            li { a href={ (chosen.path()) "?attempt=" (each.attempt) } aria-current=[here.then_some("page")] { "Attempt " (each.attempt) } }
                        }
                    }
                }
            }
        }
    }
}

fn mark(step: &Step, over: bool) -> Mark {
    match step.conclusion {
        Some(JobResult::Success) => Mark::Success,
        Some(JobResult::Failure) => Mark::Failure,
        Some(JobResult::Cancelled) => Mark::Cancelled,
        Some(JobResult::Skipped) => Mark::Skipped,
        // It was cut off; or it holds what was said before the first step.
        None if over => {
            if step.started_ms.is_some() {
                Mark::Cancelled
            } else {
                Mark::Success
            }
        }
        None => Mark::Running,
    }
}

/// What is said outside of steps has a number of its own.
fn title(step: &Step) -> &str {
    if step.name.is_empty() { "Set-up and end" } else { &step.name }
}

/// What a step says of itself in one line.
pub(super) fn summary(number: u32, step: &Step, over: bool, now_ms: u64) -> Markup {
    html! {
        span.line id={ "step-" (number) "-line" } {
            (mark(step, over).short())
            span.title { (name(title(step))) }
            @if let Some(code) = step.exit_code.filter(|code| *code != 0) { span.hint { "exit code " (code) } }
            @if let Some(started) = step.started_ms {
                @if step.finished_ms.is_some() || !over { (took(started, step.finished_ms, now_ms)) }
            }
        }
    }
}

/// A step whose log is not shown.
pub(super) fn closed(chosen: &Chosen, number: u32, step: &Step, now_ms: u64) -> Markup {
    details(chosen, number, step, now_ms, None)
}

fn details(chosen: &Chosen, number: u32, step: &Step, now_ms: u64, body: Option<Markup>) -> Markup {
    let over = chosen.log().is_none_or(|(_, over)| over);
    let (query, path) = (chosen.query(), chosen.path());
    html! {
        details.step id={ "step-" (number) } open[body.is_some()] data-src={ (path) "/step" (query) "&step=" (number) } {
            summary { (summary(number, step, over, now_ms)) }
            div.body {
                @match body {
                    Some(body) => (body),
                    None if step.rows == 0 => p.hint { "It said nothing." },
                    None => p.hint { a href={ (path) (query) "&step=" (number) "#step-" (number) } { "Show " (count(step.rows, "line", "lines")) } },
                }
            }
        }
    }
}

/// How many rows there are to be before what somebody wants to see.
const CONTEXT_ROWS: u64 = 100;

/// Which pages of a step are shown: one, or the one before it too where what matters is at the beginning.
#[derive(Debug, PartialEq, Eq)]
struct Spot {
    step: u32,
    first: usize,
    page: usize,
    marked: Option<Place>,
}

fn spot(outline: &Outline, wanted: &Wanted) -> Option<Spot> {
    let by_line = wanted.line.and_then(|line| outline.find(line));
    let number = by_line.map(|(step, _)| step).or(wanted.step).or_else(|| outline.interesting())?;
    let step = outline.steps.get(&number)?;
    let last = step.pages.len().saturating_sub(1);
    let begins = |page: usize| step.pages.get(page).copied().unwrap_or(outline.next);
    // Of a step that goes on, its end is what people want to see.
    let error = step.error.filter(|_| step.finished_ms.is_some());
    let (page, before) = match (wanted.page, by_line.zip(wanted.line), error) {
        (Some(page), _, _) => (page.saturating_sub(1).min(last), u64::MAX),
        (None, Some(((_, page), line)), _) => (page, line.saturating_sub(begins(page).line)),
        (None, None, Some(error)) => {
            let page = step.page_of(error);
            (page, error.record.saturating_sub(begins(page).record))
        }
        (None, None, None) => (last, step.rows.saturating_sub(last as u64 * PAGE_ROWS)),
    };
    let first = if before < CONTEXT_ROWS { page.saturating_sub(1) } else { page };
    Some(Spot { step: number, first, page, marked: step.error })
}

/// Links to the pages of a step.
fn pager(chosen: &Chosen, spot: &Spot, step: &Step, label: &str) -> Markup {
    let pages = step.pages.len();
    let path = |page: usize| {
        let (path, query, number) = (chosen.path(), chosen.query(), spot.step);
        format!("{path}{query}&step={number}&page={}#step-{number}", page + 1)
    };
    html! {
        @if pages > 1 {
            nav.pager aria-label={ (label) " of " (title(step)) } {
                @if spot.first > 0 {
                    a href=(path(0)) { "First" } a href=(path(spot.first - 1)) rel="prev" { "Earlier" }
                }
                span {
                    "Page " @if spot.first < spot.page { (number((spot.first + 1) as u64)) " and " }
                    (number((spot.page + 1) as u64)) " of " (number(pages as u64))
                }
                @if spot.page + 1 < pages {
                    a href=(path(spot.page + 1)) rel="next" { "Later" } a href=(path(pages - 1)) { "Last" }
                }
            }
        }
    }
}

/// Up to how many rows the links to other pages stand only above them.
const FEW_ROWS: usize = 50;

/// A page of a step's log.
async fn body(
    services: &Services,
    chosen: &Chosen,
    outline: &Outline,
    spot: &Spot,
) -> Result<Markup, PageError> {
    let Some((step, log)) = outline.steps.get(&spot.step).zip(chosen.log()) else { return Ok(html! {}) };
    let Some(from) = step.pages.get(spot.first) else {
        return Ok(list(&html! {}, (0, 0), true, outline));
    };
    let is_last = spot.page + 1 == step.pages.len();
    let until = step.pages.get(spot.page + 1).map_or(outline.next.record, |next| next.record);
    let rows = log::window(&services.records, log, spot.step, (*from, until)).await?;
    // Where a step failed and no annotation says where, its last line is what to look at.
    let failed = step.conclusion == Some(JobResult::Failure) && is_last;
    let marked = spot.marked.or_else(|| rows.last().filter(|_| failed).map(|row| row.place));
    Ok(html! {
        (pager(chosen, spot, step, "Pages"))
        (list(&rows::items(&rows, marked), (spot.first, spot.page), is_last, outline))
        @if rows.len() > FEW_ROWS { (pager(chosen, spot, step, "Pages at the end")) }
    })
}

/// `data-first` and `data-last`: which pages it has, for whoever scrolls on. `data-tail`: what comes next belongs behind it.
fn list(items: &Markup, (first, last): (usize, usize), is_last: bool, outline: &Outline) -> Markup {
    html! {
        ol.log data-first=(first + 1) data-last=(last + 1) data-tail=[is_last.then_some(outline.next.record)] { (items) }
    }
}

fn toolbar(chosen: &Chosen, wanted: &Wanted, follows: bool) -> Markup {
    let path = chosen.path();
    html! {
        div.toolbar {
            form.search method="get" action=(path) role="search" {
                @if let Some(attempt) = &chosen.attempt { input type="hidden" name="attempt" value=(attempt.attempt); }
                label.unseen for="q" { "Search this log" }
                input #q type="search" name="q" value=(wanted.q) placeholder="Search this log" maxlength="200";
                button type="submit" { "Search" }
            }
            div.switches {
                label { input #times type="checkbox"; " Times" }
                label { input #wrap type="checkbox" checked; " Wrap" }
                @if follows { label { input #follow type="checkbox"; " Follow" } }
                a href={ (path) "/log.txt" (chosen.query()) } download { "Raw log" }
            }
        }
    }
}

async fn steps(
    services: &Services,
    chosen: &Chosen,
    outline: &Outline,
    wanted: &Wanted,
    now_ms: u64,
) -> Result<Markup, PageError> {
    let spot = spot(outline, wanted);
    let open = match &spot {
        Some(spot) => Some((spot.step, body(services, chosen, outline, spot).await?)),
        None => None,
    };
    let body = |number: u32| open.as_ref().filter(|(step, _)| *step == number).map(|(_, body)| body.clone());
    Ok(html! {
        div #steps data-record=(outline.next.record) data-line=(outline.next.line) {
            @for (number, step) in &outline.steps { (details(chosen, *number, step, now_ms, body(*number))) }
        }
        @if outline.steps.is_empty() { p.nothing #quiet { "Nothing was said yet." } }
        @if outline.more {
            p.note { "The log is long: " (number(outline.next.line)) " lines were looked at so far. Load this page again to go on." }
        }
    })
}

pub(super) async fn page(
    State(services): State<Services>,
    visitor: Visitor,
    Path((run, instance)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Result<Html, PageError> {
    let chosen = choose(&services, run, &instance, wanted.attempt).await?;
    let now_ms = services.clock.unix_ms();
    let (mut content, mut live) = (html! { p.nothing { "It has not begun, so there is no log yet." } }, None);
    if let Some((key, over)) = chosen.log() {
        content = match services.pages.outlines.of(&services.records, key, over).await {
            Ok(_) if !wanted.q.is_empty() => search::results(&services, &chosen, &wanted).await?,
            Ok(outline) => {
                live = (!over).then(|| format!("{}/live{}", chosen.path(), chosen.query()));
                steps(&services, &chosen, &outline, &wanted, now_ms).await?
            }
            Err(RecordsError::Removed { .. }) => {
                html! { p.nothing { "The logs of this run were removed because their time was over." } }
            }
            Err(error) => return Err(error.into()),
        };
    }
    let title = format!("{} · {}", chosen.instance.name, run::title(&chosen.run));
    let main = html! {
        p.path { a href="/" { "Runs" } " / " a href={ "/runs/" (chosen.run.run) } { (name(&run::title(&chosen.run))) } }
        h1 { (name(&chosen.instance.name)) }
        (head(&chosen, now_ms))
        @if chosen.key.is_some() { (toolbar(&chosen, &wanted, live.is_some())) }
        section aria-labelledby="log-title" { h2.unseen #log-title { "Log" } (content) }
    };
    let frame = Frame {
        title: &title,
        session: Some(&visitor.session),
        here: Some(Here::Overview),
        live: live.as_deref(),
        now_ms,
    };
    Ok(whole(&frame, main))
}

/// A page of a step's log, for the script that opens the step.
pub(super) async fn step(
    State(services): State<Services>,
    Path((run, instance)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Result<Html, PageError> {
    let chosen = choose(&services, run, &instance, wanted.attempt).await?;
    let (key, over) = chosen.log().ok_or_else(|| PageError::not_found("This job has no log yet."))?;
    let outline = services.pages.outlines.of(&services.records, key, over).await?;
    let spot = spot(&outline, &wanted).ok_or_else(|| PageError::not_found("There is no such step."))?;
    Ok(piece(body(&services, &chosen, &outline, &spot).await?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use slipway_proto::v1::{Annotation, LogLine, Record, record};

    use super::*;

    /// Of one step that failed, so many lines; an error after one of them.
    fn outline(lines: u64, error_after: Option<u64>) -> Outline {
        let record = |what| Record { time_ms: 1, step: 0, record: Some(what) };
        let mut outline = Outline::default();
        for line in 1..=lines {
            outline.take(&record(record::Record::Line(LogLine::default())));
            if error_after == Some(line) {
                outline.take(&record(record::Record::Annotation(Annotation {
                    level: 3,
                    ..Annotation::default()
                })));
            }
        }
        outline.steps.get_mut(&0).unwrap().finished_ms = Some(1);
        outline
    }

    fn shown(outline: &Outline, wanted: &Wanted) -> (usize, usize) {
        let spot = spot(outline, wanted).unwrap();
        (spot.first, spot.page)
    }

    #[test]
    fn what_people_want_to_see_has_rows_before_it() {
        let all = Wanted::default();
        assert_eq!(shown(&outline(1_234, None), &all), (2, 2));
        assert_eq!(shown(&outline(1_003, None), &all), (1, 2), "three rows alone say little");
        assert_eq!(shown(&outline(3, None), &all), (0, 0));
        assert_eq!(shown(&outline(1_234, Some(700)), &all), (1, 1));
        assert_eq!(shown(&outline(1_234, Some(501)), &all), (0, 1));
        let line = |line| Wanted { line: Some(line), ..Wanted::default() };
        assert_eq!(shown(&outline(1_234, Some(700)), &line(1_010)), (1, 2));
        assert_eq!(shown(&outline(1_234, None), &line(900)), (1, 1));
        let page = Wanted { page: Some(3), ..Wanted::default() };
        assert_eq!(shown(&outline(1_003, Some(1)), &page), (2, 2), "who asks for a page gets that one");
    }
}
