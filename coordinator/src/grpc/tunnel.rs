//! Connections of jobs to the results service, over gRPC.

use std::io;

use futures_util::stream;
use slipway_proto::v1::TunnelData;
use slipway_scheduler::AgentId;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::to_wire;
use crate::services::Services;

/// Takes one in. The first message names the lease and may carry bytes.
pub(super) async fn open(
    services: &Services,
    agent: Option<AgentId>,
    mut messages: Streaming<TunnelData>,
) -> Result<impl Stream<Item = Result<TunnelData, Status>> + use<>, Status> {
    let first = messages.message().await?;
    let first = first.ok_or_else(|| Status::invalid_argument("the first message names the lease"))?;
    let lease = slipway_wire::lease::from_wire(first.lease.as_ref())
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    if !services.driver.leases().is_live_for(&to_wire::from_wire_lease(&lease), agent) {
        return Err(Status::permission_denied("the lease is not current"));
    }
    let incoming = stream::try_unfold((Some(first), messages), |(first, mut messages)| async move {
        let message = match first {
            Some(first) => Some(first),
            None => messages.message().await.map_err(io::Error::other)?,
        };
        Ok(message.map(|message| (message.data, (None, messages))))
    });
    Ok(ReceiverStream::new(services.tunnels.open(incoming).await?))
}
