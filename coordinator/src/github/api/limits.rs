//! GitHub's limits: what an answer means for the next request (GitHub docs, "Rate limits for the REST API" and "Best practices for using the REST
//! API").

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use slipway_kit::clock::Clock;

use super::answer::Answer;
use crate::forge::ForgeError;

/// The longest wait that is taken from an answer, in seconds.
const WAIT_MAX_S: u64 = 60 * 60;

/// The wait where a secondary limit says none: at least a minute.
const SECONDARY_S: u64 = 60;

/// What can be left out is left out when less than this part of an hour's requests is left.
const RESERVE_PART: u64 = 2;

/// What is left of an hour's requests, as the last answer said.
pub(super) struct Budget {
    limit: AtomicU64,
    remaining: AtomicU64,
    reset_s: AtomicU64,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Budget").field("remaining", &self.remaining).finish_non_exhaustive()
    }
}

impl Budget {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { limit: AtomicU64::new(0), remaining: AtomicU64::new(0), reset_s: AtomicU64::new(0), clock }
    }

    pub(super) fn now_s(&self) -> u64 {
        self.clock.unix_ms() / 1_000
    }

    /// Takes note of what an answer says.
    pub(super) fn heed(&self, answer: &Answer) {
        let [limit, remaining, reset] = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]
            .map(|name| number(answer, name));
        if let (Some(limit), Some(remaining), Some(reset)) = (limit, remaining, reset) {
            self.limit.store(limit, Ordering::Relaxed);
            self.remaining.store(remaining, Ordering::Relaxed);
            self.reset_s.store(reset, Ordering::Relaxed);
        }
    }

    /// Whether there is room for what can be left out.
    pub(super) fn has_room(&self) -> bool {
        let (limit, remaining) = (self.limit.load(Ordering::Relaxed), self.remaining.load(Ordering::Relaxed));
        self.reset_s.load(Ordering::Relaxed) <= self.now_s() || remaining > limit / RESERVE_PART
    }
}

fn number(answer: &Answer, name: &str) -> Option<u64> {
    answer.header(name)?.trim().parse().ok()
}

/// Whether the answer says that nothing was done because too much was asked, and how long to wait.
fn limited(answer: &Answer, now_s: u64) -> Option<u64> {
    if !matches!(answer.status, 403 | 429) {
        return None;
    }
    if let Some(seconds) = number(answer, "retry-after") {
        return Some(seconds);
    }
    if number(answer, "x-ratelimit-remaining") == Some(0) {
        let reset = number(answer, "x-ratelimit-reset").unwrap_or(now_s + SECONDARY_S);
        // A second more: clocks differ.
        return Some(reset.saturating_sub(now_s) + 1);
    }
    (answer.status == 429 || answer.says("rate limit") || answer.says("abuse")).then_some(SECONDARY_S)
}

/// What an answer means: itself, if it is good.
pub(super) fn judge(answer: Answer, now_s: u64) -> Result<Answer, ForgeError> {
    if let Some(seconds) = limited(&answer, now_s) {
        let wait = Some(Duration::from_secs(seconds.min(WAIT_MAX_S)));
        return Err(ForgeError::Later { wait, message: answer.told("too much was asked") });
    }
    match answer.status {
        200..=299 => Ok(answer),
        // A service that is not available did nothing and may say until when.
        503 => {
            let wait = number(&answer, "retry-after").map(|s| Duration::from_secs(s.min(WAIT_MAX_S)));
            match wait {
                Some(_) => Err(ForgeError::Later { wait, message: answer.told("not available") }),
                None => Err(ForgeError::Uncertain(answer.told("not available"))),
            }
        }
        408 | 409 | 425 | 500..=599 => Err(ForgeError::Uncertain(answer.told("it failed"))),
        403 => Err(ForgeError::Forbidden(answer.told("it is not allowed"))),
        _ => Err(ForgeError::Refused(answer.told("it was refused"))),
    }
}
