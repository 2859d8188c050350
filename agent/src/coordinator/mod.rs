//! The agent's calls to its coordinator, beside the session: blobs and secrets. Holds the connection that the session
//! and the record streams share, and opens those of the jobs' tunnels.

mod badge;
mod explain;
mod plain;
mod route;
mod secure;
mod server;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use rustls::ClientConfig;
use sha2::{Digest as _, Sha256};
use slipway_kit::backoff::Backoff;
use slipway_proto::v1;
use slipway_proto::v1::agents_client::AgentsClient;
use slipway_proto::v1::job_cache_client::JobCacheClient;
pub use slipway_tls::Fingerprint;
use thiserror::Error;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Endpoint;
use uuid::Uuid;

pub use self::badge::Badge;
pub(crate) use self::badge::now_ms;
use self::explain::Explained;
use self::plain::Plain;
use self::route::Route;
use self::secure::Secure;
pub use self::server::{Server, ServerError, Trusted};
use crate::lease::Lease;
use crate::limits::{CONNECT_TIMEOUT, RECONNECT_FIRST, RECONNECT_MAX};

/// A client that presents the agent's token.
pub type Client = AgentsClient<Presented>;

/// The same for the cache of build tools.
pub type CacheClient = JobCacheClient<Presented>;

/// A connection whose calls present the agent's token.
pub type Presented = InterceptedService<Explained, Authorize>;

/// Largest message taken from the coordinator.
const MESSAGE_MAX_BYTES: usize = 8 * 1024 * 1024;

/// After how long the coordinator is asked by HTTP/2 whether it still answers, on the connection of a session, which is mostly silent while there are
/// no jobs. A machine that vanished is noticed before, by the kernel ([`slipway_kit::peer`]); a program that hangs only so.
const SESSION_KEEP_ALIVE: Duration = Duration::from_secs(40);

/// The same for a connection that one job has for itself.
const JOB_KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How long the answer may take.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Metadata of a refusal by a coordinator that follows: the URL of the leader.
const LEADER: &str = "slipway-leader";

/// Tries of one blob before the coordinator counts as unable to give it.
const BLOB_TRIES: u32 = 8;

/// Adds `authorization: Bearer …` to every call.
#[derive(Clone)]
pub struct Authorize {
    value: MetadataValue<Ascii>,
}

impl tonic::service::Interceptor for Authorize {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        request.metadata_mut().insert("authorization", self.value.clone());
        Ok(request)
    }
}

impl Authorize {
    fn new(token: &str) -> Result<Self, AddressError> {
        Ok(Self { value: format!("Bearer {token}").parse().map_err(|_| AddressError::Token)? })
    }
}

/// The coordinator, as far as an agent is concerned.
#[derive(Clone)]
pub struct Coordinator {
    route: Arc<Route>,
}

impl std::fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Coordinator")
    }
}

/// The address or token can't be used at all.
#[derive(Debug, Error)]
pub enum AddressError {
    /// The address can't be used with TLS.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Not a header's value.
    #[error("--token: it has characters that a token never has")]
    Token,
}

/// Why a blob is not there.
#[derive(Debug, Error)]
pub enum BlobError {
    /// Larger than who asked allows.
    #[error("the blob has {size_bytes} bytes; at most {max_bytes} are read")]
    TooLarge {
        /// Its size.
        size_bytes: u64,
        /// The limit.
        max_bytes: u64,
    },
    /// What came is not what was asked for.
    #[error("the coordinator sent other bytes than blob {0}")]
    Mismatch(String),
    /// The coordinator does not have it.
    #[error("the coordinator does not have blob {0}")]
    Missing(String),
    /// The coordinator could not be asked.
    #[error("the coordinator could not send a blob: {0}")]
    Unavailable(String),
    /// The bytes could not be kept.
    #[error("cannot keep a blob: {0}")]
    Io(#[from] std::io::Error),
}

/// A certificate that the coordinator made.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate, DER.
    pub certificate: Bytes,
    /// For how long it is good, from now on, in milliseconds.
    pub good_for_ms: u64,
}

/// What came of an enrolment.
#[derive(Debug)]
pub struct Enrolled {
    /// Labels that the token gave.
    pub labels: Vec<String>,
    /// The certificate; none: the coordinator serves without TLS, or is of a version that makes none.
    pub certificate: Option<Issued>,
}

/// Why the agent is no member of the fleet.
#[derive(Debug, Error)]
pub enum EnrolError {
    /// The token is not good, or something about the request.
    #[error("the coordinator does not take this agent: {0}")]
    Refused(String),
}

/// Why there are no secrets.
#[derive(Debug, Error)]
pub enum SecretsError {
    /// The lease is not current.
    #[error("the coordinator refuses the secrets: {0}")]
    Refused(String),
    /// The coordinator could not be asked.
    #[error("the coordinator could not send the secrets: {0}")]
    Unavailable(String),
    /// One of them is lost at the coordinator: no agent will ever get it.
    #[error("{0}")]
    Lost(String),
}

