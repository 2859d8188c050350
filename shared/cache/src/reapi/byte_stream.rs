//! `google.bytestream.ByteStream`: blobs of any length.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::try_unfold;
use slipway_cas::Digest;
use slipway_cas::cache::BlobReader;
use slipway_proto::reapi::google::bytestream as bs;
use tokio::task::JoinSet;
use tokio_stream::Stream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::re::compressor::Value as Compressor;
use super::uploads::{Active, Key, Progress};
use super::{Reapi, names, status};
use crate::limits::{READ_PIECE_BYTES, ZSTD_LEVEL};
use crate::view::View;
use bs::byte_stream_server::ByteStream;

#[tonic::async_trait]
impl ByteStream for Reapi {
    type ReadStream = Pin<Box<dyn Stream<Item = Result<bs::ReadResponse, Status>> + Send>>;

    async fn read(&self, request: Request<bs::ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let (metadata, _, request) = request.into_parts();
        let wanted = names::wanted(&request.resource_name)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let view = self.view(&metadata, wanted.instance).await?;
        let offset = u64::try_from(request.read_offset)
            .map_err(|_| Status::out_of_range("`read_offset` is negative"))?;
        let limit = u64::try_from(request.read_limit)
            .map_err(|_| Status::invalid_argument("`read_limit` is negative"))?;
        if limit != 0 && wanted.compressor != Compressor::Identity {
            return Err(Status::invalid_argument(
                "`read_limit` is set; what is packed can only be read to its end",
            ));
        }
        let limit = (limit != 0).then_some(limit);
        let reader =
            view.read(wanted.digest, offset, limit).await.map_err(|error| status::of_cache(&error))?;
        let outgoing = Outgoing { reader, rest: Bytes::new(), packed: wanted.compressor == Compressor::Zstd };
        Ok(Response::new(Box::pin(try_unfold(outgoing, Outgoing::next))))
    }

    async fn write(
        &self,
        request: Request<Streaming<bs::WriteRequest>>,
    ) -> Result<Response<bs::WriteResponse>, Status> {
        let (metadata, _, mut incoming) = request.into_parts();
        let first = incoming.message().await?;
        let first = first.ok_or_else(|| Status::invalid_argument("a write has at least one message"))?;
        let name = first.resource_name.clone();
        let (view, upload) = self.open(&metadata, &name).await?;
        let write = view.writable().map_err(status::read_only)?;
        // A short blob is stored as quickly as it is looked for. Others are looked for while their bytes come, in a task of its own:
        // nobody here looks after it while bytes are stored.
        let mut looking = JoinSet::new();
        if !first.finish_write && first.write_offset == 0 {
            let (view, digest) = (view.clone(), upload.digest);
            looking.spawn(async move { view.missing(&[digest]).await });
        }
        let key: Key = (write.blobs.namespace().clone(), name.clone());
        let suspended = self.uploads.resume(&key);
        let progress = match suspended {
            Some(progress) if first.write_offset > 0 => progress,
            _ => Progress::begin(&write.blobs, upload.digest, upload.compressor)?,
        };
        let mut active = Active::new(Arc::clone(&self.uploads), key, progress);
        let mut next = Some(first);
        while let Some(message) = next {
            if !message.resource_name.is_empty() && message.resource_name != name {
                return Err(Status::invalid_argument("`resource_name` changes within one write"));
            }
            if u64::try_from(message.write_offset) != Ok(active.received()) {
                return Err(Status::invalid_argument(format!(
                    "`write_offset` is {}, and {} bytes have come: go on there",
                    message.write_offset,
                    active.received()
                )));
            }
            active.take(message.data).await?;
            if message.finish_write {
                return finish(&view, active).await;
            }
            next = match upcoming(&mut incoming, &mut looking).await? {
                Upcoming::Message(message) => message,
                Upcoming::IsHere => {
                    active.forget();
                    let whole = match upload.compressor {
                        Compressor::Identity => upload.digest.size_bytes() as i64,
                        _ => -1,
                    };
                    return Ok(Response::new(bs::WriteResponse { committed_size: whole }));
                }
            };
        }
        if active.is_complete() {
            return finish(&view, active).await;
        }
        Ok(Response::new(bs::WriteResponse { committed_size: active.received() as i64 }))
    }

    async fn query_write_status(
        &self,
        request: Request<bs::QueryWriteStatusRequest>,
    ) -> Result<Response<bs::QueryWriteStatusResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let (view, upload) = self.open(&metadata, &request.resource_name).await?;
        let write = view.writable().map_err(status::read_only)?;
        let key: Key = (write.blobs.namespace().clone(), request.resource_name.clone());
        let response = match self.uploads.received(&key) {
            Some(received) => {
                bs::QueryWriteStatusResponse { committed_size: received as i64, complete: false }
            }
            None if view.missing(&[upload.digest]).await.is_empty() => bs::QueryWriteStatusResponse {
                committed_size: upload.digest.size_bytes() as i64,
                complete: true,
            },
            None => bs::QueryWriteStatusResponse { committed_size: 0, complete: false },
        };
        Ok(Response::new(response))
    }
}

impl Reapi {
    async fn open<'a>(
        &self,
        metadata: &MetadataMap,
        name: &'a str,
    ) -> Result<(View, names::Upload<'a>), Status> {
        let upload = names::upload(name).map_err(|error| Status::invalid_argument(error.to_string()))?;
        Ok((self.view(metadata, upload.instance).await?, upload))
    }
}

async fn finish(view: &View, active: Active) -> Result<Response<bs::WriteResponse>, Status> {
    let committed_size = active.received() as i64;
    let written = active.finish().await?;
    if written.kept {
        view.count_written(written.digest.size_bytes());
    }
    Ok(Response::new(bs::WriteResponse { committed_size }))
}

/// What an upload goes on with.
enum Upcoming {
    /// A message; none: there are no more.
    Message(Option<bs::WriteRequest>),
    /// Nothing: the blob is here already.
    IsHere,
}

/// The next message, unless it turns out before that the blob is here.
async fn upcoming(
    incoming: &mut Streaming<bs::WriteRequest>,
    looking: &mut JoinSet<Vec<Digest>>,
) -> Result<Upcoming, Status> {
    tokio::select! {
        biased;
        Some(missing) = looking.join_next() => match missing {
            Ok(missing) if missing.is_empty() => Ok(Upcoming::IsHere),
            _ => incoming.message().await.map(Upcoming::Message),
        },
        message = incoming.message() => message.map(Upcoming::Message),
    }
}

/// A blob on its way out.
struct Outgoing {
    reader: BlobReader,
    /// What of the last chunk was not sent yet.
    rest: Bytes,
    packed: bool,
}

impl Outgoing {
    async fn next(mut self) -> Result<Option<(bs::ReadResponse, Self)>, Status> {
        if self.rest.is_empty() {
            match self.reader.next().await.map_err(|error| status::of_cache(&error))? {
                Some(chunk) => self.rest = chunk,
                None => return Ok(None),
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(READ_PIECE_BYTES));
        // Frames that follow each other are one stream.
        let data = if self.packed { pack(piece).await? } else { piece };
        Ok(Some((bs::ReadResponse { data }, self)))
    }
}

async fn pack(piece: Bytes) -> Result<Bytes, Status> {
    let packed = tokio::task::spawn_blocking(move || zstd::bulk::compress(&piece, ZSTD_LEVEL)).await;
    let packed = packed.map_err(|error| Status::internal(error.to_string()))?;
    packed.map(Bytes::from).map_err(|error| Status::internal(format!("zstd: {error}")))
}
