//! A report's title and its Markdown, within what a forge takes.

use std::fmt::Write as _;

use slipway_scheduler::JobResult;

use super::desired::Wanted;
use super::details::Details;
use super::{Conclusion, Report, Stage, words};

/// The longest text of a report, in bytes. GitHub takes 65,535 characters.
const TEXT_MAX_BYTES: usize = 65_535;

/// What is kept of it for the sentence that something was left out.
const NOTICE_BYTES: usize = 200;

/// The longest title, in bytes.
const TITLE_MAX_BYTES: usize = 250;

/// The longest line about a failing test, in bytes.
const FAILING_MAX_BYTES: usize = 300;

/// The whole report. `now_ms` tells how long something runs already.
pub(super) fn report(wanted: &Wanted, details: Option<&Details>, public_url: Option<&str>) -> Report {
    let title = match (&wanted.title, details) {
        (title, _) if !title.is_empty() => title.clone(),
        (_, details) => title_of(wanted, details),
    };
    Report {
        name: wanted.name.clone(),
        external_id: wanted.key.external_id(),
        details_url: public_url.map(|url| format!("{url}{}", wanted.page)),
        stage: wanted.stage,
        started_ms: wanted.started_ms,
        finished_ms: wanted.finished_ms,
        title: words::cut(&title, TITLE_MAX_BYTES),
        summary: bounded(&summary(wanted, details), public_url.is_some()),
        annotations: Vec::new(),
        buttons: wanted.buttons.clone(),
    }
}

fn title_of(wanted: &Wanted, details: Option<&Details>) -> String {
    let word = words::stage(wanted.stage);
    let steps = || details.into_iter().flat_map(|details| details.steps.values());
    match wanted.stage {
        Stage::Done(Conclusion::Failure) => {
            let bad = steps().find(|step| step.ended.is_some_and(|end| end.conclusion == JobResult::Failure));
            match (bad, details.map(|details| details.tests.1)) {
                (_, Some(failing)) if failing > 0 => format!("{failing} failing tests"),
                (Some(step), _) => format!("Failed: {}", step.name),
                (None, _) => word.to_owned(),
            }
        }
        Stage::Done(_) => match (wanted.started_ms, wanted.finished_ms) {
            (Some(from), Some(to)) => format!("{word} in {}", words::took(to.saturating_sub(from))),
            _ => word.to_owned(),
        },
        Stage::Running => match steps().rfind(|step| step.started_ms.is_some() && step.ended.is_none()) {
            Some(step) => step.name.clone(),
            None => word.to_owned(),
        },
        Stage::Queued => "Waits for an agent".to_owned(),
    }
}

fn summary(wanted: &Wanted, details: Option<&Details>) -> String {
    let mut text = String::new();
    for note in wanted.notes.iter().filter(|note| !note.trim().is_empty()) {
        words::paragraph(&mut text, note.trim_end());
    }
    if let Some(details) = details {
        failing(&mut text, details);
        text.push_str(&details.reports_text);
        steps(&mut text, details);
        if details.annotations_left_out > 0 {
            let left = format!("{} more annotations are in the log.", details.annotations_left_out);
            words::paragraph(&mut text, &left);
        }
        if details.missing {
            words::paragraph(&mut text, "The log was removed or is damaged: this is what is left of it.");
        }
        if !details.summary.is_empty() {
            text.push_str(&details.summary);
            if details.summary_left_out {
                text.push_str("\n\n…");
            }
        }
    }
    if text.trim().is_empty() { words::stage(wanted.stage).to_owned() } else { text }
}

fn failing(text: &mut String, details: &Details) {
    let (all, bad) = details.tests;
    if all == 0 {
        return;
    }
    words::paragraph(text, &format!("{bad} of {all} tests failed."));
    if details.failing.is_empty() {
        return;
    }
    for test in &details.failing {
        let first = test.message.lines().next().unwrap_or_default();
        let line = if first.is_empty() { test.name.clone() } else { format!("{}: {first}", test.name) };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "- {}", words::plain(&words::cut(&line, FAILING_MAX_BYTES)));
    }
    if let Some(more) = bad.checked_sub(details.failing.len()).filter(|more| *more > 0) {
        let _ = writeln!(text, "- and {more} more");
    }
    text.push('\n');
}

