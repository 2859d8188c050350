//! Makes keys, opens them, and lets go of them. Only the leader does; what it decides is in the journal.

use std::io;
use std::sync::Arc;

use slipway_scheduler::Timestamp;

use super::key::{KeyFault, PrivateJwk, Signer};
use super::limits::LOOK_EVERY;
use super::{Identity, schedule};
use crate::audit::Origin;
use crate::driver::DriverError;
use crate::house::{HouseCommand, IdentityKey};
use crate::services::Services;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RotateError {
    /// It cannot be made or used.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// The driver refused.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// Its file cannot be written or read.
    #[error(
        "the key for identity tokens cannot be kept or read: {0}; `slipway identity rotate --alone` makes another"
    )]
    Io(io::Error),
}

/// The keys that are published, and the driver's time.
pub(super) async fn published(services: &Services) -> Result<(Vec<IdentityKey>, Timestamp), DriverError> {
    services.driver.query(|view| (view.ledger.house().identity_keys().cloned().collect(), view.now)).await
}

/// What the text of a key is bound to where it lies.
pub(crate) fn whose(id: &str) -> String {
    format!("identity key\n{id}")
}

/// Who changes keys when nobody asks for it.
fn by_itself() -> Origin {
    Origin { actor: "slipway".to_owned(), source: "schedule".to_owned() }
}

/// Makes a key that signs in so long, and journals it. The caller holds the vault's lock.
async fn make(services: &Services, in_ms: u64, alone: bool, origin: Origin) -> Result<String, RotateError> {
    let made = tokio::task::spawn_blocking(PrivateJwk::make).await.map_err(io::Error::other);
    let made = made.map_err(RotateError::Io)??;
    let text = serde_json::to_vec(&made).map_err(|error| RotateError::Io(error.into()))?;
    let id = made.id();
    let file = services.vault.put_away(&whose(&id), &text).await.map_err(RotateError::Io)?;
    let key = IdentityKey { id: id.clone(), modulus: made.n, file, signs_from: Timestamp(0) };
    services.driver.house(HouseCommand::SetIdentityKey { key, in_ms, alone }, origin).await?;
    Ok(id)
}

/// Does what is due, and gives the keys that are published then. Whatever fails, keys that there are go on.
///
/// # Errors
/// [`RotateError`] when there is no key at all and none can be made.
pub(super) async fn ready(services: &Services) -> Result<(Vec<IdentityKey>, Timestamp), RotateError> {
    let (keys, now) = published(services).await?;
    if schedule::due(&keys, now) == schedule::Due::default() {
        return Ok((keys, now));
    }
    let changing = services.vault.changing().await;
    // Another one may have been here.
    let (keys, now) = published(services).await?;
    let due = schedule::due(&keys, now);
    if let Some(in_ms) = due.make_in_ms
        && let Err(error) = make(services, in_ms, false, by_itself()).await
    {
        if keys.is_empty() {
            return Err(error);
        }
        tracing::warn!(%error, "the next key for identity tokens is tried again later");
    }
    for id in due.remove {
        let file = keys.iter().find(|key| key.id == id).map(|key| key.file.clone());
        services.driver.house(HouseCommand::RemoveIdentityKey { id: id.clone() }, by_itself()).await?;
        forget(services, &id, file).await;
    }
    drop(changing);
    Ok(published(services).await?)
}

async fn forget(services: &Services, id: &str, file: Option<String>) {
    services.identity.signers().remove(id);
    if let Some(file) = file {
        services.vault.forget(&file).await;
    }
}

/// Another key signs from now on: the next one if it is published already, else a new one. `alone`: a new one in any case, and what
/// others signed counts no longer, as after a leak. Gives its id.
///
/// # Errors
/// [`RotateError`].
pub(crate) async fn rotate(services: &Services, alone: bool, origin: Origin) -> Result<String, RotateError> {
    let _changing = services.vault.changing().await;
    let (keys, now) = published(services).await?;
    if !alone && let Some(next) = schedule::next(&keys, now).cloned() {
        let id = next.id.clone();
        services.driver.house(HouseCommand::SetIdentityKey { key: next, in_ms: 0, alone }, origin).await?;
        return Ok(id);
    }
    let id = make(services, 0, alone, origin).await?;
    if alone {
        for key in keys {
            forget(services, &key.id, Some(key.file)).await;
        }
    }
    Ok(id)
}

impl Identity {
    /// The key, opened.
    ///
    /// # Errors
    /// When its file is gone or damaged.
    pub(super) async fn signer(
        &self,
        services: &Services,
        key: &IdentityKey,
    ) -> Result<Arc<Signer>, RotateError> {
        if let Some(known) = self.signers().get(&key.id) {
            return Ok(Arc::clone(known));
        }
        let text = services.vault.take_out(&whose(&key.id), &key.file).await.map_err(RotateError::Io)?;
        let kept: PrivateJwk =
            serde_json::from_slice(&text).map_err(|error| RotateError::Io(error.into()))?;
        let signer = Arc::new(kept.signer()?);
        self.signers().insert(key.id.clone(), Arc::clone(&signer));
        Ok(signer)
    }
}

/// Looks after keys that there are, as long as this coordinator leads. It makes no first one.
pub(crate) async fn keep(services: Services) {
    loop {
        let kept = match published(&services).await {
            Ok((keys, _)) if keys.is_empty() => Ok(()),
            Ok(_) => ready(&services).await.map(drop),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = kept {
            tracing::warn!(%error, "the keys for identity tokens are looked after again later");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
