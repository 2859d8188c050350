//! The groups that were written last, for whoever sends them: one that keeps up need not read them back.

use std::collections::VecDeque;

use slipway_wire::records::Records;

use crate::limits::JOURNAL_RECENT_BYTES;

/// Groups in order, without a gap, at most [`JOURNAL_RECENT_BYTES`] of them. What has no room is in the file.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Each with the number of its first record.
    groups: VecDeque<(u64, Records)>,
    size_bytes: usize,
}

impl Recent {
    /// Keeps what was just written; the oldest make room.
    pub(super) fn push(&mut self, first: u64, records: &Records) {
        if records.is_empty() {
            return;
        }
        self.groups.push_back((first, records.clone()));
        self.size_bytes += records.bytes().len();
        while self.size_bytes > JOURNAL_RECENT_BYTES && self.pop() {}
    }

    /// Lets go of groups whose last record is at most this one.
    pub(super) fn release(&mut self, number: u64) {
        while self.groups.front().is_some_and(|(first, records)| first + records.count() as u64 <= number + 1)
            && self.pop()
        {}
    }

    /// What is kept of the group that has record `number`, from that record on.
    pub(super) fn from(&self, number: u64) -> Option<Records> {
        let place = self.groups.partition_point(|(first, _)| *first <= number).checked_sub(1)?;
        let (first, records) = self.groups.get(place)?;
        let known = usize::try_from(number - first).ok().filter(|known| *known < records.count())?;
        let mut records = records.clone();
        if known > 0 {
            records.take_front(known, usize::MAX);
        }
        Some(records)
    }

    fn pop(&mut self) -> bool {
        let Some((_, gone)) = self.groups.pop_front() else { return false };
        self.size_bytes -= gone.bytes().len();
        true
    }
}
