//! Who may call over gRPC, and whether this coordinator is the one to ask.

use std::sync::Arc;

use slipway_scheduler::AgentId;
use slipway_wire::enrolment;
use tokio::sync::watch;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::driver::Role;
use crate::driver::credentials::CredentialTable;
use crate::metrics::Metrics;
use crate::services::Services;
use crate::token::{self, Token};

/// Metadata of a follower's refusal: the URL of the leader's gRPC port.
const LEADER: &str = "slipway-leader";

/// Lets a call through that carries the token, where this coordinator leads.
#[derive(Debug, Clone)]
pub(super) struct RequireToken {
    token: Token,
    guard: Guard,
}

/// Lets an agent's call through: with the token that all share, with a credential of its own, or with a token for enrolment. Which
/// it was, the call's [`Caller`] tells.
#[derive(Debug, Clone)]
pub(super) struct RequireAgent {
    token: Token,
    credentials: Arc<CredentialTable>,
    guard: Guard,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// Whoever has the agent token: any agent.
    Fleet,
    /// This agent.
    Agent(AgentId),
    /// Somebody with a token for enrolment, of which this is the SHA-256. Nobody looked yet whether it is good.
    Newcomer(String),
}

impl Caller {
    /// The agent that this call is of, where that is known.
    ///
    /// # Errors
    /// A token for enrolment is good for nothing but that.
    pub(super) fn agent<T>(request: &Request<T>) -> Result<Option<AgentId>, Status> {
        match request.extensions().get() {
            Some(Self::Fleet) => Ok(None),
            Some(Self::Agent(agent)) => Ok(Some(*agent)),
            Some(Self::Newcomer(_)) | None => {
                Err(Status::unauthenticated("a token for enrolment is good for `Enrol` and nothing else"))
            }
        }
    }
}

/// What all calls are checked for.
#[derive(Debug, Clone)]
struct Guard {
    metrics: Arc<Metrics>,
    role: watch::Receiver<Role>,
}

impl RequireToken {
    pub(super) fn new(token: Token, services: &Services) -> Self {
        Self { token, guard: Guard::new(services) }
    }
}

impl RequireAgent {
    pub(super) fn new(services: &Services) -> Self {
        let credentials = Arc::clone(services.driver.credentials());
        Self { token: services.agent_token.clone(), credentials, guard: Guard::new(services) }
    }

    fn caller(&self, header: Option<&[u8]>) -> Option<Caller> {
        if self.token.matches(header) {
            return Some(Caller::Fleet);
        }
        let given = token::given(header)?;
        let sha256 = token::sha256(given);
        if enrolment::is_token(given) {
            return Some(Caller::Newcomer(sha256));
        }
        self.credentials.agent(&sha256).map(Caller::Agent)
    }
}

impl Guard {
    fn new(services: &Services) -> Self {
        Self { metrics: Arc::clone(&services.metrics), role: services.driver.role() }
    }

    fn refuse(&self, why: &'static str) -> Status {
        self.metrics.unauthorized.add(1);
        Status::unauthenticated(why)
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
            self.guard.require_leading()?;
            return Ok(request);
        }
        Err(self.guard.refuse("the call needs `authorization: Bearer <token>` with the right token"))
    }
}

impl Interceptor for RequireAgent {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let header = request.metadata().get("authorization").map(|value| value.as_bytes());
        let caller = self.caller(header);
        // A follower may not have heard yet of who enrolled.
        if caller.is_some() || token::given(header).is_some_and(enrolment::is_credential) {
            self.guard.require_leading()?;
        }
        let Some(caller) = caller else {
            let why = "the call needs `authorization: Bearer …` with the agent token or an enrolled agent's credential; an \
                       agent that was removed needs a new token from `slipway agents token`";
            return Err(self.guard.refuse(why));
        };
        request.extensions_mut().insert(caller);
        Ok(request)
    }
}
