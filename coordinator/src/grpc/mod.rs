//! The gRPC front door: agents, the client API, health and reflection.
//!
//! Generated types stop here: [`slipway_wire`] checks what comes in. Every call of `Agents` carries the agent token or an
//! agent's own credential, every call of `Runs` a token whose role is enough ([`crate::access`]); health, reflection and KEDA's
//! scaler are open. The cache's services decide by themselves, for each call.

mod agents;
mod auth;
mod blobs;
mod job_cache;
mod keda;
mod members;
mod outbound;
mod records;
mod runs;
mod session;
mod to_wire;
mod tunnel;

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use slipway_cache::reapi::Reapi;
use slipway_proto::keda::external_scaler_server::ExternalScalerServer;
use slipway_proto::v1::agents_server::AgentsServer;
use slipway_proto::v1::runs_server::RunsServer;
use tonic::Status;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::driver::DriverError;
use crate::house::HouseError;
use crate::services::Services;
use crate::tls::{Incoming, ServerTls, watch};
use auth::{RequireAgent, RequireClient};

/// The longest message that is read, in bytes: a batch of records and what is around it.
pub const MAX_MESSAGE_BYTES: usize = 5 << 20;

/// The longest HTTP/2 frame that is read, in bytes: a log comes in fewer pieces than with the protocol's 16 KiB.
const MAX_FRAME_BYTES: u32 = 256 << 10;

/// Why the gRPC server could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum GrpcError {
    /// The transport failed.
    #[error("gRPC on {address}: {reason}")]
    Transport {
        /// Where it listens.
        address: SocketAddr,
        /// What is wrong.
        reason: String,
    },
}

/// Serves until [`Services::closing`] is raised. Listening began before, so that the address is known.
///
/// # Errors
/// [`GrpcError`].
pub(crate) async fn serve(
    services: Services,
    listener: tokio::net::TcpListener,
    tls: Option<&ServerTls>,
) -> Result<(), GrpcError> {
    let address = listener.local_addr().map_err(|error| GrpcError::Transport {
        address: services.options.grpc,
        reason: error.to_string(),
    })?;
    let transport = |reason: String| GrpcError::Transport { address, reason };
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<AgentsServer<agents::AgentsService>>().await;
    health.set_serving::<RunsServer<runs::RunsService>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(slipway_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(slipway_proto::reapi::DESCRIPTORS)
        .register_encoded_file_descriptor_set(slipway_proto::keda::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| transport(error.to_string()))?;
    let agents = AgentsServer::new(agents::AgentsService::new(services.clone()))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let runs = RunsServer::new(runs::RunsService::new(services.clone()))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let for_agents = RequireAgent::new(&services);
    let job_cache = job_cache::service(&services)
        .map(|service| InterceptedService::new(service.server(), for_agents.clone()));
    let for_clients = RequireClient::new(&services);

    let doors = services.cache.as_ref().map(|cache| cache.reapi().clone());
    // The kernel notices peers that vanished: with ten thousand agents, asking each by HTTP/2 is most of what an idle coordinator does.
    let mut server = Server::builder()
        .initial_stream_window_size(Some(4 << 20))
        .initial_connection_window_size(Some(8 << 20))
        .max_frame_size(Some(MAX_FRAME_BYTES));
    let router = server
        .add_optional_service(doors.as_ref().map(Reapi::capabilities))
        .add_optional_service(doors.as_ref().map(Reapi::blobs))
        .add_optional_service(doors.as_ref().map(Reapi::actions))
        .add_optional_service(doors.as_ref().map(Reapi::streams))
        .add_service(ExternalScalerServer::new(keda::Keda::new(services.clone())))
        .add_service(health_service)
        .add_service(reflection)
        .add_optional_service(job_cache)
        .add_service(InterceptedService::new(agents, for_agents))
        .add_service(InterceptedService::new(runs, for_clients));
    let closing = services.closing.clone();
    let closed = closing.clone().cancelled_owned();
    let served = match tls {
        None => {
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true)).inspect_ok(watch);
            router.serve_with_incoming_shutdown(incoming, closed).await
        }
        Some(tls) => {
            let incoming = Incoming::new(listener, Arc::clone(&tls.grpc), closing);
            let incoming = incoming.map_err(|error| transport(error.to_string()))?;
            router.serve_with_incoming_shutdown(incoming, closed).await
        }
    };
    served.map_err(|error| transport(error.to_string()))
}

/// The driver's refusal for a client.
fn driver_status(error: &DriverError) -> Status {
    use slipway_scheduler::Rejection;
    match error {
        DriverError::Stopped | DriverError::Follows(_) => Status::unavailable(error.to_string()),
        DriverError::Journal(_) => Status::data_loss(error.to_string()),
        DriverError::Refused(_) | DriverError::House(HouseError::Limit(_)) => {
            Status::resource_exhausted(error.to_string())
        }
        DriverError::Removed | DriverError::House(HouseError::Token) => {
            Status::unauthenticated(error.to_string())
        }
        DriverError::House(HouseError::NotFound(_)) => Status::not_found(error.to_string()),
        DriverError::House(HouseError::Invalid(_)) => Status::invalid_argument(error.to_string()),
        DriverError::Rejected(rejection) => match rejection {
            Rejection::UnknownRun { .. } | Rejection::UnknownJob { .. } => {
                Status::not_found(error.to_string())
            }
            Rejection::Limit { .. } => Status::resource_exhausted(error.to_string()),
            Rejection::InvalidJobs(_) => Status::invalid_argument(error.to_string()),
            _ => Status::failed_precondition(error.to_string()),
        },
    }
}
