//! The agent's own credential: made here, kept in the data directory, and told nobody but the coordinator, in every call.
//!
//! An agent that is started with a token for enrolment uses it once: it makes a credential, tells the coordinator its hash, and
//! from then on presents the credential. A restart finds it, and the token (which may still stand in a configuration file) is
//! not asked for again. The credential is written before the token is used, so that an answer which is lost costs nothing: the
//! same is asked again.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use slipway_wire::enrolment;
use thiserror::Error;
use uuid::Uuid;

use crate::coordinator::{AddressError, Coordinator, EnrolError, Server};

/// The credential's file in the data directory.
const FILE: &str = "agent.credential";

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
    /// The address can't be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The coordinator does not take it.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
}

/// What the file holds.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// What is presented.
    credential: String,
    /// SHA-256 of the token with which it is enrolled: another token means another enrolment.
    token_sha256: String,
    /// Whether the coordinator knows of it.
    enrolled: bool,
}

/// What this agent presents: its credential, where it was given a token for enrolment (used now if it was not before), else the
/// token that it was given. Waits until the coordinator can be asked.
///
/// # Errors
/// [`CredentialError`].
pub(crate) async fn obtain(
    servers: &[Server],
    token: &str,
    data_dir: &Path,
    id: Uuid,
    name: &str,
) -> Result<String, CredentialError> {
    if !enrolment::is_token(token) {
        return Ok(token.to_owned());
    }
    let path = data_dir.join(FILE);
    let token_sha256 = sha256(token);
    let kept = read(&path)?.filter(|kept| kept.token_sha256 == token_sha256);
    let mut kept = match kept {
        Some(kept) => kept,
        None => {
            let made = Kept { credential: new_credential(), token_sha256, enrolled: false };
            write(&path, &made)?;
            made
        }
    };
    if !kept.enrolled {
        let coordinator = Coordinator::new(servers, token)?;
        let labels = coordinator.enrol(id, name, &sha256(&kept.credential)).await?;
        tracing::info!(labels = labels.join(", "), "enrolled");
        kept.enrolled = true;
        write(&path, &kept)?;
    }
    Ok(kept.credential)
}

/// 244 random bits.
fn new_credential() -> String {
    let half = || Uuid::new_v4().simple().to_string();
    format!("{}{}{}", enrolment::CREDENTIAL_PREFIX, half(), half())
}

fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

fn failed(path: &Path, reason: impl std::fmt::Display) -> CredentialError {
    CredentialError::File { path: path.display().to_string(), reason: reason.to_string() }
}

fn read(path: &Path) -> Result<Option<Kept>, CredentialError> {
    match fs::read(path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(kept) => Ok(Some(kept)),
            Err(_) => {
                let reason = "it does not hold a credential; remove it, and give the agent a new token";
                Err(failed(path, reason))
            }
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, error)),
    }
}

/// Writes it whole or not at all, for this user alone.
fn write(path: &Path, kept: &Kept) -> Result<(), CredentialError> {
    let half: PathBuf = path.with_extension("new");
    let written = serde_json::to_vec(kept).map_err(std::io::Error::from).and_then(|bytes| {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&half)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&half, path)?;
        path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
    });
    written.map_err(|error| failed(path, error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn a_token_that_all_share_is_presented_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let servers = [Server::new("http://127.0.0.1:1", None, false).unwrap()];
        let got = obtain(&servers, "slip_shared", folder.path(), Uuid::nil(), "host").await.unwrap();
        assert_eq!(got, "slip_shared");
        assert!(!folder.path().join(FILE).exists());
    }

    #[tokio::test]
    async fn a_restart_presents_what_was_enrolled_and_asks_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let servers = [Server::new("http://127.0.0.1:1", None, false).unwrap()];
        let path = folder.path().join(FILE);
        let kept = Kept { credential: "c".to_owned(), token_sha256: sha256("slipenrol_t"), enrolled: true };
        write(&path, &kept).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let got = obtain(&servers, "slipenrol_t", folder.path(), Uuid::nil(), "host").await.unwrap();
        assert_eq!(got, "c");
    }

    #[tokio::test]
    async fn a_damaged_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let servers = [Server::new("http://127.0.0.1:1", None, false).unwrap()];
        fs::write(folder.path().join(FILE), "nonsense").unwrap();
        let error = obtain(&servers, "slipenrol_t", folder.path(), Uuid::nil(), "host").await.unwrap_err();
        assert!(error.to_string().contains("agent.credential"), "{error}");
    }
}
