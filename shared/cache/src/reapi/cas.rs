//! `ContentAddressableStorage`: questions and batches.

use std::pin::Pin;

use bytes::Bytes;
use slipway_cas::Digest;
use slipway_cas::cache::limits::CHUNKED_ABOVE_BYTES;
use slipway_cas::store::Expected;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::{Reapi, re, status, tree, unpack};
use crate::limits::{MAX_BATCH_BYTES, MAX_DIGESTS};
use crate::view::View;
use re::compressor::Value as Compressor;
use re::content_addressable_storage_server::ContentAddressableStorage;

#[tonic::async_trait]
impl ContentAddressableStorage for Reapi {
    type GetTreeStream = Pin<Box<dyn Stream<Item = Result<re::GetTreeResponse, Status>> + Send>>;

    async fn find_missing_blobs(
        &self,
        request: Request<re::FindMissingBlobsRequest>,
    ) -> Result<Response<re::FindMissingBlobsResponse>, Status> {
        let view = self.view(request.metadata(), &request.get_ref().instance_name).await?;
        let request = request.into_inner();
        status::function(request.digest_function)?;
        let digests = digests("blob_digests", &request.blob_digests)?;
        let missing_blob_digests = view.missing(&digests).await.into_iter().map(status::to_wire).collect();
        Ok(Response::new(re::FindMissingBlobsResponse { missing_blob_digests }))
    }

    async fn batch_update_blobs(
        &self,
        request: Request<re::BatchUpdateBlobsRequest>,
    ) -> Result<Response<re::BatchUpdateBlobsResponse>, Status> {
        let view = self.view(request.metadata(), &request.get_ref().instance_name).await?;
        let request = request.into_inner();
        status::function(request.digest_function)?;
        let total: usize = request.requests.iter().map(|blob| blob.data.len()).sum();
        if total > MAX_BATCH_BYTES {
            return Err(too_large(total));
        }
        let responses = update(&view, request.requests).await?;
        Ok(Response::new(re::BatchUpdateBlobsResponse { responses }))
    }

    async fn batch_read_blobs(
        &self,
        request: Request<re::BatchReadBlobsRequest>,
    ) -> Result<Response<re::BatchReadBlobsResponse>, Status> {
        let view = self.view(request.metadata(), &request.get_ref().instance_name).await?;
        let request = request.into_inner();
        status::function(request.digest_function)?;
        let digests = digests("digests", &request.digests)?;
        let total = digests.iter().map(Digest::size_bytes).fold(0, u64::saturating_add);
        if total > MAX_BATCH_BYTES as u64 {
            return Err(too_large(total));
        }
        let responses = read(&view, request.digests, &digests).await;
        Ok(Response::new(re::BatchReadBlobsResponse { responses }))
    }

    async fn get_tree(
        &self,
        request: Request<re::GetTreeRequest>,
    ) -> Result<Response<Self::GetTreeStream>, Status> {
        let view = self.view(request.metadata(), &request.get_ref().instance_name).await?;
        let request = request.into_inner();
        status::function(request.digest_function)?;
        if !request.page_token.is_empty() {
            return Err(Status::invalid_argument(
                "`page_token` is not one of this cache: it sends a tree in one go",
            ));
        }
        let root = status::digest("root_digest", request.root_digest.as_ref())?;
        Ok(Response::new(tree::send(view, root).await?))
    }

    async fn split_blob(
        &self,
        request: Request<re::SplitBlobRequest>,
    ) -> Result<Response<re::SplitBlobResponse>, Status> {
        let view = self.view(request.metadata(), &request.get_ref().instance_name).await?;
        let request = request.into_inner();
        status::function(request.digest_function)?;
        let blob = status::digest("blob_digest", request.blob_digest.as_ref())?;
        let chunks = view.split(blob).await.map_err(|error| status::of_cache(&error))?;
        Ok(Response::new(re::SplitBlobResponse {
            chunk_digests: chunks.into_iter().map(status::to_wire).collect(),
            // A blob that was spliced is cut as its sender cut it.
            chunking_function: re::chunking_function::Value::Unknown.into(),
        }))
    }

    async fn splice_blob(
        &self,
        request: Request<re::SpliceBlobRequest>,
    ) -> Result<Response<re::SpliceBlobResponse>, Status> {
        let view = self.view(request.metadata(), &request.get_ref().instance_name).await?;
        let request = request.into_inner();
        status::function(request.digest_function)?;
        let blob = status::digest("blob_digest", request.blob_digest.as_ref())?;
        let chunks = digests("chunk_digests", &request.chunk_digests)?;
        let write = view.writable().map_err(status::read_only)?;
        write.blobs.splice(blob, &chunks).await.map_err(|error| status::of_cache(&error))?;
        Ok(Response::new(re::SpliceBlobResponse { blob_digest: Some(status::to_wire(blob)) }))
    }
}

