//! As much of Azure's block blobs as the clients use: *Put Blob*, *Put Block*, *Put Block List*, *Get Blob* and its `HEAD`
//! (Azure docs, "Blob service REST API").
//!
//! The address is signed, so nothing else is asked of the caller; the job whose lease it names must still run. Checksums
//! that a client sends along (`Content-MD5`, `x-ms-content-crc64`) are not looked at: HTTP runs over a loopback and a
//! tunnel that check themselves, sizes are compared at the end, and of artifacts the SHA-256.

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use slipway_cas::Digest;

use super::Results;
use super::address::{Permission, Signed};
use super::block_list;
use super::bytes::Kept;
use super::error::ResultsError;
use super::index::{Part, Placed, too_large};
use super::limits::CALL_MAX_BYTES;
use super::range;
use super::token::lease_word;

/// The version of the interface that is told to every client.
const VERSION: &str = "2021-12-02";

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

/// A refusal in Azure's form.
pub(super) struct AzureError(ResultsError);

impl From<ResultsError> for AzureError {
    fn from(error: ResultsError) -> Self {
        Self(error)
    }
}

impl axum::response::IntoResponse for AzureError {
    fn into_response(self) -> Response {
        let code = match &self.0 {
            ResultsError::Unauthorized(_) | ResultsError::Denied(_) => "AuthenticationFailed",
            ResultsError::NotFound(_) => "BlobNotFound",
            ResultsError::Exists(_) => "BlobImmutableDueToPolicy",
            ResultsError::Invalid(_) => "InvalidInput",
            ResultsError::TooLarge(_) => "RequestBodyTooLarge",
            ResultsError::Precondition(_) => "ConditionNotMet",
            ResultsError::Failed(_) => "InternalError",
        };
        // Azure's clients take 401 for a question about another kind of credential.
        let status = match self.0.status() {
            StatusCode::UNAUTHORIZED => StatusCode::FORBIDDEN,
            status => status,
        };
        if matches!(self.0, ResultsError::Failed(_)) {
            tracing::warn!(error = %self.0, "an upload or download of a job failed");
        }
        let text = self.0.to_string().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{text}</Message></Error>"
        );
        let headers =
            [("content-type", "application/xml"), ("x-ms-error-code", code), ("x-ms-version", VERSION)];
        (status, headers, body).into_response()
    }
}

/// What every answer has: some clients fail without.
fn common(results: &Results, id: i64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    };
    set(HeaderName::from_static("x-ms-request-id"), uuid::Uuid::new_v4().to_string());
    set(HeaderName::from_static("x-ms-version"), VERSION.to_owned());
    set(header::ETAG, format!("\"{id}\""));
    let now = i64::try_from(results.now_ms()).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let date = now.unwrap_or_default().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    set(header::LAST_MODIFIED, date.clone());
    set(header::DATE, date);
    headers
}

impl Results {
    /// Writes a body as a part of an upload of this lease.
    pub(super) async fn write_part(
        &self,
        id: i64,
        lease: &str,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Kept, ResultsError> {
        let upload = self.0.index.open_upload(id).await?;
        if upload.lease != lease {
            return Err(ResultsError::Denied("another job began this upload".to_owned()));
        }
        let length =
            headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > upload.limit_bytes) {
            return Err(too_large(upload.limit_bytes));
        }
        let stopping = |_| ResultsError::Failed("the coordinator is stopping".to_owned());
        let _writing = self.0.writing.acquire().await.map_err(stopping)?;
        let mut incoming = self.0.bytes.begin(id, upload.limit_bytes).await?;
        let mut pieces = body.into_data_stream();
        while let Some(piece) = pieces.next().await {
            let piece =
                piece.map_err(|error| ResultsError::Invalid(format!("the body broke off: {error}")))?;
            incoming.write(piece).await?;
        }
        incoming.finish().await
    }
}

/// `PUT`: a whole blob, a block, or the list of blocks.
pub(super) async fn upload(
    State(results): State<Results>,
    Path(id): Path<i64>,
    Query(signed): Query<Signed>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, AzureError> {
    let lease = signed.check(&results.0.addresses, id, Permission::Write, results.now_s())?;
    results.check_live(&lease)?;
    let lease = lease_word(&lease);
    let replaced = match signed.comp.as_deref() {
        None => {
            let kept = results.write_part(id, &lease, &headers, body).await?;
            let replaced = results.0.index.set_whole(id, kept.part.clone()).await?;
            kept.keep();
            replaced
        }
        Some("block") => {
            // A `+` that was not encoded arrives as a space.
            let block = signed.blockid.unwrap_or_default().replace(' ', "+");
            block_list::check_id(&block)?;
            let kept = results.write_part(id, &lease, &headers, body).await?;
            let replaced = results.0.index.add_part(id, block, kept.part.clone()).await?;
            kept.keep();
            replaced
        }
        Some("blocklist") => {
            let limit =
                || ResultsError::TooLarge(format!("a list of blocks has at most {CALL_MAX_BYTES} bytes"));
            let bytes = axum::body::to_bytes(body, CALL_MAX_BYTES).await.map_err(|_| limit())?;
            let text = std::str::from_utf8(&bytes)
                .map_err(|_| ResultsError::Invalid("the list of blocks is not UTF-8".to_owned()))?;
            let blocks = block_list::parse(text)?;
            results.0.index.place(id, Placed::Blocks(blocks)).await?
        }
        Some(other) => {
            return Err(ResultsError::Invalid(format!("`comp={other}` is not spoken here")).into());
        }
    };
    results.0.bytes.remove_parts(id, replaced).await;
    let mut answer = common(&results, id);
    answer.insert("x-ms-request-server-encrypted", HeaderValue::from_static("false"));
    Ok((StatusCode::CREATED, answer).into_response())
}

/// `GET` and `HEAD`, of all or a range.
pub(super) async fn download(
    State(results): State<Results>,
    Path(id): Path<i64>,
    Query(signed): Query<Signed>,
    headers: HeaderMap,
) -> Result<Response, AzureError> {
    let lease = signed.check(&results.0.addresses, id, Permission::Read, results.now_s())?;
    results.check_live(&lease)?;
    let (upload, parts) = results.0.index.parts(id).await?;
    let mut answer = common(&results, id);
    let mut set = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            answer.insert(name, value);
        }
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned());
    set(header::ACCEPT_RANGES, "bytes".to_owned());
    set(HeaderName::from_static("x-ms-blob-type"), "BlockBlob".to_owned());
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
