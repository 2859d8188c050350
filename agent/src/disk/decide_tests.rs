#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::super::mark::{Mark, Marks};
use super::super::space::{Space, shown};
use super::*;

const GIB: u64 = 1 << 30;

fn space(free_bytes: u64, size_bytes: u64) -> Space {
    Space { free_bytes, size_bytes, inodes_free: 1_000, inodes: 1_000 }
}

#[test]
fn marks_are_shares_of_small_disks_and_sizes_of_large_ones() {
    let marks = Marks::default();
    let of = |size: u64| (marks.low.of(size * GIB) >> 20, marks.full.of(size * GIB) >> 20);
    // In MiB.
    for (size, expected) in
        [(8, (409, 81)), (40, (2048, 409)), (200, (10_240, 1_024)), (4_000, (10_240, 1_024))]
    {
        assert_eq!(of(size), expected, "{size} GiB");
    }
}

#[test]
fn a_level_is_left_with_a_quarter_more_room() {
    let marks = Marks { low: Mark::Bytes(4 * GIB), full: Mark::Bytes(GIB) };
    let gib = |tenths: u64| space(tenths * GIB / 10, 40 * GIB);
    let cases = [
        (Level::Roomy, 40, Level::Roomy),
        (Level::Roomy, 39, Level::Low),
        (Level::Low, 40, Level::Low),
        (Level::Low, 49, Level::Low),
        (Level::Low, 50, Level::Roomy),
        (Level::Low, 10, Level::Low),
        (Level::Low, 9, Level::Full),
        (Level::Full, 10, Level::Full),
        (Level::Full, 12, Level::Full),
        (Level::Full, 13, Level::Low),
        (Level::Full, 49, Level::Low),
        (Level::Full, 50, Level::Roomy),
        (Level::Roomy, 9, Level::Full),
    ];
    for (before, tenths, after) in cases {
        assert_eq!(marks.level(before, &gib(tenths)), after, "{before:?} with {tenths}/10 GiB");
    }
    assert_eq!(marks.missing(&gib(10)), GIB / 4);
    assert_eq!(marks.missing(&gib(20)), 0);
}

#[test]
fn files_that_cannot_be_made_count_as_bytes_that_cannot_be_written() {
    let marks = Marks::default();
    let inodes = |inodes_free| Space { inodes_free, ..space(30 * GIB, 40 * GIB) };
    for (left, level) in [(50, Level::Roomy), (49, Level::Low), (10, Level::Low), (9, Level::Full)] {
        assert_eq!(marks.level(Level::Roomy, &inodes(left)), level, "{left} of 1000");
    }
    assert_eq!(marks.level(Level::Low, &inodes(61)), Level::Low);
    assert_eq!(marks.level(Level::Low, &inodes(62)), Level::Roomy);
    // btrfs does not count them.
    let uncounted = Space { inodes: 0, inodes_free: 0, ..space(30 * GIB, 40 * GIB) };
    assert_eq!(marks.level(Level::Roomy, &uncounted), Level::Roomy);
    assert_eq!(Marks::OFF.level(Level::Full, &space(0, GIB)), Level::Roomy);
}

#[test]
fn marks_are_sizes_shares_or_off() {
    assert_eq!("off".parse(), Ok(Mark::Off));
    assert_eq!("5GiB".parse(), Ok(Mark::Bytes(5 * GIB)));
    assert_eq!("512m".parse(), Ok(Mark::Bytes(512 << 20)));
    assert_eq!("2.5 %".parse::<Mark>().unwrap().of(1_000), 25);
    for wrong in ["", "0", "0%", "100%", "-1%", "much", "5 GiB free", "OFF", "%"] {
        assert!(wrong.parse::<Mark>().is_err(), "{wrong}");
    }
}

#[test]
fn who_uses_most_ends_where_that_helps() {
    let uses = |bytes: &[u64]| -> Vec<Use> {
        bytes.iter().enumerate().map(|(at, bytes)| Use { job: format!("job-{at}"), bytes: *bytes }).collect()
    };
    let ends = |bytes: &[u64], missing| most(&uses(bytes), missing).map(|one| one.job.clone());
    assert_eq!(ends(&[1, 7, 3], 5).as_deref(), Some("job-1"));
    assert_eq!(ends(&[1, 7, 3], 11).as_deref(), Some("job-1"), "one after the other they make room");
    assert_eq!(ends(&[1, 7, 3], 12), None, "somebody else filled it");
    assert_eq!(ends(&[4, 4], 1).as_deref(), Some("job-0"), "always the same one");
    assert_eq!(ends(&[0, 0], 0), None);
    assert_eq!(ends(&[], 0), None);
}

#[test]
fn jobs_are_measured_after_a_time_and_when_room_went() {
    let mut measured = Measured::default();
    let due = |measured: &Measured, now, free| measured.is_due(now, free, 1_600, 30_000);
    assert!(due(&measured, 0, 5_000), "never yet");
    measured.note(1_000, 5_000);
    assert!(!due(&measured, 2_000, 5_000));
    assert!(!due(&measured, 30_999, 4_901), "too little went for one to have passed");
    assert!(due(&measured, 2_000, 4_900));
    assert!(due(&measured, 31_000, 9_000), "what one wrote another may have freed");
}

#[test]
fn what_is_told_is_short() {
    let told = |space: Space, level| space.told(level, Path::new("/data"));
    assert_eq!(told(space(6 * GIB / 5, 40 * GIB), Level::Low), "low disk: 1.2 GiB free of 40 GiB at /data");
    assert_eq!(told(space(100 << 20, 512 << 20), Level::Full), "full disk: 100 MiB free of 512 MiB at /data");
    let inodes = Space { inodes_free: 20, ..space(30 * GIB, 40 * GIB) };
    assert_eq!(told(inodes, Level::Low), "low disk: 30 GiB free of 40 GiB at /data, and 2 % of its inodes");
    assert_eq!(shown(0), "0 MiB");
}
