//! Reads a spool's frames as init announces them.

use super::SpoolError;
use super::spool::{Progress, Shared};
use slipway_init::limits::FRAME_MAX_BYTES;
use slipway_init::spool::{DecodeError, Frame, decode};
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
    /// Bytes from `offset` on start at `start` here.
    buffer: Vec<u8>,
    start: usize,
}

impl SpoolReader {
    pub(super) fn new(shared: Arc<Shared>, progress: watch::Receiver<Progress>, offset: u64) -> Self {
        Self { shared, progress, offset, buffer: Vec::new(), start: 0 }
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
            let rest = self.buffer.get(self.start..).unwrap_or_default();
            let rest = rest.get(..usable).unwrap_or(rest);
            match decode(rest) {
                Ok(Some((frame, length))) => {
                    self.start += length;
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
        self.buffer.drain(..self.start.min(self.buffer.len()));
        self.start = 0;
        let shared = Arc::clone(&self.shared);
        let from = self.offset.saturating_add(self.buffer.len() as u64);
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; READ_BYTES.min(missing)];
            let count = shared.file.read_at(&mut bytes, from)?;
            bytes.truncate(count);
            Ok(bytes)
        });
        let bytes = match read.await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(source)) => return Err(self.failed(source)),
            Err(stopped) => return Err(self.failed(std::io::Error::other(stopped))),
        };
        self.buffer.extend_from_slice(&bytes);
        Ok(!bytes.is_empty())
    }

    fn failed(&self, source: std::io::Error) -> SpoolError {
        SpoolError::File { doing: "read", path: self.shared.path.clone(), source }
    }

    fn corrupt(&self, source: DecodeError) -> SpoolError {
        SpoolError::Corrupt { path: self.shared.path.clone(), offset: self.offset, source }
    }
}
