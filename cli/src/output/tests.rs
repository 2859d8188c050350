#![allow(clippy::unwrap_used)]

use super::escape::{fit, log_line, name, paragraph};
use super::live::Live;
use super::style::{ago, duration_ms};
use super::table::{Table, result, text};

#[test]
fn a_name_cannot_move_the_cursor_or_forge_a_line() {
    assert_eq!(name("build \u{1b}[2J\nready"), "build \\u{1b}[2J\\nready");
    assert_eq!(name("a\u{202e}b\u{9b}c"), "a\\u{202e}b\\u{9b}c");
    assert_eq!(name("größe ✓ 日本"), "größe ✓ 日本");
    assert_eq!(paragraph("one\n\ttwo\u{7}"), "one\n\ttwo\\u{7}");
}

#[test]
fn a_log_keeps_colours_only() {
    let red = "\u{1b}[1;31mred\u{1b}[0m";
    assert_eq!(log_line(red, true), "\u{1b}[1;31mred\u{1b}[0m\u{1b}[0m");
    assert_eq!(log_line(red, false), "red");
    for (unsafe_line, plain) in [
        ("a\u{1b}[2Jb", "ab"),
        ("a\u{1b}[10;10Hb", "ab"),
        ("\u{1b}]0;title\u{7}x", "x"),
        ("\u{1b}]8;;http://h/\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
        ("\u{1b}Pq…\u{1b}\\x", "x"),
        ("\u{1b}(Bx\u{1b}cy\u{8}z", "xyz"),
        ("\u{9b}31mx", "31mx"),
        ("10%\r50%\r", "10% 50%"),
        ("\ttab", "\ttab"),
        ("end\u{1b}", "end"),
        ("end\u{1b}[3", "end"),
        ("end\u{1b}[>4m", "end"),
        ("cut \u{1b}]0;never ends", "cut "),
    ] {
        assert_eq!(log_line(unsafe_line, true), plain, "{unsafe_line:?}");
    }
}

#[test]
fn text_is_cut_by_characters() {
    assert_eq!(fit("日本語", 3), "日本語");
    assert_eq!(fit("日本語文", 3), "日本…");
    assert_eq!(fit("x", 0), "…");
}

#[test]
fn durations_and_ages_read_like_speech() {
    for (ms, said) in [(0, "0.0s"), (1_450, "1.4s"), (59_999, "59s"), (64_000, "1m04s"), (7_500_000, "2h05m")]
    {
        assert_eq!(duration_ms(ms), said);
    }
    for (ms, said) in [
        (59_999, "just now"),
        (60_000, "1 min ago"),
        (7_200_000, "2 h ago"),
        (90_000_000, "1 day ago"),
        (200_000_000, "2 days ago"),
    ] {
        assert_eq!(ago(1_000, 1_000 + ms), said);
    }
    assert_eq!(ago(2_000, 1_000), "just now", "a clock ahead of ours");
}

#[test]
fn a_table_is_as_wide_as_its_cells() {
    let mut table = Table::new(&["JOB", "RESULT"]);
    table.row(vec![text("build"), result("success")]);
    table.row(vec![text("a\nb"), result("failure")]);
    assert_eq!(table.render(false), "JOB    RESULT\nbuild  success\na\\nb   failure\n");
    assert!(table.render(true).contains("\u{1b}[31mfailure\u{1b}[0m"));
}

#[test]
fn the_live_view_wipes_exactly_what_it_drew() {
    let mut live = Live::default();
    live.log("one");
    let first = live.frame(&["a".into(), "b".into()], 80, 24);
    assert_eq!(first, "one\na\u{1b}[K\nb\u{1b}[K\n");
    live.log("two");
    let second = live.frame(&["a".into()], 80, 24);
    assert_eq!(second, "\r\u{1b}[2A\u{1b}[Jtwo\na\u{1b}[K\n");
    assert_eq!(live.finish(), "\r\u{1b}[1A\u{1b}[J");
    assert_eq!(live.finish(), "");
}

#[test]
fn the_live_view_fits_its_window() {
    let mut live = Live::default();
    let lines: Vec<String> = (0..30).map(|n| format!("job {n} {}", "x".repeat(100))).collect();
    let frame = live.frame(&lines, 20, 8);
    let drawn: Vec<&str> = frame.lines().collect();
    assert_eq!(drawn.len(), 4, "half the window, {drawn:?}");
    assert!(drawn.iter().all(|line| line.trim_end_matches("\u{1b}[K").chars().count() < 20));
    assert!(drawn[3].contains("27 more"));
}
