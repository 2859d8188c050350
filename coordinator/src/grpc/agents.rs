//! `slipway.v1.Agents`.

use std::pin::Pin;

use serde::Deserialize;
use slipway_proto::v1::agents_server::Agents;
use slipway_proto::v1::{
    AgentMessage, BlobChunk, CoordinatorMessage, EnrolRequest, EnrolResponse, FetchSecretsRequest,
    FetchSecretsResponse, GetBlobRequest, PutBlobResponse, RecordAck, RecordBatch, RenewCertificateRequest,
    RenewCertificateResponse, TunnelData,
};
use slipway_workflow::job_spec::EnvironmentSpec;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::auth::Caller;
use super::session::Opened;
use super::{blobs, driver_status, members, outbound, records, session, to_wire, tunnel};
use crate::driver::View;
use crate::driver::message::RunLease;
use crate::identity;
use crate::secrets::SecretMap;
use crate::services::Services;
use crate::vault::{self, VaultError};

/// Answers agents.
pub(super) struct AgentsService {
    services: Services,
}

impl AgentsService {
    pub(super) fn new(services: Services) -> Self {
        Self { services }
    }
}

impl AgentsService {
    /// The secrets that are kept for this job, but for those that its run was given another value for.
    async fn kept_secrets(&self, lease: RunLease, given: &SecretMap) -> Result<vault::JobSecrets, Status> {
        let unavailable = |error: &dyn std::fmt::Display| {
            Status::unavailable(format!("kept secrets cannot be read: {error}"))
        };
        let services = &self.services;
        let look = move |view: View<'_>| {
            let spec = view.state.leased(&lease.lease)?.definition().spec;
            view.ledger.house().secrets().next().map(|_| spec)
        };
        let asked = services.driver.query(look).await.map_err(|error| driver_status(&error))?;
        let Some(spec) = asked else { return Ok(vault::JobSecrets::default()) };
        let spec = services.store.get(spec).await.map_err(|error| unavailable(&error))?;
        let spec: OfEnvironment = serde_json::from_slice(&spec).map_err(|error| unavailable(&error))?;
        let environment = spec.environment.map(|environment| environment.name);
        let kept = vault::for_job(services, lease.run, lease.lease, environment).await;
        let mut kept = kept.map_err(|error| match error {
            // No use in asking again: the job is to fail, and to say why.
            VaultError::Lost { .. } | VaultError::Refused { .. } => Status::data_loss(error.to_string()),
            error => unavailable(&error),
        })?;
        let is_given = |name: &String| given.keys().any(|given| given.eq_ignore_ascii_case(name));
        kept.common.retain(|name, _| !is_given(name));
        kept.environment.retain(|name, _| !is_given(name));
        Ok(kept)
    }
}

/// Of a job specification, what secrets depend on.
#[derive(Deserialize)]
struct OfEnvironment {
    #[serde(default)]
    environment: Option<EnvironmentSpec>,
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
        let caller = Caller::agent(&request)?;
        let mut inbound = request.into_inner();
        let services = self.services.clone();
        let (stream, mut speaker) = outbound::channel();
        // The response begins before the hello was read: a client may wait for it before it sends.
        self.services.tasks.spawn(async move {
            // Boxed: a session is many kilobytes while it opens, and next to nothing for the weeks after.
            let Opened { agent, number, outbox, over } =
                match Box::pin(session::open(&services, caller, &mut inbound)).await {
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
        let caller = Caller::agent(&request)?;
        Ok(Response::new(Box::pin(records::take(self.services.clone(), caller, request.into_inner()))))
    }

    async fn get_blob(
        &self,
        request: Request<GetBlobRequest>,
    ) -> Result<Response<Self::GetBlobStream>, Status> {
        Caller::agent(&request)?;
        let stream = blobs::get(self.services.clone(), request.into_inner()).await?;
        Ok(Response::new(Box::pin(stream)))
    }

    async fn put_blob(
        &self,
        request: Request<Streaming<BlobChunk>>,
    ) -> Result<Response<PutBlobResponse>, Status> {
        Caller::agent(&request)?;
        blobs::put(&self.services, request.into_inner()).await.map(Response::new)
    }

    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolResponse>, Status> {
        members::enrol(&self.services, &request).await.map(Response::new)
    }

    async fn renew_certificate(
        &self,
        request: Request<RenewCertificateRequest>,
    ) -> Result<Response<RenewCertificateResponse>, Status> {
        members::renew(&self.services, &request).await.map(Response::new)
    }

    async fn fetch_secrets(
        &self,
        request: Request<FetchSecretsRequest>,
    ) -> Result<Response<FetchSecretsResponse>, Status> {
        let caller = Caller::agent(&request)?;
        let lease = slipway_wire::lease::from_wire(request.get_ref().lease.as_ref())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let lease = to_wire::from_wire_lease(&lease);
        if !self.services.driver.leases().is_live_for(&lease, caller) {
            return Err(Status::permission_denied("the lease is not current"));
        }
        let loaded = self.services.secrets.load(lease.run).await;
        let secrets = loaded
            .map_err(|error| Status::unavailable(format!("the run's secrets cannot be read: {error}")))?;
        let token = self.services.results.token(&self.services, lease).await;
        let runtime_token =
            token.map_err(|error| Status::unavailable(format!("the job's token cannot be made: {error}")))?;
        let kept = self.kept_secrets(lease, &secrets).await?;
        let vault::JobSecrets { common, environment } = kept;
        let secrets = common.into_iter().chain(secrets).collect();
        let environment_secrets = environment.into_iter().collect();
        let asking = identity::request_token(&self.services, lease).await;
        let identity_request_token = asking
            .map_err(|error| Status::unavailable(format!("the job's identity cannot be told: {error}")))?
            .unwrap_or_default();
        Ok(Response::new(FetchSecretsResponse {
            secrets,
            runtime_token,
            environment_secrets,
            identity_request_token,
        }))
    }

    async fn tunnel(
        &self,
        request: Request<Streaming<TunnelData>>,
    ) -> Result<Response<Self::TunnelStream>, Status> {
        let caller = Caller::agent(&request)?;
        let stream = tunnel::open(&self.services, caller, request.into_inner()).await?;
        Ok(Response::new(Box::pin(stream)))
    }
}
