//! Files by name: what is stored under one, and how it comes back.
//!
//! A short file is part of its entry, so that it costs one round trip; a longer one is a blob that the entry lists.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use bytes::{BufMut as _, Bytes, BytesMut};
use slipway_cas::Digest;
use slipway_cas::cache::Entry;
use slipway_cas::cache::entries::{EntryError, Subject};
use slipway_cas::store::Expected;

use super::body;
use super::error::HttpError;
use crate::limits::{MAX_HEADER_BYTES, MAX_INLINE_BYTES};
use crate::view::{PutError, View};

/// An entry's version.
const VERSION: u8 = 1;

/// A file that was found.
pub(super) struct Found {
    /// A header's value that was stored with it, for each that was asked to be kept.
    pub(super) kept: Vec<(HeaderName, HeaderValue)>,
    /// Blobs that were stored with it as what it lists.
    pub(super) lists: Vec<Digest>,
    content: Content,
}

enum Content {
    Here(Bytes),
    Blob(Digest),
}

impl Found {
    /// Its length in bytes.
    pub(super) fn size_bytes(&self) -> u64 {
        match &self.content {
            Content::Here(bytes) => bytes.len() as u64,
            Content::Blob(digest) => digest.size_bytes(),
        }
    }

    /// The answer that gives it out; to `HEAD`, its length alone.
    pub(super) async fn answer(self, view: &View, method: &Method) -> Result<Response, HttpError> {
        let size = self.size_bytes();
        let mut response = match self.content {
            _ if method == Method::HEAD => Body::empty().into_response(),
            Content::Here(bytes) => Body::from(bytes).into_response(),
            Content::Blob(digest) => body::outgoing(view.read_listed(digest).await?).into_response(),
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, size.into());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        // No browser shows what a job put here as a page of the coordinator's.
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.extend(self.kept);
        Ok(response)
    }
}

/// The file of this name.
pub(super) async fn find(view: &View, name: &str) -> Result<Found, HttpError> {
    let entry = view.entry(&subject(name)).await.ok_or_else(HttpError::missing)?;
    decode(entry).ok_or_else(HttpError::missing)
}

/// How a file is stored.
pub(super) struct Storing<'a> {
    /// Headers whose values are stored with it.
    pub(super) keep: &'a [HeaderName],
    /// Its SHA-256 has to be this.
    pub(super) expected: Option<[u8; 32]>,
    /// Whether a short one is part of its entry.
    pub(super) inline: bool,
}

impl Default for Storing<'_> {
    fn default() -> Self {
        Self { keep: &[], expected: None, inline: true }
    }
}

/// Stores a file in place of the one before.
pub(super) async fn store(
    view: &View,
    name: &str,
    headers: &HeaderMap,
    incoming: Body,
    what: Storing<'_>,
) -> Result<(), HttpError> {
    let write = view.writable()?;
    body::check_length(headers)?;
    let mut kept = Vec::new();
    for name in what.keep {
        if let Some(value) = headers.get(name) {
            if value.len() > MAX_HEADER_BYTES {
                return Err(HttpError::invalid(format!(
                    "the header `{name}` is longer than {MAX_HEADER_BYTES} bytes"
                )));
            }
            kept.push((name.clone(), value.clone()));
        }
    }
    let short_max = if what.inline { MAX_INLINE_BYTES } else { 0 };
    let (value, references) = match body::incoming(&write.blobs, incoming, what.expected, short_max).await? {
        body::Taken::Short(bytes) => (encode(&kept, Some(&bytes)), Vec::new()),
        body::Taken::Blob(written) if !written.kept => return Ok(()),
        body::Taken::Blob(written) => {
            view.count_written(written.digest.size_bytes());
            (encode(&kept, None), vec![written.digest])
        }
    };
    let own = references.first().copied();
    put(view, name, own, &Entry { value, references }).await
}

