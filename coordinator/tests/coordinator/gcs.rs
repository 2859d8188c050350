//! Blobs and logs in Google Cloud Storage: a coordinator with `--objects gs://…`.
//!
//! Nobody offers that server to be run here. What stands for it is the S3 server, whose XML API Google's is made after, and before it what is
//! Google's own: a service account signs who asks, and an object's generation says whether it may be written over (Google Cloud docs, "XML
//! API overview", "Self-signed JWTs", "Request preconditions").

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::{AUTHORIZATION, IF_NONE_MATCH};
use axum::response::{IntoResponse as _, Response};
use reqwest::StatusCode;
use ring::signature::{KeyPair as _, RsaKeyPair, RsaPublicKeyComponents};
use serde_json::json;
use slipway_cas::objects::BucketAddress;
use tempfile::TempDir;
use tokio_rustls::rustls::pki_types::PrivatePkcs1KeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use crate::github_double::KEY;
use crate::jwt::Jwt;
use crate::s3::{self, S3, pass_on};

/// The service account that may use the bucket `logs`.
const ACCOUNT: &str = "slipway@team.iam.gserviceaccount.com";

/// What is asked to be allowed: the account's rights decide.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// The largest request: a part of an object.
const BODY_MAX: usize = 64 << 20;

/// A server of a test's own.
struct Gcs {
    _s3: S3,
    folder: TempDir,
    port: u16,
}

#[derive(Clone)]
struct Front {
    server: u16,
    http: reqwest::Client,
    account: RsaPublicKeyComponents<Vec<u8>>,
}

impl Gcs {
    async fn start() -> Self {
        let s3 = S3::start().await;
        let key = PrivatePkcs1KeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
        let account = RsaKeyPair::from_der(key.secret_pkcs1_der()).unwrap().public_key().into();
        let front = Front { server: s3.port(), http: slipway_tests::http_client(), account };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let app = axum::Router::new().fallback(answer).with_state(front);
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { _s3: s3, folder: tempfile::tempdir().unwrap(), port }
    }

    fn address(&self, url: &str) -> BucketAddress {
        self.address_as(url, self.port, ACCOUNT)
    }

    /// As somebody, and at another port.
    fn address_as(&self, url: &str, port: u16, account: &str) -> BucketAddress {
        let file = self.folder.path().join(account);
        let key = json!({"type": "service_account", "client_email": account, "private_key_id": "1", "private_key": KEY});
        std::fs::write(&file, key.to_string()).unwrap();
        let settings = [
            ("GOOGLE_BASE_URL", format!("http://127.0.0.1:{port}")),
            ("GOOGLE_SERVICE_ACCOUNT", file.to_str().unwrap().to_owned()),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value)).to_vec();
        BucketAddress { url: url.to_owned(), settings }
    }
}

impl Front {
    /// Whether the account signed this token for now and for what is asked.
    fn knows(&self, token: &str) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        Jwt::read(token).is_some_and(|jwt| {
            let time = |claim: &str| jwt.claims[claim].as_u64();
            let lasts =
                time("iat").is_some_and(|from| from <= now) && time("exp").is_some_and(|until| now < until);
            let ours = [("iss", ACCOUNT), ("sub", ACCOUNT), ("scope", SCOPE)];
            jwt.is_by(&self.account) && lasts && ours.iter().all(|(claim, is)| jwt.claims[*claim] == *is)
        })
    }
}

async fn answer(State(front): State<Front>, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_MAX).await.unwrap();
    let token = head.headers.remove(AUTHORIZATION);
    let token = token.as_ref().and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if !token.is_some_and(|token| front.knows(token)) {
        return (StatusCode::UNAUTHORIZED, "<Error><Code>AuthenticationRequired</Code></Error>")
            .into_response();
    }
    // The other server wants somebody, whoever that is.
    head.headers.insert(AUTHORIZATION, HeaderValue::from_static("AWS key:signature"));
    if let Some(source) = head.headers.remove("x-goog-copy-source") {
        head.headers.insert("x-amz-copy-source", source);
    }
    if let Some(generation) = head.headers.remove("x-goog-if-generation-match") {
        assert_eq!(generation, "0", "only new objects are asked for");
        head.headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
    }
    pass_on(front.server, &front.http, head, body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_conform_and_large_ones_go_in_parts() {
    let server = Gcs::start().await;
    s3::blobs_conform(|name| server.address(&format!("gs://logs/{name}"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_store_is_told_at_the_start() {
    let server = Gcs::start().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    s3::is_told(server.address("gs://nowhere/x"), &["bucket does not exist"]).await;
    let unreachable = server.address_as("gs://logs", closed, ACCOUNT);
    s3::is_told(unreachable, &["out of reach", "GOOGLE_BASE_URL"]).await;
    let stranger = server.address_as("gs://logs", server.port, "stranger@team.iam.gserviceaccount.com");
    s3::is_told(stranger, &["credentials are not accepted", "GOOGLE_SERVICE_ACCOUNT"]).await;
    let mut nobody = server.address("gs://logs");
    nobody.settings[1].1 = server.folder.path().join("missing.json").to_str().unwrap().to_owned();
    s3::is_told(nobody, &["missing.json", "No such file"]).await;
    let mut plain = server.address("gs://logs");
    plain.settings[0].1 = "http://storage.example".to_owned();
    s3::is_told(plain, &["unencrypted", "https://"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_line_is_lost_when_the_coordinator_is_killed() {
    let server = Gcs::start().await;
    s3::no_line_is_lost(server.address("gs://logs/team")).await;
}
