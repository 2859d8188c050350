#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value as Json, json};
use slipway_kit::clock::SystemClock;

use super::answer::Answer;
use super::limits::{Budget, judge};
use super::{host_of, in_path, jwt};
use crate::forge::ForgeError;
use crate::options::AppKey;

const TIMEOUT: Duration = Duration::from_secs(20);

const KEY: &str = include_str!("../../../tests/fixtures/github-app-of-tests.pem");

/// A key that only tests have.
pub(in crate::github) fn test_key() -> AppKey {
    AppKey::from_pem(KEY).unwrap()
}

#[test]
fn an_apps_token_is_one_that_openssl_takes() {
    let token = jwt::token(&test_key().pair().unwrap(), "7", 1_000_000).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let decoded = |part: &str| serde_json::from_slice::<Json>(&BASE64.decode(part).unwrap()).unwrap();
    assert_eq!(decoded(parts[0]), json!({"alg": "RS256", "typ": "JWT"}));
    let claims = decoded(parts[1]);
    assert_eq!(claims["iss"], "7");
    let (issued, ends) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
    assert!(issued < 1_000_000 && ends > 1_000_000 && ends - issued <= 600, "{claims}");

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let (key, signature) =
        (file("key", KEY.as_bytes()), file("signature", &BASE64.decode(parts[2]).unwrap()));
    let openssl = |arguments: &[&std::ffi::OsStr], input: &str| {
        let mut child = Command::new("openssl")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let public = openssl(&["rsa".as_ref(), "-in".as_ref(), key.as_ref(), "-pubout".as_ref()], "");
    let public = file("public", &public.stdout);
    let verify = |signed: &str| {
        let arguments: [&std::ffi::OsStr; 6] = [
            "dgst".as_ref(),
            "-sha256".as_ref(),
            "-verify".as_ref(),
            public.as_ref(),
            "-signature".as_ref(),
            signature.as_ref(),
        ];
        openssl(&arguments, signed).status.success()
    };
    assert!(verify(&format!("{}.{}", parts[0], parts[1])));
    assert!(!verify(&format!("{}.{}x", parts[0], parts[1])));
}

#[test]
fn a_pkcs8_key_is_as_good() {
    let mut command = Command::new("openssl");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/github-app-of-tests.pem");
    let output = command.args(["pkcs8", "-topk8", "-nocrypt", "-in", file]).output().unwrap();
    let pem = String::from_utf8(output.stdout).unwrap();
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY"));
    let (one, other) = (test_key().pair().unwrap(), AppKey::from_pem(&pem).unwrap().pair().unwrap());
    assert_eq!(jwt::token(&one, "7", 1).unwrap(), jwt::token(&other, "7", 1).unwrap());
    assert!(!format!("{:?}", test_key()).contains(['[', '0']));
}

fn answer(status: u16, headers: &[(&'static str, &str)], message: &str) -> Answer {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    Answer { status, headers: map, body: json!({"message": message}) }
}

fn wait(answer: Answer) -> Option<u64> {
    match judge(answer, 1_000) {
        Err(ForgeError::Later { wait: Some(wait), .. }) => Some(wait.as_secs()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn limits_say_how_long_nothing_may_be_asked() {
    assert_eq!(wait(answer(429, &[("retry-after", "17")], "")), Some(17));
    assert_eq!(wait(answer(403, &[("retry-after", "5"), ("x-ratelimit-remaining", "0")], "")), Some(5));
    let exhausted = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1030")];
    assert_eq!(wait(answer(403, &exhausted, "")), Some(31));
    let past = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "10")];
    assert_eq!(wait(answer(429, &past, "")), Some(1));
    assert_eq!(wait(answer(403, &[], "You have exceeded a secondary rate limit.")), Some(60));
    assert_eq!(wait(answer(429, &[("retry-after", "soon")], "")), Some(60));
    assert_eq!(wait(answer(429, &[("retry-after", "999999999")], "")), Some(3_600));
    assert_eq!(wait(answer(503, &[("retry-after", "3")], "")), Some(3));
}

#[test]
fn what_is_refused_is_told_apart_from_what_nobody_knows() {
    let judged = |status| judge(answer(status, &[], "why"), 0).map(|answer| answer.status);
    assert_eq!(judged(201), Ok(201));
    for status in [301, 400, 404, 410, 422] {
        assert!(matches!(judged(status), Err(ForgeError::Refused(why)) if why.contains("why")), "{status}");
    }
    assert!(matches!(judged(403), Err(ForgeError::Forbidden(why)) if why.contains("why")));
    for status in [408, 500, 502, 503, 504] {
        assert!(matches!(judged(status), Err(ForgeError::Uncertain(_))), "{status}");
    }
}

#[test]
fn what_can_be_left_out_is_when_little_is_left() {
    let budget = Budget::new(Arc::new(SystemClock));
    assert!(budget.has_room());
    let soon = (budget.now_s() + 600).to_string();
    let heed = |remaining: &str, reset: &str| {
        let headers = [
            ("x-ratelimit-limit", "5000"),
            ("x-ratelimit-remaining", remaining),
            ("x-ratelimit-reset", reset),
        ];
        budget.heed(&answer(200, &headers, ""));
        budget.has_room()
    };
    assert!(heed("4000", &soon));
    assert!(!heed("2000", &soon));
    assert!(heed("2000", "1"), "the hour is over");
}

#[test]
fn addresses_and_names_mean_nothing_else() {
    assert_eq!(host_of("https://api.github.com"), "github.com");
    assert_eq!(host_of("https://ghe.example:8443/api/v3"), "ghe.example:8443");
    assert_eq!(host_of("https://api.acme.ghe.com"), "acme.ghe.com");
    assert_eq!(in_path("o-1/n.a_b"), "o-1/n.a_b");
    assert_eq!(in_path("o/n?x#y z"), "o/n%3Fx%23y%20z");
}

#[test]
fn a_long_error_is_told_in_short() {
    let told = answer(422, &[], &format!("{}\n\u{1b}[31m", "ä".repeat(1_000))).told("refused");
    assert!(told.len() < 400 && !told.contains(['\n', '\u{1b}']), "{told}");
}

#[tokio::test]
async fn what_does_not_answer_was_not_done_and_what_breaks_off_is_uncertain() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let transport = super::http::Transport::new(&format!("http://{address}/api/v3"), TIMEOUT).unwrap();
    let send = || transport.send("o/n", "t", axum::http::Method::GET, "/app", None);
    let cut = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        drop(stream);
    });
    assert!(matches!(send().await, Err(ForgeError::Uncertain(_))));
    cut.await.unwrap();
    match send().await {
        Err(ForgeError::Later { wait: None, message }) => assert!(!message.is_empty()),
        other => panic!("{other:?}"),
    }
    let bad = transport.send("o/n", "two\nlines", axum::http::Method::GET, "/app", None).await;
    assert!(matches!(bad, Err(ForgeError::Refused(why)) if !why.contains("lines")));
}

#[tokio::test]
async fn what_is_as_it_was_is_not_sent_again() {
    use axum::http::{HeaderMap, StatusCode};
    use axum::response::IntoResponse as _;
    let answer = |headers: HeaderMap| async move {
        let asked = headers.get("if-none-match").map(|value| value.to_str().unwrap().to_owned());
        match (asked.as_deref(), headers["authorization"].to_str().unwrap()) {
            (Some("\"1\""), "Bearer t") => {
                (StatusCode::NOT_MODIFIED, [("x-ratelimit-remaining", "4")]).into_response()
            }
            (None, "Bearer t") => {
                ([("etag", "\"1\""), ("link", "<next>"), ("x-ratelimit-remaining", "5")], "{\"id\":7}")
                    .into_response()
            }
            (None, "Bearer other") => "{\"id\":8}".into_response(),
            other => panic!("{other:?}"),
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transport =
        super::http::Transport::new(&format!("http://{}", listener.local_addr().unwrap()), TIMEOUT).unwrap();
    let server =
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
    let get = axum::http::Method::GET;
    for left in ["5", "4", "4"] {
        let answer = transport.send("o/n", "t", get.clone(), "/x", None).await.unwrap();
        assert_eq!((answer.status, answer.number("/id").unwrap()), (200, 7));
        assert_eq!(
            (answer.header("link"), answer.header("x-ratelimit-remaining")),
            (Some("<next>"), Some(left))
        );
    }
    let other = transport.send("o/other", "other", get, "/x", None).await.unwrap();
    assert_eq!(other.number("/id").unwrap(), 8, "what one may see is not another's");
    server.abort();
}