fn steps(text: &mut String, details: &Details) {
    if details.steps.is_empty() {
        return;
    }
    text.push_str("| | step | result | took |\n|---|---|---|---|\n");
    for step in details.steps.values() {
        let (sign, word, took) = match step.ended {
            Some(end) => {
                let took = step.started_ms.map(|from| words::took(end.at_ms.saturating_sub(from)));
                let word = match (end.outcome, end.conclusion) {
                    (JobResult::Failure, JobResult::Success) => "failure, went on",
                    (_, conclusion) => words::result(conclusion),
                };
                (words::sign(end.conclusion), word, took.unwrap_or_default())
            }
            None => ("🟡", "in progress", String::new()),
        };
        let name = words::plain(&words::cut(&step.name, TITLE_MAX_BYTES));
        // As above.
        let _ = writeln!(text, "| {sign} | {name} | {word} | {took} |");
    }
    text.push('\n');
}

/// Short enough for a forge.
fn bounded(text: &str, has_link: bool) -> String {
    if text.len() <= TEXT_MAX_BYTES {
        return text.to_owned();
    }
    let whole = if has_link {
        "The whole is on the job's page."
    } else {
        "The whole is on Slipway's page of the job."
    };
    format!("{}\n\n… cut off. {whole}", words::beginning(text, TEXT_MAX_BYTES - NOTICE_BYTES))
}

#[cfg(test)]
mod tests {
    use slipway_scheduler::RunId;

    use super::*;
    use crate::forge::Place;
    use crate::forge::desired::Key;
    use crate::forge::details::{Step, StepEnd};

    fn wanted(stage: Stage) -> Wanted {
        Wanted {
            key: Key::Part(RunId::from_u128(1), "i".into()),
            place: Place { repository: "o/n".into(), sha: "a".into() },
            name: "CI / build (push)".into(),
            stage,
            started_ms: Some(1_000),
            finished_ms: Some(3_000),
            title: String::new(),
            notes: Vec::new(),
            page: "/runs/1/jobs/i".into(),
            source: None,
            buttons: Vec::new(),
            told: None,
            deploys: None,
            was_held: false,
            only_if_there: false,
        }
    }

    fn step(name: &str, ended: Option<JobResult>) -> Step {
        let end = |result| StepEnd { at_ms: 2_500, outcome: result, conclusion: result };
        Step { name: name.into(), started_ms: Some(1_000), ended: ended.map(end) }
    }

    #[test]
    fn a_report_names_the_step_that_failed_and_links_its_page() {
        let mut details = Details::default();
        details.steps.insert(0, step("Build | it", Some(JobResult::Success)));
        details.steps.insert(1, step("Test", Some(JobResult::Failure)));
        let report =
            report(&wanted(Stage::Done(Conclusion::Failure)), Some(&details), Some("https://ci.example"));
        assert_eq!(report.title, "Failed: Test");
        assert_eq!(report.details_url.as_deref(), Some("https://ci.example/runs/1/jobs/i"));
        assert!(report.summary.contains("| ✅ | Build \\| it | success | 1 s |"), "{}", report.summary);
        let told = super::report(&wanted(Stage::Done(Conclusion::Success)), None, None);
        assert_eq!((told.title.as_str(), told.summary.as_str()), ("Success in 2 s", "Success"));
    }

    #[test]
    fn what_runs_is_named() {
        let mut details = Details::default();
        details.steps.insert(0, step("Build", Some(JobResult::Success)));
        details.steps.insert(1, step("Test", None));
        assert_eq!(report(&wanted(Stage::Running), Some(&details), None).title, "Test");
    }

    #[test]
    fn a_summary_is_never_longer_than_the_forge_takes() {
        let mut details = Details::default();
        details.summary = "ä".repeat(40_000);
        let report = report(&wanted(Stage::Running), Some(&details), None);
        assert!(report.summary.len() <= TEXT_MAX_BYTES && report.summary.contains("cut off"));
    }
}