fn too_large(total: impl std::fmt::Display) -> Status {
    Status::invalid_argument(format!(
        "the blobs have {total} bytes together, and a batch may have {MAX_BATCH_BYTES}: use ByteStream"
    ))
}

fn digests(field: &str, digests: &[re::Digest]) -> Result<Vec<Digest>, Status> {
    if digests.len() > MAX_DIGESTS {
        return Err(Status::invalid_argument(format!(
            "`{field}` has {}; it may have {MAX_DIGESTS}",
            digests.len()
        )));
    }
    digests.iter().map(|digest| status::digest(field, Some(digest))).collect()
}

/// Stores the blobs of a batch; each has a status of its own.
async fn update(
    view: &View,
    requests: Vec<re::batch_update_blobs_request::Request>,
) -> Result<Vec<re::batch_update_blobs_response::Response>, Status> {
    let write = view.writable().map_err(status::read_only)?;
    let mut results = Vec::with_capacity(requests.len());
    let (mut places, mut small) = (Vec::with_capacity(requests.len()), Vec::with_capacity(requests.len()));
    for (at, mut request) in requests.into_iter().enumerate() {
        let parsed = status::digest("requests.digest", request.digest.as_ref());
        let mut result = Ok(());
        let name = request.digest.take();
        match parsed.and_then(|digest| plain(digest, request)) {
            Err(problem) => result = Err(problem),
            // Longer than one value, and still within a batch.
            Ok((digest, bytes)) if digest.size_bytes() > CHUNKED_ABOVE_BYTES => {
                let written = write.blobs.write(bytes, Expected::Digest(digest)).await;
                result = written.map(drop).map_err(|error| status::of_cache(&error));
            }
            Ok(blob) => {
                places.push(at);
                small.push(blob);
            }
        }
        results.push((name, result));
    }
    for (at, written) in places.into_iter().zip(write.blobs.write_many(small).await) {
        if let (Some((_, result)), Err(error)) = (results.get_mut(at), written) {
            *result = Err(status::of_cache(&error));
        }
    }
    view.count_written(written_bytes(&results));
    let response = |(digest, result)| re::batch_update_blobs_response::Response {
        digest,
        status: Some(status::in_batch(result)),
    };
    Ok(results.into_iter().map(response).collect())
}

/// The bytes of those that are well.
fn written_bytes(results: &[(Option<re::Digest>, Result<(), Status>)]) -> u64 {
    let well = results.iter().filter(|(_, result)| result.is_ok()).filter_map(|(name, _)| name.as_ref());
    well.filter_map(|name| u64::try_from(name.size_bytes).ok()).sum()
}

/// A blob of a batch, unpacked.
fn plain(
    digest: Digest,
    request: re::batch_update_blobs_request::Request,
) -> Result<(Digest, Bytes), Status> {
    let bytes = match Compressor::try_from(request.compressor) {
        Ok(Compressor::Identity) => request.data,
        Ok(Compressor::Zstd) if digest.size_bytes() > MAX_BATCH_BYTES as u64 => {
            return Err(too_large(digest.size_bytes()));
        }
        Ok(Compressor::Zstd) => unpack::whole(&request.data, digest.size_bytes())?,
        _ => {
            return Err(Status::invalid_argument(
                "`requests.compressor` is one that this cache does not speak",
            ));
        }
    };
    if bytes.len() as u64 != digest.size_bytes() {
        return Err(Status::invalid_argument(format!(
            "the blob is said to have {} bytes, and {} came",
            digest.size_bytes(),
            bytes.len()
        )));
    }
    Ok((digest, bytes))
}

/// The blobs of a batch under the names that they were asked for by.
async fn read(
    view: &View,
    names: Vec<re::Digest>,
    digests: &[Digest],
) -> Vec<re::batch_read_blobs_response::Response> {
    let found = view.read_many(digests).await;
    let mut responses = Vec::with_capacity(digests.len());
    for ((name, digest), blob) in names.into_iter().zip(digests).zip(found) {
        let blob = match blob {
            Some(blob) => Ok(blob),
            None if digest.size_bytes() > CHUNKED_ABOVE_BYTES => {
                view.read_all(*digest).await.map_err(|error| status::of_cache(&error))
            }
            None => Err(Status::not_found(format!("no blob {digest}"))),
        };
        let (data, result) = match blob {
            Ok(data) => (data, Ok(())),
            Err(status) => (Bytes::new(), Err(status)),
        };
        responses.push(re::batch_read_blobs_response::Response {
            digest: Some(name),
            data,
            compressor: Compressor::Identity.into(),
            status: Some(status::in_batch(result)),
        });
    }
    view.count_blobs(responses.iter().map(|response| {
        let well = response.status.as_ref().is_some_and(|status| status.code == 0);
        well.then_some(&response.data)
    }));
    responses
}
