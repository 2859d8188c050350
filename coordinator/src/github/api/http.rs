//! How requests reach GitHub.

use std::time::Duration;

use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, IF_NONE_MATCH, USER_AGENT};
use axum::http::{Method, Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use serde_json::Value as Json;

use super::answer::Answer;
use super::remembered::Remembered;
use crate::forge::ForgeError;
use crate::https::{self, Client};

/// The largest answer, in bytes: a page of a hundred deliveries or checks is far below.
const ANSWER_MAX_BYTES: usize = 8 << 20;

/// The version of the API that this is written for.
const API_VERSION: &str = "2022-11-28";

/// Sends requests.
#[derive(Debug)]
pub(super) struct Transport {
    client: Client,
    base: String,
    /// How long a request and its answer may take.
    timeout: Duration,
    remembered: Remembered,
}

impl Transport {
    pub(super) fn new(base: &str, timeout: Duration) -> Result<Self, String> {
        let client = https::client()?;
        Ok(Self { client, base: base.to_owned(), timeout, remembered: Remembered::default() })
    }

    /// Sends one request in somebody's name (`whose`: what answers are remembered for) and reads its answer. A redirect is an answer like any other: none is followed, so that no token goes
    /// elsewhere.
    pub(super) async fn send(
        &self,
        whose: &str,
        token: &str,
        method: Method,
        path: &str,
        body: Option<&Json>,
    ) -> Result<Answer, ForgeError> {
        let mut authorization = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| ForgeError::Refused("the token is none".to_owned()))?;
        authorization.set_sensitive(true);
        self.exchange(Some((whose, authorization)), method, path, body).await
    }

    /// The same without saying who asks.
    pub(super) async fn send_unnamed(&self, method: Method, path: &str) -> Result<Answer, ForgeError> {
        self.exchange(None, method, path, None).await
    }

    async fn exchange(
        &self,
        asker: Option<(&str, HeaderValue)>,
        method: Method,
        path: &str,
        body: Option<&Json>,
    ) -> Result<Answer, ForgeError> {
        let bytes = body.map(Json::to_string).unwrap_or_default();
        let mut request = Request::builder()
            .method(&method)
            .uri(format!("{}{path}", self.base))
            .header(ACCEPT, "application/vnd.github+json")
            .header(USER_AGENT, concat!("slipway/", env!("CARGO_PKG_VERSION")))
            .header("x-github-api-version", API_VERSION);
        let whose = asker.as_ref().map(|(whose, _)| *whose).filter(|_| method == Method::GET);
        let before = whose.and_then(|whose| self.remembered.get(whose, path));
        if let Some(before) = &before {
            request = request.header(IF_NONE_MATCH, before.etag.clone());
        }
        if let Some((_, authorization)) = asker {
            request = request.header(AUTHORIZATION, authorization);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::new(Bytes::from(bytes)))
            .map_err(|error| ForgeError::Refused(format!("the request cannot be made: {error}")))?;
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|error| {
                let message = https::said(&error);
                match error.is_connect() {
                    true => ForgeError::Later { wait: None, message },
                    false => ForgeError::Uncertain(message),
                }
            })?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_MAX_BYTES).collect().await;
            let body =
                body.map_err(|error| ForgeError::Uncertain(format!("the answer broke off: {error}")))?;
            let bytes = body.to_bytes();
            if let Some(before) = before.filter(|_| head.status == StatusCode::NOT_MODIFIED) {
                return Ok(before.again(head.headers));
            }
            let body = serde_json::from_slice(&bytes).unwrap_or(Json::Null);
            let answer = Answer { status: head.status.as_u16(), headers: head.headers, body };
            if let Some(whose) = whose {
                self.remembered.keep(whose, path, &answer, bytes.len());
            }
            Ok(answer)
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(ForgeError::Uncertain("there was no answer in time".to_owned())),
        }
    }
}
