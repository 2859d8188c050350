//! A sealed log: the zstd seekable format, with an index of record numbers.
//!
//! The format is that of zstd's own `contrib/seekable_format` (`zstd_seekable_compression_format.md`): independent frames,
//! and behind them a skippable frame with the size of each, so that one frame can be unpacked without those before it,
//! and any zstd program unpacks the whole. What the whole unpacks to is one long chunk (docs/RECORDS.md). Between the data
//! and the seek table stands a skippable frame of our own: which record each frame begins with, how many there are, and
//! their digest.

use bytes::{Buf, BufMut as _, Bytes, BytesMut};
use slipway_cas::Digest;

use super::chunk::{FRAME_HEAD_BYTES, FrameHead, MAGIC};
use super::limits::{MAX_BATCH_BYTES, MAX_RECORD_BYTES, SEALED_FRAME_BYTES};

/// First four bytes of the seek table, a skippable frame.
const SEEK_TABLE_MAGIC: u32 = 0x184D_2A5E;
/// Last four bytes of the file.
const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;
/// First four bytes of our index, another kind of skippable frame.
const INDEX_FRAME_MAGIC: u32 = 0x184D_2A51;
/// First bytes inside of it; the last digit is the format.
const INDEX_MAGIC: &[u8; 8] = b"SLIPIDX1";
/// A skippable frame's magic and length.
const SKIPPABLE_HEAD_BYTES: usize = 8;
/// Number of frames, descriptor, magic.
pub(super) const FOOTER_BYTES: usize = 9;
/// Sizes of a frame, compressed and not.
const ENTRY_BYTES: usize = 8;
/// Our index without the numbers: magic, records, size of records, SHA-256, frames, CRC-32.
const INDEX_FIXED_BYTES: usize = 8 + 8 + 8 + 32 + 4 + 4;

/// What zstd gets for its work; more takes several times as long and gains a tenth on logs.
const LEVEL: i32 = 3;

/// The most bytes one frame of a sealed log unpacks to.
const UNPACKED_MAX_BYTES: usize =
    MAGIC.len() + FRAME_HEAD_BYTES + max(SEALED_FRAME_BYTES + MAX_RECORD_BYTES + 16, MAX_BATCH_BYTES);

const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// A frame of a sealed log, by its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Number of its first record.
    pub(super) first: u64,
    /// Where it begins in the file.
    pub(super) offset: u64,
    /// Its bytes in the file.
    pub(super) packed_bytes: u32,
    /// What it unpacks to.
    unpacked_bytes: u32,
}

/// What is in a sealed log, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) entries: Vec<Entry>,
    /// How many records.
    pub(super) records: u64,
    /// Their digest.
    pub(super) digest: Digest,
}

impl Index {
    /// The frame that has this record.
    pub(super) fn find(&self, record: u64) -> Option<usize> {
        if record == 0 || record > self.records {
            return None;
        }
        self.entries.partition_point(|entry| entry.first <= record).checked_sub(1)
    }
}

/// Makes frames and remembers what the index needs.
#[derive(Debug, Default)]
pub(super) struct Packer {
    entries: Vec<Entry>,
    offset: u64,
}

impl Packer {
    /// Packs one frame of records, whose first has number `first`.
    pub(super) fn pack(&mut self, first: u64, frame: &[u8]) -> std::io::Result<Bytes> {
        let mut content = Vec::with_capacity(MAGIC.len() + frame.len());
        if self.entries.is_empty() {
            content.extend_from_slice(MAGIC);
        }
        content.extend_from_slice(frame);
        let packed = zstd::bulk::compress(&content, LEVEL)?;
        let entry = Entry {
            first,
            offset: self.offset,
            packed_bytes: packed.len() as u32,
            unpacked_bytes: content.len() as u32,
        };
        self.offset += packed.len() as u64;
        self.entries.push(entry);
        Ok(packed.into())
    }

