//! Cuts a byte stream into messages.

use super::DecodeError;

/// Collects received bytes and gives back whole messages. Holds at most one message of the limit and what arrived with it.
#[derive(Debug)]
pub struct MessageBuffer {
    bytes: Vec<u8>,
    start: usize,
    limit: usize,
}

impl MessageBuffer {
    /// For messages of at most `limit` bytes (without the length prefix).
    pub fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), start: 0, limit }
    }

    /// Adds received bytes. Call [`Self::next_message`] until it gives `None` before adding more, so that the buffer
    /// stays within its bound.
    pub fn push(&mut self, received: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(received);
    }

    /// The body (kind and fields) of the next message, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// When the sender announces an empty message or one above the limit. The stream is useless after that.
    pub fn next_message(&mut self) -> Result<Option<&[u8]>, DecodeError> {
        let rest = self.bytes.get(self.start..).unwrap_or_default();
        let Some((prefix, rest)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*prefix) as usize;
        if length == 0 {
            return Err(DecodeError::BadValue("message length"));
        }
        if length > self.limit {
            return Err(DecodeError::TooLong { what: "message", length, limit: self.limit });
        }
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        self.start += 4 + length;
        Ok(Some(body))
    }
}