impl SecretsError {
    /// What a refused call means; none: it is to be repeated.
    fn of(status: &tonic::Status) -> Option<Self> {
        let message = status.message().to_owned();
        match status.code() {
            tonic::Code::PermissionDenied | tonic::Code::NotFound | tonic::Code::FailedPrecondition => {
                Some(Self::Refused(message))
            }
            tonic::Code::Unimplemented | tonic::Code::InvalidArgument => Some(Self::Unavailable(message)),
            tonic::Code::DataLoss => Some(Self::Lost(message)),
            _ => None,
        }
    }
}

fn prepare(server: &Server, keep_alive: Duration) -> Result<Endpoint, ServerError> {
    Ok(server
        .endpoint()?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(keep_alive)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true))
}

/// A client that connects when it is first used.
fn client(presented: Presented) -> Client {
    AgentsClient::new(presented)
        .max_decoding_message_size(MESSAGE_MAX_BYTES)
        .max_encoding_message_size(MESSAGE_MAX_BYTES)
}

/// A connection that opens when it is first used.
fn connection(
    server: &Server,
    tls: Option<Arc<ClientConfig>>,
    endpoint: Endpoint,
    authorize: Authorize,
) -> Presented {
    let answered_tls = Arc::new(AtomicBool::new(false));
    let channel = match tls {
        Some(config) => endpoint.connect_with_connector_lazy(Secure::new(server, config)),
        None => endpoint.connect_with_connector_lazy(Plain::new(server, Arc::clone(&answered_tls))),
    };
    let channel = Explained::new(channel, server.clone(), answered_tls);
    InterceptedService::new(channel, authorize)
}

