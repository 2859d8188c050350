//! What can go wrong between the agent and a job's init.

use slipway_init::protocol::{DecodeError, EncodeError};
use std::path::PathBuf;

/// The link to a job's init failed or could not be made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The run folder or the socket in it can't be prepared.
    #[error("cannot prepare {}: {source}", path.display())]
    Prepare {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The control socket failed.
    #[error("the control socket failed: {0}")]
    Socket(#[source] std::io::Error),
    /// Init closed the connection, or is gone. It connects again as long as its container runs.
    #[error("the container's init has closed its connection")]
    Closed,
    /// Init sent something that is no report. Only the job itself can be the cause.
    #[error("the container's init sent something invalid: {0}")]
    Invalid(#[from] DecodeError),
    /// Init said something that can't be.
    #[error("the container's init sent something invalid: {0}")]
    Impossible(&'static str),
    /// The init speaks a protocol version that this agent doesn't.
    #[error("the container's init speaks protocol version {theirs}, this agent only {oldest} to {ours}")]
    Version {
        /// Version of the init.
        theirs: u16,
        /// Oldest version that this agent speaks.
        oldest: u16,
        /// Version of this agent.
        ours: u16,
    },
    /// Init's spool is shorter than what was read from it before: the container was restarted.
    #[error("the container was restarted: its init has written {written} bytes, but {known} were known")]
    Restarted {
        /// Logical end that init knows.
        written: u64,
        /// Logical end that the agent knew.
        known: u64,
    },
    /// Init does not listen on a port for the job.
    #[error("port {port} of the job container can't be relayed: {source}")]
    Relay {
        /// The port.
        port: u16,
        /// Why; the address is in use, above all.
        source: std::io::Error,
    },
    /// An order can't be sent.
    #[error("the step cannot be started: {0}")]
    Order(#[from] EncodeError),
}

/// The spool can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The file system refused.
    #[error("cannot {doing} the spool {}: {source}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// The spool.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What init announced as written is not a frame.
    #[error("the spool {} has no valid frame at offset {offset}: {source}", path.display())]
    Corrupt {
        /// The spool.
        path: PathBuf,
        /// Logical offset.
        offset: u64,
        /// What is wrong there.
        source: DecodeError,
    },
    /// The capacity is too small to ever take a piece of output.
    #[error("a spool of {capacity_bytes} bytes is too small, it needs at least {least_bytes}")]
    TooSmall {
        /// What was asked.
        capacity_bytes: u64,
        /// The least.
        least_bytes: u64,
    },
}
