//! How long a job may go on, told by a clock alone.
//!
//! All times are `CLOCK_BOOTTIME` milliseconds of this machine. Pure: nobody asks a clock here.

/// What the coordinator said about time in its Welcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTerms {
    /// Length of a lease.
    pub lease_ms: u64,
    /// How long before its end a strict job stops.
    pub margin_ms: u64,
    /// How often leases are renewed.
    pub renew_ms: u64,
    /// How often an agent without leases says that it is there; at least `renew_ms`.
    pub idle_ms: u64,
    /// How long an ordinary job goes on after its lease has ended.
    pub grace_ms: u64,
}

impl Default for LeaseTerms {
    /// DESIGN's figures; they hold until the first Welcome.
    fn default() -> Self {
        Self { lease_ms: 30_000, margin_ms: 5_000, renew_ms: 5_000, idle_ms: 120_000, grace_ms: 600_000 }
    }
}

/// After so many times that leases are renewed a renewal without an answer says that the connection is dead.
const SILENT_RENEWALS: u64 = 4;

impl LeaseTerms {
    /// How long after a renewal the next one goes out, in milliseconds. An agent that holds no leases, owes no word after one that it
    /// `declined` and has its answers has nothing to say.
    #[must_use]
    pub fn renew_after_ms(&self, holds: bool, declined: bool, unanswered: bool) -> u64 {
        if holds || declined || unanswered { self.renew_ms } else { self.idle_ms }
    }

    /// Whether the coordinator has been silent for too long. The oldest renewal without an answer tells, if there is one, and not how many there
    /// are: an agent that is given many jobs at once renews as often.
    #[must_use]
    pub fn is_silent(&self, oldest_sent_ms: Option<u64>, now_ms: u64) -> bool {
        let limit_ms = self.renew_ms.saturating_mul(SILENT_RENEWALS);
        oldest_sent_ms.is_some_and(|sent_ms| now_ms.saturating_sub(sent_ms) >= limit_ms)
    }
}

/// After so many times that leases are renewed an answer is too old to count a lease's time from it.
const LATE_RENEWALS: u64 = 2;

/// The lease of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    strict: bool,
    /// When the lease ends unless renewed; none: an adopted job whose lease nobody confirmed yet.
    until_ms: Option<u64>,
}

impl Guard {
    /// A lease that was granted after the coordinator had answered something sent at `sent_ms`. That is earlier than the
    /// grant, so the job's time is counted too short rather than too long.
    ///
    /// An agent without jobs says little: where that was long before `now_ms`, what is left of the time is no measure. An ordinary job has its
    /// grace beside it. A strict one counts as one whose lease nobody confirmed until its first renewal, sent at once, is answered: it starts no
    /// step before it was told to, which it asks for after that renewal.
    #[must_use]
    pub fn granted(strict: bool, sent_ms: u64, now_ms: u64, lease_ms: u64, terms: &LeaseTerms) -> Self {
        let late = now_ms.saturating_sub(sent_ms) > terms.renew_ms.saturating_mul(LATE_RENEWALS);
        Self { strict, until_ms: (!strict || !late).then(|| sent_ms.saturating_add(lease_ms)) }
    }

    /// The lease of a job that an earlier process of this agent ran. Its init knows its stop time and holds it; an
    /// ordinary job gets the grace from `now_ms`.
    #[must_use]
    pub fn adopted(strict: bool, now_ms: u64) -> Self {
        Self { strict, until_ms: (!strict).then_some(now_ms) }
    }

    /// The coordinator renewed it in answer to what was sent at `sent_ms`. Never makes it shorter.
    pub fn renewed(&mut self, sent_ms: u64, lease_ms: u64) {
        let until_ms = sent_ms.saturating_add(lease_ms);
        self.until_ms = Some(self.until_ms.map_or(until_ms, |known| known.max(until_ms)));
    }

