//! Packing values where it pays.

use std::cell::RefCell;

use bytes::Bytes;
use zstd::bulk::{Compressor, Decompressor};

use crate::cache::engine::{Codec, Value};
use crate::cache::limits::{
    CHUNK_MAX_BYTES, ZSTD_KEEP_PERCENT, ZSTD_LEVEL, ZSTD_MIN_BYTES, ZSTD_SAMPLE_BYTES,
};

/// Whether values are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Never: for an engine as fast as memory.
    Off,
    /// With zstd, where a sample says that it is worth it.
    WherePaying,
}

thread_local! {
    // A context is a megabyte that is costly to make anew for every value.
    static PACKER: RefCell<Option<Compressor<'static>>> = RefCell::new(Compressor::new(ZSTD_LEVEL).ok());
    static UNPACKER: RefCell<Option<Decompressor<'static>>> = RefCell::new(Decompressor::new().ok());
}

fn packed(bytes: &[u8]) -> Option<Vec<u8>> {
    let packed = PACKER.with_borrow_mut(|packer| packer.as_mut()?.compress(bytes).ok())?;
    (packed.len() <= bytes.len() / 100 * ZSTD_KEEP_PERCENT).then_some(packed)
}

/// Whether packing these bytes may pay: a part of them is tried.
pub(crate) fn may_pay(bytes: &[u8], compression: Compression) -> bool {
    if compression == Compression::Off || bytes.len() < ZSTD_MIN_BYTES {
        return false;
    }
    // The middle: what is at the start of a file is often a header unlike the rest.
    let middle = (bytes.len() - ZSTD_SAMPLE_BYTES.min(bytes.len())) / 2;
    let sample = &bytes[middle..(middle + ZSTD_SAMPLE_BYTES).min(bytes.len())];
    bytes.len() <= 2 * ZSTD_SAMPLE_BYTES || packed(sample).is_some()
}

/// These bytes as they are.
pub(crate) fn plain(bytes: Bytes) -> Value {
    let plain_bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    Value { codec: Codec::Plain, plain_bytes, data: bytes }
}

/// The value of these bytes, which are at most a chunk's; packed where that pays.
pub(crate) fn pack(bytes: Bytes, compression: Compression) -> Value {
    match may_pay(&bytes, compression).then(|| packed(&bytes)).flatten() {
        Some(data) => Value { codec: Codec::Zstd, data: data.into(), ..plain(bytes) },
        None => plain(bytes),
    }
}

/// The bytes of a value, if it is what it says: no more memory is taken than it announces, nor than a chunk has.
pub(crate) fn unpack(value: Value) -> Option<Bytes> {
    let plain_bytes = usize::try_from(value.plain_bytes).ok()?;
    let bytes: Bytes = match value.codec {
        Codec::Plain => value.data,
        Codec::Zstd if plain_bytes > CHUNK_MAX_BYTES => return None,
        Codec::Zstd => UNPACKER
            .with_borrow_mut(|unpacker| unpacker.as_mut()?.decompress(&value.data, plain_bytes).ok())?
            .into(),
    };
    (bytes.len() == plain_bytes).then_some(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_pay_stays_plain() {
        let mut random = vec![0; 300_000];
        fastrand::Rng::with_seed(1).fill(&mut random);
        let text: Vec<u8> = (0u32..60_000).flat_map(|n| n.to_string().into_bytes()).collect();
        let short = vec![0; ZSTD_MIN_BYTES - 1];
        for (bytes, codec) in [(random, Codec::Plain), (text, Codec::Zstd), (short, Codec::Plain)] {
            let value = pack(bytes.clone().into(), Compression::WherePaying);
            assert_eq!(value.codec, codec);
            assert!(value.data.len() <= bytes.len());
            assert_eq!(unpack(value).unwrap(), bytes);
            assert_eq!(pack(bytes.into(), Compression::Off).codec, Codec::Plain);
        }
    }

    #[test]
    fn a_value_that_lies_about_its_length_is_nothing() {
        let value = pack(vec![0; 100_000].into(), Compression::WherePaying);
        for plain_bytes in [0, 99_999, 100_001, u32::MAX] {
            assert_eq!(unpack(Value { plain_bytes, ..value.clone() }), None, "{plain_bytes}");
        }
        assert_eq!(unpack(Value { data: value.data.slice(..value.data.len() - 1), ..value }), None);
    }
}
