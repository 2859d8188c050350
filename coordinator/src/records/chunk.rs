//! A chunk: a header and frames, each a batch of records (docs/RECORDS.md).
//!
//! A frame is written at once and checked as a whole, so that a torn one is found and cut. Its records stay the bytes that
//! the agent made.

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::decode_varint;
use slipway_wire::records::Records;

use super::RecordsError;
use super::limits::{COPY_BELOW_BYTES, MAX_BATCH_BYTES, MAX_RECORD_BYTES};

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
    pub(super) head: [u8; FRAME_HEAD_BYTES],
    /// Its records, each with its length before it.
    pub(super) records: Bytes,
}

impl Frame {
    /// Number of its last record.
    pub(super) fn last(&self) -> u64 {
        self.first + u64::from(self.count) - 1
    }

    /// Bytes of head and records.
    pub(super) fn whole_bytes(&self) -> usize {
        FRAME_HEAD_BYTES + self.records.len()
    }

    /// Head and records in one piece.
    pub(super) fn to_vec(&self) -> Vec<u8> {
        [&self.head[..], &self.records].concat()
    }

    /// What is left of it after record `number`; none if nothing is.
    pub(super) fn after(&self, number: u64) -> Option<Self> {
        if number < self.first {
            return Some(self.clone());
        }
        let mut rest = self.records.clone();
        let known = number - self.first + 1;
        for _ in 0..known {
            take_next(&mut rest)?;
        }
        let count =
            u32::try_from(u64::from(self.count).checked_sub(known)?).ok().filter(|count| *count > 0)?;
        Some(of_delimited(number + 1, count, rest))
    }
}

fn checksum(first: u64, count: u32, records: &[u8]) -> u32 {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&first.to_le_bytes());
    checksum.update(&count.to_le_bytes());
    checksum.update(records);
    checksum.finalize()
}

/// Records as one frame; none of their bytes is copied, unless they are so few that they would hold on to much more memory
/// than they take.
pub(super) fn encode(first: u64, records: &Records) -> Result<Frame, RecordsError> {
    if records.longest_bytes() > MAX_RECORD_BYTES {
        return Err(too_long("a record", records.longest_bytes(), MAX_RECORD_BYTES));
    }
    let size_bytes = records.bytes().len();
    if size_bytes > MAX_BATCH_BYTES {
        return Err(too_long("a batch of records", size_bytes, MAX_BATCH_BYTES));
    }
    let bytes = match size_bytes < COPY_BELOW_BYTES {
        true => Bytes::copy_from_slice(records.bytes()),
        false => records.bytes().clone(),
    };
    Ok(of_delimited(first, records.count() as u32, bytes))
}

/// A frame of records that have their lengths before them already.
pub(super) fn of_delimited(first: u64, count: u32, records: Bytes) -> Frame {
    let mut head = [0; FRAME_HEAD_BYTES];
    let mut rest = &mut head[..];
    rest.put_u64_le(first);
    rest.put_u32_le(count);
    rest.put_u32_le(records.len() as u32);
    rest.put_u32_le(checksum(first, count, &records));
    Frame { first, count, head, records }
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
