//! The clocks of one host: near the others', and never the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use slipway_kit::clock::Clock;

use crate::random::Random;

/// Wall-clock time at which a world begins.
const EPOCH_MS: u64 = 1_700_000_000_000;
/// How much faster or slower a host's clock runs at most, in parts per million. A lease of 30 s has a margin of 5 s, so this is
/// far from where it matters; quartz is a hundred times better.
const DRIFT_PPM_MAX: u64 = 5_000;
/// How far a wall clock is off when a world begins, at most.
const SKEW_MS_MAX: u64 = 300_000;

/// A host's clocks; clones are the same host's.
#[derive(Debug, Clone)]
pub(crate) struct HostClock {
    /// The world's time in milliseconds.
    world: Arc<AtomicU64>,
    booted_ms: u64,
    drift_ppm: i64,
    skew_ms: Arc<AtomicI64>,
    /// How far the steady clock is put back: a planted fault.
    back_ms: Arc<AtomicU64>,
}

impl HostClock {
    pub(crate) fn new(world: &Arc<AtomicU64>, random: &mut Random) -> Self {
        let signed = |random: &mut Random, most: u64| random.below(2 * most + 1) as i64 - most as i64;
        Self {
            world: Arc::clone(world),
            booted_ms: random.between(100_000, 10_000_000),
            drift_ppm: signed(random, DRIFT_PPM_MAX),
            skew_ms: Arc::new(AtomicI64::new(signed(random, SKEW_MS_MAX))),
            back_ms: Arc::default(),
        }
    }

    /// Somebody sets the wall clock.
    pub(crate) fn jump(&self, skew_ms: i64) {
        self.skew_ms.store(skew_ms, Ordering::Relaxed);
    }

    pub(crate) fn put_back(&self, back_ms: u64) {
        self.back_ms.store(back_ms, Ordering::Relaxed);
    }

    /// In how much of the world's time so much of this host's has passed, or a little later.
    pub(crate) fn world_ms(&self, local_ms: u64) -> u64 {
        local_ms + local_ms * DRIFT_PPM_MAX / 500_000 + 1
    }

    fn passed_ms(&self) -> u64 {
        let now = self.world.load(Ordering::Relaxed);
        now.saturating_add_signed(now as i64 * self.drift_ppm / 1_000_000)
    }
}

impl Clock for HostClock {
    fn unix_ms(&self) -> u64 {
        (EPOCH_MS + self.passed_ms()).saturating_add_signed(self.skew_ms.load(Ordering::Relaxed))
    }

    fn boottime_ms(&self) -> u64 {
        (self.booted_ms + self.passed_ms()).saturating_sub(self.back_ms.load(Ordering::Relaxed))
    }
}
