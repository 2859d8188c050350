//! Runs that wait as a whole until somebody lets them begin: those of forks' pull requests whose authors nobody knows.
//!
//! Invariant: nothing of a held run is planned, so nothing of it reaches an agent, until somebody approved it. That it is held is journaled in the
//! same batch as the run, and it takes nobody's place in a concurrency group meanwhile: its file is the stranger's. One that is cancelled or rejected ends without being planned either: `if: always()` would run the
//! stranger's code. Like the rest of the ledger, [`Holds`] is a function of the journal.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use slipway_scheduler::command::{Cancel, DecideGates, Entrant, Resolution, ResolveJob};
use slipway_scheduler::state::Stage;
use slipway_scheduler::{Command, InstanceId, JobId, Rejection, RunId, Timestamp};

use super::DriverError;
use super::core::Core;
use super::effects::Effect;
use super::payload::Payload;

/// How long a run waits for somebody's approval before it is cancelled, in milliseconds: 30 days, as jobs wait for an environment's.
pub const EXPIRES_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// Held runs that one batch ends at most.
const BATCH_ENDED: usize = 16;

/// What people see in place of an environment's name.
const START: &str = "the run's start";

/// Whose pull request a run is of, as the forge knows them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stranger {
    /// Their name.
    pub author: String,
    /// What the forge says of them, in its words.
    pub association: String,
}

/// Something about a run that is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum HoldEvent {
    /// It is held, from its beginning.
    Held {
        /// Which.
        run: RunId,
        /// Because of whom.
        stranger: Stranger,
        /// When.
        at: Timestamp,
    },
    /// Somebody decided about it.
    Decided {
        /// Which.
        run: RunId,
        /// What.
        decision: HoldDecision,
    },
}

/// What somebody decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldDecision {
    /// Whether it may begin.
    pub approved: bool,
    /// Who.
    pub actor: String,
    /// Why.
    pub comment: String,
    /// When.
    pub at: Timestamp,
}

/// A run that is held, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Because of whom.
    pub stranger: Stranger,
    /// Since when.
    pub since: Timestamp,
    /// What was decided.
    pub decision: Option<HoldDecision>,
}

impl Hold {
    /// Whether the run may begin.
    #[must_use]
    pub fn is_approved(&self) -> bool {
        self.decision.as_ref().is_some_and(|decision| decision.approved)
    }
}

/// All of them, as long as their runs are known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Holds {
    runs: BTreeMap<RunId, Hold>,
}

impl Holds {
    /// Takes note of an entry of the journal.
    pub(super) fn apply(&mut self, event: &HoldEvent) {
        match event {
            HoldEvent::Held { run, stranger, at } => {
                // Journals of before 2026-11-29 hold a run again when its request came twice; the first one counts.
                let hold = || Hold { stranger: stranger.clone(), since: *at, decision: None };
                self.runs.entry(*run).or_insert_with(hold);
            }
            HoldEvent::Decided { run, decision } => {
                if let Some(hold) = self.runs.get_mut(run) {
                    hold.decision = Some(decision.clone());
                }
            }
        }
    }

    /// A run left the state.
    pub(super) fn retired(&mut self, run: RunId) {
        self.runs.remove(&run);
    }

    /// What holds, or held, a run; `None`: nothing ever did.
    #[must_use]
    pub fn of(&self, run: RunId) -> Option<&Hold> {
        self.runs.get(&run)
    }

    /// Whether nothing of the run may be planned.
    #[must_use]
    pub fn holds(&self, run: RunId) -> bool {
        self.of(run).is_some_and(|hold| !hold.is_approved())
    }
}

impl Core {
    /// A run that was just submitted is held.
    pub(super) fn hold(&mut self, run: RunId, stranger: Stranger) {
        let at = self.now;
        self.take(Payload::Hold(HoldEvent::Held { run, stranger, at }));
    }

    /// Somebody decides about the whole run.
    pub(super) fn decide_hold(&mut self, decision: DecideGates) -> Result<Vec<InstanceId>, DriverError> {
        let DecideGates { run, approve, actor, comment, .. } = decision;
        let environment = START.to_owned();
        let found = self.state.run(run).ok_or(Rejection::UnknownRun { run })?;
        let Some(hold) = self.ledger.holds().of(run) else {
            return Err(Rejection::NoGate { run, environment, waiting: Vec::new() }.into());
        };
        let how = match (&hold.decision, found.cancelled()) {
            (Some(before), _) => {
                let word = if before.approved { "approved" } else { "rejected" };
                Some(format!("{} {word} it", before.actor))
            }
            (None, Some(by)) => Some(format!("{} cancelled it", by.actor)),
            (None, None) => found.end().map(|_| "it is over".to_owned()),
        };
        if let Some(how) = how {
            return Err(Rejection::GateDecided { run, environment, how }.into());
        }
        if !approve {
            let reason = match comment.as_str() {
                "" => "its start was rejected".to_owned(),
                comment => format!("its start was rejected: {comment}"),
            };
            self.decide(Command::Cancel(Cancel { run, actor: actor.clone(), reason }))?;
        }
        let decision = HoldDecision { approved: approve, actor, comment, at: self.now };
        self.take(Payload::Hold(HoldEvent::Decided { run, decision }));
        if approve {
            for job in self.ready_jobs(run) {
                self.later.effects.push((Effect::Plan(run, job), None));
            }
            self.decide(Command::EnterGroup(Entrant::Run(run)))?;
        }
        self.later.effects.push((Effect::Changed(run), None));
        Ok(Vec::new())
    }

    fn ready_jobs(&self, run: RunId) -> Vec<JobId> {
        let jobs = self.state.run(run).into_iter().flat_map(|run| run.jobs());
        jobs.filter(|job| job.stage() == Stage::Ready).map(|job| job.id().clone()).collect()
    }

    /// Ends held runs that nobody approved in time, and skips all of those that are cancelled.
    pub(super) fn end_held(&mut self) {
        let due = |hold: &Hold| hold.decision.is_none() && hold.since.after(EXPIRES_MS) <= self.now;
        let held = self.ledger.holds().runs.iter().filter(|(_, hold)| !hold.is_approved());
        let open = held.filter_map(|(run, hold)| Some((self.state.run(*run)?, due(hold))));
        let open = open.filter(|(run, due)| run.end().is_none() && (*due || run.cancelled().is_some()));
        let open: Vec<(RunId, bool)> =
            open.map(|(run, _)| (run.id(), run.cancelled().is_some())).take(BATCH_ENDED).collect();
        for (run, cancelled) in open {
            if !cancelled {
                let (actor, reason) = ("slipway".to_owned(), "nobody approved its start in time".to_owned());
                if let Err(rejection) = self.decide(Command::Cancel(Cancel { run, actor, reason })) {
                    tracing::warn!(%run, %rejection, "a run that nobody approved cannot be cancelled");
                }
            }
            self.skip_all(run);
        }
    }

    /// Each job that is skipped makes others ready, until none is left.
    fn skip_all(&mut self, run: RunId) {
        loop {
            let ready = self.ready_jobs(run);
            if ready.is_empty() {
                return;
            }
            for job in ready {
                let resolution = Resolution::Skip { reason: "nobody approved the run's start".to_owned() };
                let resolve = ResolveJob { run, job, cancelled: true, resolution };
                if let Err(rejection) = self.decide(Command::ResolveJob(resolve)) {
                    tracing::warn!(%run, %rejection, "a job of a run that was not approved cannot be skipped");
                    return;
                }
            }
        }
    }
}
