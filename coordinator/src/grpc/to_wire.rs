//! What the driver tells agents, in its wire form.

use slipway_proto::v1::{self, coordinator_message::Message};
use slipway_scheduler::limits::{IDLE_RENEW_MS, LEASE_MARGIN_MS, LEASE_MS, RENEW_MS};
use slipway_wire::lease::WireLease;

use crate::driver::message::{RunLease, ToAgent};

/// How long an ordinary job goes on without contact, in milliseconds.
pub(super) const GRACE_MS: u32 = 600_000;

pub(super) fn from_wire_lease(lease: &WireLease) -> RunLease {
    RunLease { run: lease.run, lease: lease.lease }
}

fn lease(lease: &RunLease) -> v1::Lease {
    slipway_wire::lease::to_wire(&WireLease { run: lease.run, lease: lease.lease })
}

fn milliseconds(ms: u64) -> u32 {
    u32::try_from(ms).unwrap_or(u32::MAX)
}

pub(super) fn message(message: &ToAgent) -> v1::CoordinatorMessage {
    let message = match message {
        ToAgent::Welcome { epoch, lease_ms, kept } => Message::Welcome(v1::Welcome {
            epoch: *epoch,
            lease_ms: milliseconds(*lease_ms),
            // As much of it as of the usual lease.
            margin_ms: milliseconds(lease_ms * LEASE_MARGIN_MS / LEASE_MS),
            renew_ms: milliseconds(lease_ms * RENEW_MS / LEASE_MS),
            idle_ms: milliseconds(lease_ms * IDLE_RENEW_MS / LEASE_MS),
            grace_ms: GRACE_MS,
            kept: kept.iter().map(lease).collect(),
        }),
        ToAgent::Assign { lease: to, spec, strict, traceparent, lease_ms } => Message::Assign(v1::Assign {
            lease: Some(lease(to)),
            spec: Some(slipway_wire::digest::to_wire(spec)),
            strict: *strict,
            traceparent: traceparent.clone(),
            lease_ms: milliseconds(*lease_ms),
        }),
        ToAgent::Renewed { number, leases, lease_ms } => Message::Renewed(v1::Renewed {
            number: *number,
            leases: leases.iter().map(lease).collect(),
            lease_ms: u32::try_from(*lease_ms).unwrap_or(u32::MAX),
        }),
        ToAgent::Cancel { lease: of, reason } => {
            Message::Cancel(v1::Cancel { lease: Some(lease(of)), reason: reason.clone() })
        }
        ToAgent::Stop { lease: of, reason } => {
            Message::Stop(v1::Stop { lease: Some(lease(of)), reason: reason.clone() })
        }
        ToAgent::BeginStep { lease: of } => Message::BeginStep(v1::BeginStep { lease: Some(lease(of)) }),
        ToAgent::Accepted { lease: of } => Message::Accepted(v1::Accepted { lease: Some(lease(of)) }),
        ToAgent::Drain { on } => Message::Drain(v1::Drain { on: *on }),
    };
    v1::CoordinatorMessage { message: Some(message) }
}
