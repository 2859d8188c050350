//! Reads a spool's frames as init announces them.

use super::SpoolError;
use super::spool::{Progress, Shared};
use slipway_init::limits::FRAME_MAX_BYTES;
use slipway_init::spool::{DecodeError, Frame, decode};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use tokio::sync::watch;

/// Bytes that one read asks for; several frames at once when init is ahead.
const READ_BYTES: usize = 4 * FRAME_MAX_BYTES;

/// A frame and where it ends: the offset to note as read, and to release when it is no longer needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpooledFrame {
    /// The frame.
    pub frame: Frame,
    /// Logical offset of its end.
    pub end_offset: u64,
}

/// Reads frames in order. Several readers of one spool do not disturb each other.
#[derive(Debug)]
pub struct SpoolReader {
    shared: Arc<Shared>,
    progress: watch::Receiver<Progress>,
    /// Logical offset of the next frame.
    offset: u64,
    ahead: Ahead,
}

/// What was read and not returned.
#[derive(Debug, Default)]
struct Ahead {
    buffer: Vec<u8>,
    /// Where in the buffer it begins and ends.
    start: usize,
    end: usize,
}

impl Ahead {
    fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Reads at most `most` bytes from the file at `from` behind what there is; how many came.
    fn fill(&mut self, file: &File, from: u64, most: usize) -> std::io::Result<usize> {
        // Its size never changes afterwards: nothing is zeroed for each read.
        self.buffer.resize(READ_BYTES + FRAME_MAX_BYTES, 0);
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let room = room.get_mut(..most.min(READ_BYTES)).unwrap_or_default();
        let count = file.read_at(room, from)?;
        self.end += count;
        Ok(count)
    }
}

impl SpoolReader {
    pub(super) fn new(shared: Arc<Shared>, progress: watch::Receiver<Progress>, offset: u64) -> Self {
        Self { shared, progress, offset, ahead: Ahead::default() }
    }

    /// Logical offset of the next frame: the end of the last one returned.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next frame; waits for it. `None` when init is gone ([`super::Spool::finish`]) and everything was returned.
    /// May be cancelled at any await without losing a frame.
    ///
    /// # Errors
    /// When the file can't be read, or what init announced is no valid frame. The same error comes again if asked again.
    pub async fn next_frame(&mut self) -> Result<Option<SpooledFrame>, SpoolError> {
        loop {
            let Progress { written, finished } = *self.progress.borrow_and_update();
            let announced = usize::try_from(written.saturating_sub(self.offset)).unwrap_or(usize::MAX);
            // A frame that init was still writing when it died is not an error, it just never was.
            let usable = if finished { usize::MAX } else { announced };
            let rest = self.ahead.bytes();
            let rest = rest.get(..usable).unwrap_or(rest);
            match decode(rest) {
                Ok(Some((frame, length))) => {
                    self.ahead.start += length;
                    self.offset = self.offset.saturating_add(length as u64);
                    return Ok(Some(SpooledFrame { frame, end_offset: self.offset }));
                }
                Ok(None) if rest.len() < usable => {
                    let missing = usable.saturating_sub(rest.len());
                    if self.fill(missing).await? {
                        continue;
                    }
                    if announced > 0 {
                        return Err(self.corrupt(DecodeError::Truncated));
                    }
                    return Ok(None);
                }
                Ok(None) if announced == 0 => {
                    if self.progress.changed().await.is_err() {
                        // The spool itself is held by `shared`, so its sender can't be gone.
                        return Ok(None);
                    }
                }
                Ok(None) => return Err(self.corrupt(DecodeError::Truncated)),
                Err(_) if announced == 0 => return Ok(None),
                Err(source) => return Err(self.corrupt(source)),
            }
        }
    }

    /// Reads at most `missing` bytes behind what is buffered; `false` at the end of the file. Never reads what was not
    /// announced while init lives: it may be half written.
    async fn fill(&mut self, missing: usize) -> Result<bool, SpoolError> {
        let shared = Arc::clone(&self.shared);
        let from = self.offset.saturating_add(self.ahead.bytes().len() as u64);
        // Whoever stops waiting loses what is ahead, and no more: it is read again from `offset` on.
        let mut ahead = std::mem::take(&mut self.ahead);
        let read = tokio::task::spawn_blocking(move || {
            let count = ahead.fill(&shared.file, from, missing);
            (ahead, count)
        });
        let (ahead, count) = read.await.map_err(|stopped| self.failed(std::io::Error::other(stopped)))?;
        self.ahead = ahead;
        Ok(count.map_err(|source| self.failed(source))? > 0)
    }

    fn failed(&self, source: std::io::Error) -> SpoolError {
        SpoolError::File { doing: "read", path: self.shared.path(), source }
    }

    fn corrupt(&self, source: DecodeError) -> SpoolError {
        SpoolError::Corrupt { path: self.shared.path(), offset: self.offset, source }
    }
}
