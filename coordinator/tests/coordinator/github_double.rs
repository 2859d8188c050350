//! A double of GitHub's API, as far as Slipway asks it: it keeps checks, statuses and deliveries, misbehaves as a test wants it, and writes down each
//! exchange, to be held against GitHub's own description.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use slipway_coordinator::options::{AppKey, GithubIdentity, GithubOptions};

/// The key of the App that tests have.
pub(crate) const KEY: &str = include_str!("../fixtures/github-app-of-tests.pem");

/// Its id.
pub(crate) const APP: u64 = 7;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing was done.
    Broken,
    /// Too much was asked, says `Retry-After`.
    Limited,
    /// Nothing is left of the hour.
    Exhausted,
    /// A secondary limit that says only so.
    Unavailable,
    /// It was done, and the answer breaks off.
    Lost,
    /// The token is not taken.
    Stranger,
    /// It is done, but only after this long, whatever became of whoever asked.
    Slow(Duration),
}

/// What the double knows.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// By id.
    pub(crate) checks: BTreeMap<u64, Value>,
    pub(crate) annotations: BTreeMap<u64, Vec<Value>>,
    pub(crate) statuses: Vec<Value>,
    /// By id.
    pub(crate) deployments: BTreeMap<u64, Value>,
    /// Of each deployment, oldest first.
    pub(crate) deployed: BTreeMap<u64, Vec<Value>>,
    /// The App may make no deployments.
    pub(crate) no_deployments: bool,
    /// How often one was asked for all the same.
    pub(crate) deployments_refused: u64,
    /// What comparisons find, oldest first: id, message, how many parents, and what is wrong with the signature.
    pub(crate) commits: Vec<(String, String, usize, Option<&'static str>)>,
    /// What was compared.
    pub(crate) compared: Vec<String>,
    /// Newest first, as GitHub lists them.
    pub(crate) deliveries: Vec<Value>,
    /// Ids of deliveries that were asked for again.
    pub(crate) redelivered: Vec<u64>,
    /// How often each check changed after it was completed.
    pub(crate) changed_after_end: BTreeMap<u64, u32>,
    /// What the App is: `permissions`, `events`, and `hook`, its webhook's configuration.
    pub(crate) app: Value,
    /// Tokens that were made.
    pub(crate) tokens: u64,
    /// What goes wrong with the next requests about checks and statuses.
    pub(crate) trouble: VecDeque<Option<Trouble>>,
    /// Nothing is answered.
    pub(crate) down: bool,
    /// How many requests were taken that are done later.
    pub(crate) delayed: u64,
    /// How many of those are done.
    pub(crate) done_late: u64,
    exchanges: Vec<Value>,
    pub(crate) made: u64,
}

impl Known {
    /// Names and conclusions of all checks, sorted; one that is not over has its status.
    pub(crate) fn ends(&self) -> Vec<(String, String)> {
        let text = |check: &Value, field: &str| check[field].as_str().unwrap_or_default().to_owned();
        let end = |check: &Value| match check["conclusion"].is_string() {
            true => text(check, "conclusion"),
            false => text(check, "status"),
        };
        let mut ends: Vec<_> = self.checks.values().map(|check| (text(check, "name"), end(check))).collect();
        ends.sort();
        ends
    }

    /// Does what is asked, and writes it down.
    fn exchange(&mut self, method: &Method, path: &str, body: &Value) -> (StatusCode, Value, Option<String>) {
        let (status, answer, link) = self.answer(method, path, body);
        self.exchanges.push(json!({
            "method": method.as_str(), "path": path, "body": body, "status": status.as_u16(), "answer": answer,
        }));
        (status, answer, link)
    }

    /// How many requests were done.
    pub(crate) fn asked(&self) -> usize {
        self.exchanges.len()
    }

    pub(crate) fn check(&self, name: &str) -> Option<&Value> {
        self.checks.values().rfind(|check| check["name"] == name)
    }
}

/// The double.
#[derive(Debug, Clone)]
pub(crate) struct Double {
    pub(crate) address: SocketAddr,
    known: Arc<Mutex<Known>>,
}

impl Double {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let double = Self { address: listener.local_addr().unwrap(), known: Arc::default() };
        let router = Router::new().fallback(serve).with_state(double.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        double
    }

