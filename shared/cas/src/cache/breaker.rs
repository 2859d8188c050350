//! When to stop asking an engine that does not answer, and when to try again. Pure: the caller says what time it is.

use std::time::{Duration, Instant};

/// How a [`Breaker`] decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerOptions {
    /// Failures in a row after which it opens.
    pub failures: u32,
    /// How long it then stays open before one call may try.
    pub pause: Duration,
    /// The longest pause: each failed try doubles it.
    pub max_pause: Duration,
}

impl Default for BreakerOptions {
    /// Two failures, half a second, doubled up to 15 s.
    fn default() -> Self {
        Self { failures: 2, pause: Duration::from_millis(500), max_pause: Duration::from_secs(15) }
    }
}

/// What a breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Everything.
    Closed,
    /// Nothing.
    Open,
    /// One call, to see.
    Trying,
}

/// A circuit breaker.
#[derive(Debug)]
pub struct Breaker {
    options: BreakerOptions,
    failures: u32,
    pause: Duration,
    /// Until when it is open; while a try is under way, until when that is waited for.
    open_until: Option<Instant>,
    trying: bool,
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub const fn new(options: BreakerOptions) -> Self {
        Self { options, failures: 0, pause: options.pause, open_until: None, trying: false }
    }

    /// Whether a call may be made now. When it is open and its pause is over, one call may: the try.
    pub fn admit(&mut self, now: Instant) -> bool {
        match self.open_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                // A try that never reports (its caller went away) is followed by another after the pause.
                self.trying = true;
                self.open_until = Some(now + self.pause);
                true
            }
        }
    }

    /// A call was answered.
    pub fn succeeded(&mut self) {
        (self.failures, self.trying) = (0, false);
        (self.open_until, self.pause) = (None, self.options.pause);
    }

    /// A call was not answered. Says whether this opened it.
    pub fn failed(&mut self, now: Instant) -> bool {
        if self.trying {
            self.trying = false;
            self.pause = (self.pause * 2).min(self.options.max_pause);
            self.open_until = Some(now + self.pause);
            return false;
        }
        if self.open_until.is_some() {
            // A call that was let through before it opened.
            return false;
        }
        self.failures += 1;
        let opens = self.failures >= self.options.failures;
        if opens {
            self.open_until = Some(now + self.pause);
        }
        opens
    }

    /// What it lets through now.
    #[must_use]
    pub fn state(&self, now: Instant) -> State {
        match self.open_until {
            None => State::Closed,
            Some(_) if self.trying => State::Trying,
            Some(until) if now < until => State::Open,
            Some(_) => State::Trying,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: BreakerOptions =
        BreakerOptions { failures: 2, pause: Duration::from_secs(1), max_pause: Duration::from_secs(3) };

    #[test]
    fn it_opens_tries_once_and_closes() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut breaker = Breaker::new(OPTIONS);
        assert!(breaker.admit(start) && !breaker.failed(start));
        breaker.succeeded();
        assert!(!breaker.failed(start), "failures in a row count, others do not");
        assert!(breaker.failed(start), "the second opens it");
        assert!(!breaker.failed(start), "a late one opens nothing");
        assert!(!breaker.admit(start));
        assert_eq!(breaker.state(start), State::Open);
        assert!(breaker.admit(at(1)), "one may try");
        assert!(!breaker.admit(at(1)), "only one");
        breaker.failed(at(1));
        assert!(!breaker.admit(at(2)), "the pause doubled");
        assert!(breaker.admit(at(3)));
        breaker.failed(at(3));
        assert!(!breaker.admit(at(5)) && breaker.admit(at(6)), "but not beyond its limit");
        breaker.succeeded();
        assert_eq!(breaker.state(at(6)), State::Closed);
        assert!(breaker.admit(at(6)) && breaker.admit(at(6)));
    }

    #[test]
    fn a_try_that_never_reports_is_followed_by_another() {
        let start = Instant::now();
        let mut breaker = Breaker::new(OPTIONS);
        breaker.failed(start);
        breaker.failed(start);
        assert!(breaker.admit(start + Duration::from_secs(1)));
        assert!(breaker.admit(start + Duration::from_secs(2)));
    }
}
