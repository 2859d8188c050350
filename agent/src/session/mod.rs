//! The agent's session with its coordinator: leases come in, reports go out, and a clock watches over every lease.
//!
//! Invariant: a lease is counted from when the agent *sent* what the coordinator answered, on a clock that counts
//! suspension. A strict job is told to stop before its lease could be given to another; an ordinary one goes on without
//! contact for the grace.
//!
//! Deliberately absent: what a job does. Jobs hear orders through a [`JobLink`] and answer with [`JobEvent`]s.

pub mod guard;
mod handover;
mod leases;
pub mod messages;
pub mod supervisor;

use slipway_proto::v1;
use tokio::sync::{mpsc, watch};

use crate::lease::Lease;

/// A lease to execute.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// The lease.
    pub lease: Lease,
    /// Blob with the job's specification.
    pub spec: v1::Digest,
    /// See [`guard`].
    pub strict: bool,
    /// W3C trace context of the run; may be empty.
    pub traceparent: String,
}

/// What a job was told so far. Only ever grows, so the latest value is all there is to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobOrders {
    /// End politely: steps with `always()` or `cancelled()` still run. With the reason.
    pub cancel: Option<String>,
    /// End at once and report nothing. With the reason.
    pub stop: Option<String>,
    /// The coordinator knows that steps begin; a strict job waits for it.
    pub begin: bool,
    /// The report is durable: the attempt may be forgotten.
    pub accepted: bool,
    /// When the job's own init has to end it, by `CLOCK_BOOTTIME`; none: not known yet.
    pub stop_boottime_ms: Option<u64>,
}

/// A job's side of the session.
#[derive(Debug, Clone)]
pub struct JobLink {
    /// What it was told.
    pub orders: watch::Receiver<JobOrders>,
    /// What it has to say.
    pub events: mpsc::Sender<JobEvent>,
}

/// What a job says.
#[derive(Debug, Clone, PartialEq)]
pub enum JobEvent {
    /// Its first step is about to start.
    StepBegan(Lease),
    /// It has ended, all its records are durable, and this is its report. Boxed: it carries the outputs.
    Ended(Lease, Box<v1::Report>),
    /// It has ended without a report: it was stopped, or its lease turned out to be stale.
    Gone(Lease),
}

/// What takes leases and makes jobs of them.
pub trait StartJob: Send + Sync + 'static {
    /// Starts a job; must not block.
    fn start(&self, assignment: Assignment, link: JobLink);
}
