//! The digest of an attempt's records: SHA-256 over all of them in order, each with its length before it.
//!
//! Agent and coordinator count it independently, one record after the other: the agent over what it numbers, the
//! coordinator over what it keeps. The two are compared when the attempt is reported, and whoever reads the records later
//! can compare again. How far it is can be written down ([`RecordDigest::save`]), so that an agent which starts again need
//! not have all records.

use bytes::Buf as _;
use prost::encoding::encode_varint;
use sha2::digest::common::hazmat::SerializableState as _;
use sha2::{Digest as _, Sha256};
use slipway_cas::Digest;

/// The longest length of a record, as a varint.
const LENGTH_MAX_BYTES: usize = 10;

/// A digest in the making.
#[derive(Debug, Clone, Default)]
pub struct RecordDigest {
    hash: Sha256,
    size_bytes: u64,
}

impl RecordDigest {
    /// Of no records.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts the next record, encoded.
    pub fn push(&mut self, record: &[u8]) {
        let mut length = [0; LENGTH_MAX_BYTES];
        let mut rest = &mut length[..];
        encode_varint(record.len() as u64, &mut rest);
        let used = LENGTH_MAX_BYTES - rest.len();
        self.push_delimited(&length[..used]);
        self.push_delimited(record);
    }

    /// Counts bytes of records that have their lengths before them already.
    pub fn push_delimited(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.size_bytes += bytes.len() as u64;
    }

    /// The digest of what was counted so far.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::from_parts(self.hash.clone().finalize().into(), self.size_bytes)
    }

    /// How far it is, in hexadecimal digits.
    #[must_use]
    pub fn save(&self) -> String {
        let mut saved = self.size_bytes.to_le_bytes().to_vec();
        saved.extend_from_slice(&self.hash.serialize());
        hex::encode(saved)
    }

    /// Goes on from where [`RecordDigest::save`] was called; none when the text is not one of its.
    #[must_use]
    pub fn restore(saved: &str) -> Option<Self> {
        let saved = hex::decode(saved).ok()?;
        let (mut size_bytes, state) = saved.split_at_checked(8)?;
        let state = state.try_into().ok()?;
        let hash = Sha256::deserialize(&state).ok()?;
        Some(Self { hash, size_bytes: size_bytes.get_u64_le() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_digest_of_the_length_delimited_records() {
        let mut digest = RecordDigest::new();
        assert_eq!(digest.digest(), Digest::of(b""));
        let mut bytes = Vec::new();
        for number in 0..1_000_usize {
            let record = vec![number as u8; number % 300];
            encode_varint(record.len() as u64, &mut bytes);
            bytes.extend_from_slice(&record);
            digest.push(&record);
            digest = RecordDigest::restore(&digest.save()).unwrap();
        }
        assert_eq!(digest.digest(), Digest::of(&bytes));
    }

    #[test]
    fn what_was_not_saved_is_not_restored() {
        let saved = RecordDigest::new().save();
        for wrong in ["", "00", "zz", &saved[2..], &format!("{saved}00")] {
            assert!(RecordDigest::restore(wrong).is_none(), "{wrong}");
        }
    }
}
