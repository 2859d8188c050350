//! Little-endian fields of messages and frames: the bounded reader and the writer that everything else is made of.

use std::fmt;

/// Why bytes are not a message or a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end inside a field.
    Truncated,
    /// Bytes follow the last field.
    TrailingBytes,
    /// No message or frame has this kind.
    UnknownKind(u8),
    /// A length or count exceeds its named limit.
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Its length as the sender gave it.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// A field has a value that its type does not allow.
    BadValue(&'static str),
    /// The checksum does not fit the frame's bytes.
    Checksum,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the data ends inside a field"),
            Self::TrailingBytes => f.write_str("there is data after the last field"),
            Self::UnknownKind(kind) => write!(f, "unknown kind {kind}"),
            Self::TooLong { what, length, limit } => {
                write!(f, "{what} has {length} bytes or entries, the limit is {limit}")
            }
            Self::BadValue(what) => write!(f, "{what} has a value that is not allowed"),
            Self::Checksum => f.write_str("the checksum does not match"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Reads fields off the front of a slice.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.rest.split_at_checked(count).ok_or(DecodeError::Truncated)?;
        self.rest = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = tail;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    pub(crate) fn bytes(&mut self, what: &'static str, limit: usize) -> Result<&'a [u8], DecodeError> {
        let length = self.u32()? as usize;
        if length > limit {
            return Err(DecodeError::TooLong { what, length, limit });
        }
        self.take(length)
    }

    pub(crate) fn text(&mut self, what: &'static str, limit: usize) -> Result<String, DecodeError> {
        let bytes = self.bytes(what, limit)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(DecodeError::BadValue(what)),
        }
    }

    /// A count of entries that each take at least `entry_min_bytes`; so a count can't reserve more than what came.
    pub(crate) fn count(
        &mut self,
        what: &'static str,
        limit: usize,
        entry_min_bytes: usize,
    ) -> Result<usize, DecodeError> {
        let length = self.u32()? as usize;
        if length > limit {
            return Err(DecodeError::TooLong { what, length, limit });
        }
        if length.saturating_mul(entry_min_bytes) > self.rest.len() {
            return Err(DecodeError::Truncated);
        }
        Ok(length)
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes) }
    }
}

/// Appends a length-prefixed byte string. Lengths beyond `u32` are cut by the message limits that callers check.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends a count of entries or bytes.
pub(crate) fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

/// The front of `text` that fits `limit` bytes, cut at a character.
pub(crate) fn cut_text(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
