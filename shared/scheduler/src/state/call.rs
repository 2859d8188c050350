//! One call of a reusable workflow. Its jobs are jobs of the run.

use serde::{Deserialize, Serialize};
use slipway_cas::Digest;

use crate::command::Concurrency;
use crate::ids::JobId;
use crate::outcome::JobResult;
use crate::time::Timestamp;

/// One call that a job became. Read-only outside this crate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    pub(crate) id: JobId,
    pub(crate) name: String,
    pub(crate) context: Digest,
    pub(crate) has_outputs: bool,
    pub(crate) concurrency: Option<Concurrency>,
    /// Positions of its jobs in the run.
    pub(crate) jobs: Vec<u32>,
    /// Its jobs that are not finished.
    pub(crate) open: u32,
    pub(crate) phase: CallPhase,
    /// Whether anything of it could begin: its jobs may be ready.
    pub(crate) begun: bool,
    /// Whether its jobs are planned as those of a cancelled run, whatever the run is.
    pub(crate) cancelled: bool,
    /// Why it failed, where its outputs could not be evaluated.
    pub(crate) message: Option<String>,
}

/// Where a call is; always exactly one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum CallPhase {
    /// `max-parallel` holds it back.
    Held,
    /// It waits for its concurrency group.
    Blocked {
        /// Its place among all that wait for a group; `None`: it is about to enter it.
        order: Option<u64>,
    },
    /// Its jobs are at work.
    Open,
    /// Its jobs are done, and its outputs are being evaluated.
    Done {
        /// What its jobs' results make.
        result: JobResult,
    },
    /// It is done.
    Finished {
        /// Its result.
        result: JobResult,
        /// When.
        at: Timestamp,
    },
}

/// Names a call: its calling job's position in the run, and its place among that one's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Parent {
    pub(crate) job: u32,
    pub(crate) call: u32,
}

impl Call {
    /// Its id in the run.
    #[must_use]
    pub fn id(&self) -> &JobId {
        &self.id
    }

    /// What people see.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its jobs are planned with.
    #[must_use]
    pub fn context(&self) -> Digest {
        self.context
    }

    /// Whether the callee has outputs.
    #[must_use]
    pub fn has_outputs(&self) -> bool {
        self.has_outputs
    }

    /// Where it is.
    #[must_use]
    pub fn phase(&self) -> CallPhase {
        self.phase
    }

    /// Its result, once it has one.
    #[must_use]
    pub fn result(&self) -> Option<JobResult> {
        match self.phase {
            CallPhase::Finished { result, .. } => Some(result),
            _ => None,
        }
    }

    /// Why it failed, where its outputs could not be evaluated.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
}
