//! Files by any name: ccache, Gradle, sccache over WebDAV, and whatever gets and puts.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Doors;
use super::error::HttpError;
use super::named::{self, Storing};
use crate::limits::MAX_FILE_NAME_BYTES;

const METHODS: &str = "GET, HEAD, PUT, PROPFIND, MKCOL, OPTIONS";

/// What `PROPFIND` says of any folder: there is one wherever a client looks for it.
fn folder(path: &str) -> Response {
    let mut href = String::from("/");
    for part in path.split('/').filter(|part| !part.is_empty()) {
        // Names of caches' files are hexadecimal or like it; anything else is none of XML's business.
        href.extend(part.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)));
        href.push('/');
    }
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:multistatus xmlns:D=\"DAV:\"><D:response><D:href>{href}</D:href><D:propstat><D:prop>\
         <D:resourcetype><D:collection/></D:resourcetype><D:getlastmodified>Thu, 01 Jan 1970 00:00:00 GMT</D:getlastmodified></D:prop>\
         <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>\n"
    );
    (StatusCode::MULTI_STATUS, [(header::CONTENT_TYPE, "application/xml; charset=utf-8")], body)
        .into_response()
}

pub(super) async fn handle_root(
    doors: State<Doors>,
    method: Method,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpError> {
    handle(doors, Path(String::new()), method, headers, body).await
}

pub(super) async fn handle(
    State(doors): State<Doors>,
    Path(path): Path<String>,
    method: Method,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpError> {
    let view = doors.view(&headers, "").await?;
    check(&path)?;
    let name = format!("files/{path}");
    let is_folder = path.is_empty() || path.ends_with('/');
    match method.as_str() {
        "GET" | "HEAD" | "PUT" if is_folder => Err(HttpError::invalid("a file's name does not end with `/`")),
        "GET" | "HEAD" => named::find(&view, &name).await?.answer(&view, &method).await,
        "PUT" => {
            named::store(&view, &name, &headers, body, Storing::default()).await?;
            Ok(StatusCode::CREATED.into_response())
        }
        "PROPFIND" => Ok(folder(&path)),
        "MKCOL" => {
            view.writable()?;
            Ok(StatusCode::CREATED.into_response())
        }
        "OPTIONS" => {
            let dav = header::HeaderName::from_static("dav");
            Ok((StatusCode::NO_CONTENT, [(header::ALLOW, METHODS), (dav, "1")]).into_response())
        }
        _ => Err(HttpError::method(METHODS)),
    }
}

/// Names are looked up whole and lead nowhere; those that would elsewhere are refused so that no client relies on them.
fn check(path: &str) -> Result<(), HttpError> {
    if path.len() > MAX_FILE_NAME_BYTES {
        return Err(HttpError::invalid(format!("the name is longer than {MAX_FILE_NAME_BYTES} bytes")));
    }
    if path.contains('\\') || path.chars().any(char::is_control) {
        return Err(HttpError::invalid("a name has no backslash and no control characters"));
    }
    if path.split('/').any(|part| part == "." || part == "..") {
        return Err(HttpError::invalid("no part of a name is `.` or `..`"));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_lead_elsewhere_are_refused() {
        for name in ["a", "a/b..c/...", "subdirs/ab/cdef", "größe", "", &"x".repeat(MAX_FILE_NAME_BYTES)] {
            check(name).unwrap();
        }
        for name in
            ["..", "a/../b", "./a", "a/.", "a\\b", "a\0b", "a\nb", &"x".repeat(MAX_FILE_NAME_BYTES + 1)]
        {
            assert!(check(name).is_err(), "{name:?}");
        }
    }
}