    /// What stands behind the frames.
    pub(super) fn finish(self, records: u64, digest: Digest) -> Bytes {
        let frames = self.entries.len();
        let index_bytes = INDEX_FIXED_BYTES + 8 * frames;
        let mut end =
            BytesMut::with_capacity(2 * SKIPPABLE_HEAD_BYTES + index_bytes + ENTRY_BYTES * (frames + 1));
        end.put_u32_le(INDEX_FRAME_MAGIC);
        end.put_u32_le(index_bytes as u32);
        let from = end.len();
        end.put_slice(INDEX_MAGIC);
        end.put_u64_le(records);
        end.put_u64_le(digest.size_bytes());
        end.put_slice(digest.hash());
        end.put_u32_le(frames as u32);
        for entry in &self.entries {
            end.put_u64_le(entry.first);
        }
        let checksum = crc32fast::hash(&end[from..]);
        end.put_u32_le(checksum);

        end.put_u32_le(SEEK_TABLE_MAGIC);
        // Our index is a frame like the others: one that unpacks to nothing.
        end.put_u32_le((ENTRY_BYTES * (frames + 1) + FOOTER_BYTES) as u32);
        for entry in &self.entries {
            end.put_u32_le(entry.packed_bytes);
            end.put_u32_le(entry.unpacked_bytes);
        }
        end.put_u32_le((SKIPPABLE_HEAD_BYTES + index_bytes) as u32);
        end.put_u32_le(0);
        end.put_u32_le((frames + 1) as u32);
        // No checksums of frames: each frame of records has one of its own.
        end.put_u8(0);
        end.put_u32_le(SEEKABLE_MAGIC);
        end.freeze()
    }
}

/// How many bytes from the file's end have to be read for the index; `None` when this is no sealed log's end. Call it
/// with the last [`FOOTER_BYTES`] bytes.
pub(super) fn end_bytes(mut footer: &[u8]) -> Option<usize> {
    if footer.len() != FOOTER_BYTES {
        return None;
    }
    let frames = usize::try_from(footer.get_u32_le()).ok()?;
    let plain = footer.get_u8() == 0 && footer.get_u32_le() == SEEKABLE_MAGIC;
    let data = frames.checked_sub(1)?;
    let index = SKIPPABLE_HEAD_BYTES + INDEX_FIXED_BYTES + 8 * data;
    plain.then_some(index + SKIPPABLE_HEAD_BYTES + ENTRY_BYTES * frames + FOOTER_BYTES)
}

/// Reads the index from the bytes that [`end_bytes`] asked for; `None` when they are damaged.
pub(super) fn read_index(mut end: &[u8], file_bytes: u64) -> Option<Index> {
    let data_bytes = file_bytes.checked_sub(end.len() as u64)?;
    let frames =
        (end.len().checked_sub(FOOTER_BYTES + 2 * SKIPPABLE_HEAD_BYTES + INDEX_FIXED_BYTES + ENTRY_BYTES)?)
            / (8 + ENTRY_BYTES);
    let index_bytes = INDEX_FIXED_BYTES + 8 * frames;
    if end.get_u32_le() != INDEX_FRAME_MAGIC || end.get_u32_le() as usize != index_bytes {
        return None;
    }
    let (mut index, mut table) = end.split_at_checked(index_bytes)?;
    let (content, mut checksum) = index.split_at_checked(index_bytes - 4)?;
    if !content.starts_with(INDEX_MAGIC) || checksum.get_u32_le() != crc32fast::hash(content) {
        return None;
    }
    index.advance(INDEX_MAGIC.len());
    let records = index.get_u64_le();
    let size_bytes = index.get_u64_le();
    let mut hash = [0; 32];
    index.copy_to_slice(&mut hash);
    if index.get_u32_le() as usize != frames
        || table.len() != SKIPPABLE_HEAD_BYTES + ENTRY_BYTES * (frames + 1) + FOOTER_BYTES
        || table.get_u32_le() != SEEK_TABLE_MAGIC
        || table.get_u32_le() as usize != table.len()
    {
        return None;
    }
    let mut entries = Vec::with_capacity(frames);
    let mut offset = 0;
    for _ in 0..frames {
        let (packed_bytes, unpacked_bytes) = (table.get_u32_le(), table.get_u32_le());
        entries.push(Entry { first: index.get_u64_le(), offset, packed_bytes, unpacked_bytes });
        offset += u64::from(packed_bytes);
    }
    let own = (table.get_u32_le() as usize, table.get_u32_le());
    if own != (SKIPPABLE_HEAD_BYTES + index_bytes, 0) || table.get_u32_le() as usize != frames + 1 {
        return None;
    }
    let rising = entries.windows(2).all(|pair| matches!(pair, [a, b] if a.first < b.first));
    (rising && offset == data_bytes).then(|| Index {
        entries,
        records,
        digest: Digest::from_parts(hash, size_bytes),
    })
}

