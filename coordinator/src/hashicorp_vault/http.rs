//! How requests reach Vault.

use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, USER_AGENT};
use axum::http::{Method, Request};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::Value as Json;
use slipway_tls::{Trust, roots};
use tokio::sync::Semaphore;

use super::Fault;
use super::limits::{ANSWER_MAX_BYTES, ANSWER_TIMEOUT, REQUESTS_AT_ONCE};
use super::login::Token;
use crate::https::{self, Client};
use crate::options::HashicorpVaultOptions;

/// What of a path cannot stand in an address. Slashes are the path's own.
const IN_PATHS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// Sends requests.
#[derive(Debug)]
pub(super) struct Transport {
    client: Client,
    /// Without a slash at its end.
    address: String,
    namespace: Option<HeaderValue>,
    room: Semaphore,
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    /// `Null`: no JSON.
    pub(super) body: Json,
}

impl Transport {
    /// # Errors
    /// The authorities cannot be read, or the namespace is none.
    pub(super) fn new(options: &HashicorpVaultOptions) -> Result<Self, String> {
        let client = match &options.ca_file {
            Some(file) => {
                let failed = |why: String| format!("{}: {why}", file.display());
                let trust = Trust::Roots {
                    roots: roots::of_file(file).map_err(failed)?.into(),
                    from: file.display().to_string(),
                };
                https::client_that_trusts(&trust)?
            }
            None => https::client()?,
        };
        let namespace = options.namespace.as_deref().map(HeaderValue::try_from).transpose();
        let namespace = namespace.map_err(|_| "the namespace cannot stand in a header".to_owned())?;
        Ok(Self {
            client,
            address: options.address.clone(),
            namespace,
            room: Semaphore::new(REQUESTS_AT_ONCE),
        })
    }

    /// What lies at a path.
    pub(super) async fn get(&self, path: &str, token: &Token) -> Result<Answered, Fault> {
        self.send(Method::GET, path, Some(token), None).await
    }

    /// Says something without being anybody yet.
    pub(super) async fn post(&self, path: &str, body: &Json) -> Result<Answered, Fault> {
        self.send(Method::POST, path, None, Some(body)).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&Token>,
        body: Option<&Json>,
    ) -> Result<Answered, Fault> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/v1/{}", self.address, utf8_percent_encode(path, IN_PATHS)))
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("slipway/", env!("CARGO_PKG_VERSION")))
            // Vault's agents and proxies may refuse requests without it.
            .header("x-vault-request", "true");
        if let Some(namespace) = &self.namespace {
            request = request.header("x-vault-namespace", namespace.clone());
        }
        if let Some(token) = token {
            request = request.header("x-vault-token", token.header()?);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let bytes = body.map(Json::to_string).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(bytes)));
        let request =
            request.map_err(|error| Fault::Refused(format!("`{path}` cannot be asked for: {error}")))?;
        let exchange = async {
            let _room = self.room.acquire().await;
            let away = |why: &str| Fault::Away(format!("Vault at {} {why}", self.address));
            let answer = self.client.request(request).await;
            let answer =
                answer.map_err(|error| away(&format!("cannot be reached: {}", https::said(&error))))?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), ANSWER_MAX_BYTES).collect().await;
            let body = body.map_err(|error| away(&format!("broke off its answer: {error}")))?.to_bytes();
            Ok(Answered { status, body: serde_json::from_slice(&body).unwrap_or(Json::Null) })
        };
        let answered = tokio::time::timeout(ANSWER_TIMEOUT, exchange).await;
        answered.unwrap_or_else(|_| {
            let seconds = ANSWER_TIMEOUT.as_secs();
            Err(Fault::Away(format!("Vault at {} did not answer within {seconds} s", self.address)))
        })
    }
}
