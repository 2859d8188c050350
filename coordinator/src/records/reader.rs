//! Reads an attempt's records in order, from any number on, and waits for more.
//!
//! A reader never goes past what is durable, so it never sees half a frame; and it reads the files itself, so it never
//! holds up whoever writes.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use slipway_proto::v1::Record;
use tokio::sync::watch;

use super::attempt::{chunk_name, chunks};
use super::chunk::{self, FRAME_HEAD_BYTES, FrameHead, MAGIC};
use super::{AttemptLog, Progress, RecordsError, blocking, io_at};

/// About how many bytes of records [`Reader::next`] returns at once.
const READ_BYTES: usize = 1 << 20;

/// A place in an attempt's records.
#[derive(Debug)]
pub struct Reader {
    // Keeps the log open, and with it its progress.
    log: Arc<AttemptLog>,
    progress: watch::Receiver<Progress>,
    next: u64,
    place: Option<Place>,
}

/// Where the next frame begins.
#[derive(Debug)]
struct Place {
    file: File,
    path: PathBuf,
    offset: u64,
}

impl Reader {
    /// A reader whose first record is the one of number `from` (0 counts as 1).
    #[must_use]
    pub fn new(log: Arc<AttemptLog>, from: u64) -> Self {
        let progress = log.progress();
        Self { log, progress, next: from.max(1), place: None }
    }

    /// Number of the record that comes next.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Waits until there is a durable record that was not read yet; `false` when the log broke, and no more come.
    pub async fn ready(&mut self) -> bool {
        let next = self.next;
        let progress = self.progress.wait_for(|progress| progress.durable >= next || progress.broken).await;
        progress.is_ok_and(|progress| progress.durable >= next)
    }

    /// The next records that are durable, about a mebibyte of them; none when all were read.
    ///
    /// # Errors
    /// [`RecordsError::Damaged`], [`RecordsError::Io`].
    pub async fn next(&mut self) -> Result<Vec<Record>, RecordsError> {
        let durable = self.progress.borrow_and_update().durable;
        if self.next > durable {
            return Ok(Vec::new());
        }
        let (log, next, place) = (Arc::clone(&self.log), self.next, self.place.take());
        let (records, place) = blocking(move || {
            let mut place = match place {
                Some(place) => place,
                None => Place::find(&log, next)?,
            };
            let records = place.read(&log, next, durable)?;
            Ok((records, place))
        })
        .await?;
        self.next += records.len() as u64;
        self.place = Some(place);
        Ok(records)
    }
}

impl Place {
    /// The chunk that has record `next`, from its beginning.
    fn find(log: &AttemptLog, next: u64) -> Result<Self, RecordsError> {
        let first = chunks(log.folder())?.into_iter().rev().find(|first| *first <= next);
        Self::open(log, first.unwrap_or(1))
    }

    fn open(log: &AttemptLog, first: u64) -> Result<Self, RecordsError> {
        let path = log.folder().join(chunk_name(first));
        let mut file = File::open(&path).map_err(io_at(&path))?;
        let mut magic = [0; MAGIC.len()];
        file.read_exact(&mut magic).map_err(io_at(&path))?;
        if magic != *MAGIC {
            return Err(RecordsError::Damaged { place: path.display().to_string(), offset: 0 });
        }
        Ok(Self { file, path, offset: MAGIC.len() as u64 })
    }

    /// Reads frames from here on: records from number `next` to at most `durable`.
    fn read(&mut self, log: &AttemptLog, mut next: u64, durable: u64) -> Result<Vec<Record>, RecordsError> {
        let mut out = Vec::new();
        let mut size_bytes = 0;
        while next <= durable && size_bytes < READ_BYTES {
            let Some((head, mut records)) = self.frame(next)? else {
                // The chunk was full: the next one begins with the next record.
                *self = Self::open(log, next)?;
                continue;
            };
            size_bytes += records.len();
            let mut number = head.first;
            while let Some(record) = chunk::decode_next(&mut records) {
                if number >= next && number <= durable {
                    out.push(record);
                }
                number += 1;
            }
            if number != head.next() {
                return Err(self.damaged());
            }
            next = next.max(number.min(durable + 1));
        }
        Ok(out)
    }

    /// The next frame that has a record of number `wanted` or later; `None` at the end of the chunk.
    fn frame(&mut self, wanted: u64) -> Result<Option<(FrameHead, Bytes)>, RecordsError> {
        loop {
            self.file.seek(SeekFrom::Start(self.offset)).map_err(io_at(&self.path))?;
            let mut head = [0; FRAME_HEAD_BYTES];
            let got = read_up_to(&mut self.file, &mut head).map_err(io_at(&self.path))?;
            if got == 0 {
                return Ok(None);
            }
            let Some(head) = head.get(..got).and_then(FrameHead::read) else { return Err(self.damaged()) };
            let size_bytes = FRAME_HEAD_BYTES as u64 + u64::from(head.size_bytes);
            if head.next() <= wanted {
                self.offset += size_bytes;
                continue;
            }
            let mut records = BytesMut::zeroed(head.size_bytes as usize);
            self.file.read_exact(&mut records).map_err(io_at(&self.path))?;
            if head.first > wanted || !head.matches(&records) {
                return Err(self.damaged());
            }
            self.offset += size_bytes;
            return Ok(Some((head, records.freeze())));
        }
    }

    fn damaged(&self) -> RecordsError {
        RecordsError::Damaged { place: self.path.display().to_string(), offset: self.offset }
    }
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut got = 0;
    while let Some(rest) = buffer.get_mut(got..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => break,
            n => got += n,
        }
    }
    Ok(got)
}
