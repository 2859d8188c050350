//! The writing end of the spool: appends frames within the window the agent allows.
//!
//! Invariant: `written` is the end of complete frames; a frame that the file system refused is kept and written again,
//! at the same place, before any other.

use rustix::io::Errno;
use slipway_init::limits::{FRAME_MAX_BYTES, SPOOL_RESERVE_BYTES, SPOOL_RETRY_MS};
use slipway_init::protocol::SpoolCondition;
use std::os::fd::OwnedFd;

/// The spool as init sees it.
#[derive(Default)]
pub(crate) struct SpoolWriter {
    file: Option<OwnedFd>,
    written: u64,
    limit: u64,
    refused: Option<Refused>,
}

struct Refused {
    frame: Vec<u8>,
    errno: Errno,
    retry_at_ms: u64,
}

impl SpoolWriter {
    /// Takes the descriptor of the first welcome; later ones are of the same file and not needed.
    pub(crate) fn open(&mut self, file: OwnedFd) {
        self.file.get_or_insert(file);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.file.is_some()
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    pub(crate) fn raise_limit(&mut self, limit_offset: u64) {
        self.limit = self.limit.max(limit_offset);
    }

    fn room(&self) -> u64 {
        if self.file.is_none() || self.refused.is_some() {
            0
        } else {
            self.limit.saturating_sub(self.written)
        }
    }

    /// Whether a piece of output of the largest size has room beside the reserve. Smaller rooms are not used, so that a
    /// window which opens bit by bit doesn't cut output into crumbs.
    pub(crate) fn takes_output(&self) -> bool {
        self.room() >= SPOOL_RESERVE_BYTES + FRAME_MAX_BYTES as u64
    }

    /// Appends a frame; `false` when it has no room and must be offered again later.
    pub(crate) fn append(&mut self, frame: &[u8], now_ms: u64) -> bool {
        if self.room() < frame.len() as u64 {
            return false;
        }
        self.write(frame.to_vec(), now_ms);
        true
    }

    /// Appends output that has been read already, so it is never turned away: the caller asked
    /// [`Self::takes_output`] before it read.
    pub(crate) fn append_output(&mut self, frame: &[u8], now_ms: u64) {
        match self.try_write(frame) {
            Ok(()) => {}
            Err(errno) => self.refuse(frame.to_vec(), errno, now_ms),
        }
    }

    /// Tries again what the file system refused, when it is time.
    pub(crate) fn retry(&mut self, now_ms: u64) {
        if let Some(refused) = self.refused.take_if(|refused| refused.retry_at_ms <= now_ms) {
            self.write(refused.frame, now_ms);
        }
    }

    /// When [`Self::retry`] has something to do.
    pub(crate) fn retry_at_ms(&self) -> Option<u64> {
        self.refused.as_ref().map(|refused| refused.retry_at_ms)
    }

    pub(crate) fn condition(&self) -> SpoolCondition {
        match &self.refused {
            Some(Refused { errno, .. }) => SpoolCondition::Refused {
                errno: errno.raw_os_error(),
                message: std::io::Error::from(*errno).to_string(),
            },
            None if self.takes_output() => SpoolCondition::Open,
            None => SpoolCondition::Full,
        }
    }

    fn write(&mut self, frame: Vec<u8>, now_ms: u64) {
        if let Err(errno) = self.try_write(&frame) {
            self.refuse(frame, errno, now_ms);
        }
    }

    fn refuse(&mut self, frame: Vec<u8>, errno: Errno, now_ms: u64) {
        self.refused = Some(Refused { frame, errno, retry_at_ms: now_ms.saturating_add(SPOOL_RETRY_MS) });
    }

    fn try_write(&mut self, frame: &[u8]) -> Result<(), Errno> {
        let file = self.file.as_ref().ok_or(Errno::BADF)?;
        let mut rest = frame;
        let mut offset = self.written;
        while !rest.is_empty() {
            let count = match rustix::io::pwrite(file, rest, offset) {
                Ok(0) => return Err(Errno::NOSPC),
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno),
            };
            rest = rest.get(count..).unwrap_or_default();
            offset = offset.saturating_add(count as u64);
        }
        self.written = offset;
        Ok(())
    }
}
