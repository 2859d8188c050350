//! The agent's own credential: made here, kept in the data directory, and told nobody but the coordinator, in every call; and over TLS a
//! certificate beside it ([`certificate`]), without which the credential is good for nothing but getting another one.
//!
//! An agent that is started with a token for enrolment uses it once: it makes a credential, tells the coordinator its hash, and
//! from then on presents the credential. A restart finds it, and the token (which may still stand in a configuration file) is
//! not asked for again. The credential is written before the token is used, so that an answer which is lost costs nothing: the
//! same is asked again.

mod certificate;
mod file;

use std::path::Path;

use sha2::{Digest as _, Sha256};
use slipway_wire::enrolment;
use thiserror::Error;
use uuid::Uuid;

use crate::coordinator::{AddressError, Badge, Coordinator, EnrolError, Server};
pub use certificate::Renewal;
use certificate::Request;
use file::{FILE, Kept, read, write};

/// Why the agent has no credential.
#[derive(Debug, Error)]
pub enum CredentialError {
    /// Its file cannot be used.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// There is no key.
    #[error("a key for the agent's certificate cannot be made: {0}")]
    Key(String),
    /// The address can't be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The coordinator does not take it.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
}

/// What an agent proves who it is with.
pub struct Member {
    /// What every call carries.
    pub credential: String,
    /// What is shown when a connection is made.
    pub badge: Badge,
    /// Keeps that good; none: there is no certificate.
    pub renewal: Option<Renewal>,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("renewal", &self.renewal).finish_non_exhaustive()
    }
}

/// What this agent presents: its credential, where it was given a token for enrolment (used now if it was not before), else the
/// token that it was given. Waits until the coordinator can be asked.
///
/// # Errors
/// [`CredentialError`].
pub async fn obtain(
    servers: &[Server],
    token: &str,
    data_dir: &Path,
    id: Uuid,
    name: &str,
) -> Result<Member, CredentialError> {
    let badge = Badge::default();
    if !enrolment::is_token(token) {
        return Ok(Member { credential: token.to_owned(), badge, renewal: None });
    }
    let path = data_dir.join(FILE);
    // Whom to trust is nothing that the coordinator is told; a token that is not whole was refused with the options.
    let token = enrolment::take_apart(token).map_or(token, |(secret, _)| secret);
    let token_sha256 = sha256(token);
    let kept = read(&path)?.filter(|kept| kept.token_sha256 == token_sha256);
    let mut kept = match kept {
        Some(kept) => kept,
        None => {
            let credential = new_credential();
            let made = Kept { credential, token_sha256, enrolled: false, certificate: None };
            write(&path, &made)?;
            made
        }
    };
    if !kept.enrolled {
        let coordinator = Coordinator::new(servers, token)?;
        let request = Request::new()?;
        let csr = if servers.iter().any(Server::is_tls) { request.csr.as_slice() } else { &[] };
        let enrolled = coordinator.enrol(id, name, &sha256(&kept.credential), csr).await?;
        tracing::info!(labels = enrolled.labels.join(", "), "enrolled");
        kept.enrolled = true;
        kept.certificate = enrolled.certificate.map(|issued| request.answered(&issued));
        write(&path, &kept)?;
    }
    let credential = kept.credential.clone();
    let Some(certificate) = kept.certificate.clone() else {
        return Ok(Member { credential, badge, renewal: None });
    };
    certificate.wear(&badge).map_err(|reason| file::failed(&path, reason))?;
    let mut renewal = Renewal { path, kept, badge: badge.clone() };
    if certificate.has_ended() {
        // Nothing but this is answered to an agent that shows none.
        let servers: Vec<Server> = servers.iter().map(|server| server.with_badge(&badge)).collect();
        renewal.renew(&Coordinator::new(&servers, &credential)?).await?;
    }
    Ok(Member { credential, badge, renewal: Some(renewal) })
}

/// 244 random bits.
fn new_credential() -> String {
    let half = || Uuid::new_v4().simple().to_string();
    format!("{}{}{}", enrolment::CREDENTIAL_PREFIX, half(), half())
}

fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn a_token_that_all_share_is_presented_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let servers = [Server::new("http://127.0.0.1:1", None, false).unwrap()];
        let got = obtain(&servers, "slip_shared", folder.path(), Uuid::nil(), "host").await.unwrap();
        assert_eq!(got.credential, "slip_shared");
        assert!(!folder.path().join(FILE).exists());
    }

    #[tokio::test]
    async fn a_restart_presents_what_was_enrolled_and_asks_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let servers = [Server::new("http://127.0.0.1:1", None, false).unwrap()];
        let path = folder.path().join(FILE);
        let kept = Kept {
            credential: "c".to_owned(),
            token_sha256: sha256("slipenrol_t"),
            enrolled: true,
            certificate: None,
        };
        write(&path, &kept).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let got = obtain(&servers, "slipenrol_t", folder.path(), Uuid::nil(), "host").await.unwrap();
        assert_eq!(got.credential, "c");
    }

    #[tokio::test]
    async fn a_damaged_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let servers = [Server::new("http://127.0.0.1:1", None, false).unwrap()];
        fs::write(folder.path().join(FILE), "nonsense").unwrap();
        let refused = obtain(&servers, "slipenrol_t", folder.path(), Uuid::nil(), "host").await;
        let error = refused.err().unwrap();
        assert!(error.to_string().contains("agent.credential"), "{error}");
    }
}
