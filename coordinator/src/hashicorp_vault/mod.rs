//! Values of kept secrets that lie in HashiCorp Vault, or whatever speaks its HTTP API.
//!
//! The journal has where each value lies ([`VaultReference`]), never the value: it is read when a job begins, handed to the agent that holds
//! the job's lease, and forgotten. One reading of a path serves all secrets of a job that lie there, so that the two halves of a generated
//! credential belong together. docs/SECRETS.md is the page for users.
//!
//! Invariants: no token and no value is in a message, a log line or a `Debug`; every request has a time limit; Vault being away fails no
//! other secret's job.
//!
//! Deliberately absent: writing to Vault, its other ways to log in, and taking back what it generated for a job (its own time to live does).

mod answer;
mod http;
pub mod limits;
mod login;
mod reference;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use serde_json::{Map, Value as Json};

pub use reference::{ReferenceError, VaultReference};

use crate::driver::message::RunLease;
use crate::options::HashicorpVaultOptions;
use crate::services::Services;
use http::Transport;
use limits::PATHS_AT_ONCE;
use login::{Login, Token};

/// Why a value cannot be had. No message has a token or a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// Asking again does not help.
    #[error("{0}")]
    Refused(String),
    /// It may be there later.
    #[error("{0}")]
    Away(String),
}

/// A Vault; cheap to clone.
#[derive(Debug, Clone)]
pub struct HashicorpVault(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    transport: Transport,
    login: Login,
}

/// What lies at the paths that were asked for, by path.
pub(crate) type Found = BTreeMap<String, Result<Map<String, Json>, Fault>>;

impl HashicorpVault {
    /// A client of this Vault. Nothing is asked of it yet, so that a coordinator starts without it.
    ///
    /// # Errors
    /// The authorities cannot be read.
    pub(crate) fn new(options: &HashicorpVaultOptions) -> Result<Self, String> {
        let transport = Transport::new(options)?;
        Ok(Self(Arc::new(Parts { transport, login: Login::new(options.login.clone()) })))
    }

    /// Reads these paths for the job under this lease; each once.
    pub(crate) async fn read(&self, services: &Services, lease: RunLease, paths: BTreeSet<String>) -> Found {
        match self.0.login.for_job(&self.0.transport, services, lease).await {
            Ok(token) => self.read_with(&token, paths).await,
            Err(fault) => paths.into_iter().map(|path| (path, Err(fault.clone()))).collect(),
        }
    }

    async fn read_with(&self, token: &Token, paths: BTreeSet<String>) -> Found {
        let reading = paths.into_iter().map(async |path| {
            let found = self.read_path(token, &path).await;
            (path, found)
        });
        stream::iter(reading).buffer_unordered(PATHS_AT_ONCE).collect().await
    }

    async fn read_path(&self, token: &Token, path: &str) -> Result<Map<String, Json>, Fault> {
        let Parts { transport, login } = &*self.0;
        let mut found = transport.get(path, token).await?;
        // Tokens may be revoked before their time: another one is tried, once.
        if found.status == 403
            && let Some(another) = login.again(transport, token).await?
        {
            found = transport.get(path, &another).await?;
        }
        answer::fields(path, found)
    }

    /// Whether the value is there, for whoever says that it is. None: each job logs in as itself, so nobody can look before.
    pub(crate) async fn look(&self, reference: &VaultReference) -> Option<Result<(), Fault>> {
        let token = match self.0.login.for_all(&self.0.transport).await? {
            Ok(token) => token,
            Err(fault) => return Some(Err(fault)),
        };
        let fields = self.read_path(&token, reference.path()).await;
        Some(fields.and_then(|fields| answer::value(&fields, reference).map(drop)))
    }
}

/// The value that a reference names, of what lay at its path.
///
/// # Errors
/// [`Fault`].
pub(crate) fn value(found: &Found, reference: &VaultReference) -> Result<String, Fault> {
    match found.get(reference.path()) {
        Some(Ok(fields)) => answer::value(fields, reference),
        Some(Err(fault)) => Err(fault.clone()),
        None => Err(Fault::Away(format!("`{}` was not read", reference.path()))),
    }
}
