//! How many tokens each attempt of a job got: one in a loop must not fill the audit trail.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use slipway_scheduler::InstanceId;

use super::limits::{COUNTED_ATTEMPTS, TOKENS_PER_ATTEMPT_MAX};
use crate::driver::leases::LeaseTable;
use crate::driver::message::RunLease;

/// Counts in memory: a restart of the coordinator begins again.
#[derive(Debug, Default)]
pub(super) struct Allowance(Mutex<HashMap<InstanceId, (RunLease, u32)>>);

impl Allowance {
    /// Counts one more for this lease; false: it has had its part.
    pub(super) fn take(&self, lease: &RunLease, live: &LeaseTable) -> bool {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.len() >= COUNTED_ATTEMPTS {
            counted.retain(|_, (lease, _)| live.is_live(lease));
        }
        let (of, count) = counted.entry(lease.lease.instance).or_insert((*lease, 0));
        if of != lease {
            (*of, *count) = (*lease, 0);
        }
        if *count >= TOKENS_PER_ATTEMPT_MAX {
            return false;
        }
        *count += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use slipway_scheduler::command::LeaseRef;
    use slipway_scheduler::ids::{FencingToken, RunId};

    use super::*;

    fn lease(sequence: u64) -> RunLease {
        let token = FencingToken { epoch: 1, sequence };
        let lease = LeaseRef { instance: InstanceId::from_u128(1), attempt: 1, token };
        RunLease { run: RunId::from_u128(2), lease }
    }

    #[test]
    fn an_attempt_gets_so_many_and_the_next_one_as_many() {
        let (allowance, live) = (Allowance::default(), LeaseTable::default());
        for _ in 0..TOKENS_PER_ATTEMPT_MAX {
            assert!(allowance.take(&lease(1), &live));
        }
        assert!(!allowance.take(&lease(1), &live));
        assert!(allowance.take(&lease(2), &live));
    }
}
