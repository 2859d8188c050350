//! Finds the hashes of blobs in whatever is written as text.
//!
//! A blob is named by 64 lower-case hexadecimal digits, in JSON and elsewhere. Taking each such word for a name keeps a
//! blob too many at worst; knowing each field that may hold one would lose blobs with the first field that is forgotten.

use std::collections::HashSet;
use std::io;

use slipway_cas::Digest;

/// Digits of a hash.
const DIGITS: usize = 64;

/// What was found in all that was written so far. A word may come in pieces.
#[derive(Debug, Default)]
pub(super) struct Hashes {
    found: HashSet<[u8; 32]>,
    /// The digits since the last other character; no more than a hash has, and one.
    word: String,
}

impl Hashes {
    /// All of them; what was written last is a word of its own.
    pub(super) fn finish(mut self) -> HashSet<[u8; 32]> {
        self.end_word();
        self.found
    }

    /// Ends a text: what comes after it is another.
    pub(super) fn end_word(&mut self) {
        if let Ok(digest) = Digest::from_hex(&self.word, 0) {
            self.found.insert(*digest.hash());
        }
        self.word.clear();
    }
}

impl io::Write for Hashes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            match byte {
                b'0'..=b'9' | b'a'..=b'f' if self.word.len() > DIGITS => {}
                b'0'..=b'9' | b'a'..=b'f' => self.word.push(char::from(*byte)),
                _ if self.word.is_empty() => {}
                _ => self.end_word(),
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write as _;

    use super::*;

    fn found_in(pieces: &[&str]) -> usize {
        let mut hashes = Hashes::default();
        pieces.iter().for_each(|piece| hashes.write_all(piece.as_bytes()).unwrap());
        hashes.finish().len()
    }

    #[test]
    fn each_word_of_as_many_digits_is_one() {
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let (hash, text) = (one.hash_hex(), other.to_string());
        let (hash, text) = (hash.as_str(), text.as_str());
        let cases: [(&[&str], usize); 11] = [
            (&[], 0),
            (&[hash], 1),
            (&[text], 1),
            (&[&hash[..10], &hash[10..]], 1),
            (&[hash, "/", hash], 1),
            (&[hash, " ", text], 2),
            (&["x", hash, "x"], 1),
            (&["0", hash], 0),
            (&[hash, hash], 0),
            (&[&hash[1..]], 0),
            (&[&hash.to_uppercase()], 0),
        ];
        for (pieces, count) in cases {
            assert_eq!(found_in(pieces), count, "{pieces:?}");
        }
        let mut hashes = Hashes::default();
        serde_json::to_writer(&mut hashes, &serde_json::json!({"a": [one, {"b": other}]})).unwrap();
        assert_eq!(hashes.finish(), HashSet::from([*one.hash(), *other.hash()]));
    }
}
