//! What a coordinator that follows does with requests: what the journal tells it answers, the rest it passes on to the
//! leader, byte for byte, both ways and as it comes. So it does not matter which coordinator somebody asks.
//!
//! A leader with `https` in its address is verified: by the authority that all coordinators of a cluster share, or the machine's.
//! One without TLS is spoken to as it says, so that a cluster can change over one coordinator after the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use slipway_tls::{Peer, Trust};
use tokio_rustls::rustls::{self, RootCertStore};

use super::error::ApiError;
use crate::authority::Authority;
use crate::driver::Role;
use crate::https::said;
use crate::pages;
use crate::services::Services;
use crate::token;

/// On a request that was passed on: who asked. It is not passed on again.
pub(super) const FORWARDED: HeaderName = HeaderName::from_static("x-slipway-forwarded");

/// How long a connection to the leader may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// When a client that found no leader is to try again, in seconds.
const RETRY_AFTER_S: &str = "1";

/// Headers about one connection and not the message (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 5] =
    [header::CONNECTION, header::TRANSFER_ENCODING, header::TE, header::TRAILER, header::UPGRADE];

/// The client that speaks to the leader; cheap to clone.
#[derive(Clone)]
pub(crate) struct Forwarder {
    services: Services,
    client: reqwest::Client,
    trust: Trust,
}

impl Forwarder {
    /// A forwarder.
    ///
    /// # Errors
    /// The system offers no network at all.
    pub(super) fn new(services: Services) -> std::io::Result<Self> {
        // A coordinator that stands alone passes nothing on.
        let trust = match &services.options.cluster {
            Some(_) => trust_in(&services.authority).map_err(std::io::Error::other)?,
            None => Trust::nobody(),
        };
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(trust.for_http().map_err(std::io::Error::other)?)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(std::io::Error::other)?;
        Ok(Self { services, client, trust })
    }

    /// Why a request did not reach the leader.
    fn explain(&self, leader: &str, error: &reqwest::Error) -> String {
        let url = reqwest::Url::parse(leader).ok();
        let host = url.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
        let peer = Peer {
            url: leader,
            host: host.trim_matches(['[', ']']),
            trust: &self.trust,
            flag: "its --advertise-http",
            without_tls: "start it with --http-tls",
            unknown: "coordinators with --tls-name have to have the same --cluster-key-file, and of certificate files each machine's store \
                      has to have the CA",
            pinned_by: "nobody names",
        };
        let in_words = leader.starts_with("https://") && error.is_connect();
        let in_words = in_words.then(|| slipway_tls::explain(error, &peer)).flatten();
        in_words.unwrap_or_else(|| said(error))
    }
}

/// The authority of the cluster, and those of this machine.
fn trust_in(authority: &Authority) -> Result<Trust, rustls::Error> {
    // A machine without any trusts the cluster's own.
    let mut roots = slipway_tls::roots::of_machine().unwrap_or_else(|_| RootCertStore::empty());
    roots.add(authority.certificate().clone())?;
    let from = "the cluster's authority or this machine's store".to_owned();
    Ok(Trust::Roots { roots: Arc::new(roots), from })
}

/// Whether a follower answers this by itself.
fn is_own(request: &Request) -> bool {
    let path = request.uri().path();
    matches!(path, "/healthz" | "/readyz" | "/metrics" | "/api/v1/openapi.json")
        || (request.method() == Method::GET && path == "/api/v1/runs" && !is_of_a_holder(request.headers()))
}

/// Whether the token is one of those that the leader knows alone.
fn is_of_a_holder(headers: &HeaderMap) -> bool {
    let shown = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    token::given(shown).is_some_and(|text| text.starts_with(token::ACCESS_PREFIX))
}

/// Lets the leader's own requests through, and a follower's to the leader.
pub(super) async fn to_leader(State(forward): State<Forwarder>, request: Request, next: Next) -> Response {
    let leader = match &*forward.services.driver.role().borrow() {
        Role::Leading { .. } => None,
        Role::Following(leader) => Some(leader.clone()),
    };
    let Some(leader) = leader else { return next.run(request).await };
    if is_own(&request) {
        return next.run(request).await;
    }
    let passed_on = request.headers().contains_key(&FORWARDED);
    let nobody_leads = if pages::is_for_people(&request) { pages::nobody_leads } else { nobody_leads };
    if !leader.alive || leader.address.http.is_empty() || passed_on {
        return nobody_leads();
    }
    match pass_on(&forward.client, &leader.address.http, request).await {
        Ok(response) => response,
        Err(error) => {
            let error = forward.explain(&leader.address.http, &error);
            tracing::warn!(leader = leader.address.http, error, "a request did not reach the leader");
            nobody_leads()
        }
    }
}

fn nobody_leads() -> Response {
    let error = ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "no_leader",
        "no coordinator leads at the moment; try again in a second",
    );
    ([(header::RETRY_AFTER, RETRY_AFTER_S)], error).into_response()
}

async fn pass_on(client: &reqwest::Client, leader: &str, request: Request) -> reqwest::Result<Response> {
    let (parts, body) = request.into_parts();
    let asked = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_string());
    let asked = asked.and_then(|ip| HeaderValue::from_str(&ip).ok());
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut headers = without_hops(&parts.headers);
    headers.insert(FORWARDED, asked.unwrap_or(HeaderValue::from_static("an unknown address")));
    let answer = client
        .request(parts.method, format!("{leader}{path}"))
        .headers(headers)
        .body(reqwest::Body::wrap_stream(body.into_data_stream()))
        .send()
        .await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    *response.headers_mut() = without_hops(answer.headers());
    *response.body_mut() = Body::from_stream(answer.bytes_stream());
    Ok(response)
}

/// The `host` stays: signed addresses and clone URLs name what the client asked.
fn without_hops(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    headers
}
