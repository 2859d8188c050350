//! Lines that tests reached, by file.

use std::collections::BTreeMap;

use slipway_wire::limits::{MAX_COVERED_FILES, MAX_REPORT_TEXT_BYTES};

/// Coverage as reports tell it. A file that several tell of counts once, as the best of them has it: they don't say which
/// lines, so what they reach together is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Lines that could be reached and lines that were, by path.
    pub files: BTreeMap<String, (u64, u64)>,
    /// Files that are not told one by one, their lines, and those that were reached.
    pub more: (u64, u64, u64),
    text_bytes: usize,
}

impl Coverage {
    /// Takes note of a file.
    pub(super) fn take(&mut self, path: String, lines: u64, covered: u64) {
        let covered = covered.min(lines);
        if let Some(known) = self.files.get_mut(&path) {
            *known = (known.0.max(lines), known.1.max(covered));
            return;
        }
        let full =
            self.files.len() >= MAX_COVERED_FILES || self.text_bytes + path.len() > MAX_REPORT_TEXT_BYTES;
        if full {
            self.take_more(1, lines, covered);
            return;
        }
        self.text_bytes += path.len();
        self.files.insert(path, (lines, covered));
    }

    /// Takes note of files that have no names here.
    pub(super) fn take_more(&mut self, files: u64, lines: u64, covered: u64) {
        let add = |to: &mut u64, number: u64| *to = to.saturating_add(number);
        add(&mut self.more.0, files);
        add(&mut self.more.1, lines);
        add(&mut self.more.2, covered.min(lines));
    }

    /// Takes what another one has.
    pub(super) fn merge(&mut self, other: Self) {
        for (path, (lines, covered)) in other.files {
            self.take(path, lines, covered);
        }
        self.take_more(other.more.0, other.more.1, other.more.2);
    }

    /// All lines, and those that were reached.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        let sum = |(lines, covered): (u64, u64), file: &(u64, u64)| {
            (lines.saturating_add(file.0), covered.saturating_add(file.1))
        };
        self.files.values().fold((self.more.1, self.more.2), sum)
    }

    /// Hundredths of a percent, rounded down, so that 100 % means all; none: there is no line.
    #[must_use]
    pub fn hundredths(&self) -> Option<u32> {
        let (lines, covered) = self.totals();
        hundredths(lines, covered)
    }
}

/// See [`Coverage::hundredths`].
pub(super) fn hundredths(lines: u64, covered: u64) -> Option<u32> {
    let share = (u128::from(covered.min(lines)) * 10_000).checked_div(u128::from(lines))?;
    u32::try_from(share).ok()
}

/// Hundredths of a percent as people write them: `85.25 %`.
#[must_use]
pub fn percent(hundredths: u32) -> String {
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}

/// A difference of two, with its sign.
#[must_use]
pub(crate) fn change(from: u32, to: u32) -> String {
    let sign = if to < from { "−" } else { "+" };
    let by = to.abs_diff(from);
    format!("{sign}{}.{:02}", by / 100, by % 100)
}
