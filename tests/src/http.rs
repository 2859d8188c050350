//! HTTP as a person does it: with curl.

use std::io::Write as _;
use std::process::{Command, Stdio};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

/// An answer.
#[derive(Debug)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// The body, as text.
    pub body: String,
}

impl HttpAnswer {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("no JSON ({e}): {self:?}"))
    }
}

/// `GET` with a bearer token; no token when it is empty.
#[must_use]
pub fn get(url: &str, token: &str) -> HttpAnswer {
    let header = format!("authorization: Bearer {token}");
    let arguments = if token.is_empty() { vec![url] } else { vec!["--header", &header, url] };
    curl(&arguments, b"")
}

/// `POST` of these bytes with these headers.
#[must_use]
pub fn post_with_curl(url: &str, headers: &[&str], body: &[u8]) -> HttpAnswer {
    let mut arguments = vec!["--data-binary", "@-", "--header", "expect:"];
    for header in headers {
        arguments.extend(["--header", header]);
    }
    arguments.push(url);
    curl(&arguments, body)
}

/// The value of GitHub's `X-Hub-Signature-256` for this body.
#[must_use]
pub fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

fn curl(arguments: &[&str], input: &[u8]) -> HttpAnswer {
    let mut child = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "60", "--write-out", "\n%{http_code}"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // A server may answer and close before it has read a body that is too large.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap();
    HttpAnswer { status: status.parse().unwrap(), body: body.to_owned() }
}
