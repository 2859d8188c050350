//! What failed in a run, at its page's top: each failed job with its first errors and failed tests.

use maud::{Markup, html};
use slipway_scheduler::{JobResult, RunId};

use super::limits::{ERRORS_SHOWN, FAILED_SHOWN};
use super::outline::{Level, Problem};
use super::words::{Mark, count, name};
use crate::records::AttemptKey;
use crate::services::Services;
use crate::test_cases::{self, Outcome, TestCase};
use crate::view::{InstanceView, JobView, RunView};

/// A failed job.
#[derive(Debug)]
pub(super) struct Failure {
    /// None: it could not be planned.
    instance: Option<String>,
    name: String,
    message: Option<String>,
    errors: Vec<Problem>,
    more_errors: usize,
    tests: Vec<TestCase>,
    more_tests: usize,
}

/// Adds the failed jobs of a run that are not among them yet: what is known of one does not change any more. What cannot be
/// read is left out: the job's own page says why.
pub(super) async fn add(services: &Services, run: RunId, shown: &RunView, failures: &mut Vec<Failure>) {
    let failed = |instance: &&InstanceView| instance.result == Some(JobResult::Failure);
    for instance in shown.instances.iter().flatten().filter(failed) {
        if failures.len() == FAILED_SHOWN {
            return;
        }
        if failures.iter().any(|known| known.instance.as_ref() == Some(&instance.instance_id)) {
            continue;
        }
        let mut failure = Failure {
            instance: Some(instance.instance_id.clone()),
            name: instance.name.clone(),
            message: instance.message.clone().or_else(|| instance.gave_up.clone()),
            errors: Vec::new(),
            more_errors: 0,
            tests: Vec::new(),
            more_tests: 0,
        };
        let last = instance.attempts.last().filter(|attempt| attempt.finished_ms.is_some());
        if let (Some(last), Ok(id)) = (last, instance.instance_id.parse()) {
            let key = AttemptKey { run, instance: id, attempt: last.attempt };
            if let Ok(outline) = services.pages.outlines.of(&services.records, key, true).await {
                let errors = outline.problems.into_iter().filter(|problem| problem.level == Level::Error);
                failure.errors = errors.collect();
                failure.more_errors = failure.errors.len().saturating_sub(ERRORS_SHOWN);
                failure.errors.truncate(ERRORS_SHOWN);
            }
            if let Ok(Some(cases)) = test_cases::read(&services.records, key, last.records).await {
                let failed = |case: &TestCase| matches!(case.outcome, Outcome::Failed | Outcome::Error);
                failure.tests = cases.into_iter().filter(failed).collect();
                failure.more_tests = failure.tests.len().saturating_sub(ERRORS_SHOWN);
                failure.tests.truncate(ERRORS_SHOWN);
            }
        }
        failures.push(failure);
    }
    let unplanned = |job: &&JobView| job.result == Some(JobResult::Failure) && job.message.is_some();
    for job in shown.jobs.iter().flatten().filter(unplanned) {
        let known = failures.iter().any(|known| known.instance.is_none() && known.name == job.job);
        if !known && failures.len() < FAILED_SHOWN {
            failures.push(Failure {
                instance: None,
                name: job.job.clone(),
                message: job.message.clone(),
                errors: Vec::new(),
                more_errors: 0,
                tests: Vec::new(),
                more_tests: 0,
            });
        }
    }
}

/// `file:line`, where an annotation has one.
pub(super) fn spot(file: &str, line: u32) -> Markup {
    html! {
        @if !file.is_empty() { span.spot { (name(file)) @if line > 0 { ":" (line) } } }
    }
}

pub(super) fn section(run: &RunView, failures: &[Failure]) -> Markup {
    html! {
        div #failures {
            @if !failures.is_empty() {
                section.failures aria-labelledby="failures-title" {
                    h2 #failures-title { "What failed" }
                    @for failure in failures { (one(run, failure)) }
                }
            }
        }
    }
}

fn one(run: &RunView, failure: &Failure) -> Markup {
    let job = format!("/runs/{}/jobs/{}", run.run, failure.instance.as_deref().unwrap_or_default());
    html! {
        article {
            h3 {
                (Mark::Failure.short())
                @if failure.instance.is_some() { a href={ (job) "#error" } { (name(&failure.name)) } }
                @else { (name(&failure.name)) }
            }
            @if let Some(message) = &failure.message { p { (name(message)) } }
            @if !failure.errors.is_empty() {
                ul.errors {
                    @for (at, error) in failure.errors.iter().enumerate() {
                        // An annotation follows the line that made it.
                        @let line = error.place.line.saturating_sub(1).max(1);
                        @let anchor = if at == 0 { "error".to_owned() } else { format!("L{line}") };
                        li {
                            a href={ (job) "?line=" (line) "#" (anchor) } { (name(&first_line(&error.message))) }
                            " " (spot(&error.file, error.line))
                        }
                    }
                    @if failure.more_errors > 0 { li.hint { "and " (count(failure.more_errors as u64, "more error", "more errors")) } }
                }
            }
            @if !failure.tests.is_empty() {
                h4 { "Failed tests" }
                ul.errors {
                    @for case in &failure.tests {
                        li {
                            strong { (name(&case.name)) }
                            @if !case.class.is_empty() { span.hint { " " (name(&case.class)) } }
                            " " (spot(&case.file, case.line))
                            @if !case.message.is_empty() { div.hint { (name(&first_line(&case.message))) } }
                        }
                    }
                    @if failure.more_tests > 0 { li.hint { "and " (count(failure.more_tests as u64, "more test", "more tests")) } }
                }
            }
        }
    }
}

/// The longest text of an error in a list, in characters.
const FIRST_LINE_CHARS: usize = 300;

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(FIRST_LINE_CHARS).collect()
}
