//! When a schedule comes next, in its time zone.
//!
//! Where clocks are put forward, a time that does not exist comes at the first instant after the gap (GitHub docs,
//! "schedule"). Where they are put back, a time that comes twice counts once, the first time; only schedules that name
//! every hour go on through both.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use slipway_workflow::schedule::{CivilMinute, Cron};

/// A schedule and its time zone.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    cron: Cron,
    zone: TimeZone,
}

/// Changes of the clock that are passed in one search: more than the years that a schedule looks ahead have.
const TRANSITIONS_MAX: usize = 200;

impl Plan {
    /// Reads both.
    pub(crate) fn new(cron: &str, timezone: Option<&str>) -> Result<Self, String> {
        let cron_read = Cron::parse(cron).map_err(|problem| format!("the schedule `{cron}` {problem}"))?;
        let zone = match timezone {
            None => TimeZone::UTC,
            Some(name) => {
                TimeZone::get(name).map_err(|_| format!("there is no time zone `{}`", name.escape_debug()))?
            }
        };
        Ok(Self { cron: cron_read, zone })
    }

    /// The first tick after an instant; both in Unix milliseconds. `None`: never again.
    pub(crate) fn next_after(&self, after_ms: u64) -> Option<u64> {
        let after = Timestamp::from_millisecond(i64::try_from(after_ms).ok()?).ok()?;
        let found = self.next(after)?.as_millisecond();
        u64::try_from(found).ok()
    }

    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        // Ticks are at full minutes.
        let start = after.as_second().div_euclid(60).checked_add(1)?.checked_mul(60)?;
        let mut at = Timestamp::from_second(start).ok()?;
        for _ in 0..TRANSITIONS_MAX {
            let offset = self.zone.to_offset(at);
            let mut civil = offset.to_datetime(at);
            // What the clock showed before it was put back does not count again.
            if !self.cron.is_hourly()
                && let Some(shown) = self.shown_before(at, civil)
            {
                civil = shown;
            }
            let found = datetime(self.cron.next(minute(civil)?)?)?;
            let instant = offset.to_timestamp(found).ok()?;
            let Some(change) = self.zone.following(at).next() else { return Some(instant) };
            let turn = change.timestamp();
            if instant < turn {
                return Some(instant);
            }
            let (before, after) = (offset.to_datetime(turn), change.offset().to_datetime(turn));
            // A gap: what it leaves out comes right after it.
            if !self.cron.is_hourly() && before <= found && found < after {
                return Some(turn);
            }
            at = turn;
        }
        None
    }

    /// In the hour that the clock shows a second time: where it was when it was put back.
    fn shown_before(&self, at: Timestamp, civil: DateTime) -> Option<DateTime> {
        let second = jiff::SignedDuration::from_secs(1);
        let turn = self.zone.preceding(at.checked_add(second).ok()?).next()?.timestamp();
        let before = self.zone.to_offset(turn.checked_sub(second).ok()?).to_datetime(turn);
        (civil < before).then_some(before)
    }
}

fn minute(civil: DateTime) -> Option<CivilMinute> {
    Some(CivilMinute {
        year: civil.year().into(),
        month: u8::try_from(civil.month()).ok()?,
        day: u8::try_from(civil.day()).ok()?,
        hour: u8::try_from(civil.hour()).ok()?,
        minute: u8::try_from(civil.minute()).ok()?,
    })
}

fn datetime(minute: CivilMinute) -> Option<DateTime> {
    let year = i16::try_from(minute.year).ok()?;
    let [month, day, hour, minute] =
        [minute.month, minute.day, minute.hour, minute.minute].map(|part| i8::try_from(part).ok());
    DateTime::new(year, month?, day?, hour?, minute?, 0, 0).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The ticks after an instant, as instants.
    fn ticks(cron: &str, zone: Option<&str>, after: &str, count: usize) -> Vec<String> {
        let plan = Plan::new(cron, zone).unwrap();
        let mut at = after.parse::<Timestamp>().unwrap();
        let mut found = Vec::new();
        for _ in 0..count {
            let next = plan.next_after(u64::try_from(at.as_millisecond()).unwrap()).unwrap();
            at = Timestamp::from_millisecond(i64::try_from(next).unwrap()).unwrap();
            found.push(at.to_string());
        }
        found
    }

    #[test]
    fn a_tick_is_after_the_instant_and_at_a_full_minute() {
        assert_eq!(
            ticks("*/30 * * * *", None, "2026-11-24T20:30:00Z", 2),
            ["2026-11-24T21:00:00Z", "2026-11-24T21:30:00Z"]
        );
        assert_eq!(ticks("* * * * *", None, "2026-11-24T20:30:59.999Z", 1), ["2026-11-24T20:31:00Z"]);
    }

    #[test]
    fn a_zone_shifts_it() {
        assert_eq!(
            ticks("0 9 * * *", Some("Asia/Kolkata"), "2026-01-01T00:00:00Z", 1),
            ["2026-01-01T03:30:00Z"]
        );
        assert_eq!(
            ticks("0 9 * * *", Some("Europe/Berlin"), "2026-03-28T00:00:00Z", 2),
            ["2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z"]
        );
    }

    #[test]
    fn what_a_gap_leaves_out_comes_right_after_it_and_once() {
        // 2026-03-08, New York: 02:00 EST becomes 03:00 EDT at 07:00Z.
        assert_eq!(
            ticks("30 2 * * *", Some("America/New_York"), "2026-03-07T12:00:00Z", 2),
            ["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"]
        );
        assert_eq!(
            ticks("*/20 2 * * *", Some("America/New_York"), "2026-03-08T00:00:00Z", 2),
            ["2026-03-08T07:00:00Z", "2026-03-09T06:00:00Z"]
        );
        assert_eq!(
            ticks("0 * * * *", Some("America/New_York"), "2026-03-08T05:30:00Z", 3),
            ["2026-03-08T06:00:00Z", "2026-03-08T07:00:00Z", "2026-03-08T08:00:00Z"]
        );
    }

    #[test]
    fn what_comes_twice_counts_once_but_every_hour_is_every_hour() {
        // 2026-11-01, New York: 02:00 EDT becomes 01:00 EST at 06:00Z.
        assert_eq!(
            ticks("30 1 * * *", Some("America/New_York"), "2026-11-01T00:00:00Z", 2),
            ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"]
        );
        assert_eq!(
            ticks("*/30 1 * * *", Some("America/New_York"), "2026-11-01T05:00:00Z", 2),
            ["2026-11-01T05:30:00Z", "2026-11-02T06:00:00Z"]
        );
        assert_eq!(
            ticks("0 * * * *", Some("America/New_York"), "2026-11-01T04:30:00Z", 3),
            ["2026-11-01T05:00:00Z", "2026-11-01T06:00:00Z", "2026-11-01T07:00:00Z"]
        );
    }

    #[test]
    fn a_zone_that_is_none_is_named() {
        assert!(Plan::new("0 0 * * *", Some("Mars/Olympus")).unwrap_err().contains("Mars/Olympus"));
    }
}
