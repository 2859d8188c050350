//! Where a blob is cut: FastCDC as of 2020 with the parameters of REAPI's `FastCdc2020Params`, so that a client that
//! cuts by itself makes the same chunks.
//!
//! Normalization level 2, a minimum of a quarter and a maximum of four times the average, seed 0.

use fastcdc::v2020::{Normalization, cut, select_masks};

use crate::cache::limits::{CHUNK_AVERAGE_BYTES, CHUNK_MAX_BYTES, CHUNK_MIN_BYTES};

/// Finds cuts; without state, so that it may be kept or made anew.
#[derive(Debug, Clone, Copy)]
pub struct Chunking {
    min: usize,
    average: usize,
    max: usize,
    masks: (u64, u64),
}

impl Default for Chunking {
    fn default() -> Self {
        Self::with_average(CHUNK_AVERAGE_BYTES, CHUNK_MIN_BYTES, CHUNK_MAX_BYTES)
    }
}

impl Chunking {
    fn with_average(average: usize, min: usize, max: usize) -> Self {
        Self { min, average, max, masks: select_masks(average, Normalization::Level2) }
    }

    /// The length of the first chunk of these bytes. Unless they are the blob's last, there must be as many as the
    /// longest chunk has: a cut depends on no more than those.
    #[must_use]
    pub fn first(&self, bytes: &[u8]) -> usize {
        let (short, long) = self.masks;
        cut(bytes, self.min, self.average, self.max, short, long, short << 1, long << 1).1
    }

    /// The length of the first chunk of these bytes, after which others may come; `None` if that depends on those.
    #[must_use]
    pub fn first_of_more(&self, bytes: &[u8]) -> Option<usize> {
        // A cut before the end was found in the bytes before it; where the bytes end is not one.
        let length = self.first(bytes);
        (length < bytes.len() || bytes.len() >= self.max).then_some(length)
    }

    /// The longest chunk, in bytes.
    #[must_use]
    pub const fn max_bytes(&self) -> usize {
        self.max
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Digest;

    /// REAPI's `fastcdc2020_test_vectors.txt`, seed 0: offsets, lengths and hashes of a picture in the public domain.
    const VECTORS: [(usize, usize, &str); 6] = [
        (0, 19186, "0f9efa589121d5d9e9e2c4ace91337d77cae866537143f6f15a0ffd525a77c2d"),
        (19186, 19279, "c7c86a165573c16448cda35c9169742e85645af42be22889f8b96b8ee0ec7cb0"),
        (38465, 17354, "bc88521e28a8b4479cdea5f75aa721a24f3a0a7d0be903aa6d505c574e51e89d"),
        (55819, 16387, "4b8dac2652e4685c629d2bb1ae9d4448e676b86f2e67ca0b2fff3d9580184b79"),
        (72206, 19940, "c0a7062da6f2386c28e086ee0cedd5732252741269838773cff1ddb05b2df6ed"),
        (92146, 17320, "7fa5b12134dc75cd2ac8dc60d3a8f3c8d22f0ee9d4cf74a4aa937e2a0d2d79a5"),
    ];

    #[test]
    fn cuts_are_those_of_the_remote_execution_api() {
        let picture = include_bytes!("../../../tests/data/SekienAkashita.jpg");
        let chunking = Chunking::with_average(16384, 4096, 65536);
        let (mut at, mut chunks) = (0, Vec::new());
        while at < picture.len() {
            let length = chunking.first(&picture[at..]);
            chunks.push((at, length, Digest::of(&picture[at..at + length]).hash_hex()));
            at += length;
        }
        let expected: Vec<_> =
            VECTORS.iter().map(|(at, length, hash)| (*at, *length, (*hash).to_owned())).collect();
        assert_eq!(chunks, expected);
    }

    #[test]
    fn no_more_than_the_longest_chunk_is_looked_at() {
        let chunking = Chunking::default();
        let mut random = fastrand::Rng::with_seed(7);
        let mut bytes = vec![0; 3 * CHUNK_MAX_BYTES];
        random.fill(&mut bytes);
        for start in [0, 1, 70_001, CHUNK_MAX_BYTES] {
            let all = chunking.first(&bytes[start..]);
            assert_eq!(all, chunking.first(&bytes[start..start + CHUNK_MAX_BYTES]));
            assert!((CHUNK_MIN_BYTES..=CHUNK_MAX_BYTES).contains(&all), "{all}");
        }
        assert_eq!(
            chunking.first(&vec![0; 2 * CHUNK_MAX_BYTES]),
            CHUNK_MAX_BYTES,
            "without any content to cut at"
        );
        assert_eq!(chunking.first(b"short"), 5);
    }

    #[test]
    fn bytes_that_come_in_pieces_are_cut_alike() {
        let mut bytes = vec![0; 300_000];
        let mut random = fastrand::Rng::with_seed(1);
        random.fill(&mut bytes);
        // A stretch without any cut but the longest.
        bytes[100_000..200_000].fill(0);
        let chunking = Chunking::with_average(1024, 256, 4096);
        let (mut at, mut end, mut open) = (0, 0, 0);
        while at < bytes.len() {
            let cut = chunking.first(&bytes[at..]);
            end = (end + random.usize(1..700)).min(bytes.len());
            match chunking.first_of_more(&bytes[at..end.max(at)]) {
                Some(length) => {
                    assert_eq!(length, cut, "at {at}, seeing up to {end}");
                    at += length;
                }
                None if end == bytes.len() => at += cut,
                None => open += 1,
            }
        }
        assert!(open > 100, "many ends were no cuts");
    }
}