impl Coordinator {
    /// Prepares the connection to the first of these, all of which share a journal; nothing is sent yet.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub fn new(servers: &[Server], token: &str) -> Result<Self, AddressError> {
        Ok(Self { route: Arc::new(Route::new(servers, Authorize::new(token)?)?) })
    }

    /// A client for the tunnels of one job, on a connection of its own that opens when it is first used: neither what the
    /// agent says itself nor another job ever waits for what this one does not read.
    #[must_use]
    pub fn tunnels(&self) -> Client {
        client(self.route.for_job())
    }

    /// A client for what one job asks of the cache of build tools, on a connection of its own likewise.
    #[must_use]
    pub fn job_cache(&self) -> CacheClient {
        JobCacheClient::new(self.route.for_job())
    }

    /// The client, for the session and the record streams. Asked for anew for each call: the leader may have changed.
    #[must_use]
    pub fn client(&self) -> Client {
        self.route.client()
    }

    /// There was no session: the next one is tried with the leader, if this refusal says where it is, else with the next
    /// coordinator that the agent was given.
    pub fn turn(&self, refusal: Option<&tonic::Status>) {
        let leader =
            refusal.and_then(|status| status.metadata().get(LEADER)).and_then(|url| url.to_str().ok());
        self.route.turn(leader);
    }

    /// Reads a small blob whole, checked.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub async fn small_blob(&self, digest: &v1::Digest, max_bytes: u64) -> Result<Vec<u8>, BlobError> {
        let mut blob = Vec::new();
        self.blob(digest, max_bytes, |part| {
            blob.extend_from_slice(part);
            Ok(())
        })
        .await?;
        Ok(blob)
    }

    /// Reads a blob in order and hands its parts to `keep`; goes on after an interruption where it was. What was kept
    /// is only good when this returns `Ok`.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub async fn blob(
        &self,
        digest: &v1::Digest,
        max_bytes: u64,
        mut keep: impl FnMut(&[u8]) -> std::io::Result<()> + Send,
    ) -> Result<(), BlobError> {
        let size_bytes = digest.size_bytes;
        if size_bytes > max_bytes {
            return Err(BlobError::TooLarge { size_bytes, max_bytes });
        }
        let (mut hash, mut offset) = (Sha256::new(), 0u64);
        let mut backoff = Backoff::new(RECONNECT_FIRST, RECONNECT_MAX);
        while offset < size_bytes {
            match self.blob_part(digest, &mut offset, &mut hash, &mut keep).await {
                Ok(()) if offset == size_bytes => break,
                Ok(()) => return Err(BlobError::Mismatch(digest.sha256.clone())),
                Err(BlobError::Unavailable(_)) if backoff.failures() + 1 < BLOB_TRIES => {
                    tokio::time::sleep(backoff.next_wait()).await;
                }
                Err(error) => return Err(error),
            }
        }
        match hex::encode(hash.finalize()) == digest.sha256 {
            true => Ok(()),
            false => Err(BlobError::Mismatch(digest.sha256.clone())),
        }
    }

    async fn blob_part(
        &self,
        digest: &v1::Digest,
        offset: &mut u64,
        hash: &mut Sha256,
        keep: &mut (impl FnMut(&[u8]) -> std::io::Result<()> + Send),
    ) -> Result<(), BlobError> {
        let failed = |status: tonic::Status| match status.code() {
            tonic::Code::NotFound => BlobError::Missing(digest.sha256.clone()),
            _ => BlobError::Unavailable(status.message().to_owned()),
        };
        let request = v1::GetBlobRequest { digest: Some(digest.clone()), offset: *offset };
        let mut parts = self.client().get_blob(request).await.map_err(failed)?.into_inner();
        while let Some(part) = parts.message().await.map_err(failed)? {
            let data: Bytes = part.data;
            if *offset + data.len() as u64 > digest.size_bytes {
                return Err(BlobError::Mismatch(digest.sha256.clone()));
            }
            hash.update(&data);
            keep(&data)?;
            *offset += data.len() as u64;
        }
        Ok(())
    }

    /// Calls from now on go over a new connection, which shows what there is to show by then; those that are open go on.
    pub(crate) fn reconnect(&self) {
        self.route.reconnect();
    }

    /// Asks once for another certificate.
    ///
    /// # Errors
    /// What the coordinator says, or that it cannot be reached.
    pub async fn renew_certificate(&self, csr: &[u8]) -> Result<Issued, tonic::Status> {
        let request = v1::RenewCertificateRequest { csr: Bytes::copy_from_slice(csr) };
        let answer = self.client().renew_certificate(request).await?.into_inner();
        let v1::RenewCertificateResponse { certificate, good_for_ms } = answer;
        Ok(Issued { certificate, good_for_ms })
    }

    /// Becomes a member of the fleet with the token that this was made with; asks until the coordinator answers. The labels that
    /// the token gives.
    ///
    /// # Errors
    /// When the coordinator refuses.
    pub async fn enrol(
        &self,
        id: Uuid,
        name: &str,
        credential_sha256: &str,
        csr: &[u8],
    ) -> Result<Enrolled, EnrolError> {
        let mut backoff = Backoff::new(RECONNECT_FIRST, RECONNECT_MAX);
        loop {
            let request = v1::EnrolRequest {
                agent_id: id.to_string(),
                name: name.to_owned(),
                credential_sha256: credential_sha256.to_owned(),
                csr: Bytes::copy_from_slice(csr),
            };
            let status = match self.client().enrol(request).await {
                Ok(answer) => {
                    let v1::EnrolResponse { labels, certificate, good_for_ms } = answer.into_inner();
                    let certificate = Issued { certificate, good_for_ms };
                    let certificate = Some(certificate).filter(|issued| !issued.certificate.is_empty());
                    return Ok(Enrolled { labels, certificate });
                }
                Err(status) => status,
            };
            match status.code() {
                tonic::Code::Unauthenticated
                | tonic::Code::PermissionDenied
                | tonic::Code::InvalidArgument
                | tonic::Code::ResourceExhausted => {
                    return Err(EnrolError::Refused(status.message().to_owned()));
                }
                tonic::Code::Unimplemented => {
                    let reason = "it is of a version that knows no enrolment; give the agent its agent.token";
                    return Err(EnrolError::Refused(reason.to_owned()));
                }
                _ => {
                    tracing::warn!(reason = status.message(), "not enrolled yet");
                    self.turn(Some(&status));
                    tokio::time::sleep(backoff.next_wait()).await;
                }
            }
        }
    }

    /// The secrets and the token of a leased attempt; asks until the coordinator answers.
    ///
    /// # Errors
    /// When the lease is not current, or the call is not possible at all.
    pub async fn secrets(&self, lease: Lease) -> Result<v1::FetchSecretsResponse, SecretsError> {
        let mut backoff = Backoff::new(RECONNECT_FIRST, RECONNECT_MAX);
        loop {
            let request = v1::FetchSecretsRequest { lease: Some(lease.to_wire()) };
            match self.client().fetch_secrets(request).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => match SecretsError::of(&status) {
                    Some(error) => return Err(error),
                    None => tokio::time::sleep(backoff.next_wait()).await,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};

    use super::SecretsError;

    #[test]
    fn a_lost_secret_ends_the_wait_and_a_coordinator_that_is_away_does_not() {
        let of = |code| SecretsError::of(&Status::new(code, "TOKEN is lost"));
        assert!(matches!(of(Code::DataLoss), Some(SecretsError::Lost(why)) if why == "TOKEN is lost"));
        assert!(matches!(of(Code::PermissionDenied), Some(SecretsError::Refused(_))));
        assert!(matches!(of(Code::Unimplemented), Some(SecretsError::Unavailable(_))));
        for code in [Code::Unavailable, Code::Internal, Code::Unknown, Code::Unauthenticated] {
            assert!(of(code).is_none(), "{code:?}");
        }
    }
}
