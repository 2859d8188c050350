//! The report on a run that waits as a whole: `action_required` until somebody decides, and what they decided after.

use slipway_scheduler::state::Run;

use super::desired::{Key, Wanted, name, nowhere};
use super::told::ToldReport;
use super::{Conclusion, Stage, words};
use crate::driver::View;

/// Names the report among a run's parts.
pub(super) const PART: &str = "start";

/// What the forge calls it.
pub(super) fn name_of(run: &Run) -> String {
    name(run, "approval")
}

/// The report; `None`: nothing ever held the run.
pub(super) fn of_run(view: View<'_>, run: &Run, told: Option<&ToldReport>) -> Option<Wanted> {
    let hold = view.ledger.holds().of(run.id())?;
    let (author, association) = (words::plain(&hold.stranger.author), &hold.stranger.association);
    let over = run.end().is_some() || run.cancelled().is_some();
    let (conclusion, title) = match &hold.decision {
        Some(decision) if decision.approved => {
            (Conclusion::Success, format!("Approved by {}", decision.actor))
        }
        Some(decision) => (Conclusion::Cancelled, format!("Rejected by {}", decision.actor)),
        None if over => (Conclusion::Cancelled, "It ended without anybody's approval".to_owned()),
        None => (Conclusion::ActionRequired, "Waits for somebody's approval to begin".to_owned()),
    };
    let stage = Stage::Done(conclusion);
    let notes = vec![
        format!(
            "This pull request comes from a fork, and its author {author} ({}) is not known to the repository. \
             Nothing of the run begins before somebody with the role approver lets it.",
            words::plain(association)
        ),
        format!(
            "Look at the changes first. Then approve or reject on the run's page, or with `slipway approve {}`.",
            run.id()
        ),
    ];
    Some(Wanted {
        key: Key::Part(run.id(), PART.to_owned()),
        place: nowhere(),
        name: name_of(run),
        stage,
        started_ms: None,
        finished_ms: None,
        title: words::cut(&title, 200),
        notes: if stage.goes_on() { notes } else { Vec::new() },
        page: format!("/runs/{}", run.id()),
        source: None,
        buttons: Vec::new(),
        told: None,
        deploys: None,
        was_held: true,
        only_if_there: told.is_none() && !stage.goes_on(),
    })
}
