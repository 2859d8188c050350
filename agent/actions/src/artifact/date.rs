//! Dates in UTC: when an artifact goes, and when a file was changed.

/// Seconds of a day.
const DAY_S: i64 = 86_400;

/// A moment, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) year: i64,
    pub(super) month: u8,
    pub(super) day: u8,
    pub(super) hour: u8,
    pub(super) minute: u8,
    pub(super) second: u8,
}

impl Moment {
    /// Of these Unix seconds, in the Gregorian calendar.
    pub(super) fn of(unix_s: i64) -> Self {
        let (mut days, seconds) = (unix_s.div_euclid(DAY_S), unix_s.rem_euclid(DAY_S));
        let small = |number: i64| u8::try_from(number).unwrap_or(0);
        // 400 years always have as many days.
        let mut year = 1970 + 400 * days.div_euclid(146_097);
        days = days.rem_euclid(146_097);
        while days >= days_of(year) {
            days -= days_of(year);
            year += 1;
        }
        let mut month = 0;
        for (index, length) in months(year).into_iter().enumerate() {
            if days < length {
                month = index + 1;
                break;
            }
            days -= length;
        }
        Self {
            year,
            month: u8::try_from(month).unwrap_or(1),
            day: small(days + 1),
            hour: small(seconds / 3600),
            minute: small(seconds / 60 % 60),
            second: small(seconds % 60),
        }
    }

    /// As RFC 3339 has it.
    pub(super) fn text(self) -> String {
        let Self { year, month, day, hour, minute, second } = self;
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64) -> i64 {
    if is_leap(year) { 366 } else { 365 }
}

fn months(year: i64) -> [i64; 12] {
    [31, if is_leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `date --utc` has them.
    #[test]
    fn moments() {
        for (unix_s, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(Moment::of(unix_s).text(), expected);
        }
    }
}
