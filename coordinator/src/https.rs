//! How requests reach servers elsewhere: hyper with rustls on ring and the machine's certificates.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::builderstates::WantsSchemes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use slipway_tls::Trust;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(30);

/// Sends requests; cheap to clone.
pub(crate) type Client = hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A client. It follows no redirect, so that no token goes elsewhere.
///
/// # Errors
/// The machine's certificates cannot be read.
pub(crate) fn client() -> Result<Client, String> {
    let builder = HttpsConnectorBuilder::new()
        .with_native_roots()
        .map_err(|error| format!("the machine's certificates cannot be read: {error}"))?;
    Ok(over(builder))
}

/// The same, for servers whose certificates these authorities made.
///
/// # Errors
/// None with this build of rustls.
pub(crate) fn client_that_trusts(trust: &Trust) -> Result<Client, String> {
    let config = trust.builder().map_err(|error| format!("TLS cannot be set up: {error}"))?;
    Ok(over(HttpsConnectorBuilder::new().with_tls_config(config.with_no_client_auth())))
}

fn over(builder: HttpsConnectorBuilder<WantsSchemes>) -> Client {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    // The options let plain HTTP through to this machine alone.
    let connector = builder.https_or_http().enable_http1().wrap_connector(tcp);
    hyper_util::client::legacy::Client::builder(TokioExecutor::new()).pool_idle_timeout(IDLE).build(connector)
}

/// An error with what is behind it.
pub(crate) fn said(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(behind) = source {
        text = format!("{text}: {behind}");
        source = behind.source();
    }
    text
}
