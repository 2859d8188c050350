//! A token for a job, and whether a job gets any.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde_json::json;
use slipway_cas::StoreError;
use slipway_scheduler::command::Trust;

use super::claims::{OfJob, Permissions};
use super::keeper::{self, RotateError};
use super::limits::{AUDIENCE_MAX_BYTES, TOKENS_PER_ATTEMPT_MAX};
use super::request_token as of_lease;
use super::schedule;
use crate::audit::Origin;
use crate::driver::message::RunLease;
use crate::driver::{DriverError, View};
use crate::services::Services;

/// Why a job gets no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IssueError {
    /// It shows none of ours, or its lease is over.
    #[error("the call needs `authorization: bearer <ACTIONS_ID_TOKEN_REQUEST_TOKEN>` of a job that goes on")]
    Unauthorized,
    /// It is not to have one.
    #[error("{0}")]
    Denied(&'static str),
    /// The audience makes no sense.
    #[error("{0}")]
    Audience(String),
    /// It has had too many.
    #[error("one attempt of a job gets at most {TOKENS_PER_ATTEMPT_MAX} identity tokens; use one again")]
    TooMany,
    /// Nobody could verify one.
    #[error(
        "this coordinator issues no identity tokens: whoever verifies one has to read its keys from a public address. Set \
         `public_url` (--public-url) to the coordinator's https address"
    )]
    NoIssuer,
    /// There is no key.
    #[error(transparent)]
    Key(#[from] RotateError),
    /// The job cannot be looked up.
    #[error("the job cannot be looked up: {0}")]
    Store(#[from] StoreError),
    /// What was planned for the job is damaged.
    #[error("the job's specification is damaged: {0}")]
    Specification(#[from] serde_json::Error),
}

impl IssueError {
    /// Whether asking again may help.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Key(_) | Self::Store(_))
    }
}

impl From<DriverError> for IssueError {
    fn from(error: DriverError) -> Self {
        Self::Key(error.into())
    }
}

/// What is known of the job under this lease, and its agent; none: it is over, or its code comes from outside.
async fn job<T: DeserializeOwned>(
    services: &Services,
    lease: RunLease,
) -> Result<Option<(T, String)>, IssueError> {
    let look = move |view: View<'_>| {
        let trusted = view.state.run(lease.run)?.meta().trust == Trust::Trusted;
        let instance = view.state.leased(&lease.lease).filter(|_| trusted)?;
        Some((instance.definition().spec, instance.lease()?.1))
    };
    let Some((specification, agent)) = services.driver.query(look).await? else { return Ok(None) };
    let specification = services.store.get(specification).await?;
    Ok(Some((serde_json::from_slice(&specification)?, agent.to_string())))
}

/// The token with which the job under this lease asks; none: its permissions do not have `id-token: write`, or its code comes from
/// outside.
///
/// # Errors
/// One sentence, when the job cannot be looked up.
pub(crate) async fn request_token(services: &Services, lease: RunLease) -> Result<Option<String>, String> {
    let found = job::<Permissions>(services, lease).await.map_err(|error| error.to_string())?;
    let may = found.is_some_and(|(permissions, _)| permissions.may_identify());
    Ok(may.then(|| of_lease::make(&services.identity.0.requests, &lease)))
}

fn checked(audience: String) -> Result<String, IssueError> {
    if audience.is_empty() || audience.len() > AUDIENCE_MAX_BYTES || audience.chars().any(char::is_control) {
        let message = format!(
            "`audience` has 1 to {AUDIENCE_MAX_BYTES} bytes and no control characters; leave it out for the default"
        );
        return Err(IssueError::Audience(message));
    }
    Ok(audience)
}

/// A token for the job that shows this header. It is in the audit trail when this returns.
///
/// # Errors
/// [`IssueError`].
pub(super) async fn issue(
    services: &Services,
    authorization: Option<&[u8]>,
    audience: Option<String>,
) -> Result<String, IssueError> {
    let identity = &services.identity.0;
    let lease = of_lease::read(&identity.requests, authorization).ok_or(IssueError::Unauthorized)?;
    if !services.driver.leases().is_live(&lease) {
        return Err(IssueError::Unauthorized);
    }
    let denied = "jobs whose code comes from outside, a fork's pull request, get no identity token";
    let (job, agent) = job::<OfJob>(services, lease).await?.ok_or(IssueError::Denied(denied))?;
    if !job.permissions.may_identify() {
        return Err(IssueError::Denied("the job's `permissions` do not have `id-token: write`"));
    }
    let audience = match audience {
        Some(audience) => checked(audience)?,
        None => job.default_audience(),
    };
    if identity.issuer.is_none() {
        return Err(IssueError::NoIssuer);
    }
    if !identity.allowance.take(&lease, services.driver.leases()) {
        return Err(IssueError::TooMany);
    }
    signed(services, lease, &job, &agent, audience).await
}

/// A token with which the coordinator shows HashiCorp Vault whose secrets it reads. The job itself never sees it, so it needs no leave for
/// one; but it may not be of code from outside. It is in the audit trail when this returns.
///
/// # Errors
/// [`IssueError`].
pub(crate) async fn for_vault(
    services: &Services,
    lease: RunLease,
    audience: String,
) -> Result<String, IssueError> {
    let denied = "jobs whose code comes from outside, a fork's pull request, have no identity";
    let (job, agent) = job::<OfJob>(services, lease).await?.ok_or(IssueError::Denied(denied))?;
    signed(services, lease, &job, &agent, audience).await
}

async fn signed(
    services: &Services,
    lease: RunLease,
    job: &OfJob,
    agent: &str,
    audience: String,
) -> Result<String, IssueError> {
    let issuer = services.identity.0.issuer.as_deref().ok_or(IssueError::NoIssuer)?;
    let (keys, now) = keeper::ready(services).await?;
    let gone = || RotateError::Io(std::io::ErrorKind::NotFound.into());
    let key = schedule::signing(&keys, now).ok_or_else(gone)?;
    let signer = services.identity.signer(services, key).await?;
    let claims = job.claims(issuer, audience, uuid::Uuid::new_v4().to_string(), now.0 / 1_000);
    let header = json!({"typ": "JWT", "alg": "RS256", "kid": key.id}).to_string();
    let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims)?);
    let signed = format!("{}.{payload}", URL_SAFE_NO_PAD.encode(header));
    let signature = signer.sign(signed.as_bytes()).map_err(RotateError::Key)?;
    let origin = Origin { actor: format!("run {}", lease.run), source: format!("agent {agent}") };
    services.driver.note_about(origin, "identity.token", claims.told()).await?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
