//! The cache as a job reaches it, over its own loopback: every door on one port, HTTP and gRPC alike.

use axum::Router;

use crate::reapi::Reapi;

/// What the HTTP doors lie below.
pub const HTTP_PREFIX: &str = "/cache/";

/// What the remote cache protocol's paths begin with.
const REAPI: &str = "/build.bazel.remote.execution.v2.";

/// The path of streams.
const STREAMS: &str = "/google.bytestream.ByteStream/";

/// The HTTP doors below `/cache`, and the remote cache protocol.
pub fn on_one_port(http: Router, reapi: &Reapi) -> Router {
    Router::new()
        .nest("/cache", http)
        .route_service(&format!("{REAPI}Capabilities/{{*method}}"), reapi.capabilities())
        .route_service(&format!("{REAPI}ContentAddressableStorage/{{*method}}"), reapi.blobs())
        .route_service(&format!("{REAPI}ActionCache/{{*method}}"), reapi.actions())
        .route_service(&format!("{STREAMS}{{*method}}"), reapi.streams())
}

/// Whether a request with this path is for one of these doors.
#[must_use]
pub fn is_of_cache(path: &str) -> bool {
    [HTTP_PREFIX, REAPI, STREAMS].iter().any(|prefix| path.starts_with(prefix))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use slipway_cas::Digest;
    use slipway_cas::cache::{BlobCache, Compression, MemoryEngine, Namespace};
    use slipway_proto::reapi::build::bazel::remote::execution::v2 as re;
    use tonic::transport::Endpoint;

    use super::*;
    use crate::gate::{Access, Admitted, Asking, Gate, Scope};

    struct Everybody;

    impl Gate for Everybody {
        fn admit<'a>(&'a self, _: Asking<'a>) -> Admitted<'a> {
            let place = Namespace::new("all").unwrap();
            let scope = Scope { blobs: place.clone(), entries: place };
            let access = Access { read: vec![scope.clone()], write: Some(scope), account: Arc::default() };
            Box::pin(std::future::ready(Ok(access)))
        }
    }

    #[tokio::test]
    async fn one_port_speaks_http_and_grpc() {
        let place = Namespace::new("all").unwrap();
        let cache = BlobCache::new(Arc::new(MemoryEngine::new(1 << 20)), place, Compression::Off);
        let gate = Arc::new(Everybody);
        let http = crate::http::router(cache.clone(), gate.clone());
        let router = on_one_port(http, &Reapi::new(cache, gate));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });

        let url = format!("http://{address}/cache/files/a");
        let client = slipway_tests::http_client();
        assert!(client.put(&url).body("hello").send().await.unwrap().status().is_success());
        assert_eq!(client.get(&url).send().await.unwrap().text().await.unwrap(), "hello");

        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        let mut blobs = re::content_addressable_storage_client::ContentAddressableStorageClient::new(channel);
        let digest = Digest::of(b"over gRPC");
        let digest = re::Digest { hash: digest.hash_hex(), size_bytes: 9 };
        let missing = |digest: re::Digest| re::FindMissingBlobsRequest {
            blob_digests: vec![digest],
            ..re::FindMissingBlobsRequest::default()
        };
        let found = blobs.find_missing_blobs(missing(digest.clone())).await.unwrap().into_inner();
        assert_eq!(found.missing_blob_digests, [digest]);
    }

    #[test]
    fn other_paths_are_not_of_the_cache() {
        for path in ["/cache/files/x", "/build.bazel.remote.execution.v2.ActionCache/GetActionResult"] {
            assert!(is_of_cache(path), "{path}");
        }
        for path in ["/", "/cache", "/cachefiles", "/results/blobs/1", "/_apis/artifactcache/cache"] {
            assert!(!is_of_cache(path), "{path}");
        }
    }
}