    /// Its host, as payloads name it.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn api(&self) -> String {
        format!("http://{}/api/v3", self.address)
    }

    /// Options of a coordinator that tells it, as an App.
    pub(crate) fn options(&self) -> GithubOptions {
        GithubOptions {
            api: self.api(),
            identity: GithubIdentity::App { id: APP.to_string(), key: AppKey::from_pem(KEY).unwrap() },
            statuses: false,
            check: "slipway".to_owned(),
            timeout: Duration::from_secs(1),
        }
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    /// Waits until it knows what is wanted.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Known) -> bool) {
        for _ in 0..12_000 {
            if wanted(&self.known()) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the double never had {what}: {:#?}", self.known().checks);
    }

    /// Holds all exchanges against GitHub's own description.
    pub(crate) fn hold_against_description(&self) {
        hold_against_description(&self.known().exchanges);
    }
}

/// Holds exchanges against GitHub's own description.
pub(crate) fn hold_against_description(exchanges: &[Value]) {
    let packages = std::env::var_os("SLIPWAY_GITHUB_DESCRIPTION").map(PathBuf::from).unwrap_or_else(|| {
            panic!("SLIPWAY_GITHUB_DESCRIPTION is not set: run the tests with nextest, or scripts/prepare-clients.sh first")
        });
    // Node looks for packages beside the script.
    let here = tempfile::tempdir_in(&packages).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/github_api.mjs");
    std::fs::copy(source, here.path().join("github_api.mjs")).unwrap();
    assert!(!exchanges.is_empty());
    let lines: String = exchanges.iter().map(|exchange| format!("{exchange}\n")).collect();
    std::fs::write(here.path().join("exchanges.jsonl"), lines).unwrap();
    let mut command = Command::new("node");
    command.current_dir(here.path()).args(["github_api.mjs", "exchanges.jsonl"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let wrong = String::from_utf8(output.stdout).unwrap();
    assert!(wrong.is_empty(), "not as GitHub describes it:\n{wrong}");
}

async fn serve(State(double): State<Double>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let path = head.uri.path_and_query().unwrap().as_str();
    let Some(path) = path.strip_prefix("/api/v3") else { return StatusCode::NOT_FOUND.into_response() };
    let parsed = match body.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&body).unwrap(),
    };
    let trouble = match refused(&double, path, &head.headers) {
        Ok(trouble) => trouble,
        Err(refusal) => return refusal,
    };
    if let Some(Trouble::Slow(for_long)) = trouble {
        double.known().delayed += 1;
        let (double, path, method) = (double.clone(), path.to_owned(), head.method);
        // Of its own: the one that asked may be gone before it is done.
        let done = tokio::spawn(async move {
            tokio::time::sleep(for_long).await;
            let mut known = double.known();
            known.done_late += 1;
            known.exchange(&method, &path, &parsed)
        });
        let (status, answer, _) = done.await.unwrap();
        return (status, answer.to_string()).into_response();
    }
    let (status, answer, link) = double.known().exchange(&head.method, path, &parsed);
    if trouble == Some(Trouble::Lost) {
        let cut = [Ok(Bytes::from_static(b"{\"id\"")), Err(std::io::Error::other("cut"))];
        return (status, Body::from_stream(tokio_stream::iter(cut))).into_response();
    }
    let mut response = (status, answer.to_string()).into_response();
    if head.method == Method::GET && status == StatusCode::OK {
        let etag = format!("W/\"{}\"", hex::encode(Sha256::digest(answer.to_string())));
        let known_there = head.headers.get("if-none-match").and_then(|value| value.to_str().ok());
        if known_there == Some(etag.as_str()) {
            // The first exchange has shown what this stands for.
            return (StatusCode::NOT_MODIFIED, [("etag", etag)]).into_response();
        }
        response.headers_mut().insert("etag", etag.parse().unwrap());
    }
    if let Some(link) = link {
        response.headers_mut().insert("link", link.parse().unwrap());
    }
    response
}

/// What goes wrong with a request after which it is done all the same; `Err`: it is not done.
#[allow(clippy::result_large_err)]
fn refused(double: &Double, path: &str, headers: &HeaderMap) -> Result<Option<Trouble>, Response> {
    let mut known = double.known();
    if known.down {
        return Err(broken(StatusCode::BAD_GATEWAY));
    }
    let as_app = path.starts_with("/app") || path.split('?').next().unwrap().ends_with("/installation");
    let unnamed = path.starts_with("/app-manifests/");
    if !unnamed {
        authorized(&known, headers, as_app)?;
    }
    let trouble = if as_app || unnamed { None } else { known.trouble.pop_front().flatten() };
    match trouble {
        None | Some(Trouble::Lost | Trouble::Slow(_)) => {}
        Some(Trouble::Broken) => return Err(broken(StatusCode::INTERNAL_SERVER_ERROR)),
        Some(Trouble::Unavailable) => return Err(broken(StatusCode::SERVICE_UNAVAILABLE)),
        Some(Trouble::Limited) => {
            let message = json!({"message": "You have exceeded a secondary rate limit"}).to_string();
            return Err((StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")], message).into_response());
        }
        Some(Trouble::Exhausted) => {
            let reset = now_s().to_string();
            let headers = [
                ("x-ratelimit-limit", "5000"),
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", reset.as_str()),
            ];
            let message = json!({"message": "API rate limit exceeded"}).to_string();
            return Err((StatusCode::FORBIDDEN, headers, message).into_response());
        }
        Some(Trouble::Stranger) => {
            return Err(
                (StatusCode::UNAUTHORIZED, json!({"message": "Bad credentials"}).to_string()).into_response()
            );
        }
    }
    Ok(trouble)
}

fn broken(status: StatusCode) -> Response {
    (status, "<html>not even JSON</html>").into_response()
}

pub(crate) fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// As GitHub has it: the App shows its own token for what is the App's, one of an installation for all else.
#[allow(clippy::result_large_err)]
fn authorized(known: &Known, headers: &HeaderMap, as_app: bool) -> Result<(), Response> {
    let refusal = |why: &str| {
        Err((StatusCode::UNAUTHORIZED, json!({"message": format!("Bad credentials: {why}")}).to_string())
            .into_response())
    };
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if text("user-agent").is_empty() || text("accept") != "application/vnd.github+json" {
        return refusal("a header is missing");
    }
    let Some(token) = text("authorization").strip_prefix("Bearer ") else { return refusal("no token") };
    if !as_app {
        let good = token == "a-plain-token" || token == format!("ghs_{}", known.tokens);
        return if good { Ok(()) } else { refusal("no such token") };
    }
    let parts: Vec<&str> = token.split('.').collect();
    let [_, claims, _] = parts.as_slice() else { return refusal("no JSON Web Token") };
    let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let (now, issued, ends) = (now_s(), claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
    match claims["iss"].as_str() == Some("7") && issued <= now && ends > now && ends <= now + 600 {
        true => Ok(()),
        false => refusal("its times or its App"),
    }
}
