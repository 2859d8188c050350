//! What this coordinator's tokens, addresses and kept secrets rest on.
//!
//! A coordinator that stands alone makes each by itself, in its data directory. Those that share a journal derive all of
//! them from one key file, so that what one handed out is good at every other.

use std::path::Path;

use crate::data_dir::DataDir;
use crate::key::SigningKey;
use crate::seal::Seal;
use crate::token::Token;
use crate::vault_keys::{GivenKeys, VaultKeys};

/// See the module.
pub(crate) struct Keys {
    /// Who has it may use the API.
    pub(crate) admin_token: Token,
    /// Who has it may be an agent.
    pub(crate) agent_token: Token,
    /// Who has it may read and write the cache.
    pub(crate) cache_token: Token,
    /// Signs the tokens of jobs and the addresses of their uploads.
    pub(crate) results: SigningKey,
    /// Seals secrets of runs where other coordinators may read them; none: they stay in the data directory.
    pub(crate) seal: Option<Seal>,
    /// Seal the secrets that are kept.
    pub(crate) vault: VaultKeys,
    /// The seed of the certificate authority's key.
    pub(crate) authority: SigningKey,
}

/// A key or token file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct KeyError {
    /// The file, or the flag that names it.
    pub place: String,
    /// What is wrong and what to do.
    pub reason: String,
}

impl Keys {
    /// Those of the data directory; made at the first start.
    pub(crate) fn own(data_dir: &DataDir, vault: Option<GivenKeys>) -> Result<Self, KeyError> {
        let token = |name: &str| {
            let path = data_dir.path(name);
            Token::load_or_create(&path).map_err(|error| at(&path, error))
        };
        let key = data_dir.path("results.key");
        let vault = VaultKeys::alone(vault, &data_dir.path("vault.key")).map_err(of_vault)?;
        let authority = data_dir.path("ca.key");
        Ok(Self {
            admin_token: token("admin.token")?,
            agent_token: token("agent.token")?,
            cache_token: token("cache.token")?,
            results: SigningKey::load_or_create(&key).map_err(|error| at(&key, error))?,
            seal: None,
            vault,
            authority: SigningKey::load_or_create(&authority).map_err(|error| at(&authority, error))?,
        })
    }

    /// Those of a key file that other coordinators have too. The tokens are written into the data directory, where people
    /// look for them.
    pub(crate) fn shared(
        file: &Path,
        data_dir: &DataDir,
        vault: Option<GivenKeys>,
    ) -> Result<Self, KeyError> {
        let key = SigningKey::read_shared(file)
            .map_err(|reason| KeyError { place: "--cluster-key-file".to_owned(), reason })?;
        let token = |purpose: &str, name: &str| {
            let path = data_dir.path(name);
            let token = Token::derived(&key.derive(purpose));
            token.write(&path).map_err(|error| at(&path, error))?;
            Ok(token)
        };
        Ok(Self {
            admin_token: token("admin token", "admin.token")?,
            agent_token: token("agent token", "agent.token")?,
            cache_token: token("cache token", "cache.token")?,
            results: key.derive("results"),
            seal: Some(Seal::new(&key.derive("secrets of runs"))),
            vault: VaultKeys::shared(vault, key.derive("kept secrets")).map_err(of_vault)?,
            authority: key.derive("certificate authority"),
        })
    }
}

fn of_vault(reason: String) -> KeyError {
    KeyError { place: "keys of kept secrets".to_owned(), reason }
}

fn at(path: &Path, error: std::io::Error) -> KeyError {
    KeyError { place: path.display().to_string(), reason: error.to_string() }
}