/// Unpacks a frame: the head and bytes of its records. `None` when it is damaged.
pub(super) fn unpack(entry: &Entry, packed: &[u8]) -> Option<(FrameHead, Bytes)> {
    let unpacked_bytes = entry.unpacked_bytes as usize;
    if unpacked_bytes > UNPACKED_MAX_BYTES {
        return None;
    }
    let mut content = Bytes::from(zstd::bulk::decompress(packed, unpacked_bytes).ok()?);
    if content.len() != unpacked_bytes {
        return None;
    }
    if entry.offset == 0 {
        if !content.starts_with(MAGIC) {
            return None;
        }
        content.advance(MAGIC.len());
    }
    let head = FrameHead::read(&content)?;
    content.advance(FRAME_HEAD_BYTES);
    (head.first == entry.first && head.matches(&content)).then_some((head, content))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::records::chunk;

    fn sealed() -> (Vec<u8>, Vec<u8>, Index) {
        let mut packer = Packer::default();
        let (mut file, mut plain) = (Vec::new(), MAGIC.to_vec());
        for first in [1, 4, 9] {
            let frame = chunk::encode(first, &vec![Bytes::from(vec![first as u8; 5_000]); 3].into()).unwrap();
            let bytes = frame.to_vec();
            plain.extend_from_slice(&bytes);
            file.extend(packer.pack(first, &bytes).unwrap());
        }
        let digest = Digest::of(&plain);
        file.extend(packer.finish(11, digest));
        let end = end_bytes(&file[file.len() - FOOTER_BYTES..]).unwrap();
        let index = read_index(&file[file.len() - end..], file.len() as u64).unwrap();
        assert_eq!((index.records, index.digest), (11, digest));
        (file, plain, index)
    }

    #[test]
    fn any_zstd_program_unpacks_it() {
        let (file, plain, _) = sealed();
        assert_eq!(zstd::stream::decode_all(&file[..]).unwrap(), plain);
    }

    #[test]
    fn one_frame_is_read_without_the_others() {
        let (file, _, index) = sealed();
        for (record, place) in
            [(0, None), (1, Some(0)), (3, Some(0)), (4, Some(1)), (11, Some(2)), (12, None)]
        {
            assert_eq!(index.find(record), place, "{record}");
        }
        let entry = index.entries[1];
        let packed = &file[entry.offset as usize..][..entry.packed_bytes as usize];
        let (head, mut records) = unpack(&entry, packed).unwrap();
        assert_eq!((head.first, head.count), (4, 3));
        assert_eq!(chunk::take_next(&mut records).unwrap(), vec![4; 5_000]);
    }

    /// Any damaged byte is noticed, or changes nothing of what is read.
    #[test]
    fn damage_is_noticed() {
        let (file, plain, _) = sealed();
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 0x10;
            if let Some(read) = read_all(&damaged) {
                assert!(at < file.len() / 2 && read == plain, "byte {at} of {}", file.len());
            }
        }
    }

    fn read_all(file: &[u8]) -> Option<Vec<u8>> {
        let end = end_bytes(&file[file.len() - FOOTER_BYTES..]).filter(|end| *end <= file.len())?;
        let index = read_index(&file[file.len() - end..], file.len() as u64)?;
        let mut all = MAGIC.to_vec();
        for entry in &index.entries {
            let packed =
                file.get(entry.offset as usize..entry.offset as usize + entry.packed_bytes as usize)?;
            let (head, records) = unpack(entry, packed)?;
            all.extend_from_slice(&chunk::of_delimited(head.first, head.count, records).to_vec());
        }
        Some(all)
    }
}
