//! Fleet failures: what went wrong with the machine, the engine or the network, never with the work.

/// Why the fleet could not run an attempt. The codes are stable; docs/FAILURES.md explains each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The registry could not be reached, or refused.
    ImagePull,
    /// The registry (or, without one, this machine) has no such image.
    ImageNotFound,
    /// The container engine does not answer.
    EngineUnavailable,
    /// No space left on a disk.
    DiskFull,
    /// The container could not be created or started.
    ContainerStart,
    /// The container's init ended or never connected while a step ran.
    InitLost,
    /// The code could not be fetched.
    CheckoutUnavailable,
    /// An action could not be fetched.
    ActionUnavailable,
    /// The lease ended before the job did.
    LeaseExpired,
    /// The agent itself failed.
    Internal,
}

impl Cause {
    /// The code, as it goes over the wire.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::ImagePull => "image_pull",
            Self::ImageNotFound => "image_not_found",
            Self::EngineUnavailable => "engine_unavailable",
            Self::DiskFull => "disk_full",
            Self::ContainerStart => "container_start",
            Self::InitLost => "init_lost",
            Self::CheckoutUnavailable => "checkout_unavailable",
            Self::ActionUnavailable => "action_unavailable",
            Self::LeaseExpired => "lease_expired",
            Self::Internal => "internal",
        }
    }
}

/// A fleet failure with one sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind.
    pub cause: Cause,
    /// What happened, and what an administrator can do.
    pub message: String,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self { cause, message: message.into() }
    }

    /// A failed file operation: a full disk is told apart from the rest.
    pub fn io(what: impl std::fmt::Display, error: &std::io::Error) -> Self {
        let full =
            matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
        let cause = if full { Cause::DiskFull } else { Cause::Internal };
        Self::new(cause, format!("{what}: {error}"))
    }
}
