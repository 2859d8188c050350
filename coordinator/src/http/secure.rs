//! Requests over TLS, made to look as those without do to whoever answers them.

use std::net::SocketAddr;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::IncomingStream;

use super::forward::FORWARDED;
use crate::tls::TlsListener;

/// By which scheme a client came, as proxies with TLS say it.
const SCHEME: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Who is at the other end of a connection with TLS.
#[derive(Debug, Clone, Copy)]
pub(super) struct TlsPeer(SocketAddr);

impl Connected<IncomingStream<'_, TlsListener>> for TlsPeer {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// Says who asks, by which scheme, and for which host, where handlers look for it.
pub(super) async fn as_without(mut request: Request, next: Next) -> Response {
    if let Some(ConnectInfo(TlsPeer(address))) = request.extensions().get().copied() {
        request.extensions_mut().insert(ConnectInfo(address));
        // What another coordinator passes on came to that one as it says.
        if !request.headers().contains_key(FORWARDED) {
            request.headers_mut().insert(SCHEME, HeaderValue::from_static("https"));
        }
        // HTTP/2 has it elsewhere (RFC 9113, section 8.3.1).
        if !request.headers().contains_key(header::HOST) {
            let host = request.uri().authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
            if let Some(host) = host {
                request.headers_mut().insert(header::HOST, host);
            }
        }
    }
    next.run(request).await
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::http::HeaderMap;
    use axum::middleware;
    use axum::routing::get;
    use tonic::codegen::Service as _;

    use super::*;

    /// Scheme, host and address, as a handler sees them.
    async fn seen(uri: &str, headers: &[(&'static str, &'static str)]) -> String {
        let echo = |ConnectInfo(peer): ConnectInfo<SocketAddr>, headers: HeaderMap| async move {
            let text = |name: HeaderName| {
                headers.get(name).map_or("none", |value| value.to_str().unwrap()).to_owned()
            };
            format!("{} {} {peer}", text(SCHEME), text(header::HOST))
        };
        let mut router = Router::new().route("/", get(echo)).layer(middleware::from_fn(as_without));
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        let peer = TlsPeer(SocketAddr::from(([10, 0, 0, 7], 1)));
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = router.call(request).await.unwrap();
        String::from_utf8(to_bytes(answer.into_body(), 1_000).await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn host_and_scheme_are_where_they_are_without_tls() {
        assert_eq!(seen("/", &[("host", "ci.example")]).await, "https ci.example 10.0.0.7:1");
        // As HTTP/2 has it.
        assert_eq!(seen("https://ci.example:8443/", &[]).await, "https ci.example:8443 10.0.0.7:1");
        let lied = [("host", "ci.example"), ("x-forwarded-proto", "http")];
        assert_eq!(seen("/", &lied).await, "https ci.example 10.0.0.7:1");
    }

    #[tokio::test]
    async fn what_is_passed_on_keeps_the_scheme_by_which_it_came() {
        let plain = [("host", "ci-2.example"), ("x-slipway-forwarded", "10.0.0.9")];
        assert_eq!(seen("/", &plain).await, "none ci-2.example 10.0.0.7:1");
        let secure = [&plain[..], &[("x-forwarded-proto", "https")]].concat();
        assert_eq!(seen("/", &secure).await, "https ci-2.example 10.0.0.7:1");
    }
}
