//! A blob's name: the SHA-256 of its bytes and their number, as in REAPI's `Digest` message.
//!
//! Its text form is `<64 lower-case hexadecimal digits>/<bytes in decimal>`, in JSON too. One digest has exactly one
//! text form, so texts may be compared instead of digests.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

/// SHA-256 and length of a blob.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    hash: [u8; 32],
    size_bytes: u64,
}

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The hash is not 64 lower-case hexadecimal digits.
    #[error("a digest starts with 64 lower-case hexadecimal digits")]
    Hash,
    /// The part after the slash is missing or not a plain decimal number.
    #[error("a digest ends with `/` and the blob's size in bytes, without leading zeros")]
    Size,
}

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { hash: Sha256::digest(bytes).into(), size_bytes: bytes.len() as u64 }
    }

    /// A digest from its parts, as another program reported them; nothing is checked here but on reading the blob.
    #[must_use]
    pub const fn from_parts(hash: [u8; 32], size_bytes: u64) -> Self {
        Self { hash, size_bytes }
    }

    /// A digest from the hash in hexadecimal (64 lower-case digits) and the size.
    ///
    /// # Errors
    /// [`DigestError::Hash`] for anything but 64 lower-case hexadecimal digits.
    pub fn from_hex(hash: &str, size_bytes: u64) -> Result<Self, DigestError> {
        if hash.len() != 64 || !hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(DigestError::Hash);
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(hash, &mut bytes).map_err(|_| DigestError::Hash)?;
        Ok(Self { hash: bytes, size_bytes })
    }

    /// The SHA-256.
    #[must_use]
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// The SHA-256 in 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn hash_hex(&self) -> String {
        hex::encode(self.hash)
    }

    /// The blob's length in bytes.
    #[must_use]
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Whether these bytes are the blob of this digest.
    #[must_use]
    pub fn matches(&self, bytes: &[u8]) -> bool {
        *self == Self::of(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", hex::encode(self.hash), self.size_bytes)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (hash, size) = text.split_once('/').ok_or(DigestError::Size)?;
        let plain = size == "0" || (!size.starts_with('0') && size.bytes().all(|b| b.is_ascii_digit()));
        if !plain {
            return Err(DigestError::Size);
        }
        Self::from_hex(hash, size.parse().map_err(|_| DigestError::Size)?)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Digest;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a digest `<sha256>/<bytes>`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Digest, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/0";

    #[test]
    fn the_empty_blob_has_its_well_known_digest() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse(), Ok(Digest::of(b"")));
        assert!(Digest::of(b"abc").matches(b"abc"));
        assert!(!Digest::of(b"abc").matches(b"abd"));
    }

    #[test]
    fn json_is_the_text_form() {
        let json = serde_json::to_string(&Digest::of(b"x")).unwrap();
        assert_eq!(json, format!("\"{}\"", Digest::of(b"x")));
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), Digest::of(b"x"));
    }

    #[test]
    fn other_spellings_are_refused() {
        let hash = &EMPTY[..64];
        for (text, error) in [
            (hash.to_owned(), DigestError::Size),
            (format!("{hash}/"), DigestError::Size),
            (format!("{hash}/01"), DigestError::Size),
            (format!("{hash}/+1"), DigestError::Size),
            (format!("{hash}/99999999999999999999999"), DigestError::Size),
            (format!("{}/0", hash.to_uppercase()), DigestError::Hash),
            (format!("{}/0", &hash[1..]), DigestError::Hash),
        ] {
            assert_eq!(text.parse::<Digest>(), Err(error), "{text}");
        }
    }
}
