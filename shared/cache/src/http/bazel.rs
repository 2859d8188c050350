//! Bazel's cache over HTTP: `…/ac/HASH` and `…/cas/HASH`.
//!
//! A hash without a length names no blob of ours: beside each blob lies a name, the hash, that tells its digest. What is put as an
//! action's result and is one lists its blobs, as over gRPC, and is found only while they are all there, with their names: a client
//! knows no other way to them. ccache puts bytes of its own there; what is no result is kept as it is.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use prost::Message as _;
use slipway_cas::Digest;
use slipway_cas::cache::entries::Subject;
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
    let view = doors.view(&headers, named.instance).await?;
    let name = name(named.is_blob, named.hash);
    match method {
        // The empty blob always exists: clients do not bring it.
        Method::GET | Method::HEAD if named.is_blob && named.hash == *Digest::of(b"").hash() => {
            Ok(StatusCode::OK.into_response())
        }
        Method::GET | Method::HEAD => {
            let found = named::find(&view, &name).await?;
            if !view.has_entries(&names(&found.lists)).await {
                return Err(HttpError::missing());
            }
            found.answer(&view, &method).await
        }
        Method::PUT if named.is_blob => {
            let what = Storing { inline: false, expected: Some(named.hash), ..Storing::default() };
            named::store(&view, &name, &headers, body, what).await?;
            Ok(StatusCode::OK.into_response())
        }
        Method::PUT => {
            view.writable()?;
            let (first, body) = body::peek(body).await?;
            if first.is_none_or(begins_a_result) {
                let bytes = body::all(body, MAX_RESULT_BYTES).await?;
                if let Some(lists) = lists(&view, &bytes).await? {
                    named::store_listing(&view, &name, bytes, lists).await?;
                }
            } else {
                named::store(&view, &name, &headers, body, Storing::default()).await?;
            }
            Ok(StatusCode::OK.into_response())
        }
        _ => Err(HttpError::method("GET, HEAD, PUT")),
    }
}

fn name(is_blob: bool, hash: [u8; 32]) -> String {
    let kind = if is_blob { "cas" } else { "ac" };
    format!("bazel/{kind}/{}", Digest::from_parts(hash, 0).hash_hex())
}

/// The names of blobs, but for the empty one.
fn names(blobs: &[Digest]) -> Vec<Subject> {
    let blobs = blobs.iter().filter(|blob| blob.size_bytes() > 0);
    blobs.map(|blob| named::subject(&name(true, *blob.hash()))).collect()
}

/// Whether an encoded result may begin so: with the field 2 to 12, a number if it is 4 and bytes else.
const fn begins_a_result(first: u8) -> bool {
    let (field, wire_type) = (first >> 3, first & 7);
    matches!((field, wire_type), (4, 0) | (2..=3 | 5..=12, 2))
}

/// The blobs that a result lists; none of what is no result. `None`: nobody could look for them.
async fn lists(view: &View, bytes: &Bytes) -> Result<Option<Vec<Digest>>, HttpError> {
    let Ok(result) = re::ActionResult::decode(bytes.clone()) else { return Ok(Some(Vec::new())) };
    match reapi::references(view, &result).await {
        Ok(references) => Ok(Some(references)),
        // Bytes that happen to look like a message, with digests that are none.
        Err(status) if status.code() == Code::InvalidArgument => Ok(Some(Vec::new())),
        Err(_) if !view.answers().await => Ok(None),
        Err(status) => Err(HttpError::conflict(status.message())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_told_from_what_else_is_put() {
        let result =
            re::ActionResult { exit_code: 1, stdout_raw: vec![1].into(), ..re::ActionResult::default() };
        assert!(begins_a_result(result.encode_to_vec()[0]));
        for field in 2..=12 {
            assert!(begins_a_result((field << 3) | (u8::from(field != 4) * 2)), "{field}");
        }
        // ccache's, and packed files.
        for first in [0xcc, 0x28, 0x1f, b'P', 0] {
            assert!(!begins_a_result(first), "{first}");
        }
    }

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
