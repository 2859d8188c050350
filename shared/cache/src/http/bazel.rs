//! Bazel's cache over HTTP: `…/ac/HASH` and `…/cas/HASH`.
//!
//! A hash without a length names no blob of ours: beside each blob lies a name, the hash, that tells its digest. What is put as an
//! action's result and is one lists its blobs, as over gRPC, and is found only while they are all there. ccache puts bytes of its own
//! there; what is no result is kept as it is.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use slipway_cas::Digest;

use bytes::Bytes;
use prost::Message as _;
use slipway_proto::reapi::build::bazel::remote::execution::v2 as re;
use tonic::Code;

use super::error::HttpError;
use super::named::Storing;
use super::{Doors, body, named};
use crate::limits::MAX_RESULT_BYTES;
use crate::reapi;
use crate::view::View;

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
struct Named<'a> {
    instance: &'a str,
    is_blob: bool,
    hash: [u8; 32],
}

fn parse(path: &str) -> Option<Named<'_>> {
    let (rest, hash) = path.rsplit_once('/')?;
    let (instance, kind) = rest.rsplit_once('/').unwrap_or(("", rest));
    let is_blob = match kind {
        "cas" => true,
        "ac" => false,
        _ => return None,
    };
    // The length plays no part here.
    let hash = *Digest::from_hex(hash, 0).ok()?.hash();
    Some(Named { instance, is_blob, hash })
}

pub(super) async fn handle(
    State(doors): State<Doors>,
    Path(path): Path<String>,
    method: Method,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpError> {
    let named = parse(&path).ok_or_else(|| {
        HttpError::invalid(
            "the path is not `[INSTANCE/]ac/HASH` or `[INSTANCE/]cas/HASH` with a SHA-256 in hexadecimal",
        )
    })?;
    let view = doors.view(&headers, named.instance)?;
    let kind = if named.is_blob { "cas" } else { "ac" };
    let name = format!("bazel/{kind}/{}", Digest::from_parts(named.hash, 0).hash_hex());
    match method {
        Method::GET | Method::HEAD => named::find(&view, &name).await?.answer(&view, &method).await,
        Method::PUT if named.is_blob => {
            let what = Storing { inline: false, expected: Some(named.hash), ..Storing::default() };
            named::store(&view, &name, &headers, body, what).await?;
            Ok(StatusCode::OK.into_response())
        }
        Method::PUT => {
            let bytes = body::all(body, MAX_RESULT_BYTES).await?;
            let references = references(&view, &bytes).await?;
            named::store_bytes(&view, &name, bytes, references).await?;
            Ok(StatusCode::OK.into_response())
        }
        _ => Err(HttpError::method()),
    }
}

/// The blobs that a result lists; none of what is no result.
async fn references(view: &View, bytes: &Bytes) -> Result<Vec<Digest>, HttpError> {
    let Ok(result) = re::ActionResult::decode(bytes.clone()) else { return Ok(Vec::new()) };
    match reapi::references(view, &result).await {
        Ok(references) => Ok(references),
        // Bytes that happen to look like a message, with digests that are none.
        Err(status) if status.code() == Code::InvalidArgument => Ok(Vec::new()),
        Err(status) => Err(HttpError::conflict(status.message())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_end_with_a_kind_and_a_hash() {
        let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let of = |path: &str| parse(path).map(|named| (named.instance.to_owned(), named.is_blob));
        assert_eq!(of(&format!("cas/{hash}")), Some((String::new(), true)));
        assert_eq!(of(&format!("a/b/ac/{hash}")), Some(("a/b".to_owned(), false)));
        for path in [
            hash.to_owned(),
            format!("x/{hash}"),
            "cas/abc".to_owned(),
            format!("cas/{hash}/"),
            "cas/".to_owned(),
        ] {
            assert_eq!(of(&path), None, "{path}");
        }
    }
}
