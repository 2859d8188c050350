//! Reads records back for uploading, in order, at most a batch at a time.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, Seek as _, SeekFrom};
use std::path::PathBuf;

use bytes::Bytes;

use super::Progress;
use super::format::{HEAD_BYTES, PREFIX_BYTES, decode_payload, read_payload};

/// A place in a journal. Holds the records of one group at most.
#[derive(Debug)]
pub struct Reader {
    progress: Progress,
    place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    path: PathBuf,
    file: BufReader<File>,
    offset: u64,
    /// Number of the first record in `ahead`, or of the next group's first.
    next: u64,
    /// Records of the last group read that were not given out.
    ahead: VecDeque<Bytes>,
}

impl Reader {
    /// A reader of the journal behind `progress`.
    #[must_use]
    pub fn new(progress: Progress) -> Self {
        Self { progress, place: None }
    }

    /// Records from number `first`, at most `max_bytes` in all (but at least one, if there is one). Empty when none is
    /// written yet. `first` must not have been released.
    ///
    /// # Errors
    /// When a segment can't be read.
    pub fn read(&mut self, first: u64, max_bytes: usize) -> std::io::Result<Vec<Bytes>> {
        let written = *self.progress.shared.written.borrow();
        let mut records = Vec::new();
        let mut size = 0;
        while first + (records.len() as u64) <= written {
            let number = first + records.len() as u64;
            let place = self.seek(number)?;
            let Some(front) = place.ahead.front() else { break };
            if !records.is_empty() && size + front.len() > max_bytes {
                break;
            }
            size += front.len();
            records.extend(place.ahead.pop_front());
            place.next += 1;
        }
        Ok(records)
    }

    /// Goes to where `number` is at the front of `ahead`.
    fn seek(&mut self, number: u64) -> std::io::Result<&mut Place> {
        let mut place = match self.place.take() {
            Some(place) if place.next <= number => place,
            _ => self.open(number)?,
        };
        loop {
            while place.next < number && place.ahead.pop_front().is_some() {
                place.next += 1;
            }
            if place.next == number && !place.ahead.is_empty() {
                return Ok(self.place.insert(place));
            }
            if !place.read_group()? {
                // The segment's end: `number` is in a later one.
                let later = self.open(number)?;
                if later.path == place.path {
                    return Err(std::io::Error::other(format!("record {number} is not in the journal")));
                }
                place = later;
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
        Ok(Place {
            path: segment.path,
            file,
            offset: HEAD_BYTES,
            next: segment.first,
            ahead: VecDeque::new(),
        })
    }
}

impl Place {
    fn read_group(&mut self) -> std::io::Result<bool> {
        let mut payload = Vec::new();
        if !read_payload(&mut self.file, &mut payload)? {
            // The writer may be in the middle of the next group.
            self.file.seek(SeekFrom::Start(self.offset))?;
            return Ok(false);
        }
        self.offset += PREFIX_BYTES + payload.len() as u64;
        // The records are slices of what was read: none is copied.
        let payload = Bytes::from(payload);
        let group =
            decode_payload(&payload).ok_or_else(|| std::io::Error::other("a journal group is damaged"))?;
        self.ahead.extend(group.records.into_iter().map(|record| payload.slice_ref(record)));
        Ok(true)
    }
}
