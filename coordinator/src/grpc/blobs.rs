//! Blobs over gRPC.

use slipway_cas::store::MAX_PIECE_BYTES;
use slipway_cas::{Expected, StoreError};
use slipway_proto::v1::{BlobChunk, GetBlobRequest, PutBlobResponse};
use slipway_wire::limits::MAX_BLOB_CHUNK_BYTES;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::options::MAX_BLOB_BYTES;
use crate::services::Services;

/// How many pieces are read ahead of a slow reader.
const READ_AHEAD: usize = 2;

pub(super) fn status(error: &StoreError) -> Status {
    match error {
        StoreError::NotFound(_) => Status::not_found(error.to_string()),
        StoreError::Mismatch { .. } => Status::invalid_argument(error.to_string()),
        StoreError::TooLong { .. } => Status::resource_exhausted(error.to_string()),
        StoreError::Damaged(_) => Status::data_loss(error.to_string()),
        StoreError::Io { .. } => Status::unavailable(error.to_string()),
    }
}

pub(super) async fn get(
    services: Services,
    request: GetBlobRequest,
) -> Result<impl Stream<Item = Result<BlobChunk, Status>>, Status> {
    let digest = slipway_wire::digest::from_wire("digest", request.digest.as_ref())
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    if !services.store.exists(digest).await.map_err(|error| status(&error))? {
        return Err(status(&StoreError::NotFound(digest)));
    }
    let (sender, stream) = mpsc::channel(READ_AHEAD);
    tokio::spawn(async move {
        let mut offset = request.offset;
        loop {
            let piece = match services.store.read(digest, offset, MAX_PIECE_BYTES).await {
                Ok(piece) if piece.is_empty() => return,
                Ok(piece) => {
                    offset += piece.len() as u64;
                    Ok(BlobChunk { digest: None, data: piece })
                }
                Err(error) => Err(status(&error)),
            };
            let failed = piece.is_err();
            if sender.send(piece).await.is_err() || failed {
                return;
            }
        }
    });
    Ok(ReceiverStream::new(stream))
}

pub(super) async fn put(
    services: &Services,
    mut chunks: Streaming<BlobChunk>,
) -> Result<PutBlobResponse, Status> {
    let mut chunk = chunks
        .message()
        .await?
        .ok_or_else(|| Status::invalid_argument("the first chunk carries the digest"))?;
    let digest = slipway_wire::digest::from_wire("digest", chunk.digest.as_ref())
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    if digest.size_bytes() > MAX_BLOB_BYTES {
        return Err(status(&StoreError::TooLong { limit_bytes: MAX_BLOB_BYTES }));
    }
    let mut writer = services.store.writer(digest.size_bytes()).await.map_err(|error| status(&error))?;
    loop {
        if chunk.data.len() > MAX_BLOB_CHUNK_BYTES {
            return Err(Status::invalid_argument(format!(
                "a chunk has at most {MAX_BLOB_CHUNK_BYTES} bytes"
            )));
        }
        writer.write(chunk.data).await.map_err(|error| status(&error))?;
        match chunks.message().await? {
            Some(next) => chunk = next,
            None => break,
        }
    }
    let stored = writer.finish(Expected::Digest(digest)).await.map_err(|error| status(&error))?;
    Ok(PutBlobResponse { digest: Some(slipway_wire::digest::to_wire(&stored)) })
}
