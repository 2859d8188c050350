//! Waiting longer after each failure, with jitter so that a thousand agents don't come back in one instant.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// Exponential back-off with "equal jitter": each wait is between half of and the whole of the exponential value.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    limit: Duration,
    failures: u32,
}

impl Backoff {
    /// The first wait is at most `first`, later ones double up to `limit`.
    pub const fn new(first: Duration, limit: Duration) -> Self {
        Self { first, limit, failures: 0 }
    }

    /// How long to wait before the next try; counts one failure.
    pub fn next_wait(&mut self) -> Duration {
        let doublings = self.failures.min(20);
        self.failures = self.failures.saturating_add(1);
        let whole = self.first.saturating_mul(1 << doublings).min(self.limit);
        whole / 2 + (whole / 2).mul_f64(random_fraction())
    }

    /// Starts again from the first wait; call it after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last [`Backoff::reset`].
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

/// A number in [0, 1). The standard library seeds each `RandomState` from the system's randomness; that is enough
/// for jitter and saves a dependency.
fn random_fraction() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 11;
    bits as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_within_their_jitter_and_stop_at_the_limit() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        for whole_ms in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            let whole = Duration::from_millis(whole_ms);
            let wait = backoff.next_wait();
            assert!(wait >= whole / 2 && wait <= whole, "{wait:?} is not within half of {whole:?}");
        }
        assert_eq!(backoff.failures(), 8);
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(100));
    }

    #[test]
    fn many_failures_do_not_overflow() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        for _ in 0..10_000 {
            assert!(backoff.next_wait() <= Duration::from_secs(60));
        }
    }
}
