//! Who may call over gRPC, and whether this coordinator is the one to ask.

use std::sync::Arc;

use tokio::sync::watch;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::driver::Role;
use crate::metrics::Metrics;
use crate::services::Services;
use crate::token::Token;

/// Metadata of a follower's refusal: the URL of the leader's gRPC port.
const LEADER: &str = "slipway-leader";

/// Lets a call through that carries the token, where this coordinator leads.
#[derive(Debug, Clone)]
pub(super) struct RequireToken {
    token: Token,
    metrics: Arc<Metrics>,
    role: watch::Receiver<Role>,
}

impl RequireToken {
    pub(super) fn new(token: Token, services: &Services) -> Self {
        Self { token, metrics: Arc::clone(&services.metrics), role: services.driver.role() }
    }

    fn require_leading(&self) -> Result<(), Status> {
        let Role::Following(leader) = &*self.role.borrow() else { return Ok(()) };
        let grpc = leader.address.grpc.as_str();
        let known = leader.alive.then_some(grpc).and_then(|grpc| grpc.parse::<MetadataValue<Ascii>>().ok());
        let Some(url) = known.filter(|url| !url.is_empty()) else {
            return Err(Status::unavailable("no coordinator leads at the moment; try again"));
        };
        let mut status = Status::unavailable(format!("this coordinator follows; the leader is at {grpc}"));
        status.metadata_mut().insert(LEADER, url);
        Err(status)
    }
}

impl Interceptor for RequireToken {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let header = request.metadata().get("authorization").map(|value| value.as_bytes());
        if self.token.matches(header) {
            self.require_leading()?;
            return Ok(request);
        }
        self.metrics.unauthorized.add(1);
        Err(Status::unauthenticated("the call needs `authorization: Bearer <token>` with the right token"))
    }
}