/// Stores a file that is here, with the blobs that it lists: without all of them it is not found.
pub(super) async fn store_listing(
    view: &View,
    name: &str,
    bytes: Bytes,
    lists: Vec<Digest>,
) -> Result<(), HttpError> {
    let (own, value, references) = if bytes.len() <= MAX_INLINE_BYTES {
        (None, encode(&[], Some(&bytes)), lists)
    } else {
        let written = view.writable()?.blobs.write(bytes, Expected::Anything).await?;
        if !written.kept {
            return Ok(());
        }
        let references = std::iter::once(written.digest).chain(lists).collect();
        (Some(written.digest), encode(&[], None), references)
    };
    put(view, name, own, &Entry { value, references }).await
}

/// Stores an entry whose own bytes, if they are not in it, were written just now. Those may have been pushed out already: that is as
/// if it had been later, and no fault of the client's.
async fn put(view: &View, name: &str, own: Option<Digest>, entry: &Entry) -> Result<(), HttpError> {
    match view.put_entry(&subject(name), entry).await {
        Err(PutError::Entry(EntryError::Incomplete(missing)))
            if missing.iter().all(|missing| Some(*missing) == own) =>
        {
            Ok(())
        }
        put => Ok(put.map(drop)?),
    }
}

/// Under what a file lies.
pub(super) fn subject(name: &str) -> Subject {
    Subject::Name(name.to_owned())
}

/// A version, the kept headers (how many; of each the lengths and texts), then the bytes of a short file. A longer one is the first
/// blob that the entry refers to.
fn encode(kept: &[(HeaderName, HeaderValue)], bytes: Option<&Bytes>) -> Bytes {
    let mut value = BytesMut::with_capacity(64 + bytes.map_or(0, Bytes::len));
    value.put_u8(VERSION);
    // Few, and each short: see the limits.
    value.put_u8(kept.len() as u8);
    for (name, text) in kept {
        for part in [name.as_str().as_bytes(), text.as_bytes()] {
            value.put_u16_le(part.len() as u16);
            value.put_slice(part);
        }
    }
    value.put_u8(u8::from(bytes.is_some()));
    value.put_slice(bytes.map_or(&[], |bytes| bytes));
    value.freeze()
}

fn decode(entry: Entry) -> Option<Found> {
    let Entry { mut value, references } = entry;
    let mut take = |length: usize| (length <= value.len()).then(|| value.split_to(length));
    if take(1)?[..] != [VERSION] {
        return None;
    }
    let mut kept = Vec::new();
    for _ in 0..*take(1)?.first()? {
        let mut text = || {
            let length = take(2)?;
            take(usize::from(u16::from_le_bytes([length[0], length[1]])))
        };
        let (name, value) = (text()?, text()?);
        kept.push((HeaderName::from_bytes(&name).ok()?, HeaderValue::from_maybe_shared(value).ok()?));
    }
    let (content, lists) = if take(1)?[..] == [1] {
        (Content::Here(value), references)
    } else {
        let mut references = references.into_iter();
        (Content::Blob(references.next()?), references.collect())
    };
    Some(Found { kept, lists, content })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back() {
        let kept = vec![(HeaderName::from_static("x-artifact-tag"), HeaderValue::from_static("abc="))];
        let short = decode(Entry {
            value: encode(&kept, Some(&Bytes::from_static(b"bytes"))),
            references: Vec::new(),
        })
        .unwrap();
        assert_eq!((short.size_bytes(), &short.kept), (5, &kept));
        let blob = Digest::of(b"blob");
        let listed = Digest::of(b"listed");
        let long = decode(Entry { value: encode(&[], None), references: vec![blob, listed] }).unwrap();
        assert_eq!((long.size_bytes(), long.kept.len(), long.lists), (4, 0, vec![listed]));
        let empty =
            decode(Entry { value: encode(&[], Some(&Bytes::new())), references: Vec::new() }).unwrap();
        assert_eq!(empty.size_bytes(), 0);
    }

    #[test]
    fn what_is_no_entry_is_a_miss() {
        let whole = encode(&[(HeaderName::from_static("a"), HeaderValue::from_static("b"))], None);
        for length in 0..whole.len() {
            let references = vec![Digest::of(b"blob")];
            assert!(decode(Entry { value: whole.slice(..length), references }).is_none(), "{length}");
        }
        assert!(decode(Entry { value: whole, references: Vec::new() }).is_none());
    }
}
