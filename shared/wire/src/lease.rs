//! Leases: attempt and fencing token.

use slipway_proto::v1;
use slipway_scheduler::command::LeaseRef;
use slipway_scheduler::ids::{FencingToken, InstanceId, RunId};
use uuid::Uuid;

use crate::{WireError, limits};

/// A lease and the run it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WireLease {
    /// The run.
    pub run: RunId,
    /// Instance, attempt and token.
    pub lease: LeaseRef,
}

fn uuid(field: &'static str, text: &str) -> Result<Uuid, WireError> {
    Uuid::try_parse(text).map_err(|_| WireError::invalid(field, text, "a UUID"))
}

/// A lease from the wire.
///
/// # Errors
/// When a part is missing, an id is not a UUID, or attempt, epoch or sequence is 0.
pub fn from_wire(lease: Option<&v1::Lease>) -> Result<WireLease, WireError> {
    let lease = lease.ok_or(WireError::Missing { field: "lease" })?;
    let attempt = lease.attempt.as_ref().ok_or(WireError::Missing { field: "lease.attempt" })?;
    let token = lease.token.as_ref().ok_or(WireError::Missing { field: "lease.token" })?;
    if attempt.attempt == 0 {
        return Err(WireError::invalid("lease.attempt.attempt", 0, "at least 1"));
    }
    if token.epoch == 0 || token.sequence == 0 {
        return Err(WireError::invalid("lease.token", "0", "an epoch and a sequence of at least 1"));
    }
    Ok(WireLease {
        run: RunId(uuid("lease.attempt.run_id", &attempt.run_id)?),
        lease: LeaseRef {
            instance: InstanceId(uuid("lease.attempt.instance_id", &attempt.instance_id)?),
            attempt: attempt.attempt,
            token: FencingToken { epoch: token.epoch, sequence: token.sequence },
        },
    })
}

/// Several leases from the wire.
///
/// # Errors
/// As [`from_wire`], and when there are more than [`limits::MAX_LEASES_PER_MESSAGE`].
pub fn all_from_wire(field: &'static str, leases: &[v1::Lease]) -> Result<Vec<WireLease>, WireError> {
    WireError::check_limit(field, leases.len(), limits::MAX_LEASES_PER_MESSAGE)?;
    leases.iter().map(|lease| from_wire(Some(lease))).collect()
}

/// A lease for the wire.
#[must_use]
pub fn to_wire(lease: &WireLease) -> v1::Lease {
    v1::Lease {
        attempt: Some(v1::AttemptRef {
            run_id: lease.run.to_string(),
            instance_id: lease.lease.instance.to_string(),
            attempt: lease.lease.attempt,
        }),
        token: Some(v1::FencingToken {
            epoch: lease.lease.token.epoch,
            sequence: lease.lease.token.sequence,
        }),
    }
}
