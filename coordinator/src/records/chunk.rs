//! A chunk: a header and frames, each a batch of records (docs/RECORDS.md).
//!
//! A frame is written at once and checked as a whole, so that a torn one is found and cut. Its records stay the bytes that
//! the agent made.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::encoding::{decode_varint, encode_varint, encoded_len_varint};

use super::RecordsError;
use super::limits::{MAX_BATCH_BYTES, MAX_RECORD_BYTES};

/// The first bytes of every chunk; the last digit is the format.
pub(super) const MAGIC: &[u8; 8] = b"SLIPREC1";

/// Bytes of a frame before its records: number of the first record (8), how many (4), bytes of records (4), CRC-32 (4).
pub(super) const FRAME_HEAD_BYTES: usize = 20;

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) first: u64,
    pub(super) count: u32,
    pub(super) size_bytes: u32,
    checksum: u32,
}

impl FrameHead {
    /// The head, unless these bytes cannot be one.
    pub(super) fn read(mut bytes: &[u8]) -> Option<Self> {
        if bytes.len() < FRAME_HEAD_BYTES {
            return None;
        }
        let head = Self {
            first: bytes.get_u64_le(),
            count: bytes.get_u32_le(),
            size_bytes: bytes.get_u32_le(),
            checksum: bytes.get_u32_le(),
        };
        let possible = head.first > 0 && head.count > 0 && head.size_bytes as usize <= MAX_BATCH_BYTES;
        possible.then_some(head)
    }

    /// Number of the record after the last of this frame.
    pub(super) fn next(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count))
    }

    /// Bytes of the whole frame.
    pub(super) fn whole_bytes(&self) -> usize {
        FRAME_HEAD_BYTES + self.size_bytes as usize
    }

    /// Whether these are the frame's records as they were written.
    pub(super) fn matches(&self, records: &[u8]) -> bool {
        self.size_bytes as usize == records.len()
            && self.checksum == checksum(self.first, self.count, records)
    }
}

/// A frame as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub(super) first: u64,
    pub(super) count: u32,
    /// Head and records.
    pub(super) bytes: Bytes,
}

impl Frame {
    /// Number of its last record.
    pub(super) fn last(&self) -> u64 {
        self.first + u64::from(self.count) - 1
    }

    /// Its records, each with its length before it.
    pub(super) fn records(&self) -> Bytes {
        self.bytes.slice(FRAME_HEAD_BYTES..)
    }

    /// What is left of it after record `number`; none if nothing is.
    pub(super) fn after(&self, number: u64) -> Option<Self> {
        if number < self.first {
            return Some(self.clone());
        }
        let mut rest = self.records();
        let known = number - self.first + 1;
        for _ in 0..known {
            take_next(&mut rest)?;
        }
        let count =
            u32::try_from(u64::from(self.count).checked_sub(known)?).ok().filter(|count| *count > 0)?;
        Some(frame_of(number + 1, count, |frame| frame.put_slice(&rest), rest.len()))
    }
}

fn checksum(first: u64, count: u32, records: &[u8]) -> u32 {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&first.to_le_bytes());
    checksum.update(&count.to_le_bytes());
    checksum.update(records);
    checksum.finalize()
}

fn frame_of(first: u64, count: u32, fill: impl FnOnce(&mut BytesMut), size_bytes: usize) -> Frame {
    let mut frame = BytesMut::with_capacity(FRAME_HEAD_BYTES + size_bytes);
    frame.put_u64_le(first);
    frame.put_u32_le(count);
    frame.put_u32_le(size_bytes as u32);
    frame.put_u32_le(0);
    fill(&mut frame);
    let checksum = checksum(first, count, &frame[FRAME_HEAD_BYTES..]);
    frame[FRAME_HEAD_BYTES - 4..FRAME_HEAD_BYTES].copy_from_slice(&checksum.to_le_bytes());
    Frame { first, count, bytes: frame.freeze() }
}

/// Writes records, each encoded, as one frame.
pub(super) fn encode(first: u64, records: &[Bytes]) -> Result<Frame, RecordsError> {
    let mut size_bytes = 0;
    for record in records {
        let length = record.len();
        if length > MAX_RECORD_BYTES {
            return Err(too_long("a record", length, MAX_RECORD_BYTES));
        }
        size_bytes += encoded_len_varint(length as u64) + length;
    }
    if size_bytes > MAX_BATCH_BYTES {
        return Err(too_long("a batch of records", size_bytes, MAX_BATCH_BYTES));
    }
    let fill = |frame: &mut BytesMut| {
        for record in records {
            encode_varint(record.len() as u64, frame);
            frame.put_slice(record);
        }
    };
    Ok(frame_of(first, records.len() as u32, fill, size_bytes))
}

/// A frame of records that have their lengths before them already.
pub(super) fn of_delimited(first: u64, count: u32, records: &[u8]) -> Frame {
    frame_of(first, count, |frame| frame.put_slice(records), records.len())
}

fn too_long(what: &'static str, size_bytes: usize, limit_bytes: usize) -> RecordsError {
    RecordsError::TooLong { what, size_bytes: size_bytes as u64, limit_bytes: limit_bytes as u64 }
}

/// The next record of a frame's bytes; `None` at their end or where they make no sense.
pub(super) fn take_next(records: &mut Bytes) -> Option<Bytes> {
    if records.is_empty() {
        return None;
    }
    let length = usize::try_from(decode_varint(records).ok()?).ok()?;
    (length <= records.len()).then(|| records.split_to(length))
}
