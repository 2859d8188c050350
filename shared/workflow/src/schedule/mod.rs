//! `schedule`: the five fields of POSIX cron, and which minutes of the calendar they name.
//!
//! Pure and without time zones: a minute here is what a wall clock shows. Who knows zones asks minute by minute or day by
//! day. Deliberately absent: seconds, `@daily`, `L`, `W` and `#`, which GitHub does not know either.

mod field;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use field::Field;

/// The longest schedule, in bytes.
pub const CRON_MAX_BYTES: usize = 256;

/// How many years ahead a match is looked for: 29 February on a fixed weekday comes again within 40.
const YEARS_AHEAD: i32 = 40;

/// What a wall clock and a calendar show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CivilMinute {
    /// The year, as 2026.
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
}

/// A parsed schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Cron {
    /// Reads the five fields: minute, hour, day of the month, month, day of the week (0 is Sunday).
    ///
    /// # Errors
    /// What is wrong, to be put after "the schedule … ".
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > CRON_MAX_BYTES {
            return Err(format!("is longer than {CRON_MAX_BYTES} bytes"));
        }
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(format!(
                "needs five fields (minute, hour, day, month, weekday), not {}",
                fields.len()
            ));
        };
        let cron = Self {
            minute: Field::parse(minute, "minute", 0..=59, &[])?,
            hour: Field::parse(hour, "hour", 0..=23, &[])?,
            day: Field::parse(day, "day of the month", 1..=31, &[])?,
            month: Field::parse(month, "month", 1..=12, &MONTHS)?,
            weekday: Field::parse(weekday, "day of the week", 0..=6, &WEEKDAYS)?,
        };
        let start = CivilMinute { year: 2000, month: 1, day: 1, hour: 0, minute: 0 };
        if cron.next(start).is_none() {
            return Err("names a day that no month has".to_owned());
        }
        Ok(cron)
    }

    /// Whether it names every hour, so that clocks put back or forward don't matter to it.
    #[must_use]
    pub fn is_hourly(&self) -> bool {
        self.hour.is_wild()
    }

    /// The first minute at or after this one that it names; `None` when no calendar has one.
    #[must_use]
    pub fn next(&self, from: CivilMinute) -> Option<CivilMinute> {
        let mut date = (from.year, from.month, from.day);
        let mut clock = (from.hour, from.minute);
        while date.0 <= from.year.saturating_add(YEARS_AHEAD) {
            if !self.month.has(date.1) {
                date = if date.1 >= 12 { (date.0 + 1, 1, 1) } else { (date.0, date.1 + 1, 1) };
                clock = (0, 0);
                continue;
            }
            if self.names_day(date)
                && let Some((hour, minute)) = self.next_clock(clock)
            {
                return Some(CivilMinute { year: date.0, month: date.1, day: date.2, hour, minute });
            }
            date = next_day(date);
            clock = (0, 0);
        }
        None
    }

    /// POSIX: where both the day of the month and the day of the week are restricted, either will do.
    fn names_day(&self, (year, month, day): (i32, u8, u8)) -> bool {
        let (by_day, by_weekday) = (self.day.has(day), self.weekday.has(weekday(year, month, day)));
        match (self.day.is_wild(), self.weekday.is_wild()) {
            (false, false) => by_day || by_weekday,
            _ => by_day && by_weekday,
        }
    }

    fn next_clock(&self, (hour, minute): (u8, u8)) -> Option<(u8, u8)> {
        if self.hour.has(hour)
            && let Some(minute) = self.minute.first_from(minute)
        {
            return Some((hour, minute));
        }
        Some((self.hour.first_from(hour + 1)?, self.minute.first_from(0)?))
    }
}

fn days_in(year: i32, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

fn next_day((year, month, day): (i32, u8, u8)) -> (i32, u8, u8) {
    if day < days_in(year, month) {
        (year, month, day + 1)
    } else if month < 12 {
        (year, month + 1, 1)
    } else {
        (year + 1, 1, 1)
    }
}

/// 0 is Sunday (Zeller's congruence, Gregorian).
fn weekday(year: i32, month: u8, day: u8) -> u8 {
    let (year, month) = if month < 3 { (year - 1, i32::from(month) + 12) } else { (year, i32::from(month)) };
    let (century, in_century) = (year.div_euclid(100), year.rem_euclid(100));
    let sum = i32::from(day) + 13 * (month + 1) / 5 + in_century + in_century / 4 + century / 4 + 5 * century;
    // Zeller counts from Saturday.
    u8::try_from((sum + 6).rem_euclid(7)).unwrap_or(0)
}
