//! Sealing everything anew under another key.

use std::io;

use super::{Vault, bound};
use crate::audit::Origin;
use crate::driver::DriverError;
use crate::identity;
use crate::services::Services;

/// What a rotation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    /// How many values are sealed under the first key now.
    pub sealed: usize,
}

/// Why nothing, or not everything, is sealed anew.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// There is no new key, or one goes on already.
    #[error("{0}")]
    Refused(String),
    /// Some values were not to be read or written. The keys of before stay; what was sealed anew is good.
    #[error(
        "{sealed} values are sealed under the new key, and not {name}: {source}; the keys of before are kept, so mend it and rotate again"
    )]
    Partly {
        /// How many are.
        sealed: usize,
        /// The first that is not.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The keys of before cannot be forgotten.
    #[error("everything is sealed under the new key, but the old one cannot be removed: {0}")]
    Keys(io::Error),
    /// The driver refused.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

/// Puts a new key first, seals all values under it, and forgets the keys of before. A crash on the way loses nothing: what any of the keys
/// sealed can be opened, until nothing is sealed under the old ones.
///
/// # Errors
/// [`RotationError`].
pub async fn rotate(services: &Services, origin: Origin) -> Result<Rotated, RotationError> {
    let vault = &services.vault;
    let Ok(mut keys) = vault.keys.try_lock() else {
        return Err(RotationError::Refused("the keys are being rotated already".to_owned()));
    };
    {
        // Nobody copies keys and values while they do not belong together.
        let _changing = vault.changing().await;
        keys.renew().map_err(RotationError::Refused)?;
        vault.use_keys(&keys);
    }
    let named = services.driver.query(|view| {
        let house = view.ledger.house();
        let secrets = house.secrets().filter_map(|secret| {
            let name = format!("the secret {}", secret.address.describe());
            Some((secret.address.key(), secret.file()?.to_owned(), name))
        });
        let signers = house.identity_keys().map(|key| {
            (identity::whose(&key.id), key.file.clone(), format!("the key {} of identity tokens", key.id))
        });
        secrets.chain(signers).collect::<Vec<_>>()
    });
    let (mut sealed, mut failed) = (0, None);
    for (whose, file, name) in named.await? {
        match vault.seal_again(&whose, &file).await {
            Ok(true) => sealed += 1,
            // It was replaced or removed meanwhile: what took its place is sealed under the new key.
            Ok(false) => {}
            Err(source) => failed = failed.or(Some((name, source))),
        }
    }
    if let Some((name, source)) = failed {
        note(services, origin, format!("{sealed} sealed, not all")).await?;
        return Err(RotationError::Partly { sealed, name, source });
    }
    {
        let _changing = vault.changing().await;
        keys.retire().map_err(RotationError::Keys)?;
        vault.use_keys(&keys);
    }
    note(services, origin, format!("{sealed} sealed")).await?;
    Ok(Rotated { sealed })
}

async fn note(services: &Services, origin: Origin, about: String) -> Result<(), DriverError> {
    services.driver.note_about(origin, "vault.rotate", about).await
}

impl Vault {
    /// Seals a file under the first key, in its place; false if there is no such file any more.
    async fn seal_again(&self, whose: &str, file: &str) -> io::Result<bool> {
        let _changing = self.changing().await;
        let text = match self.take_out(whose, file).await {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let sealed = self.seal().seal(&bound(whose, file), &text)?;
        self.files.write(file, sealed).await?;
        Ok(true)
    }
}
