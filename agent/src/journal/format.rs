//! The bytes of a journal segment.
//!
//! ```text
//! head    "SLJ1" · u64 number of the first record
//! group   u32 length of the payload · u32 CRC-32 of the payload · payload
//! payload u32 length+1 of the job's state (0: none) · state · the same for the stream's state ·
//!         u32 count of records, with its highest bit set · the records, each with its length before it as a varint
//! ```
//! All numbers are little-endian. Without the highest bit, each record has a u32 length before it: so wrote earlier agents.

use std::io::{BufReader, Read};
use std::path::Path;

use bytes::Bytes;
use slipway_wire::records::Records;

use crate::limits::JOURNAL_ENTRY_MAX_BYTES;

/// First bytes of a segment.
const MARK: [u8; 4] = *b"SLJ1";

/// The bit of a count that says how lengths are written.
const DELIMITED: u32 = 1 << 31;

/// Length of a segment's head.
pub(crate) const HEAD_BYTES: u64 = 12;

/// Length of what stands before a payload.
pub(crate) const PREFIX_BYTES: u64 = 8;

/// A group as it is on disk.
#[derive(Debug)]
pub struct Group<'a> {
    /// The job's state, if it changed.
    pub job: Option<&'a [u8]>,
    /// The stream's state, if it changed.
    pub stream: Option<&'a [u8]>,
    /// Encoded records.
    pub records: Row<'a>,
}

/// A group's records as they are in its payload.
#[derive(Debug, Clone, Copy)]
pub enum Row<'a> {
    /// Each with its length before it as a varint.
    Delimited {
        /// How many.
        count: u32,
        /// All of them.
        bytes: &'a [u8],
    },
    /// Each with its length before it as a u32.
    Earlier {
        /// How many.
        count: u32,
        /// All of them.
        bytes: &'a [u8],
    },
}

impl Row<'_> {
    pub(crate) fn count(self) -> u32 {
        let (Self::Delimited { count, .. } | Self::Earlier { count, .. }) = self;
        count
    }

    /// The records, which lie in `payload`; none when they make no sense.
    pub(crate) fn records(self, payload: &Bytes) -> Option<Records> {
        let records = match self {
            // The records are slices of what was read: none is copied.
            Self::Delimited { bytes, .. } => Records::new(payload.slice_ref(bytes))?,
            Self::Earlier { count, bytes } => {
                let (mut records, mut rest) = (Vec::new(), bytes);
                for _ in 0..count {
                    let length = take_u32(&mut rest)? as usize;
                    records.push(payload.slice_ref(take(&mut rest, length)?));
                }
                rest.is_empty().then(|| records.into())?
            }
        };
        (records.count() == self.count() as usize).then_some(records)
    }
}

/// What a segment holds.
#[derive(Debug)]
pub(crate) struct SegmentRead {
    pub(crate) first: u64,
    /// Number of the record after its last.
    pub(crate) next: u64,
    /// Up to where it is whole.
    pub(crate) size_bytes: u64,
    /// Whether bytes after that were not a group.
    pub(crate) torn: bool,
}

pub(crate) fn encode_head(first: u64) -> [u8; 12] {
    let mut head = [0; 12];
    let (mark, number) = head.split_at_mut(4);
    mark.copy_from_slice(&MARK);
    number.copy_from_slice(&first.to_le_bytes());
    head
}

/// A group up to its records, which follow as they are.
pub(crate) fn encode_group(
    records: &Records,
    job: Option<&[u8]>,
    stream: Option<&[u8]>,
) -> std::io::Result<Vec<u8>> {
    let mut group = vec![0; PREFIX_BYTES as usize];
    for state in [job, stream] {
        put_u32(&mut group, state.map_or(0, |state| state.len() + 1))?;
        group.extend_from_slice(state.unwrap_or_default());
    }
    put_u32(&mut group, records.count() | DELIMITED as usize)?;
    let head = group.get(PREFIX_BYTES as usize..).unwrap_or_default();
    let payload_bytes = head.len() + records.bytes().len();
    if payload_bytes > JOURNAL_ENTRY_MAX_BYTES {
        return Err(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            format!("the job's environment and outputs take more than {JOURNAL_ENTRY_MAX_BYTES} bytes"),
        ));
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(head);
    crc.update(records.bytes());
    let (length, crc) = ((payload_bytes as u32).to_le_bytes(), crc.finalize().to_le_bytes());
    for (to, from) in group.iter_mut().zip(length.into_iter().chain(crc)) {
        *to = from;
    }
    Ok(group)
}

fn put_u32(out: &mut Vec<u8>, value: usize) -> std::io::Result<()> {
    let value = u32::try_from(value).map_err(|_| std::io::Error::from(std::io::ErrorKind::FileTooLarge))?;
    out.extend_from_slice(&value.to_le_bytes());
    Ok(())
}

/// The next group's payload, or none at the end of what is whole.
pub(crate) fn read_payload(from: &mut impl Read, payload: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut prefix = [0; PREFIX_BYTES as usize];
    if read_up_to(from, &mut prefix)? < prefix.len() {
        return Ok(false);
    }
    let [a, b, c, d, e, f, g, h] = prefix;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length > JOURNAL_ENTRY_MAX_BYTES {
        return Ok(false);
    }
    payload.clear();
    from.by_ref().take(length as u64).read_to_end(payload)?;
    Ok(payload.len() == length && crc32fast::hash(payload) == u32::from_le_bytes([e, f, g, h]))
}

fn read_up_to(from: &mut impl Read, room: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = room.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The parts of a payload; none when it is not one.
pub(crate) fn decode_payload(payload: &[u8]) -> Option<Group<'_>> {
    let mut rest = payload;
    let job = take_state(&mut rest)?;
    let stream = take_state(&mut rest)?;
    let (count, bytes) = (take_u32(&mut rest)?, rest);
    let records = match count & DELIMITED {
        0 => Row::Earlier { count, bytes },
        _ => Row::Delimited { count: count & !DELIMITED, bytes },
    };
    Some(Group { job, stream, records })
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(take(rest, 4)?.try_into().ok()?))
}

fn take_state<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match take_u32(rest)? as usize {
        0 => Some(None),
        length => take(rest, length - 1).map(Some),
    }
}

/// The number of a segment's first record.
pub(crate) fn read_head(from: &mut impl Read) -> std::io::Result<u64> {
    let mut head = [0; HEAD_BYTES as usize];
    from.read_exact(&mut head)?;
    let (mark, number) = head.split_at(4);
    match <[u8; 8]>::try_from(number) {
        Ok(number) if mark == MARK => Ok(u64::from_le_bytes(number)),
        _ => Err(std::io::Error::other("this is not a job's journal, or one of a newer version")),
    }
}

/// Reads a segment up to where it is whole.
pub(crate) fn read_segment(path: &Path, mut seen: impl FnMut(Group<'_>)) -> std::io::Result<SegmentRead> {
    let file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    let mut from = BufReader::new(file);
    let first = read_head(&mut from)?;
    let (mut next, mut size_bytes) = (first, HEAD_BYTES);
    let mut payload = Vec::new();
    while read_payload(&mut from, &mut payload)? {
        let Some(group) = decode_payload(&payload) else { break };
        next += u64::from(group.records.count());
        size_bytes += PREFIX_BYTES + payload.len() as u64;
        seen(group);
    }
    Ok(SegmentRead { first, next, size_bytes, torn: size_bytes < length })
}
