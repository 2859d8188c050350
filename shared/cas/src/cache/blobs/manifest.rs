//! The list of a blob's chunks.
//!
//! Encoded: a version byte, then for each chunk its SHA-256 and its length as four bytes, little end first. Decoding
//! checks it against the blob's digest: a list that does not add up is no list.

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::Digest;
use crate::cache::limits::{CHUNK_MAX_BYTES, MAX_CHUNKS};

const VERSION: u8 = 1;
const CHUNK_BYTES: usize = 36;

/// The encoding of these chunks.
#[must_use]
pub fn encode(chunks: &[Digest]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(1 + chunks.len() * CHUNK_BYTES);
    bytes.put_u8(VERSION);
    for chunk in chunks {
        bytes.put_slice(chunk.hash());
        bytes.put_u32_le(u32::try_from(chunk.size_bytes()).unwrap_or(u32::MAX));
    }
    bytes.freeze()
}

/// The chunks that these bytes list, if they can be those of `blob`.
#[must_use]
pub fn decode(blob: Digest, bytes: &[u8]) -> Option<Vec<Digest>> {
    let (&version, list) = bytes.split_first()?;
    if version != VERSION || !list.len().is_multiple_of(CHUNK_BYTES) {
        return None;
    }
    let mut chunks = Vec::with_capacity(list.len() / CHUNK_BYTES);
    for chunk in list.chunks_exact(CHUNK_BYTES) {
        let (hash, size) = chunk.split_at(32);
        let size_bytes = u32::from_le_bytes(size.try_into().ok()?);
        chunks.push(Digest::from_parts(hash.try_into().ok()?, u64::from(size_bytes)));
    }
    is_possible(blob, &chunks).then_some(chunks)
}

/// Whether these chunks can make up `blob`: their number, their lengths and the sum of those.
#[must_use]
pub fn is_possible(blob: Digest, chunks: &[Digest]) -> bool {
    let fits = |chunk: &Digest| (1..=CHUNK_MAX_BYTES as u64).contains(&chunk.size_bytes());
    let sum: u64 = chunks.iter().map(Digest::size_bytes).fold(0, u64::saturating_add);
    chunks.len() <= MAX_CHUNKS && chunks.iter().all(fits) && sum == blob.size_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cache::limits::MAX_VALUE_BYTES;

    #[test]
    fn a_list_comes_back_only_for_a_blob_of_its_length() {
        let chunks = vec![Digest::of(b"one"), Digest::of(b"three")];
        let (blob, other) = (Digest::from_parts([1; 32], 8), Digest::from_parts([1; 32], 9));
        let bytes = encode(&chunks);
        assert_eq!(decode(blob, &bytes).unwrap(), chunks);
        assert_eq!(decode(other, &bytes), None);
        assert_eq!(decode(blob, &bytes[..bytes.len() - 1]), None);
        assert_eq!(decode(blob, b""), None);
        let long = vec![Digest::from_parts([0; 32], CHUNK_MAX_BYTES as u64 + 1)];
        assert!(!is_possible(Digest::from_parts([1; 32], CHUNK_MAX_BYTES as u64 + 1), &long));
        assert!(!is_possible(Digest::from_parts([1; 32], 0), &[Digest::of(b"")]), "an empty chunk");
    }

    #[test]
    fn the_longest_list_is_one_value() {
        let chunks = vec![Digest::of(b"x"); MAX_CHUNKS];
        assert!(encode(&chunks).len() <= MAX_VALUE_BYTES);
    }
}
