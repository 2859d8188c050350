//! What this cache can do.

use slipway_cas::cache::limits::CHUNK_AVERAGE_BYTES;
use slipway_proto::reapi::build::bazel::semver::SemVer;
use tonic::{Request, Response, Status};

use super::{Reapi, re};
use crate::limits::{MAX_BATCH_BYTES, MAX_BLOB_BYTES};
use re::capabilities_server::Capabilities;

#[tonic::async_trait]
impl Capabilities for Reapi {
    async fn get_capabilities(
        &self,
        request: Request<re::GetCapabilitiesRequest>,
    ) -> Result<Response<re::ServerCapabilities>, Status> {
        let view = self.view(request.metadata(), &request.get_ref().instance_name).await?;
        let zstd = vec![re::compressor::Value::Zstd.into()];
        let cache = re::CacheCapabilities {
            digest_functions: vec![re::digest_function::Value::Sha256.into()],
            action_cache_update_capabilities: Some(re::ActionCacheUpdateCapabilities {
                update_enabled: view.is_writable(),
            }),
            max_batch_total_size_bytes: MAX_BATCH_BYTES as i64,
            symlink_absolute_path_strategy: re::symlink_absolute_path_strategy::Value::Allowed.into(),
            supported_compressors: zstd.clone(),
            supported_batch_update_compressors: zstd,
            max_cas_blob_size_bytes: MAX_BLOB_BYTES as i64,
            split_blob_support: true,
            splice_blob_support: view.is_writable(),
            fast_cdc_2020_params: Some(re::FastCdc2020Params {
                avg_chunk_size_bytes: CHUNK_AVERAGE_BYTES as u64,
                seed: 0,
            }),
            ..re::CacheCapabilities::default()
        };
        let version = |major, minor| Some(SemVer { major, minor, ..SemVer::default() });
        Ok(Response::new(re::ServerCapabilities {
            cache_capabilities: Some(cache),
            execution_capabilities: None,
            deprecated_api_version: None,
            low_api_version: version(2, 0),
            high_api_version: version(2, 3),
        }))
    }
}
