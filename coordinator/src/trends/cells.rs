//! The cells of a row, one after the other.

use crate::history::Row;

/// See the module.
pub(super) struct Cells(std::vec::IntoIter<Option<String>>);

impl Cells {
    pub(super) fn of(row: Row) -> Self {
        Self(row.into_iter())
    }

    /// Nothing is an empty text.
    pub(super) fn text(&mut self) -> String {
        self.maybe().unwrap_or_default()
    }

    pub(super) fn maybe(&mut self) -> Option<String> {
        self.0.next().flatten()
    }

    /// Of what is not known there is no number.
    pub(super) fn known(&mut self) -> Option<u64> {
        self.maybe()?.parse().ok()
    }

    /// Nothing is 0.
    pub(super) fn number(&mut self) -> u64 {
        self.known().unwrap_or(0)
    }
}
