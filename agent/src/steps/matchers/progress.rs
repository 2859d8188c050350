//! How far a message of several lines has come.

use serde::{Deserialize, Serialize};

use super::config::Pattern;

/// What was found of a message so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Found {
    pub(super) file: Option<String>,
    pub(super) from_path: Option<String>,
    pub(super) line: Option<String>,
    pub(super) column: Option<String>,
    pub(super) severity: Option<String>,
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
}

impl Found {
    /// What one line has.
    pub(super) fn of(pattern: &Pattern, group: impl Fn(&Option<usize>) -> Option<String>) -> Self {
        Self {
            file: group(&pattern.file),
            from_path: group(&pattern.from_path),
            line: group(&pattern.line),
            column: group(&pattern.column),
            severity: group(&pattern.severity),
            code: group(&pattern.code),
            message: group(&pattern.message),
        }
    }

    /// What earlier lines had, and what this line does not say anew.
    fn after(self, earlier: Option<&Self>) -> Self {
        let Some(earlier) = earlier.cloned() else { return self };
        Self {
            file: self.file.or(earlier.file),
            from_path: self.from_path.or(earlier.from_path),
            line: self.line.or(earlier.line),
            column: self.column.or(earlier.column),
            severity: self.severity.or(earlier.severity),
            code: self.code.or(earlier.code),
            message: self.message.or(earlier.message),
        }
    }
}

/// What each pattern but the last has found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress(Vec<Option<Found>>);

impl Progress {
    pub(super) fn new(patterns: usize) -> Self {
        Self(vec![None; patterns.saturating_sub(1)])
    }

    /// Takes a line, of which `matched` tells what a pattern finds in it. The message, if it is complete.
    pub(super) fn step(
        &mut self,
        patterns: &[Pattern],
        matched: &mut impl FnMut(usize) -> Option<Found>,
    ) -> Option<Found> {
        let last = patterns.len().checked_sub(1)?;
        // From the end: a line continues what earlier lines began before it begins something itself.
        for index in (0..patterns.len()).rev() {
            let earlier = match index.checked_sub(1) {
                Some(before) => match self.0.get(before).cloned().flatten() {
                    Some(earlier) => Some(earlier),
                    None => continue,
                },
                None => None,
            };
            let found = matched(index).map(|found| found.after(earlier.as_ref()));
            match found {
                Some(found) if index == last => {
                    self.0.fill(None);
                    let repeats = patterns.get(index).is_some_and(|pattern| pattern.repeats);
                    if let (true, Some(slot)) = (repeats, self.0.last_mut()) {
                        *slot = earlier;
                    }
                    return Some(found);
                }
                None if index == last => {
                    if let Some(slot) = self.0.last_mut() {
                        *slot = None;
                    }
                }
                found => {
                    if let Some(slot) = self.0.get_mut(index) {
                        *slot = found;
                    }
                }
            }
        }
        None
    }
}
