//! The two clocks Slipway reads, behind one trait so that tests can turn them.
//!
//! Wall time is for people and records. Leases count on boot time, which goes on while the machine sleeps: a laptop
//! that wakes up must not believe that its lease still stands.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Where time comes from.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch; may jump when somebody sets the clock.
    fn unix_ms(&self) -> u64;

    /// Milliseconds of `CLOCK_BOOTTIME`: never goes back, counts suspension. Comparable only on one machine.
    fn boottime_ms(&self) -> u64;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_ms(&self) -> u64 {
        // A clock before 1970 reads as 1970: records then sort first, nothing else depends on it.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as u64)
    }

    fn boottime_ms(&self) -> u64 {
        let now = clock_gettime(ClockId::Boottime);
        (now.tv_sec as u64).saturating_mul(1_000).saturating_add(now.tv_nsec as u64 / 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_never_goes_back() {
        let clock = SystemClock;
        let first = clock.boottime_ms();
        assert!(first > 0);
        assert!(clock.boottime_ms() >= first);
    }

    #[test]
    fn wall_time_is_after_2026() {
        assert!(SystemClock.unix_ms() > 1_767_000_000_000);
    }
}
