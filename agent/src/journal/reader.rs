//! Reads records back for uploading, in order, at most a batch at a time.

use std::fs::File;
use std::io::{BufReader, Seek as _, SeekFrom};
use std::path::PathBuf;

use bytes::Bytes;
use slipway_wire::records::{Records, RecordsBuffer};

use super::Progress;
use super::format::{HEAD_BYTES, PREFIX_BYTES, decode_payload, read_payload};

/// The most that is read at a time.
#[derive(Debug, Clone, Copy)]
pub struct Batch {
    /// Records.
    pub count: usize,
    /// Bytes of them, with their lengths; but one record is read in any case.
    pub bytes: usize,
}

/// A place in a journal. Holds the records of one group at most.
#[derive(Debug)]
pub struct Reader {
    progress: Progress,
    place: Option<Place>,
    /// What was taken from a group and did not fit, with the number of its first record.
    rest: Option<(u64, Records)>,
}

#[derive(Debug)]
struct Place {
    path: PathBuf,
    file: BufReader<File>,
    offset: u64,
    /// Number of the next group's first record.
    next: u64,
}

impl Reader {
    /// A reader of the journal behind `progress`.
    #[must_use]
    pub fn new(progress: Progress) -> Self {
        Self { progress, place: None, rest: None }
    }

    /// Records from number `first`, as many as `most` says. Empty when none is written yet. `first` must not have been
    /// released.
    ///
    /// # Errors
    /// When a segment can't be read.
    pub fn read(&mut self, first: u64, most: Batch) -> std::io::Result<Records> {
        let written = *self.progress.shared.written.borrow();
        if first > written {
            return Ok(Records::default());
        }
        let front = self.front(first, most)?;
        let mut next = first + front.count() as u64;
        if next > written || front.bytes().len() >= most.bytes / 2 {
            return Ok(front);
        }
        // A job that says little at a time makes small groups: one message carries many of them.
        let mut row = RecordsBuffer::default();
        row.put_back(front);
        while next <= written && row.count() < most.count {
            let room = Batch { count: most.count - row.count(), bytes: most.bytes };
            let more = self.front(next, room)?;
            next += more.count() as u64;
            if row.bytes_len() + more.bytes().len() > most.bytes {
                self.put_back(next - more.count() as u64, more);
                break;
            }
            row.append(&more);
        }
        Ok(row.take())
    }

    /// Records from number `first`, of one group.
    fn front(&mut self, first: u64, most: Batch) -> std::io::Result<Records> {
        let mut group = match self.rest.take().filter(|(number, _)| *number == first) {
            Some((_, rest)) => rest,
            None => {
                let recent = self.progress.shared.recent().from(first);
                recent.map_or_else(|| self.seek(first), Ok)?
            }
        };
        let front = group.take_front(most.count, most.bytes);
        self.put_back(first + front.count() as u64, group);
        Ok(front)
    }

    /// Records that come next were not given out.
    fn put_back(&mut self, first: u64, mut records: Records) {
        if let Some((_, later)) = self.rest.take() {
            let mut row = RecordsBuffer::default();
            row.put_back(records);
            row.append(&later);
            records = row.take();
        }
        self.rest = Some((first, records)).filter(|(_, records)| !records.is_empty());
    }

    /// Reads the group that has `number` from its file, from that record on.
    fn seek(&mut self, number: u64) -> std::io::Result<Records> {
        let mut place = match self.place.take() {
            Some(place) if place.next <= number => place,
            _ => self.open(number)?,
        };
        loop {
            match place.read_group()? {
                Some((first, mut records)) => {
                    let known = number.saturating_sub(first) as usize;
                    if known < records.count() {
                        if known > 0 {
                            records.take_front(known, usize::MAX);
                        }
                        self.place = Some(place);
                        return Ok(records);
                    }
                }
                None => {
                    // The segment's end: `number` is in a later one.
                    let later = self.open(number)?;
                    if later.path == place.path {
                        return Err(std::io::Error::other(format!("record {number} is not in the journal")));
                    }
                    place = later;
                }
            }
        }
    }

    fn open(&self, number: u64) -> std::io::Result<Place> {
        let found = {
            let segments = self.progress.shared.segments();
            segments.iter().rev().find(|segment| segment.first <= number).cloned()
        };
        let Some(segment) = found else {
            return Err(std::io::Error::other(format!("record {number} was released")));
        };
        let mut file = BufReader::new(File::open(&segment.path)?);
        file.seek(SeekFrom::Start(HEAD_BYTES))?;
        Ok(Place { path: segment.path, file, offset: HEAD_BYTES, next: segment.first })
    }
}

impl Place {
    /// The next group's records, and the number of their first; none at the end of what is written.
    fn read_group(&mut self) -> std::io::Result<Option<(u64, Records)>> {
        let mut payload = Vec::new();
        if !read_payload(&mut self.file, &mut payload)? {
            // The writer may be in the middle of the next group.
            self.file.seek(SeekFrom::Start(self.offset))?;
            return Ok(None);
        }
        self.offset += PREFIX_BYTES + payload.len() as u64;
        let payload = Bytes::from(payload);
        let records = decode_payload(&payload).and_then(|group| group.records.records(&payload));
        let records = records.ok_or_else(|| std::io::Error::other("a journal group is damaged"))?;
        let first = self.next;
        self.next += records.count() as u64;
        Ok(Some((first, records)))
    }
}
