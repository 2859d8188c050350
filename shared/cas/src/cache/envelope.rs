//! What a value looks like in Redis and in an object store: a header, then its bytes.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 1 | `S` |
//! | 1 | 1 | version, 1 |
//! | 2 | 1 | codec: 0 plain, 1 zstd |
//! | 3 | 1 | 0 |
//! | 4 | 4 | length of the unpacked bytes, little end first |
//! | 8 | 4 | length of what follows the header |
//! | 12 | 4 | CRC-32 of key (without prefix), codec, unpacked length and what follows |

use bytes::Bytes;

use crate::cache::engine::{Codec, Value, checksum};

/// The header's length.
pub const HEADER_BYTES: usize = 16;
const MARK: u8 = b'S';
const VERSION: u8 = 1;

/// The header of this value under this key.
#[must_use]
pub fn header(key: &str, value: &Value) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..3].copy_from_slice(&[MARK, VERSION, value.codec.number()]);
    header[4..8].copy_from_slice(&value.plain_bytes.to_le_bytes());
    // Values are shorter than `MAX_VALUE_BYTES`; a longer one would be found damaged.
    header[8..12].copy_from_slice(&u32::try_from(value.data.len()).unwrap_or(u32::MAX).to_le_bytes());
    header[12..].copy_from_slice(&checksum(key, value).to_le_bytes());
    header
}

/// The value in these bytes, if they are what was stored under this key.
#[must_use]
pub fn open(key: &str, bytes: impl Into<Bytes>) -> Option<Value> {
    let bytes = bytes.into();
    let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let codec = Codec::from_number(*bytes.get(2)?)?;
    let value = Value { codec, plain_bytes: number(4)?, data: bytes.slice(HEADER_BYTES.min(bytes.len())..) };
    let whole = number(8)? as usize == value.data.len() && number(12)? == checksum(key, &value);
    (bytes.get(..2)? == [MARK, VERSION] && bytes.get(3)? == &0 && whole).then_some(value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn any_bit_that_flips_is_noticed() {
        let value = Value { codec: Codec::Zstd, plain_bytes: 99, data: Bytes::from_static(b"some bytes") };
        let mut stored = header("c:main:x", &value).to_vec();
        stored.extend_from_slice(&value.data);
        assert_eq!(open("c:main:x", stored.clone()), Some(value));
        assert_eq!(open("c:main:y", stored.clone()), None, "another's value");
        for bit in 0..stored.len() * 8 {
            let mut flipped = stored.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open("c:main:x", flipped), None, "bit {bit}");
        }
        for length in 0..stored.len() {
            assert_eq!(open("c:main:x", stored[..length].to_vec()), None, "{length} bytes");
        }
    }
}
