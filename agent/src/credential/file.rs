//! The file in which an agent keeps who it is: written whole or not at all, for its user alone.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::CredentialError;

/// Its name in the data directory.
pub(super) const FILE: &str = "agent.credential";

/// What the file holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    /// What is presented.
    pub(super) credential: String,
    /// SHA-256 of the token with which it is enrolled: another token means another enrolment.
    pub(super) token_sha256: String,
    /// Whether the coordinator knows of it.
    pub(super) enrolled: bool,
    /// What is shown when a connection with TLS is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) certificate: Option<Certificate>,
}

/// A certificate and its key.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Certificate {
    /// DER, in hexadecimal.
    pub(super) certificate: String,
    /// PKCS#8, in hexadecimal.
    pub(super) key: String,
    /// By this machine's clock, milliseconds since 1970.
    pub(super) good_from_ms: u64,
    /// Likewise.
    pub(super) good_until_ms: u64,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("good_until_ms", &self.good_until_ms).finish_non_exhaustive()
    }
}

pub(super) fn failed(path: &Path, reason: impl std::fmt::Display) -> CredentialError {
    CredentialError::File { path: path.display().to_string(), reason: reason.to_string() }
}

pub(super) fn read(path: &Path) -> Result<Option<Kept>, CredentialError> {
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

pub(super) fn write(path: &Path, kept: &Kept) -> Result<(), CredentialError> {
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
