//! Bytes of an upload as an answer: all of them, or the range that was asked for.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use slipway_cas::Digest;

use super::Results;
use super::error::ResultsError;
use super::index::Part;
use super::range;

/// The header that names the bytes of a cache entry: agents that have them need not fetch them again.
const ENTRY: &str = "x-slipway-entry";

/// A name of these parts that no others have: each has one of its own, given at random when it was written.
fn named(parts: &[Part]) -> String {
    let mut text = String::new();
    for Part { file, size_bytes, crc32 } in parts {
        text.push_str(&format!("{file} {size_bytes} {crc32}\n"));
    }
    Digest::of(text.as_bytes()).hash_hex()
}

/// What a request for an upload is answered with. Whether its sender may have it is for the caller to know.
pub(super) async fn serve(results: &Results, id: i64, headers: &HeaderMap) -> Result<Response, ResultsError> {
    let (upload, parts) = results.0.index.parts(id).await?;
    let mut answer = HeaderMap::new();
    let mut set = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            answer.insert(name, value);
        }
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned());
    set(header::ACCEPT_RANGES, "bytes".to_owned());
    match results.0.index.artifact_name(id).await? {
        Some((name, mime_type)) => {
            set(header::CONTENT_DISPOSITION, disposition(&name, &mime_type));
            set(header::CONTENT_TYPE, mime_type);
        }
        // Whatever a client says that it is: nobody shall have a browser show it.
        None => {
            set(header::CONTENT_TYPE, "application/octet-stream".to_owned());
            set(header::CONTENT_DISPOSITION, "attachment".to_owned());
            set(HeaderName::from_static(ENTRY), named(&parts));
        }
    }
    let size_bytes = upload.size_bytes;
    let asked = headers.get("x-ms-range").or_else(|| headers.get(header::RANGE));
    let (status, from, until) = match asked.and_then(|value| value.to_str().ok()).and_then(range::range) {
        None => (StatusCode::OK, 0, size_bytes),
        Some(wanted) => match wanted.of(size_bytes) {
            Some((from, until)) => {
                set(header::CONTENT_RANGE, format!("bytes {from}-{}/{size_bytes}", until.saturating_sub(1)));
                (StatusCode::PARTIAL_CONTENT, from, until)
            }
            None => {
                set(header::CONTENT_RANGE, format!("bytes */{size_bytes}"));
                return Ok((StatusCode::RANGE_NOT_SATISFIABLE, answer).into_response());
            }
        },
    };
    set(header::CONTENT_LENGTH, (until - from).to_string());
    let body = Body::from_stream(results.0.bytes.read(id, parts, from, until));
    Ok((status, answer, body).into_response())
}

/// Under which name a download is saved. An artifact that is no archive is saved as it is.
fn disposition(name: &str, mime_type: &str) -> String {
    let zip = mime_type == "application/zip" && !name.to_ascii_lowercase().ends_with(".zip");
    let name = if zip { format!("{name}.zip") } else { name.to_owned() };
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() && c != '"' && c != '%' || c == ' ' { c } else { '_' })
        .collect();
    let mut encoded = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_downloads() {
        assert_eq!(
            disposition("größe", "application/zip"),
            "attachment; filename=\"gr__e.zip\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.zip"
        );
        assert_eq!(
            disposition("a b.html", "text/html"),
            "attachment; filename=\"a b.html\"; filename*=UTF-8''a%20b.html"
        );
    }
}
