//! The stylesheet and the script: in the program, named by what is in them, so that browsers may keep them for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};

/// How many hexadecimal digits of the hash a name has.
const HASH_DIGITS: usize = 16;

/// One of them.
#[derive(Debug)]
pub(super) struct Asset {
    /// Its name below `/assets/`.
    name: String,
    content_type: &'static str,
    text: &'static str,
}

pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("css", "text/css; charset=utf-8", include_str!("assets/pages.css")));

pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("js", "text/javascript; charset=utf-8", include_str!("assets/pages.js")));

/// The mark of a browser's tab; in the page itself, so that nobody asks for `/favicon.ico`.
pub(super) const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect \
    width='16' height='16' rx='4' fill='%231f5fbf'/%3E%3Cpath d='M3 10.5 13 7v2.5L3 13zM5 6.5 11 4.4v2L5 8.500z' fill='%23fff'/%3E%3C/svg%3E";

impl Asset {
    fn new(ending: &str, content_type: &'static str, text: &'static str) -> Self {
        let mut hash = hex::encode(Sha256::digest(text));
        hash.truncate(HASH_DIGITS);
        Self { name: format!("pages-{hash}.{ending}"), content_type, text }
    }

    pub(super) fn path(&self) -> String {
        format!("/assets/{}", self.name)
    }
}

pub(super) async fn serve(Path(name): Path<String>) -> Response {
    let Some(asset) = [&*STYLE, &*SCRIPT].into_iter().find(|asset| asset.name == name) else {
        // Of another version of this program: its page is to be loaded again.
        return (StatusCode::NOT_FOUND, "there is no such file\n").into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, asset.text).into_response()
}
