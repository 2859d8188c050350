//! The agent's messages, and what comes back, checked.

use slipway_proto::v1;
use slipway_proto::v1::agent_message::Message as Out;
use slipway_proto::v1::coordinator_message::Message as In;

use super::Assignment;
use super::guard::LeaseTerms;
use crate::lease::{BadMessage, Lease};

/// Longest lease, margin or grace that is believed: a week. More is a mistake in somebody's configuration.
const TIME_MAX_MS: u32 = 7 * 24 * 3_600 * 1_000;

/// Shortest time between renewals.
const RENEW_MIN_MS: u64 = 100;

/// What the coordinator said.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// The answer to Hello.
    Welcome {
        /// Its times.
        terms: LeaseTerms,
        /// Leases that are kept.
        kept: Vec<Lease>,
    },
    /// A new lease and its length in milliseconds.
    Assign(Assignment, u64),
    /// The answer to the renewal of this number.
    Renewed {
        /// Which.
        number: u64,
        /// Leases that were prolonged.
        leases: Vec<Lease>,
        /// How long they last, where longer was asked for; 0: as usual.
        lease_ms: u64,
    },
    /// End politely.
    Cancel(Lease, String),
    /// End at once.
    Stop(Lease, String),
    /// The report is durable.
    Accepted(Lease),
    /// The first step may start.
    BeginStep(Lease),
    /// Take nothing new, or again.
    Drain(bool),
}

/// Checks a message. None for a kind that this version does not know, which is ignored.
///
/// # Errors
/// [`BadMessage`].
pub fn read(message: v1::CoordinatorMessage) -> Result<Option<Incoming>, BadMessage> {
    let Some(message) = message.message else { return Ok(None) };
    Ok(Some(match message {
        In::Welcome(welcome) => Incoming::Welcome { terms: terms(&welcome), kept: leases(&welcome.kept)? },
        In::Assign(assign) => {
            let assignment = Assignment {
                lease: Lease::from_wire(assign.lease.as_ref())?,
                spec: assign.spec.ok_or(BadMessage::Missing("spec"))?,
                strict: assign.strict,
                traceparent: assign.traceparent,
            };
            Incoming::Assign(assignment, u64::from(assign.lease_ms.min(TIME_MAX_MS)))
        }
        In::Renewed(renewed) => {
            let lease_ms = u64::from(renewed.lease_ms.min(TIME_MAX_MS));
            Incoming::Renewed { number: renewed.number, leases: leases(&renewed.leases)?, lease_ms }
        }
        In::Cancel(cancel) => Incoming::Cancel(Lease::from_wire(cancel.lease.as_ref())?, cancel.reason),
        In::Stop(stop) => Incoming::Stop(Lease::from_wire(stop.lease.as_ref())?, stop.reason),
        In::Accepted(accepted) => Incoming::Accepted(Lease::from_wire(accepted.lease.as_ref())?),
        In::BeginStep(begin) => Incoming::BeginStep(Lease::from_wire(begin.lease.as_ref())?),
        In::Drain(drain) => Incoming::Drain(drain.on),
    }))
}

fn leases(leases: &[v1::Lease]) -> Result<Vec<Lease>, BadMessage> {
    leases.iter().map(|lease| Lease::from_wire(Some(lease))).collect()
}

fn terms(welcome: &v1::Welcome) -> LeaseTerms {
    let time = |ms: u32| u64::from(ms.min(TIME_MAX_MS));
    let renew_ms = time(welcome.renew_ms).max(RENEW_MIN_MS);
    LeaseTerms {
        lease_ms: time(welcome.lease_ms),
        margin_ms: time(welcome.margin_ms),
        renew_ms,
        idle_ms: time(welcome.idle_ms).max(renew_ms),
        grace_ms: time(welcome.grace_ms),
    }
}

/// A message to send.
#[must_use]
pub fn out(message: Out) -> v1::AgentMessage {
    v1::AgentMessage { message: Some(message) }
}
