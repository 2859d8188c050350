//! REAPI v2 and ByteStream: the remote cache of Bazel, Buck2, Pants, moon and others.
//!
//! Capabilities, the content-addressed store with batches, trees, splitting and splicing, the action cache, and streams with
//! zstd. Nothing is executed.

mod actions;
mod byte_stream;
mod capabilities;
mod cas;
pub mod names;
mod status;
mod tree;
mod unpack;
mod uploads;

use std::sync::Arc;

use slipway_cas::cache::BlobCache;
use slipway_proto::reapi::build::bazel::remote::execution::v2 as re;
use slipway_proto::reapi::google::bytestream::byte_stream_server::ByteStreamServer;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::accounts::Door;
use crate::gate::{Asking, Gate, Refusal};
use crate::limits::{MAX_INSTANCE_BYTES, MAX_MESSAGE_BYTES};
use crate::view::View;
pub(crate) use actions::references;
use re::action_cache_server::ActionCacheServer;
use re::capabilities_server::CapabilitiesServer;
use re::content_addressable_storage_server::ContentAddressableStorageServer;
use uploads::Uploads;

/// The services; cheap to clone.
#[derive(Clone)]
pub struct Reapi {
    cache: BlobCache,
    gate: Arc<dyn Gate>,
    uploads: Arc<Uploads>,
}

impl Reapi {
    /// The services over this cache, for clients that `gate` admits.
    #[must_use]
    pub fn new(cache: BlobCache, gate: Arc<dyn Gate>) -> Self {
        Self { cache, gate, uploads: Arc::default() }
    }

    /// `build.bazel.remote.execution.v2.Capabilities`
    #[must_use]
    pub fn capabilities(&self) -> CapabilitiesServer<Self> {
        CapabilitiesServer::new(self.clone())
    }

    /// `build.bazel.remote.execution.v2.ContentAddressableStorage`
    #[must_use]
    pub fn blobs(&self) -> ContentAddressableStorageServer<Self> {
        ContentAddressableStorageServer::new(self.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// `build.bazel.remote.execution.v2.ActionCache`
    #[must_use]
    pub fn actions(&self) -> ActionCacheServer<Self> {
        ActionCacheServer::new(self.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// `google.bytestream.ByteStream`
    #[must_use]
    pub fn streams(&self) -> ByteStreamServer<Self> {
        ByteStreamServer::new(self.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// What the sender of a call may see.
    async fn view(&self, metadata: &MetadataMap, instance: &str) -> Result<View, Status> {
        if instance.len() > MAX_INSTANCE_BYTES {
            return Err(Status::invalid_argument(format!(
                "`instance_name` is longer than {MAX_INSTANCE_BYTES} bytes"
            )));
        }
        let header = |name| metadata.get(name).and_then(|value| value.to_str().ok());
        let asking = Asking {
            authorization: header("authorization"),
            instance,
            door: Door::Grpc,
            client: header("user-agent"),
        };
        let access = self.gate.admit(asking).await.map_err(|refusal| match refusal {
            Refusal::Unauthenticated(why) => Status::unauthenticated(why),
            Refusal::Forbidden(why) => Status::permission_denied(why),
        })?;
        Ok(View::new(&self.cache, access))
    }
}
