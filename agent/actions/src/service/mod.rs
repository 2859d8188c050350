//! The job's results service: calls, uploads and downloads over HTTP/1.1, with bounded retries.

mod download;
mod upload;

pub use download::Download;
pub use upload::{Upload, Uploaded};

use std::thread::sleep;

use serde_json::Value;
use ureq::Agent;
use ureq::http::StatusCode;

use crate::environment::Environment;
use crate::failure::Failure;
use crate::limits::{
    ANSWER_MAX, ANSWER_MAX_BYTES, CONNECT_MAX, DOWNLOAD_CONNECTIONS, RETRY_PAUSES, UPLOAD_CONNECTIONS,
};
use crate::say;

/// A way to the service; clones share its connections.
#[derive(Debug, Clone)]
pub struct Service {
    agent: Agent,
    url: String,
    authorization: String,
}

/// What one try of a request came to.
pub(crate) enum Tried {
    /// It may work the next time.
    Again(Failure),
    /// It won't.
    Failed(Failure),
}

impl Service {
    /// The service that the process is told of.
    ///
    /// # Errors
    /// When it is told of none.
    pub fn of(environment: &Environment) -> Result<Self, Failure> {
        let variable = |name: &str| match environment.variable(name) {
            "" => Err(Failure::new(format!("Unable to get the {name} env variable"))),
            value => Ok(value.to_owned()),
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // The service is on this machine's loopback, whatever proxies a workflow sets for itself.
            .proxy(None)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_MAX))
            .timeout_recv_response(Some(ANSWER_MAX))
            .timeout_per_read(Some(ANSWER_MAX))
            .timeout_per_write(Some(ANSWER_MAX))
            .max_idle_connections_per_host(UPLOAD_CONNECTIONS.max(DOWNLOAD_CONNECTIONS) + 1)
            .user_agent("slipway-actions")
            .build();
        Ok(Self {
            agent: config.into(),
            url: variable("ACTIONS_RESULTS_URL")?.trim_end_matches('/').to_owned(),
            authorization: format!("Bearer {}", variable("ACTIONS_RUNTIME_TOKEN")?),
        })
    }

    /// Calls a method (Twirp, in JSON).
    ///
    /// # Errors
    /// In the original's words.
    pub fn call(&self, service: &str, method: &str, message: &Value) -> Result<Value, Failure> {
        let url = loopback(&format!("{}/twirp/github.actions.results.api.v1.{service}/{method}", self.url));
        let body = message.to_string();
        let called = persistently(|| {
            let sent = self
                .agent
                .post(&url)
                .header("authorization", &self.authorization)
                .header("content-type", "application/json")
                .send(body.as_bytes());
            let mut answer = sent.map_err(broken)?;
            let status = answer.status();
            let bytes = answer.body_mut().with_config().limit(ANSWER_MAX_BYTES).read_to_vec();
            let bytes = bytes.map_err(broken)?;
            let value = serde_json::from_slice::<Value>(&bytes);
            if status.is_success() {
                return value.map_err(|error| {
                    Tried::Failed(Failure::new(format!("the answer is not JSON: {error}")))
                });
            }
            let told = value.ok().and_then(|value| value.get("msg")?.as_str().map(str::to_owned));
            Err(refused(status, told.as_deref()))
        });
        called.map_err(|failure| failure.after(&format!("Failed to {method}: ")))
    }
}

/// Tries until it works, is refused or the pauses are used up.
pub(crate) fn persistently<T>(mut attempt: impl FnMut() -> Result<T, Tried>) -> Result<T, Failure> {
    let tries = RETRY_PAUSES.len() + 1;
    for (number, pause) in RETRY_PAUSES.iter().enumerate() {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(Tried::Failed(failure)) => return Err(failure),
            Err(Tried::Again(failure)) => {
                say::info(&format!(
                    "Attempt {} of {tries} failed with error: {failure}. Retrying request in {} ms...",
                    number + 1,
                    pause.as_millis()
                ));
                sleep(*pause);
            }
        }
    }
    attempt().map_err(|tried| match tried {
        Tried::Failed(failure) => failure,
        Tried::Again(failure) => failure.after(&format!("Failed to make request after {tries} attempts: ")),
    })
}

/// What a status other than success means.
pub(crate) fn refused(status: StatusCode, told: Option<&str>) -> Tried {
    let mut message =
        format!("Failed request: ({}) {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
    if let Some(told) = told {
        message = format!("{message}: {told}");
    }
    if status.is_server_error() {
        Tried::Again(Failure::of_server(message))
    } else if status == StatusCode::TOO_MANY_REQUESTS {
        Tried::Again(Failure::new(message))
    } else {
        Tried::Failed(Failure::new(format!("Received non-retryable error: {message}")))
    }
}

/// A connection that could not be made or broke.
pub(crate) fn broken(error: ureq::Error) -> Tried {
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => Tried::Failed(Failure::new(error.to_string())),
        _ => Tried::Again(Failure::new(error.to_string())),
    }
}

/// The same address with numbers for a name below `localhost`, which means the loopback (RFC 6761, section 6.3): no
/// resolver is asked, as a static program has none that works in every image.
pub(crate) fn loopback(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = authority.split_at(authority.rfind(':').unwrap_or(authority.len()));
    let host_name = host.to_ascii_lowercase();
    if host_name == "localhost" || host_name.ends_with(".localhost") {
        format!("{scheme}://127.0.0.1{port}{path}")
    } else {
        url.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_localhost_are_the_loopback() {
        for (url, expected) in [
            (
                "http://slipway.localhost:28472/x?y=http://a.localhost",
                "http://127.0.0.1:28472/x?y=http://a.localhost",
            ),
            ("http://LOCALHOST/x", "http://127.0.0.1/x"),
            ("http://10.0.0.1:80/x", "http://10.0.0.1:80/x"),
            ("http://localhost.example.com/x", "http://localhost.example.com/x"),
        ] {
            assert_eq!(loopback(url), expected);
        }
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        assert!(matches!(refused(StatusCode::BAD_GATEWAY, None), Tried::Again(_)));
        assert!(matches!(refused(StatusCode::TOO_MANY_REQUESTS, None), Tried::Again(_)));
        let Tried::Failed(failure) = refused(StatusCode::CONFLICT, Some("it is there")) else { return };
        assert_eq!(
            failure.to_string(),
            "Received non-retryable error: Failed request: (409) Conflict: it is there"
        );
    }
}
