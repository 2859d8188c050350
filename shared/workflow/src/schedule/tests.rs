//! Schedules: GitHub's own examples, and what cron is known for.

use super::{CivilMinute, Cron};

fn at(year: i32, month: u8, day: u8, hour: u8, minute: u8) -> CivilMinute {
    CivilMinute { year, month, day, hour, minute }
}

/// From 2026-11-24, a Tuesday, 20:36.
fn next(cron: &str) -> CivilMinute {
    Cron::parse(cron).unwrap().next(at(2026, 11, 24, 20, 36)).unwrap()
}

#[test]
fn the_next_minute_is_found() {
    for (cron, expected) in [
        ("* * * * *", at(2026, 11, 24, 20, 36)),
        ("*/5 * * * *", at(2026, 11, 24, 20, 40)),
        ("30 5,17 * * *", at(2026, 11, 25, 5, 30)),
        ("30 5 * * 1,3", at(2026, 11, 25, 5, 30)),
        ("30 5 * * 2,4", at(2026, 11, 26, 5, 30)),
        ("0 0 * * MON-FRI", at(2026, 11, 25, 0, 0)),
        ("0 0 1 JAN *", at(2027, 1, 1, 0, 0)),
        ("15 4-6/2 * * *", at(2026, 11, 25, 4, 15)),
        ("20/15 * * * *", at(2026, 11, 24, 20, 50)),
        ("0 0 29 2 *", at(2028, 2, 29, 0, 0)),
        ("59 23 31 12 *", at(2026, 12, 31, 23, 59)),
        ("0 0 * * sun", at(2026, 11, 29, 0, 0)),
        // Both restricted: either will do.
        ("0 0 13 * 5", at(2026, 11, 27, 0, 0)),
        // One of them begins with `*`: both must fit, as in every cron.
        ("0 0 */2 * 3", at(2026, 11, 25, 0, 0)),
        ("0 0 29 2 1", at(2027, 2, 1, 0, 0)),
    ] {
        assert_eq!(next(cron), expected, "{cron}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (cron, word) in [
        ("* * * *", "five fields"),
        ("@daily", "five fields"),
        ("60 * * * *", "`60` as minute"),
        ("* 24 * * *", "`24` as hour"),
        ("* * 0 * *", "`0` as day of the month"),
        ("* * * 13 *", "`13` as month"),
        ("* * * * 7", "`7` as day of the week"),
        ("*/0 * * * *", "no step"),
        ("5-1 * * * *", "backwards"),
        ("a * * * *", "`a` as minute"),
        ("* * L * *", "`L`"),
        (", * * * *", "minute"),
        ("-5 * * * *", "minute"),
        ("0 0 31 2 *", "no month has"),
        ("0 0 30 FEB *", "no month has"),
    ] {
        let error = Cron::parse(cron).unwrap_err();
        assert!(error.contains(word), "{cron}: {error}");
    }
    assert!(Cron::parse(&"1,".repeat(500)).is_err());
}

#[test]
fn a_match_is_always_at_or_after_and_names_its_own_minute() {
    let crons = ["*/7 */3 * * *", "5 4 */10 * *", "0 12 * 2-6 1-5", "1 1 1 * 0"];
    for text in crons {
        let cron = Cron::parse(text).unwrap();
        let mut from = at(2026, 1, 1, 0, 0);
        for _ in 0..500 {
            let found = cron.next(from).unwrap();
            assert!(found >= from, "{text}");
            assert_eq!(cron.next(found), Some(found), "{text}");
            from = CivilMinute { minute: found.minute + 1, ..found };
        }
    }
}
