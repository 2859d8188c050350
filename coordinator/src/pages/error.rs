//! What a page says instead of what was asked for.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::html;

use super::layout::{Frame, page};
use crate::http::ApiError;

/// An error of a page: what is wrong, for a person.
#[derive(Debug)]
pub(super) struct PageError {
    status: StatusCode,
    message: String,
    /// Where to go from here, and what that is.
    next: (&'static str, &'static str),
}

const OVERVIEW: (&str, &str) = ("/", "Go to the overview");

impl PageError {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), next: OVERVIEW }
    }

    /// The same with another way on.
    pub(super) fn leading_to(self, path: &'static str, text: &'static str) -> Self {
        Self { next: (path, text), ..self }
    }

    pub(super) fn forbidden(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    pub(super) fn bad_request(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn not_found(message: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(super) fn nobody_leads() -> Self {
        let told = "No coordinator leads at the moment: another one is about to take over. Load this page again in a few seconds.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, told)
    }
}

/// Errors are the API's: a page only shows them another way.
impl<E: Into<ApiError>> From<E> for PageError {
    fn from(error: E) -> Self {
        let ApiError { status, message, .. } = error.into();
        Self::new(status, message)
    }
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::FORBIDDEN => "Refused",
        StatusCode::CONFLICT => "Not possible now",
        StatusCode::GONE => "Removed",
        StatusCode::SERVICE_UNAVAILABLE => "Not available now",
        status if status.is_client_error() => "The request cannot be served",
        _ => "Something went wrong",
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let title = title(self.status);
        if self.status.is_server_error() {
            tracing::debug!(status = %self.status, message = self.message, "a page could not be shown");
        }
        let main = html! {
            div.narrow {
                h1 { (title) }
                p.lead { (sentence(&self.message)) }
                p { a href=(self.next.0) { (self.next.1) } }
            }
        };
        (self.status, page(&Frame::plain(title), main)).into_response()
    }
}

/// With a capital letter and a full stop.
fn sentence(message: &str) -> String {
    let mut characters = message.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let end = if message.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", characters.as_str())
}

pub(super) async fn method_not_allowed() -> PageError {
    PageError::new(StatusCode::METHOD_NOT_ALLOWED, "This page does not take what was sent.")
}
