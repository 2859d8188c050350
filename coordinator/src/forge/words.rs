//! Texts of reports: results, durations, and what stands in Markdown without meaning anything there.

use std::fmt::Write as _;

use slipway_scheduler::JobResult;

use super::{Conclusion, Stage};

/// A result in one word.
pub(super) const fn result(result: JobResult) -> &'static str {
    match result {
        JobResult::Success => "success",
        JobResult::Failure => "failure",
        JobResult::Cancelled => "cancelled",
        JobResult::Skipped => "skipped",
    }
}

/// A sign for a result.
pub(super) const fn sign(result: JobResult) -> &'static str {
    match result {
        JobResult::Success => "✅",
        JobResult::Failure => "❌",
        JobResult::Cancelled => "🚫",
        JobResult::Skipped => "⏭️",
    }
}

/// A stage in one or two words.
pub(super) const fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Queued => "Queued",
        Stage::Running => "In progress",
        Stage::Done(Conclusion::Success) => "Success",
        Stage::Done(Conclusion::Failure) => "Failure",
        Stage::Done(Conclusion::Cancelled) => "Cancelled",
        Stage::Done(Conclusion::Skipped) => "Skipped",
        Stage::Done(Conclusion::TimedOut) => "Timed out",
        Stage::Done(Conclusion::ActionRequired) => "Waits for approval",
    }
}

/// A duration as people say it.
pub(super) fn took(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// Text of one line that means nothing in Markdown.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' | '\t' => plain.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '~' => {
                plain.push('\\');
                plain.push(character);
            }
            control if control.is_control() => {}
            other => plain.push(other),
        }
    }
    plain
}

/// The beginning of a text, of at most so many bytes.
pub(super) fn beginning(text: &str, max_bytes: usize) -> &str {
    if text.len() <= max_bytes {
        return text;
    }
    let end = (0..=max_bytes).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    &text[..end]
}

/// The same with a sign that there was more; of at most so many bytes with it.
pub(super) fn cut(text: &str, max_bytes: usize) -> String {
    const MORE: &str = "…";
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    format!("{}{MORE}", beginning(text, max_bytes.saturating_sub(MORE.len())))
}

/// Adds a paragraph.
pub(super) fn paragraph(markdown: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _ = write!(markdown, "{text}\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("äöü", 5), "ä…");
        assert_eq!(cut("äöü", 2), "…");
        assert_eq!(beginning("äöü", 3), "ä");
    }

    #[test]
    fn names_are_no_markdown() {
        assert_eq!(plain("a|b\n<c> `d`"), "a\\|b \\<c\\> \\`d\\`");
    }

    #[test]
    fn durations_read_well() {
        let said = [5, 59_999, 61_000, 3_661_000].map(took);
        assert_eq!(said, ["5 ms", "59 s", "1 min 1 s", "1 h 1 min"]);
    }
}
