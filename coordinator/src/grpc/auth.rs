//! Who may call over gRPC, and whether this coordinator is the one to ask.

use std::sync::Arc;

use slipway_scheduler::AgentId;
use slipway_wire::enrolment;
use tokio::sync::watch;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tonic::{Extensions, Request, Status};

use crate::access::{Caller as Client, rules};
use crate::authority::{Member, member};
use crate::driver::Role;
use crate::driver::credentials::CredentialTable;
use crate::http::auth::known;
use crate::metrics::Metrics;
use crate::services::Services;
use crate::token::{self, Token};

/// Metadata of a follower's refusal: the URL of the leader's gRPC port.
const LEADER: &str = "slipway-leader";

/// Lets a client's call through that carries a token which is good, where this coordinator leads. Whether its role is enough, each
/// call asks with [`require`].
#[derive(Clone)]
pub(super) struct RequireClient {
    services: Services,
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
    /// Whoever has this agent's credential, but not the certificate that it has to show: they may ask for one, and nothing else.
    Unproven(AgentId),
    /// Somebody with a token for enrolment, of which this is the SHA-256. Nobody looked yet whether it is good.
    Newcomer(String),
}

impl Caller {
    /// The agent that this call is of, where that is known.
    ///
    /// # Errors
    /// A token for enrolment is good for nothing but that.
    pub(super) fn agent<T>(request: &Request<T>) -> Result<Option<AgentId>, Status> {
        Self::agent_of(request.extensions())
    }

    /// The same of a call's extensions.
    ///
    /// # Errors
    /// As [`Caller::agent`].
    pub(super) fn agent_of(extensions: &Extensions) -> Result<Option<AgentId>, Status> {
        match extensions.get() {
            Some(Self::Fleet) => Ok(None),
            Some(Self::Agent(agent)) => Ok(Some(*agent)),
            // Not what an agent that was removed is told: this one may come back.
            Some(Self::Unproven(_)) => Err(Status::permission_denied(
                "this agent has a certificate, and did not show it, or one of an earlier enrolment; its credential alone is good \
                 for `RenewCertificate` and nothing else",
            )),
            Some(Self::Newcomer(_)) | None => {
                Err(Status::unauthenticated("a token for enrolment is good for `Enrol` and nothing else"))
            }
        }
    }
}

/// What a connection proves.
enum Shown {
    /// It has no TLS.
    Nothing,
    /// It has, and this agent's certificate was shown, if one was.
    Certificate(Option<Member>),
}

impl Shown {
    fn of(request: &Request<()>) -> Self {
        let Some(tls) = request.extensions().get::<TlsConnectInfo<TcpConnectInfo>>() else {
            return Self::Nothing;
        };
        let certificates = tls.peer_certs();
        Self::Certificate(certificates.and_then(|shown| member(shown.first()?)))
    }
}

/// What all calls are checked for.
#[derive(Debug, Clone)]
struct Guard {
    metrics: Arc<Metrics>,
    role: watch::Receiver<Role>,
}

impl RequireClient {
    pub(super) fn new(services: &Services) -> Self {
        Self { services: services.clone(), guard: Guard::new(services) }
    }
}

/// Whose call this is, when the role is enough for it.
///
/// # Errors
/// `permission_denied`, with the role that it needs.
pub(super) fn require<T>(request: &Request<T>, call: &'static str) -> Result<Client, Status> {
    let Some(client) = request.extensions().get::<Client>() else {
        return Err(Status::unauthenticated("nobody calls"));
    };
    let needed = rules::of_grpc(call);
    if client.role() < needed {
        let role = client.role();
        return Err(Status::permission_denied(format!(
            "{call} needs the role {needed}; this token's is {role}"
        )));
    }
    Ok(client.clone())
}

impl RequireAgent {
    pub(super) fn new(services: &Services) -> Self {
        let credentials = Arc::clone(services.driver.credentials());
        Self { token: services.agent_token.clone(), credentials, guard: Guard::new(services) }
    }

    fn caller(&self, header: Option<&[u8]>, shown: &Shown) -> Option<Caller> {
        if self.token.matches(header) {
            return Some(Caller::Fleet);
        }
        let given = token::given(header)?;
        let sha256 = token::sha256(given);
        if enrolment::is_token(given) {
            return Some(Caller::Newcomer(sha256));
        }
        let known = self.credentials.agent(&sha256)?;
        let proven = match shown {
            // Without TLS nobody can show anything; that is for this machine alone.
            Shown::Nothing => true,
            Shown::Certificate(shown) => {
                !known.certificate
                    || shown
                        .as_ref()
                        .is_some_and(|shown| shown.agent == known.agent && shown.enrolment == known.enrolment)
            }
        };
        Some(if proven { Caller::Agent(known.agent) } else { Caller::Unproven(known.agent) })
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

impl Interceptor for RequireClient {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let header = request.metadata().get("authorization").map(|value| value.as_bytes());
        let client = known(&self.services, header);
        // A follower may not have heard yet of a token.
        if client.is_some() || token::given(header).is_some_and(|text| text.starts_with(token::ACCESS_PREFIX))
        {
            self.guard.require_leading()?;
        }
        let Some(client) = client else {
            return Err(self.guard.refuse(
                "the call needs `authorization: Bearer <token>` with the admin token or one of `slipway tokens make`",
            ));
        };
        request.extensions_mut().insert(client);
        Ok(request)
    }
}

impl Interceptor for RequireAgent {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let header = request.metadata().get("authorization").map(|value| value.as_bytes());
        let caller = self.caller(header, &Shown::of(&request));
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
