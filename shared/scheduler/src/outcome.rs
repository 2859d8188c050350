//! How things end: of the *work* (GitHub's results) or of the *fleet* (a new attempt), never mixed up.

use std::fmt;

use serde::{Deserialize, Serialize};
use slipway_cas::Digest;

use crate::ids::{InstanceId, JobId};

/// GitHub's four results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobResult {
    /// All went well.
    Success,
    /// The work failed, or the fleet did for the last time.
    Failure,
    /// A person, `fail-fast` or a time limit ended it.
    Cancelled,
    /// Its condition was not met.
    Skipped,
}

impl JobResult {
    /// GitHub's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }
}

impl fmt::Display for JobResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How one attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// The work succeeded.
    Success {
        /// The job's outputs (a JSON object in a blob), where it has any.
        outputs: Option<Digest>,
    },
    /// The work failed.
    Failure {
        /// Outputs are set even then: a job under `continue-on-error` passes them on.
        outputs: Option<Digest>,
    },
    /// It was asked to stop and did.
    Cancelled,
    /// Its `timeout-minutes` passed.
    TimedOut,
    /// The fleet failed, not the work.
    Fleet {
        /// What of the fleet.
        cause: FleetCause,
    },
}

/// What of the fleet failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FleetCause {
    /// The agent is gone, or came back without the job.
    AgentLost,
    /// The agent is there but did not renew the lease.
    LeaseExpired,
    /// The image could not be pulled, now.
    ImagePull,
    /// There is no such image.
    ImageNotFound,
    /// The container engine does not answer.
    EngineUnavailable,
    /// The agent's disk is full.
    DiskFull,
    /// The container could not be started.
    ContainerStart,
    /// The host (not the container) ran out of memory.
    OutOfMemory,
    /// The container's init is gone.
    InitLost,
    /// The code to check out could not be reached.
    CheckoutUnavailable,
    /// An action could not be reached.
    ActionUnavailable,
    /// A bug of Slipway's.
    Internal,
}

impl FleetCause {
    /// Every cause, in order.
    pub const ALL: [Self; 12] = [
        Self::AgentLost,
        Self::LeaseExpired,
        Self::ImagePull,
        Self::ImageNotFound,
        Self::EngineUnavailable,
        Self::DiskFull,
        Self::ContainerStart,
        Self::OutOfMemory,
        Self::InitLost,
        Self::CheckoutUnavailable,
        Self::ActionUnavailable,
        Self::Internal,
    ];

    /// The stable name, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AgentLost => "agent_lost",
            Self::LeaseExpired => "lease_expired",
            Self::ImagePull => "image_pull",
            Self::ImageNotFound => "image_not_found",
            Self::EngineUnavailable => "engine_unavailable",
            Self::DiskFull => "disk_full",
            Self::ContainerStart => "container_start",
            Self::OutOfMemory => "out_of_memory",
            Self::InitLost => "init_lost",
            Self::CheckoutUnavailable => "checkout_unavailable",
            Self::ActionUnavailable => "action_unavailable",
            Self::Internal => "internal",
        }
    }

    /// The cause of this stable name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == name)
    }
}

impl fmt::Display for FleetCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an instance is to stop before its work is done.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CancelReason {
    /// Its run was cancelled.
    Run,
    /// Another instance of its matrix failed.
    FailFast {
        /// Which.
        by: InstanceId,
    },
    /// Another call of the matrix that it belongs to failed.
    CallFailed {
        /// Which.
        by: JobId,
    },
    /// A newer one of its concurrency group took its place.
    Superseded {
        /// The group.
        group: String,
    },
}

/// What came of an environment's gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateVerdict {
    /// Somebody let the job go on.
    Approved,
    /// Somebody did not: it fails.
    Rejected,
    /// Nobody decided in time: it fails.
    Expired,
}

impl GateVerdict {
    /// As in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
        }
    }
}
