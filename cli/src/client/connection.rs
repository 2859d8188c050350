//! How connections to a coordinator are made, and why there is none, in one sentence that says what to do.

use std::time::Duration;

use slipway_tls::{Peer, Trust};

use super::Target;
use crate::failure::Failure;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client for one coordinator. It follows no redirect, so that the token goes nowhere else, and where it speaks TLS it speaks nothing
/// without.
///
/// # Errors
/// The system offers no network at all.
pub(super) fn client(target: &Target) -> Result<reqwest::Client, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::fleet(format!("no HTTP client: {error}"));
    let tls = target.trust().cloned().unwrap_or_else(Trust::nobody).for_http();
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls.map_err(|error| failed(&error))?)
        .tls_info(true)
        .https_only(target.trust().is_some())
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")));
    if target.is_loopback() {
        // A proxy cannot reach our own loopback.
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| failed(&error))
}

/// Why a call came to nothing.
pub(super) fn unreachable(target: &Target, error: &reqwest::Error) -> Failure {
    let url = target.url();
    if let Some(trust) = target.trust().filter(|_| error.is_connect())
        && let Some(words) = slipway_tls::explain(error, &peer(target, trust))
    {
        return Failure::fleet(words);
    }
    if error.is_connect() {
        let cause = deepest(error);
        return Failure::fleet(format!(
            "no coordinator answers at {url} ({cause}): start one with `slipway up`, or give --server"
        ));
    }
    // A server with TLS answers an alert to a request without.
    if target.trust().is_none() && is_not_http(error) {
        let secure = url.replacen("http://", "https://", 1);
        return Failure::fleet(format!(
            "{url} does not speak plain HTTP: if the coordinator there has --http-tls, write {secure} in --server"
        ));
    }
    Failure::fleet(format!("the coordinator at {url} broke off: {}", deepest(error)))
}

fn peer<'a>(target: &'a Target, trust: &'a Trust) -> Peer<'a> {
    Peer {
        url: target.url(),
        host: target.host(),
        trust,
        flag: "--server",
        without_tls: "start the coordinator with --http-tls, or write http:// if it is on this machine",
        unknown: match trust.is_pinned() {
            true => "`slipway doctor` on its machine tells the fingerprint",
            false => {
                "if the coordinator has its own authority, give `ca.pem` of its data directory with --server-ca, or the \
                 fingerprint with --server-fingerprint"
            }
        },
        pinned_by: "--server-fingerprint names",
    }
}

/// Whether what answered was no HTTP at all.
fn is_not_http(error: &reqwest::Error) -> bool {
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
            return true;
        }
        next = error.source();
    }
    false
}

/// The innermost cause, which says what a person can act on (`Connection refused`).
fn deepest(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    deepest.to_string()
}
