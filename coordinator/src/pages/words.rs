//! States, moments and durations as pages show them.

use jiff::Timestamp;
use maud::{Markup, html};
use slipway_scheduler::JobResult;

use crate::view::StateWord;

/// Where something is, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Success,
    Failure,
    Cancelled,
    Skipped,
    Running,
    Waiting,
}

impl Mark {
    pub(super) fn of(state: StateWord, result: Option<JobResult>) -> Self {
        match (state, result) {
            (_, Some(JobResult::Success)) => Self::Success,
            (_, Some(JobResult::Failure)) => Self::Failure,
            (_, Some(JobResult::Cancelled)) => Self::Cancelled,
            (_, Some(JobResult::Skipped)) => Self::Skipped,
            (StateWord::Running, None) => Self::Running,
            (StateWord::Waiting | StateWord::Finished, None) => Self::Waiting,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Success => "Succeeded",
            Self::Failure => "Failed",
            Self::Cancelled => "Cancelled",
            Self::Skipped => "Skipped",
            Self::Running => "Running",
            Self::Waiting => "Waiting",
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
            Self::Running => "running",
            Self::Waiting => "waiting",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Success => "M4.5 8.2l2.4 2.4 4.6-5",
            Self::Failure => "M5.2 5.2l5.6 5.600m0-5.600l-5.600 5.600",
            Self::Cancelled => "M4.500 11.500l7-7",
            Self::Skipped => "M5 4.800l3.200 3.200L5 11.200m4-6.400l3.200 3.200L9 11.200",
            Self::Running => "M8 4.500v3.700l2.400 1.600",
            Self::Waiting => "M5 8h.01M8 8h.01M11 8h.01",
        }
    }

    /// Its sign alone, for where the word stands beside it.
    fn sign(self) -> Markup {
        html! {
            svg class={ "mark " (self.class()) } viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" {
                circle cx="8" cy="8" r="7.250" {}
                path d=(self.path()) {}
            }
        }
    }

    /// Sign and word; the word is for whoever does not see.
    pub(super) fn short(self) -> Markup {
        html! { (self.sign()) span.unseen { (self.word()) } }
    }

    /// Sign and word.
    pub(super) fn long(self) -> Markup {
        html! { span class={ "state " (self.class()) } { (self.sign()) (self.word()) } }
    }
}

/// `2026-01-31 23:59:59 UTC`
fn utc(ms: u64, format: &str) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map(|at| at.strftime(format).to_string()).unwrap_or_default()
}

/// A moment in full.
pub(super) fn moment(ms: u64) -> Markup {
    html! { time datetime=(utc(ms, "%Y-%m-%dT%H:%M:%SZ")) { (utc(ms, "%Y-%m-%d %H:%M:%S UTC")) } }
}

/// `23:59:59.999`
pub(super) fn clock(ms: u64) -> String {
    utc(ms, "%H:%M:%S.%3f")
}

/// How long ago something was; the script keeps it right.
pub(super) fn ago(ms: u64, now_ms: u64) -> Markup {
    let passed_s = now_ms.saturating_sub(ms) / 1_000;
    let text = match passed_s {
        0..=59 => "just now".to_owned(),
        60..=3_599 => format!("{} min ago", passed_s / 60),
        3_600..=86_399 => format!("{} h ago", passed_s / 3_600),
        _ => format!("{} d ago", passed_s / 86_400),
    };
    let full = utc(ms, "%Y-%m-%d %H:%M:%S UTC");
    html! { time datetime=(utc(ms, "%Y-%m-%dT%H:%M:%SZ")) title=(full) data-ago=(ms) { (text) } }
}

/// The same of something that is over: short ones to a tenth of a second.
fn exact_span(ms: u64) -> String {
    if ms < 10_000 { format!("{}.{} s", ms / 1_000, ms / 100 % 10) } else { span(ms) }
}

/// `1 h 02 min`, `3 min 04 s`, `12 s`
pub(super) fn span(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=3_599 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
    }
}

/// From then until then, or until now: the script lets it go on.
pub(super) fn took(from_ms: u64, to_ms: Option<u64>, now_ms: u64) -> Markup {
    match to_ms {
        Some(to_ms) => html! { span.took { (exact_span(to_ms.saturating_sub(from_ms))) } },
        None => html! { span.took data-since=(from_ms) { (span(now_ms.saturating_sub(from_ms))) } },
    }
}

/// `1,234,567`
pub(super) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `999 B`, `1.5 KiB`, `20 GiB`
pub(super) fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if value < 1_024 {
        return format!("{value} B");
    }
    let mut amount = value as f64 / 1_024.0;
    let mut unit = 0;
    // What would be rounded up to a thousand and more of one unit is told in the next.
    while amount >= 999.5 && unit + 1 < UNITS.len() {
        amount /= 1_024.0;
        unit += 1;
    }
    // One digit behind the point, and none where it is nothing.
    let tenths = (amount * 10.0).round() as u64;
    let digits = usize::from(tenths < 100 && !tenths.is_multiple_of(10));
    format!("{amount:.digits$} {}", UNITS.get(unit).copied().unwrap_or_default())
}

/// An hour's beginning, in UTC.
pub(super) fn hour_of(start_s: u64, format: &str) -> String {
    utc(start_s.saturating_mul(1_000), format)
}

/// `1 line`, `2 lines`
pub(super) fn count(value: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(value), if value == 1 { one } else { many })
}

/// The part of a ref that people say.
pub(super) fn short_ref(git_ref: &str) -> &str {
    let short = git_ref.strip_prefix("refs/heads/").or_else(|| git_ref.strip_prefix("refs/tags/"));
    short.or_else(|| git_ref.strip_prefix("refs/")).unwrap_or(git_ref)
}

/// The beginning of a commit.
pub(super) fn short_sha(sha: &str) -> String {
    sha.chars().take(10).collect()
}

/// The texts of a name from outside, whose direction is its own affair.
pub(super) fn name(text: &str) -> Markup {
    html! { bdi { (text) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_numbers_are_for_people() {
        for (ms, text) in [(0, "0 s"), (59_999, "59 s"), (184_000, "3 min 04 s"), (3_720_000, "1 h 02 min")] {
            assert_eq!(span(ms), text);
        }
        assert_eq!(
            (exact_span(40), exact_span(9_999), exact_span(10_000)),
            ("0.0 s".into(), "9.9 s".into(), "10 s".into())
        );
        for (value, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(number(value), text);
        }
        for (value, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1 KiB"),
            (1_536, "1.5 KiB"),
            (20 << 30, "20 GiB"),
            (1_023 << 20, "1 GiB"),
            (u64::MAX, "16384 PiB"),
        ] {
            assert_eq!(bytes(value), text);
        }
        assert_eq!(hour_of(3_600, "%b %-d %H:%M"), "Jan 1 01:00");
        assert_eq!(count(1, "line", "lines"), "1 line");
        assert_eq!(clock(1_234), "00:00:01.234");
        assert_eq!(utc(u64::MAX, "%Y"), "", "no agent's clock breaks a page");
    }

    #[test]
    fn names_from_outside_stay_text() {
        assert_eq!(name("<b>&\"").0, "<bdi>&lt;b&gt;&amp;&quot;</bdi>");
        assert_eq!(
            (short_ref("refs/heads/a/b"), short_ref("refs/pull/1/merge"), short_ref("")),
            ("a/b", "pull/1/merge", "")
        );
    }
}
