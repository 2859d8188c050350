//! Bodies: in, hashed while they come; out, checked while they go.

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::try_unfold;
use slipway_cas::Digest;
use slipway_cas::cache::{BlobCache, BlobReader, CacheError, Written};
use slipway_cas::store::Expected;

use super::error::HttpError;
use crate::limits::{BODY_IDLE, MAX_BLOB_BYTES};

/// A body that was taken.
pub(super) enum Taken {
    /// All of a short one.
    Short(Bytes),
    /// A longer one, which is a blob now.
    Blob(Written),
}

/// The next piece of a body.
async fn next(stream: &mut BodyDataStream) -> Result<Option<Bytes>, HttpError> {
    let piece = tokio::time::timeout(BODY_IDLE, stream.next()).await;
    let piece = piece.map_err(|_| HttpError::slow(BODY_IDLE))?;
    piece.transpose().map_err(|error| HttpError::invalid(format!("the body broke off: {error}")))
}

/// All of a body that may have so many bytes.
pub(super) async fn all(body: Body, max_bytes: usize) -> Result<Bytes, HttpError> {
    let mut stream = body.into_data_stream();
    let mut bytes = BytesMut::new();
    while let Some(piece) = next(&mut stream).await? {
        if bytes.len() + piece.len() > max_bytes {
            return Err(HttpError::too_large(format!("the body is longer than {max_bytes} bytes")));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

/// Refuses a body that says it is too long, before a byte of it has come.
pub(super) fn check_length(headers: &HeaderMap) -> Result<(), HttpError> {
    let length: Option<u64> =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    match length {
        Some(length) if length > MAX_BLOB_BYTES => {
            Err(CacheError::TooLong { limit_bytes: MAX_BLOB_BYTES }.into())
        }
        _ => Ok(()),
    }
}

/// The first byte of a body, and the whole of it.
pub(super) async fn peek(body: Body) -> Result<(Option<u8>, Body), HttpError> {
    let mut stream = body.into_data_stream();
    while let Some(piece) = next(&mut stream).await? {
        if let Some(first) = piece.first().copied() {
            let rest = futures_util::stream::once(async move { Ok::<_, axum::Error>(piece) }).chain(stream);
            return Ok((Some(first), Body::from_stream(rest)));
        }
    }
    Ok((None, Body::empty()))
}

/// Takes a body; one of at most `short_max` bytes is not made a blob.
pub(super) async fn incoming(
    blobs: &BlobCache,
    body: Body,
    expected: Option<[u8; 32]>,
    short_max: usize,
) -> Result<Taken, HttpError> {
    let mut stream = body.into_data_stream();
    let mut start = BytesMut::new();
    let mut writer = None;
    while let Some(piece) = next(&mut stream).await? {
        match &mut writer {
            None if start.len() + piece.len() <= short_max => start.extend_from_slice(&piece),
            None => {
                let mut longer = blobs.writer(MAX_BLOB_BYTES);
                longer.write(start.split().freeze()).await?;
                longer.write(piece).await?;
                writer = Some(longer);
            }
            Some(writer) => writer.write(piece).await?,
        }
    }
    let expected = expected.map_or(Expected::Anything, Expected::Hash);
    match writer {
        Some(writer) => Ok(Taken::Blob(writer.finish(expected).await?)),
        None if short_max == 0 => Ok(Taken::Blob(blobs.write(start.freeze(), expected).await?)),
        None => {
            let bytes = start.freeze();
            let wrong = |error: slipway_cas::StoreError| HttpError::invalid(error.to_string());
            expected.check(Digest::of(&bytes)).map_err(wrong)?;
            Ok(Taken::Short(bytes))
        }
    }
}

/// A blob as a body. One that loses a chunk on the way breaks off: the client sees that it is too short.
pub(super) fn outgoing(reader: BlobReader) -> Body {
    Body::from_stream(try_unfold(reader, async |mut reader: BlobReader| {
        let piece = reader.next().await?;
        Ok::<_, CacheError>(piece.map(|piece| (piece, reader)))
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::convert::Infallible;

    use axum::http::StatusCode;
    use axum::response::IntoResponse as _;
    use futures_util::stream;

    use super::*;

    /// Sends a few bytes, and then nothing for ever.
    fn stuck() -> Body {
        let start = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"start"))]);
        Body::from_stream(start.chain(stream::pending()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_nothing_is_let_go() {
        let started = tokio::time::Instant::now();
        let refused = all(stuck(), 100).await.unwrap_err();
        assert_eq!(refused.into_response().status(), StatusCode::REQUEST_TIMEOUT);
        assert_eq!(started.elapsed().as_secs(), BODY_IDLE.as_secs());
        let (first, rest) = peek(stuck()).await.unwrap();
        assert_eq!(first, Some(b's'));
        assert_eq!(all(rest, 100).await.unwrap_err().into_response().status(), StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test]
    async fn a_look_at_the_first_byte_takes_nothing() {
        let pieces = [&b""[..], b"ab", b"c"].map(|piece| Ok::<_, Infallible>(Bytes::from_static(piece)));
        let (first, rest) = peek(Body::from_stream(stream::iter(pieces))).await.unwrap();
        assert_eq!((first, &all(rest, 3).await.unwrap()[..]), (Some(b'a'), &b"abc"[..]));
        let (first, rest) = peek(Body::empty()).await.unwrap();
        assert_eq!((first, all(rest, 0).await.unwrap().len()), (None, 0));
    }
}
