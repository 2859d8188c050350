//! Keys and values as messages.

use slipway_cas::cache::engine::{Codec, Found, Keep, Put, Value};
use slipway_cas::cache::limits::CHUNK_MIN_BYTES;
use slipway_cas::cache::{Key, Kind};
use slipway_proto::v1;

/// What a message takes beside the values in it, for each.
const AROUND_BYTES: usize = 256;

/// What an entry is thought to have: nothing tells its length before it is read.
const ENTRY_BYTES: usize = 64 << 10;

/// The bytes of a list for one chunk.
const LISTED_BYTES: u64 = 36;

pub(super) fn value(value: Value) -> v1::CacheValue {
    v1::CacheValue {
        found: true,
        codec: value.codec.number().into(),
        plain_bytes: value.plain_bytes,
        data: value.data,
    }
}

pub(super) fn found(found: Found) -> v1::CacheValue {
    found.value().map(value).unwrap_or_default()
}

/// `None`: it is packed in a way that is not known here.
pub(super) fn from_value(value: v1::CacheValue) -> Option<Value> {
    let codec = Codec::from_number(u8::try_from(value.codec).ok()?)?;
    Some(Value { codec, plain_bytes: value.plain_bytes, data: value.data })
}

pub(super) fn from_found(found: v1::CacheValue) -> Found {
    // A newer peer's way of packing is of no use here: then it is a miss.
    match found.found.then(|| from_value(found)).flatten() {
        Some(value) => Found::Value(value),
        None => Found::Missing,
    }
}

pub(super) fn put(put: Put) -> v1::CachePut {
    v1::CachePut {
        key: put.key.to_text(),
        value: Some(value(put.value)),
        temporary: put.keep == Keep::Temporary,
    }
}

/// `None`: it is none.
pub(super) fn from_put(put: v1::CachePut) -> Option<Put> {
    let keep = if put.temporary { Keep::Temporary } else { Keep::Normal };
    Some(Put { key: Key::from_text(&put.key)?, value: from_value(put.value?)?, keep })
}

pub(super) fn texts(keys: &[Key]) -> Vec<String> {
    keys.iter().map(Key::to_text).collect()
}

/// About how long a message gets by this value.
pub(super) const fn size(data_bytes: usize) -> usize {
    data_bytes + AROUND_BYTES
}

/// About how long the value of this key is, at most.
pub(super) fn expected(key: &Key) -> usize {
    let bytes = match key.kind {
        Kind::Chunk => key.id.size_bytes(),
        Kind::Manifest => key.id.size_bytes() / CHUNK_MIN_BYTES as u64 * LISTED_BYTES,
        Kind::Action | Kind::Named => ENTRY_BYTES as u64,
    };
    size(usize::try_from(bytes).unwrap_or(usize::MAX - AROUND_BYTES))
}

/// The keys in groups, each of about so many bytes of values, or one.
pub(super) fn groups(keys: &[Key], max_bytes: usize) -> impl Iterator<Item = &[Key]> {
    let mut rest = keys;
    std::iter::from_fn(move || {
        let mut bytes = 0usize;
        let fits = rest.iter().take_while(|key| {
            bytes = bytes.saturating_add(expected(key));
            bytes <= max_bytes
        });
        let length = fits.count().max(1).min(rest.len());
        let (group, after) = rest.split_at(length);
        rest = after;
        (!group.is_empty()).then_some(group)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;
    use slipway_cas::Digest;
    use slipway_cas::cache::Namespace;

    use super::*;

    fn key(kind: Kind, size_bytes: u64) -> Key {
        Key { kind, namespace: Namespace::new("a").unwrap(), id: Digest::from_parts([1; 32], size_bytes) }
    }

    #[test]
    fn what_is_sent_comes_back() {
        let stored = Value { codec: Codec::Zstd, plain_bytes: 9, data: Bytes::from_static(b"packed") };
        for found_here in [Found::Value(stored.clone()), Found::Missing] {
            assert_eq!(from_found(found(found_here.clone())), found_here);
        }
        assert_eq!(from_found(found(Found::Damaged)), Found::Missing);
        let unknown = v1::CacheValue { codec: 7, ..value(stored.clone()) };
        assert_eq!(from_found(unknown), Found::Missing);
        for keep in [Keep::Normal, Keep::Temporary] {
            let given = Put { key: key(Kind::Chunk, 9), value: stored.clone(), keep };
            let back = from_put(put(given.clone())).unwrap();
            assert_eq!((back.key, back.value, back.keep), (given.key, given.value, given.keep));
        }
        assert!(from_put(v1::CachePut::default()).is_none());
        let no_value = v1::CachePut { key: key(Kind::Chunk, 9).to_text(), ..v1::CachePut::default() };
        assert!(from_put(no_value).is_none());
    }

    #[test]
    fn groups_keep_the_order_and_the_bound() {
        let keys: Vec<_> = [1 << 20, 1 << 20, 5 << 20, 10, 20, 30]
            .into_iter()
            .map(|size_bytes| key(Kind::Chunk, size_bytes))
            .chain([key(Kind::Manifest, u64::MAX), key(Kind::Action, 0)])
            .collect();
        let lengths: Vec<_> = groups(&keys, 3 << 20).map(<[Key]>::len).collect();
        assert_eq!(lengths, [2, 1, 3, 1, 1]);
        assert!(groups(&keys, 3 << 20).flatten().eq(keys.iter()));
        assert_eq!(groups(&[], 1).count(), 0);
    }
}
