//! `/api/v1/openapi.json`: the API's description. A test checks that it names every route and nothing else.

use axum::http::header;
use axum::response::IntoResponse;

/// The description, OpenAPI 3.1.
pub const DOCUMENT: &str = include_str!("openapi.json");

pub(super) async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT)
}
