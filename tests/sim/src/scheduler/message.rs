//! What agents and the coordinator say to each other.

use slipway_scheduler::Uptime;
use slipway_scheduler::command::{LeaseRef, Report};
use slipway_scheduler::fleet::Renewed;

/// From an agent.
#[derive(Debug, Clone)]
pub(crate) enum ToCoordinator {
    /// Opens a session. `attempt` tells one hello of this agent from another.
    Hello { attempt: u64, held: Vec<LeaseRef>, sent_at: Uptime },
    /// Renews.
    Renew { session: u64, held: Vec<LeaseRef>, sent_at: Uptime },
    /// A job ended.
    Report(Report),
    /// The agent does not take a lease.
    Decline(LeaseRef),
    /// A strict job wants to begin.
    StepBegan(LeaseRef),
    /// The agent wants a longer lease.
    Extend(LeaseRef),
}

/// To an agent.
#[derive(Debug, Clone)]
pub(crate) enum ToAgent {
    /// Answers a hello.
    Welcome {
        attempt: u64,
        session: u64,
        sent_at: Uptime,
        keep: Vec<Renewed>,
        stop: Vec<LeaseRef>,
        assign: Vec<Assignment>,
    },
    /// The session is over; say hello again.
    SayHello { session: u64 },
    /// A new lease.
    Assign { session: u64, assignment: Assignment },
    /// Answers a renewal.
    Renewed { session: u64, sent_at: Uptime, renewed: Vec<Renewed>, stop: Vec<LeaseRef> },
    /// A job is to end.
    Cancel { session: u64, lease: LeaseRef },
    /// A lease is not this agent's.
    Stop { lease: LeaseRef },
    /// A report is durable.
    Accepted { lease: LeaseRef },
    /// A strict job may begin.
    StepAllowed { lease: LeaseRef },
}

/// What an agent learns of a lease.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Assignment {
    pub(crate) lease: LeaseRef,
    pub(crate) strict: bool,
    pub(crate) timeout_ms: u64,
}
