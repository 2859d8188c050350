//! Bearer tokens on gRPC calls.

use std::sync::Arc;

use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::metrics::Metrics;
use crate::token::Token;

/// Lets a call through that carries the token.
#[derive(Debug, Clone)]
pub(super) struct RequireToken {
    token: Token,
    metrics: Arc<Metrics>,
}

impl RequireToken {
    pub(super) fn new(token: Token, metrics: Arc<Metrics>) -> Self {
        Self { token, metrics }
    }
}

impl Interceptor for RequireToken {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let header = request.metadata().get("authorization").map(|value| value.as_bytes());
        if self.token.matches(header) {
            return Ok(request);
        }
        self.metrics.unauthorized.add(1);
        Err(Status::unauthenticated("the call needs `authorization: Bearer <token>` with the right token"))
    }
}
