//! Asks a provider, and reads JSON.

use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use axum::http::request::Builder;
use axum::http::{Method, Request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;

use super::limits::{ANSWER_MAX_BYTES, ANSWER_TIMEOUT};
use crate::https::{self, Client};

/// A request whose body is whole.
pub(super) type Whole = Request<Full<Bytes>>;

/// What was answered.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    /// `Null`: no JSON.
    pub(super) body: Json,
    pub(super) has_more: bool,
}

/// Text as it stands in a query or a form.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A query or a form's body.
pub(super) fn fields(pairs: &[(&str, &str)]) -> String {
    let pairs = pairs.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

fn request(method: Method, url: &str) -> Builder {
    Request::builder()
        .method(method)
        .uri(url)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("slipway/", env!("CARGO_PKG_VERSION")))
}

fn whole(request: Builder, body: String) -> Result<Whole, String> {
    let made = request.body(Full::new(Bytes::from(body)));
    made.map_err(|error| format!("the request cannot be made: {error}"))
}

fn secret(scheme: &str, text: &str) -> Result<HeaderValue, String> {
    let value = HeaderValue::try_from(format!("{scheme} {text}"));
    let mut value = value.map_err(|_| "the token is none".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// A look, in somebody's name with a token of theirs.
///
/// # Errors
/// The address or the token is none.
pub(super) fn look(url: &str, token: Option<&str>) -> Result<Whole, String> {
    let mut look = request(Method::GET, url);
    if let Some(token) = token {
        look = look.header(AUTHORIZATION, secret("Bearer", token)?);
    }
    whole(look, String::new())
}

/// A form. `basic`: who sends it, with their secret in the header (RFC 6749, section 2.3.1).
///
/// # Errors
/// The address is none.
pub(super) fn form(url: &str, pairs: &[(&str, &str)], basic: Option<(&str, &str)>) -> Result<Whole, String> {
    let mut form = request(Method::POST, url).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some((client_id, client_secret)) = basic {
        let both = format!("{}:{}", encoded(client_id), encoded(client_secret));
        form = form.header(AUTHORIZATION, secret("Basic", &STANDARD.encode(both))?);
    }
    whole(form, fields(pairs))
}

/// Sends it and reads the answer.
///
/// # Errors
/// One sentence: no connection, no answer in time, or one that is too long.
pub(super) async fn send(client: &Client, request: Whole) -> Result<Answered, String> {
    let exchange = async {
        let answer = client.request(request).await.map_err(|error| https::said(&error))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_MAX_BYTES).collect().await;
        let bytes = body.map_err(|error| format!("the answer broke off: {error}"))?.to_bytes();
        let links = head.headers.get_all("link").iter().filter_map(|link| link.to_str().ok());
        Ok(Answered {
            status: head.status.as_u16(),
            body: serde_json::from_slice(&bytes).unwrap_or(Json::Null),
            has_more: links.into_iter().any(|link| link.contains("rel=\"next\"")),
        })
    };
    let answered = tokio::time::timeout(ANSWER_TIMEOUT, exchange).await;
    answered.unwrap_or_else(|_| Err("there was no answer in time".to_owned()))
}

impl Answered {
    /// What is wrong with it, if it is an error's: what OAuth calls `error` and `error_description`.
    pub(super) fn fault(&self) -> Option<String> {
        let text = |name: &str| self.body.get(name).and_then(Json::as_str);
        match (text("error"), text("error_description").or_else(|| text("message"))) {
            (Some(error), Some(more)) => Some(format!("{error} ({more})")),
            (Some(error), None) => Some(error.to_owned()),
            (None, _) if (200..300).contains(&self.status) && !self.body.is_null() => None,
            (None, Some(more)) => Some(format!("status {} ({more})", self.status)),
            (None, None) => Some(format!("status {}", self.status)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_encoded_before_they_are_put_into_the_header() {
        let request = form("http://h/token", &[("a", "b c&d")], Some(("id:1", "s%")));
        let request = request.unwrap();
        let header = request.headers()[AUTHORIZATION].clone();
        assert!(header.is_sensitive());
        let basic = header.to_str().unwrap().strip_prefix("Basic ").unwrap().to_owned();
        assert_eq!(STANDARD.decode(basic).unwrap(), b"id%3A1:s%25");
        assert_eq!(fields(&[("a", "b c&d"), ("e", "")]), "a=b%20c%26d&e=");
        assert!(look("http://h/", Some("a\nb")).is_err());
        assert!(look("not an address", None).is_err());
    }

    #[test]
    fn an_answer_without_what_was_asked_for_is_a_fault() {
        let fault = |status, body| Answered { status, body, has_more: false }.fault();
        assert_eq!(fault(200, json!({"a": 1})), None);
        assert_eq!(fault(200, Json::Null).unwrap(), "status 200");
        assert_eq!(fault(200, json!({"error": "bad_verification_code"})).unwrap(), "bad_verification_code");
        let both = json!({"error": "invalid_grant", "error_description": "used"});
        assert_eq!(fault(400, both).unwrap(), "invalid_grant (used)");
        assert_eq!(
            fault(401, json!({"message": "Bad credentials"})).unwrap(),
            "status 401 (Bad credentials)"
        );
    }
}
