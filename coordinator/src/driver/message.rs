//! What goes to agents, in core types; [`crate::grpc`] gives it its wire form.

use slipway_cas::Digest;
use slipway_scheduler::command::LeaseRef;
use slipway_scheduler::{AgentId, RunId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How many messages may wait for one agent. An agent that does not read this many is cut off; it comes back with what it
/// holds and is told again.
pub const SESSION_QUEUE: usize = 1_024;

/// A lease and the run it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunLease {
    /// The run.
    pub run: RunId,
    /// Instance, attempt and token.
    pub lease: LeaseRef,
}

/// A message to an agent.
#[derive(Debug, Clone, PartialEq)]
pub enum ToAgent {
    /// The answer to its hello.
    Welcome {
        /// The leader's epoch.
        epoch: u64,
        /// The full time of new leases, in milliseconds.
        lease_ms: u64,
        /// What it keeps.
        kept: Vec<RunLease>,
    },
    /// A new lease.
    Assign {
        /// The lease.
        lease: RunLease,
        /// The job specification.
        spec: Digest,
        /// Whether the job is strict.
        strict: bool,
        /// W3C trace context; may be empty.
        traceparent: String,
        /// The lease's full time, in milliseconds.
        lease_ms: u64,
    },
    /// These leases were renewed.
    Renewed {
        /// How long they last, where longer was asked for; 0: as usual.
        lease_ms: u64,
        /// The number of the request.
        number: u64,
        /// The leases.
        leases: Vec<RunLease>,
    },
    /// End the job politely.
    Cancel {
        /// The lease.
        lease: RunLease,
        /// Why, for people.
        reason: String,
    },
    /// The lease is not the agent's: end the job at once.
    Stop {
        /// The lease.
        lease: RunLease,
        /// Why, for people.
        reason: String,
    },
    /// The beginning of its first step is durable: a strict job goes on.
    BeginStep {
        /// The lease.
        lease: RunLease,
    },
    /// The report is durable.
    Accepted {
        /// The lease.
        lease: RunLease,
    },
    /// Take nothing new, or take it again.
    Drain {
        /// Which.
        on: bool,
    },
}

/// The driver's side of a session.
#[derive(Debug)]
pub struct SessionLink {
    /// Which agent.
    pub agent: AgentId,
    /// Where its messages go. Boxed: a queue has room for 32 of them from the start, and there are ten thousand queues.
    pub outbox: mpsc::Sender<Box<ToAgent>>,
    /// Raised when the session is over: replaced by a newer one, or cut off.
    pub over: CancellationToken,
}
