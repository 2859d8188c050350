//! `slipway.v1.Agents`.

use std::pin::Pin;

use slipway_proto::v1::agents_server::Agents;
use slipway_proto::v1::{
    AgentMessage, BlobChunk, CoordinatorMessage, FetchSecretsRequest, FetchSecretsResponse, GetBlobRequest,
    PutBlobResponse, RecordAck, RecordBatch, TunnelData,
};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::session::Opened;
use super::{blobs, outbound, records, session, to_wire, tunnel};
use crate::services::Services;

/// Answers agents.
pub(super) struct AgentsService {
    services: Services,
}

impl AgentsService {
    pub(super) fn new(services: Services) -> Self {
        Self { services }
    }
}

type Outbound<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Agents for AgentsService {
    type SessionStream = Outbound<CoordinatorMessage>;
    type RecordsStream = Outbound<RecordAck>;
    type GetBlobStream = Outbound<BlobChunk>;
    type TunnelStream = Outbound<TunnelData>;

    async fn session(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut inbound = request.into_inner();
        let services = self.services.clone();
        let (stream, mut speaker) = outbound::channel();
        // The response begins before the hello was read: a client may wait for it before it sends.
        self.services.tasks.spawn(async move {
            // Boxed: a session is many kilobytes while it opens, and next to nothing for the weeks after.
            let Opened { agent, number, outbox, over } =
                match Box::pin(session::open(&services, &mut inbound)).await {
                    Ok(opened) => opened,
                    Err(status) => return speaker.end(status),
                };
            speaker.open(outbox);
            let ended = tokio::select! {
                ended = session::listen(&services, &mut inbound, agent, number, &over) => ended,
                () = services.closing.cancelled() => Ok(()),
            };
            services.driver.disconnect(agent, number).await;
            if let Err(status) = ended {
                tracing::warn!(%agent, reason = status.message(), "a session ended");
                speaker.end(status);
            }
        });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn records(
        &self,
        request: Request<Streaming<RecordBatch>>,
    ) -> Result<Response<Self::RecordsStream>, Status> {
        Ok(Response::new(Box::pin(records::take(self.services.clone(), request.into_inner()))))
    }

    async fn get_blob(
        &self,
        request: Request<GetBlobRequest>,
    ) -> Result<Response<Self::GetBlobStream>, Status> {
        let stream = blobs::get(self.services.clone(), request.into_inner()).await?;
        Ok(Response::new(Box::pin(stream)))
    }

    async fn put_blob(
        &self,
        request: Request<Streaming<BlobChunk>>,
    ) -> Result<Response<PutBlobResponse>, Status> {
        blobs::put(&self.services, request.into_inner()).await.map(Response::new)
    }

    async fn fetch_secrets(
        &self,
        request: Request<FetchSecretsRequest>,
    ) -> Result<Response<FetchSecretsResponse>, Status> {
        let lease = slipway_wire::lease::from_wire(request.get_ref().lease.as_ref())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let lease = to_wire::from_wire_lease(&lease);
        if !self.services.driver.leases().is_live(&lease) {
            return Err(Status::permission_denied("the lease is not current"));
        }
        let loaded = self.services.secrets.load(lease.run).await;
        let secrets = loaded
            .map_err(|error| Status::unavailable(format!("the run's secrets cannot be read: {error}")))?;
        let token = self.services.results.token(&self.services, lease).await;
        let runtime_token =
            token.map_err(|error| Status::unavailable(format!("the job's token cannot be made: {error}")))?;
        Ok(Response::new(FetchSecretsResponse { secrets: secrets.into_iter().collect(), runtime_token }))
    }

    async fn tunnel(
        &self,
        request: Request<Streaming<TunnelData>>,
    ) -> Result<Response<Self::TunnelStream>, Status> {
        let stream = tunnel::open(&self.services, request.into_inner()).await?;
        Ok(Response::new(Box::pin(stream)))
    }
}
