//! How requests reach an object store: hyper with rustls on ring and the machine's certificates, as everywhere else here.
//!
//! `object_store`'s own client takes its TLS from whatever the process installed; this one brings it along, so that no
//! program has to know.

use std::time::Duration;

use futures_util::TryFutureExt as _;
use http_body_util::BodyExt as _;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::rt::TokioExecutor;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use object_store::{ClientOptions, Result};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the head of an answer may take, the request's body before it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(60);

/// Makes clients.
#[derive(Debug)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        let plain =
            options.get_config_value(&ClientConfigKey::AllowHttp).is_some_and(|value| value == "true");
        let mut tcp = Tcp::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let builder = HttpsConnectorBuilder::new()
            .with_native_roots()
            .map_err(|source| object_store::Error::Generic { store: "TLS", source: Box::new(source) })?;
        let connector = builder.https_or_http().enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).pool_idle_timeout(IDLE).build(connector);
        Ok(HttpClient::new(Service { client, plain }))
    }
}

#[derive(Debug)]
struct Service {
    client: Client<HttpsConnector<Tcp>, HttpRequestBody>,
    /// Whether requests may go unencrypted beyond this machine.
    plain: bool,
}

#[async_trait::async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> std::result::Result<HttpResponse, HttpError> {
        let uri = request.uri();
        let here = matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if uri.scheme_str() == Some("http") && !self.plain && !here {
            let why = "an http:// address beyond this machine would send data unencrypted; use https://, or \
                       allow it (AWS_ALLOW_HTTP=true, GOOGLE_ALLOW_HTTP or AZURE_ALLOW_HTTP)";
            return Err(HttpError::new_boxed(HttpErrorKind::Unknown, why.into()));
        }
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.client.request(request).map_err(failed));
        let answer = answer.await.map_err(|elapsed| HttpError::new(HttpErrorKind::Timeout, elapsed))??;
        Ok(answer.map(|body| HttpResponseBody::new(body.map_err(broken))))
    }
}

/// What became of a request that got no answer.
fn failed(error: hyper_util::client::legacy::Error) -> HttpError {
    let kind = if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Interrupted };
    HttpError::new(kind, error)
}

/// An answer that broke off.
fn broken(error: impl std::error::Error + Send + Sync + 'static) -> HttpError {
    HttpError::new(HttpErrorKind::Interrupted, error)
}
