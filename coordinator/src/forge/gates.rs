//! The gates of a run as reports on its commit: judged once, when the run has ended, and journaled, so that what is told stays a
//! function of the journal.

use std::time::Duration;

use slipway_kit::backoff::Backoff;
use slipway_scheduler::RunId;
use slipway_scheduler::state::Run;

use super::desired::{Key, Wanted, name, nowhere};
use super::told::{Part, ReportEvent, ToldRun};
use super::{Conclusion, Stage, words};
use crate::reports::{Judged, gates};
use crate::services::Services;

/// Runs whose gates are judged at a time: each may fetch from its repository.
pub(super) const JUDGED_AT_ONCE: usize = 2;

/// The first wait after a failure, and the longest; and how often it is tried. A gate that was never judged stays away from
/// the commit, so that a rule that requires it holds.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
const TRIES_MAX: u32 = 8;

fn part(gate: &str) -> Part {
    format!("gate:{gate}")
}

/// The reports on a run's gates.
pub(super) fn wanted(run: &Run, told: &ToldRun) -> Vec<Wanted> {
    let gates = told.gates.iter().flatten();
    gates.map(|judged| of_gate(run, judged)).collect()
}

fn of_gate(run: &Run, judged: &Judged) -> Wanted {
    let conclusion = if judged.passed { Conclusion::Success } else { Conclusion::Failure };
    let lines = judged.lines.iter().map(|line| format!("- {}", words::plain(line)));
    Wanted {
        key: Key::Part(run.id(), part(&judged.gate)),
        place: nowhere(),
        name: name(run, &format!("{} gate", judged.gate)),
        stage: Stage::Done(conclusion),
        started_ms: None,
        finished_ms: run.end().map(|end| end.at.0),
        title: words::cut(&judged.title, 200),
        notes: vec![words::plain(&judged.title), lines.collect::<Vec<_>>().join("\n")],
        page: format!("/runs/{}#reports", run.id()),
        source: None,
        buttons: Vec::new(),
        told: None,
        deploys: None,
        was_held: false,
        only_if_there: false,
    }
}

/// Judges a run's gates and has the result journaled.
pub(super) async fn judge(services: Services, run: RunId) -> RunId {
    let mut backoff = Backoff::new(WAITS.0, WAITS.1);
    for _ in 0..TRIES_MAX {
        match gates::of_run(&services, run).await {
            Ok(gates) => {
                // A driver that is gone leaves it to the next leader.
                let _ = services.driver.report(ReportEvent::Gates { run, gates }).await;
                return run;
            }
            Err(error) => {
                tracing::warn!(%run, %error, "the gates of a run can't be judged now");
                tokio::time::sleep(backoff.next_wait()).await;
            }
        }
    }
    tracing::error!(%run, "the gates of a run are not judged before the next start");
    run
}
