//! One instance of a job and its attempts.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use slipway_cas::Digest;

use crate::command::{Gate, InstanceDefinition, LeaseRef, Trust};
use crate::ids::{AgentId, FencingToken, InstanceId, RunId};
use crate::label::LabelSet;
use crate::outcome::{CancelReason, FleetCause, GateVerdict, JobResult, Outcome};
use crate::time::Timestamp;

use super::line::Line;

/// One instance of a job. Read-only outside this crate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    pub(crate) definition: InstanceDefinition,
    pub(crate) run: RunId,
    /// Position of its job in the run.
    pub(crate) job: u32,
    pub(crate) trust: Trust,
    /// Its place among all instances, in the order in which they began to wait.
    pub(crate) order: u64,
    /// When it began to wait for its first attempt.
    #[serde(default)]
    pub(crate) since: Timestamp,
    /// Where it waits. Derived from its run and itself.
    #[serde(skip)]
    pub(crate) line: Arc<Line>,
    pub(crate) phase: Phase,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) cancel: Option<CancelReason>,
    /// What was decided about its environment's gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) review: Option<Review>,
}

/// A decision about an environment's gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// What was decided.
    pub verdict: GateVerdict,
    /// Who did; empty: time.
    pub actor: String,
    /// Why, for people; may be empty.
    pub comment: String,
    /// When.
    pub at: Timestamp,
}

/// Where an instance is; always exactly one of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// `max-parallel` holds it back.
    Held,
    /// It waits for what its environment asks: somebody's approval, a time, or both.
    Gated {
        /// Since when.
        since: Timestamp,
    },
    /// It waits for its concurrency group.
    Blocked {
        /// Its place among all that wait for a group; `None`: it is about to enter it.
        order: Option<u64>,
    },
    /// It waits for its turn: its environment lets one deployment at a time in.
    Turn {
        /// Its place among all that wait for one; `None`: it is about to ask for it.
        order: Option<u64>,
    },
    /// It waits for an agent.
    Waiting {
        /// The end of the back-off, for an attempt after one that failed or was declined.
        backoff: Option<Backoff>,
    },
    /// An agent executes its last attempt.
    Leased {
        /// The lease's token.
        token: FencingToken,
        /// The lease's full time, in milliseconds.
        lease_ms: u64,
    },
    /// Its attempt ended or was declined; whether it is tried again or finished, an event of the same decision says. Never seen between
    /// decisions.
    Settling,
    /// It has its result.
    Finished {
        /// Its own result: a failure under `continue-on-error` is one here.
        result: JobResult,
        /// Its outputs.
        outputs: Option<Digest>,
        /// What of the fleet failed, where that is why.
        cause: Option<FleetCause>,
        /// When.
        at: Timestamp,
    },
}

/// What a new attempt waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// Not before this time.
    pub not_before: Timestamp,
    /// Rather not on this agent.
    pub avoid: AgentId,
}

/// One try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// Who executes it.
    pub agent: AgentId,
    /// Its lease's token.
    pub token: FencingToken,
    /// When it was leased.
    pub started_at: Timestamp,
    /// Whether a step of a strict job began.
    pub step_began: bool,
    /// How it ended.
    pub end: Option<AttemptEnd>,
}

impl Attempt {
    /// One that begins.
    pub(crate) fn begun(number: u32, agent: AgentId, token: FencingToken, started_at: Timestamp) -> Self {
        Self { number, agent, token, started_at, step_began: false, end: None }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptEnd {
    /// The outcome.
    pub outcome: Outcome,
    /// How many log records it has; 0 when nobody reported.
    pub records: u64,
    /// Digest of their bytes; none when nobody reported one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records_digest: Option<Digest>,
    /// Whether its agent said so.
    pub reported: bool,
    /// When.
    pub at: Timestamp,
}

impl Instance {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> InstanceId {
        self.definition.id
    }

    /// What the planner said about it.
    #[must_use]
    pub fn definition(&self) -> &InstanceDefinition {
        &self.definition
    }

    /// Its run.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.run
    }

    /// What its agent must offer.
    #[must_use]
    pub fn labels(&self) -> &LabelSet {
        &self.definition.labels
    }

    /// Whether only agents that accept untrusted runs may have it.
    #[must_use]
    pub fn trust(&self) -> Trust {
        self.trust
    }

    /// When it began to wait for its first attempt; 0: not yet.
    #[must_use]
    pub fn waits_since(&self) -> Timestamp {
        self.since
    }

    /// Where it waits among others.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// Where it is.
    #[must_use]
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Its attempts, first to last.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// Why it is to stop, where it is.
    #[must_use]
    pub fn cancel(&self) -> Option<&CancelReason> {
        self.cancel.as_ref()
    }

    /// What its environment asks for, where it asks for anything.
    #[must_use]
    pub fn gate(&self) -> Option<&Gate> {
        self.definition.gate.as_deref()
    }

    /// What was decided about its environment's gate, once it was.
    #[must_use]
    pub fn review(&self) -> Option<&Review> {
        self.review.as_ref()
    }

    /// The gate that somebody has to decide about before it goes on.
    #[must_use]
    pub fn awaits_review(&self) -> Option<&Gate> {
        let waits = matches!(self.phase, Phase::Gated { .. }) && self.review.is_none();
        self.gate().filter(|gate| waits && gate.approval)
    }

    pub(crate) fn is_approved(&self) -> bool {
        self.gate().is_none_or(|gate| !gate.approval)
            || self.review.as_ref().is_some_and(|review| review.verdict == GateVerdict::Approved)
    }

    /// When time alone does something about its gate: lets it go on, or ends it.
    #[must_use]
    pub fn gate_due(&self) -> Option<Timestamp> {
        let (Phase::Gated { since }, Some(gate)) = (&self.phase, self.gate()) else { return None };
        Some(since.after(if self.is_approved() { gate.wait_ms } else { gate.expires_ms }))
    }

    /// Its own result, once it has one.
    #[must_use]
    pub fn result(&self) -> Option<JobResult> {
        match self.phase {
            Phase::Finished { result, .. } => Some(result),
            _ => None,
        }
    }

    /// What of the fleet failed, where its result comes from that.
    #[must_use]
    pub fn cause(&self) -> Option<FleetCause> {
        match self.phase {
            Phase::Finished { cause, .. } => cause,
            _ => None,
        }
    }

    /// Its live lease and the agent that has it.
    #[must_use]
    pub fn lease(&self) -> Option<(LeaseRef, AgentId)> {
        match (&self.phase, self.attempts.last()) {
            (Phase::Leased { token, .. }, Some(attempt)) => Some((
                LeaseRef { instance: self.id(), attempt: attempt.number, token: *token },
                attempt.agent,
            )),
            _ => None,
        }
    }

    /// The full time of its live lease, in milliseconds.
    #[must_use]
    pub fn lease_ms(&self) -> Option<u64> {
        match self.phase {
            Phase::Leased { lease_ms, .. } => Some(lease_ms),
            _ => None,
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Finished { .. })
    }
}
