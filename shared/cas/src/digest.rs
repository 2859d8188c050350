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

/// What stands for no hexadecimal digit.
const NO_DIGIT: u8 = u8::MAX;

/// The value of each lower-case hexadecimal digit: questions for thousands of blobs are read and answered with it.
static VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        values[DIGITS[value as usize] as usize] = value;
        value += 1;
    }
    values
};

static DIGITS: &[u8; 16] = b"0123456789abcdef";

impl Digest {
    /// The digest of no bytes.
    pub const EMPTY: Self = Self {
        hash: [
            0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
            0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
        ],
        size_bytes: 0,
    };

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
        let (pairs, rest) = hash.as_bytes().as_chunks::<2>();
        let mut bytes = [0; 32];
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return Err(DigestError::Hash);
        }
        // What is wrong with any digit is looked at once, behind all of them.
        let mut all = 0;
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            let (high, low) = (VALUES[usize::from(*high)], VALUES[usize::from(*low)]);
            all |= high | low;
            *byte = high << 4 | low;
        }
        if all == NO_DIGIT {
            return Err(DigestError::Hash);
        }
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
        String::from(self.hash_digits().as_str())
    }

    /// The same without memory of its own.
    pub(crate) const fn hash_digits(&self) -> HashDigits {
        let mut digits = [0; 64];
        let mut at = 0;
        while at < self.hash.len() {
            digits[2 * at] = DIGITS[(self.hash[at] >> 4) as usize];
            digits[2 * at + 1] = DIGITS[(self.hash[at] & 15) as usize];
            at += 1;
        }
        HashDigits(digits)
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

/// A hash in hexadecimal.
pub(crate) struct HashDigits([u8; 64]);

impl HashDigits {
    pub(crate) fn as_str(&self) -> &str {
        // Nothing else than digits is in it.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.hash_digits().as_str(), self.size_bytes)
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
        assert_eq!(Digest::of(b""), Digest::EMPTY);
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
    fn only_lower_case_hexadecimal_digits_are_a_hash() {
        let hash = Digest::of(b"x").hash_hex();
        assert_eq!(Digest::from_hex(&hash, 1), Ok(Digest::of(b"x")));
        for at in [0, 1, 31, 32, 62, 63] {
            for byte in 0..=u8::MAX {
                let mut text = hash.clone().into_bytes();
                text[at] = byte;
                // A byte that is no character of its own cannot be in a text.
                let Ok(text) = String::from_utf8(text) else { continue };
                match Digest::from_hex(&text, 1) {
                    Ok(digest) => {
                        assert!(matches!(byte, b'0'..=b'9' | b'a'..=b'f'), "{byte} at {at}");
                        assert_eq!(digest.hash_hex(), text);
                    }
                    Err(error) => {
                        assert!(!matches!(byte, b'0'..=b'9' | b'a'..=b'f'), "{byte} at {at}");
                        assert_eq!(error, DigestError::Hash);
                    }
                }
            }
        }
        // As many bytes as a hash has, of fewer characters.
        for text in
            ["é".repeat(32), format!("{}é", &hash[2..]), String::new(), hash[..62].into(), hash + "00"]
        {
            assert_eq!(Digest::from_hex(&text, 1), Err(DigestError::Hash), "{text}");
        }
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
