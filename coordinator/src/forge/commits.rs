//! The one report that sums up a commit, for a branch rule to require: it is there as soon as a delivery is about the commit, and ends
//! when all that the commit started has ended, also when that is nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use slipway_scheduler::JobResult;
use slipway_scheduler::state::Run;

use super::desired::{Key, Wanted};
use super::told::ToldCommit;
use super::{Button, Conclusion, Place, Stage, words};
use crate::driver::View;

/// Events whose runs count in the sum: those that are about the commit itself. A nightly run or a comment that happens to use it says nothing
/// about it.
const COUNTED: [&str; 4] = ["push", "pull_request", "pull_request_target", "merge_group"];

/// Rows of the table; the rest is counted.
const ROWS_MAX: usize = 100;

/// Whether runs of this event count.
pub(crate) fn counts(event: &str) -> bool {
    COUNTED.contains(&event)
}

/// The sums of these commits, as far as they were not told to their end.
pub(crate) fn unsettled(view: View<'_>, name: &str, places: &BTreeSet<Place>) -> Vec<Wanted> {
    let told = places.iter().filter_map(|place| Some((place, view.ledger.told().of_commit(place)?)));
    let open = told.filter(|(_, commit)| !commit.report.is_some_and(|report| report.settled));
    open.filter_map(|(place, commit)| sum(view, name, place, commit)).collect()
}

/// `None`: what is known does not sum up any more.
fn sum(view: View<'_>, name: &str, place: &Place, commit: &ToldCommit) -> Option<Wanted> {
    if commit.incomplete {
        return None;
    }
    // Of each workflow, event and ref the newest run counts: a rerun takes the place of what it repeats.
    let mut newest: BTreeMap<(&str, &str, &str), &Run> = BTreeMap::new();
    for run in commit.runs.iter().filter_map(|run| view.state.run(*run)) {
        let meta = run.meta();
        newest.insert((&meta.workflow_file, &meta.event_name, &meta.git_ref), run);
    }
    let runs: Vec<&Run> = newest.into_values().collect();
    let results: Vec<Option<JobResult>> = runs.iter().map(|run| run.end().map(|end| end.result)).collect();
    let stage = stage(commit, &results);
    let over = results.iter().flatten().count();
    let title = match stage {
        Stage::Queued => "Looking for workflows".to_owned(),
        Stage::Running => format!("{over} of {} workflows are over", runs.len()),
        Stage::Done(_) if runs.is_empty() && commit.problems.is_empty() => "Nothing had to run".to_owned(),
        Stage::Done(Conclusion::Success) => format!("{} of {} workflows are fine", runs.len(), runs.len()),
        Stage::Done(_) => {
            let bad = results.iter().flatten().filter(|result| is_bad(**result)).count();
            format!(
                "{} of {} workflows are not fine",
                bad + commit.problems.len(),
                runs.len() + commit.problems.len()
            )
        }
    };
    Some(Wanted {
        key: Key::Sum(place.clone(), commit.generation),
        place: place.clone(),
        name: name.to_owned(),
        stage,
        started_ms: runs.iter().map(|run| run.submitted_at().0).min(),
        finished_ms: runs
            .iter()
            .filter_map(|run| run.end())
            .map(|end| end.at.0)
            .max()
            .filter(|_| stage.is_done()),
        title,
        notes: vec![table(&runs, commit)],
        page: String::from("/"),
        source: None,
        buttons: stage.is_done().then_some(Button::Rerun).filter(|_| !runs.is_empty()).into_iter().collect(),
        told: commit.report,
        deploys: None,
        was_held: false,
        only_if_there: false,
    })
}

const fn is_bad(result: JobResult) -> bool {
    matches!(result, JobResult::Failure | JobResult::Cancelled)
}

fn stage(commit: &ToldCommit, results: &[Option<JobResult>]) -> Stage {
    if !commit.open.is_empty() && results.is_empty() {
        return Stage::Queued;
    }
    if !commit.open.is_empty() || results.iter().any(Option::is_none) {
        return Stage::Running;
    }
    let has = |wanted: JobResult| results.contains(&Some(wanted));
    Stage::Done(if !commit.problems.is_empty() || has(JobResult::Failure) {
        Conclusion::Failure
    } else if has(JobResult::Cancelled) {
        Conclusion::Cancelled
    } else {
        // Skipped is as good as done: else a rule that requires this report would hold the commit up for ever.
        Conclusion::Success
    })
}

fn table(runs: &[&Run], commit: &ToldCommit) -> String {
    let mut text = String::new();
    for (file, message) in &commit.problems {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "- ❌ `{}`: {}", words::plain(file), words::plain(message));
    }
    if runs.is_empty() {
        return text;
    }
    text.push_str("\n| | workflow | event | result |\n|---|---|---|---|\n");
    for run in runs.iter().take(ROWS_MAX) {
        let result = run.end().map(|end| end.result);
        let meta = run.meta();
        let (name, event) = (words::plain(&meta.workflow_name), words::plain(&meta.event_name));
        let (sign, word) = (result.map_or("🟡", words::sign), result.map_or("in progress", words::result));
        let _ = writeln!(text, "| {sign} | {name} | {event} | {word} |");
    }
    if let Some(more) = runs.len().checked_sub(ROWS_MAX).filter(|more| *more > 0) {
        let _ = writeln!(text, "\nand {more} more");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_ends_when_everything_has_ended_and_skipped_is_as_good_as_done() {
        use JobResult::{Cancelled, Failure, Skipped, Success};
        let done = |results: &[Option<JobResult>]| stage(&ToldCommit::default(), results);
        assert_eq!(done(&[]), Stage::Done(Conclusion::Success));
        assert_eq!(done(&[Some(Skipped), Some(Success)]), Stage::Done(Conclusion::Success));
        assert_eq!(done(&[Some(Cancelled), Some(Failure)]), Stage::Done(Conclusion::Failure));
        assert_eq!(done(&[Some(Cancelled), Some(Success)]), Stage::Done(Conclusion::Cancelled));
        assert_eq!(done(&[Some(Failure), None]), Stage::Running);
        let mut open = ToldCommit::default();
        open.open.insert("d".into());
        assert_eq!(stage(&open, &[]), Stage::Queued);
        assert_eq!(stage(&open, &[Some(Success)]), Stage::Running);
        let mut broken = ToldCommit::default();
        broken.problems.insert("a.yml".into(), "is not valid".into());
        assert_eq!(stage(&broken, &[]), Stage::Done(Conclusion::Failure));
    }
}