    /// When the job has to be stopped unless the lease is renewed; none: when its init says.
    #[must_use]
    pub fn stop_at_ms(&self, terms: &LeaseTerms) -> Option<u64> {
        let until_ms = self.until_ms?;
        Some(match self.strict {
            true => until_ms.saturating_sub(terms.margin_ms),
            false => until_ms.saturating_add(terms.grace_ms),
        })
    }

    /// Whether the job has to stop now.
    #[must_use]
    pub fn expired(&self, terms: &LeaseTerms, now_ms: u64) -> bool {
        self.stop_at_ms(terms).is_some_and(|stop_at_ms| now_ms >= stop_at_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: LeaseTerms = LeaseTerms {
        lease_ms: 30_000,
        margin_ms: 5_000,
        renew_ms: 5_000,
        idle_ms: 120_000,
        grace_ms: 600_000,
    };

    #[test]
    fn a_strict_job_stops_before_its_lease_ends() {
        let guard = Guard::granted(true, 1_000, 1_500, 30_000, &TERMS);
        assert!(!guard.expired(&TERMS, 25_999));
        assert!(guard.expired(&TERMS, 26_000));
    }

    #[test]
    fn an_ordinary_job_goes_on_through_the_grace() {
        let guard = Guard::granted(false, 1_000, 1_500, 30_000, &TERMS);
        assert!(!guard.expired(&TERMS, 630_999));
        assert!(guard.expired(&TERMS, 631_000));
    }

    #[test]
    fn only_who_has_nothing_to_say_says_little() {
        assert_eq!(TERMS.renew_after_ms(false, false, false), TERMS.idle_ms);
        for (holds, declined, unanswered) in
            [(true, false, false), (false, true, false), (false, false, true), (true, true, true)]
        {
            assert_eq!(TERMS.renew_after_ms(holds, declined, unanswered), TERMS.renew_ms);
        }
    }

    #[test]
    fn a_coordinator_is_silent_by_the_age_of_what_it_did_not_answer() {
        assert!(!TERMS.is_silent(None, 1_000_000));
        assert!(!TERMS.is_silent(Some(1_000), 20_999));
        assert!(TERMS.is_silent(Some(1_000), 21_000));
    }

    #[test]
    fn a_lease_after_a_long_silence_counts_from_its_first_renewal() {
        let (heard, lease) = (1_000, 30_000);
        let late = heard + 2 * TERMS.renew_ms + 1;
        assert_eq!(Guard::granted(true, heard, late - 1, lease, &TERMS).stop_at_ms(&TERMS), Some(26_000));
        let mut strict = Guard::granted(true, heard, late, lease, &TERMS);
        assert!(!strict.expired(&TERMS, late + 120_000));
        strict.renewed(late, lease);
        assert_eq!(strict.stop_at_ms(&TERMS), Some(late + 25_000));
        // An ordinary one ends by itself, whatever comes.
        let ordinary = Guard::granted(false, heard, heard + 120_000, lease, &TERMS);
        assert_eq!(ordinary.stop_at_ms(&TERMS), Some(631_000));
    }

    #[test]
    fn time_counts_from_sending_and_never_goes_back() {
        let mut guard = Guard::granted(true, 1_000, 1_500, 30_000, &TERMS);
        guard.renewed(6_000, 30_000);
        guard.renewed(4_000, 30_000);
        assert_eq!(guard.stop_at_ms(&TERMS), Some(31_000));
    }

    #[test]
    fn an_adopted_strict_job_is_its_inits_until_confirmed() {
        let mut guard = Guard::adopted(true, 1_000);
        assert_eq!(guard.stop_at_ms(&TERMS), None);
        guard.renewed(2_000, 30_000);
        assert_eq!(guard.stop_at_ms(&TERMS), Some(27_000));
        assert_eq!(Guard::adopted(false, 1_000).stop_at_ms(&TERMS), Some(601_000));
    }
}
