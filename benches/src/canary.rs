//! When the machine itself did not run: a virtual one is slowed down by its host, all its processors at once, and no program on
//! it can answer sooner.
//!
//! A thread does the same small computation again and again and takes the processor time that it cost. Waiting for a processor does
//! not count in that time, so what the measured programs do does not show; a host that takes the processor away does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// How often it looks.
const EVERY: Duration = Duration::from_millis(1);

/// Steps of one computation: some 50 µs.
const STEPS: u64 = 50_000;

/// A computation that cost so many times the median was disturbed. Two processors may share one core, which is half as fast then.
const SLOW: f64 = 3.0;

/// How long after a disturbance its traces last: queues that filled meanwhile, memory that the host has to give again.
const TRACES: Duration = Duration::from_millis(100);

/// One look: when it began and ended, and the processor time that its computation cost.
type Look = (Instant, Instant, Duration);

/// Looks until it is asked.
#[derive(Debug)]
pub struct Canary {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Look>>,
}

/// When the machine was disturbed.
#[derive(Debug)]
pub struct Disturbances {
    /// In order of time.
    spans: Vec<(Instant, Instant)>,
    /// The share of the time that they took, with their traces.
    pub share: f64,
    /// The longest, without its traces, in milliseconds.
    pub longest_ms: f64,
}

impl Canary {
    /// Begins.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start() -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("canary".to_owned()).spawn(move || {
            let mut looks = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let (began, before) = (Instant::now(), processor_time());
                compute();
                looks.push((began, Instant::now(), processor_time().saturating_sub(before)));
                thread::sleep(EVERY);
            }
            looks
        })?;
        Ok(Self { stop, thread })
    }

    /// Ends, and tells what there was.
    #[must_use]
    pub fn end(self) -> Disturbances {
        self.stop.store(true, Ordering::Relaxed);
        let looks = self.thread.join().unwrap_or_default();
        Disturbances::of(&looks)
    }
}

impl Disturbances {
    fn of(looks: &[Look]) -> Self {
        let mut costs: Vec<Duration> = looks.iter().map(|(_, _, cost)| *cost).collect();
        costs.sort_unstable();
        let median = costs.get(costs.len() / 2).copied().unwrap_or_default();
        let slow = looks.iter().filter(|(_, _, cost)| *cost > median.mul_f64(SLOW));
        let (mut spans, mut longest_ms): (Vec<(Instant, Instant)>, f64) = (Vec::new(), 0.0);
        for (began, ended, _) in slow {
            longest_ms = longest_ms.max(ended.saturating_duration_since(*began).as_secs_f64() * 1_000.0);
            let until = *ended + TRACES;
            match spans.last_mut() {
                Some(last) if *began <= last.1 => last.1 = until,
                _ => spans.push((*began, until)),
            }
        }
        let all = match (looks.first(), looks.last()) {
            (Some(first), Some(last)) => last.1.saturating_duration_since(first.0),
            _ => Duration::ZERO,
        };
        let disturbed: Duration =
            spans.iter().map(|(began, ended)| ended.saturating_duration_since(*began)).sum();
        let share = disturbed.as_secs_f64() / all.as_secs_f64().max(f64::MIN_POSITIVE);
        Self { spans, share: share.min(1.0), longest_ms }
    }

    /// Whether any of this time was disturbed.
    #[must_use]
    pub fn touch(&self, began: Instant, ended: Instant) -> bool {
        let after = self.spans.partition_point(|span| span.1 < began);
        self.spans.get(after).is_some_and(|span| span.0 <= ended)
    }
}

fn compute() {
    let mut value = 1_u64;
    for step in 0..STEPS {
        value = std::hint::black_box(value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step));
    }
    std::hint::black_box(value);
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_slow_and_what_follows_is_disturbed() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let look = |ms: u64, cost_us: u64| (at(ms), at(ms + 1), Duration::from_micros(cost_us));
        let mut looks: Vec<Look> = (0..1_000).map(|ms| look(ms, 50)).collect();
        looks[300] = (at(300), at(330), Duration::from_micros(9_000));
        looks[340] = look(340, 200);
        let found = Disturbances::of(&looks);
        assert_eq!(found.spans, [(at(300), at(441))]);
        assert!((found.longest_ms - 30.0).abs() < 0.001);
        assert!((found.share - 0.141).abs() < 0.001, "{}", found.share);
        for (began, ended, touched) in [
            (0, 299, false),
            (0, 300, true),
            (350, 360, true),
            (441, 450, true),
            (442, 450, false),
            (200, 900, true),
        ] {
            assert_eq!(found.touch(at(began), at(ended)), touched, "{began} to {ended}");
        }
        assert!(!Disturbances::of(&[]).touch(at(0), at(1)));
    }
}
