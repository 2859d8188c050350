//! The cache as a job reaches it, over its own loopback and its agent's connection: every door on one port, HTTP and gRPC alike.

use axum::Router;
use slipway_cache::reapi::Reapi;

/// The HTTP doors below `/cache`, and the remote cache protocol.
pub(super) fn router(http: Router, reapi: &Reapi) -> Router {
    const REAPI: &str = "/build.bazel.remote.execution.v2";
    Router::new()
        .nest("/cache", http)
        .route_service(&format!("{REAPI}.Capabilities/{{*method}}"), reapi.capabilities())
        .route_service(&format!("{REAPI}.ContentAddressableStorage/{{*method}}"), reapi.blobs())
        .route_service(&format!("{REAPI}.ActionCache/{{*method}}"), reapi.actions())
        .route_service("/google.bytestream.ByteStream/{*method}", reapi.streams())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use slipway_cache::{Access, Asking, Gate, Refusal};
    use slipway_cas::Digest;
    use slipway_cas::cache::{BlobCache, Compression, MemoryEngine};
    use slipway_proto::reapi::build::bazel::remote::execution::v2 as re;
    use tonic::transport::Endpoint;

    use super::super::scopes;
    use super::*;

    struct Everybody;

    impl Gate for Everybody {
        fn admit(&self, asking: Asking<'_>) -> Result<Access, Refusal> {
            let scopes::Places { read, write } = scopes::of_instance(asking.instance);
            Ok(Access { read, write, account: Arc::default() })
        }
    }

    #[tokio::test]
    async fn one_port_speaks_http_and_grpc() {
        let cache = BlobCache::new(Arc::new(MemoryEngine::new(1 << 20)), scopes::shared(), Compression::Off);
        let gate = Arc::new(Everybody);
        let http = slipway_cache::http::router(cache.clone(), gate.clone());
        let router = router(http, &Reapi::new(cache, gate));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });

        let url = format!("http://{address}/cache/files/a");
        let client = reqwest::Client::new();
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
}
