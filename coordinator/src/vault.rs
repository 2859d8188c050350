//! Values of kept secrets, sealed.
//!
//! Each value has a file of its own with a name that no other ever had; the journal says which file a secret's value is in
//! ([`crate::house`]). So a value that was set is whole, and one of before stays until the new one counts. What no secret names is
//! left by a crash and goes when the next leader begins. The seal binds a value to its secret and file: one cannot be put in
//! another's place. [`rotate`] seals all of it anew, each file in its place. The keys of identity tokens ([`crate::identity`]) lie here in the same way.
//! Of a secret whose value is in HashiCorp Vault nothing lies here; [`for_job`] reads it there.

mod of_jobs;
mod rotation;

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Mutex;

use crate::audit::Origin;
use crate::driver::{DriverError, View};
use crate::hashicorp_vault::{Fault, VaultReference};
use crate::house::{Address, HouseCommand, KeptSecret, ValuePlace};
use crate::seal::Seal;
use crate::services::Services;
use crate::small_files::SmallFiles;
use crate::vault_keys::VaultKeys;

pub use of_jobs::{JobSecrets, for_job};
pub use rotation::{Rotated, RotationError, rotate};

/// The longest value, in bytes: GitHub's limit.
pub const MAX_VALUE_BYTES: usize = 48 << 10;

/// Sealed values; cheap to clone.
#[derive(Debug, Clone)]
pub struct Vault {
    files: SmallFiles,
    seal: Arc<RwLock<Seal>>,
    /// Taken while they are rotated.
    keys: Arc<Mutex<VaultKeys>>,
    /// Held from before a value is written until it counts: what is swept meanwhile is nobody's.
    changing: Arc<Mutex<()>>,
}

/// Why a secret is not set, removed or read.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Its name or value makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The driver refused.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// Its file cannot be written or read.
    #[error("secret {name} cannot be kept or read: {source}")]
    Io {
        /// Which.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// Its file is gone, or nothing of ours any more: it will not come back by itself.
    #[error(
        "the value of the kept secret {name} is lost ({source}): give it a new one with `slipway secrets set`, or remove it with \
         `slipway secrets rm`"
    )]
    Lost {
        /// Which.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// HashiCorp Vault cannot be asked now.
    #[error("the secret {name} cannot be read: {why}")]
    Away {
        /// Which.
        name: String,
        /// Why.
        why: String,
    },
    /// HashiCorp Vault has no such value, or not for Slipway.
    #[error("the secret {name} cannot be had: {why}")]
    Refused {
        /// Which.
        name: String,
        /// Why.
        why: String,
    },
}

impl VaultError {
    fn reading(name: String, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::InvalidData => Self::Lost { name, source },
            _ => Self::Io { name, source },
        }
    }

    fn elsewhere(name: String, fault: Fault) -> Self {
        match fault {
            Fault::Refused(why) => Self::Refused { name, why },
            Fault::Away(why) => Self::Away { name, why },
        }
    }
}

impl Vault {
    pub(crate) fn new(files: SmallFiles, keys: VaultKeys) -> Self {
        let seal = Arc::new(RwLock::new(Seal::ring(keys.keys())));
        Self { files, seal, keys: Arc::new(Mutex::new(keys)), changing: Arc::default() }
    }

    fn seal(&self) -> Seal {
        self.seal.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn use_keys(&self, keys: &VaultKeys) {
        *self.seal.write().unwrap_or_else(PoisonError::into_inner) = Seal::ring(keys.keys());
    }

    /// Seals a text into a file of its own, bound to what it belongs to; gives the file's name. Until that is journaled, the caller
    /// holds [`Self::changing`].
    ///
    /// # Errors
    /// When it cannot be sealed or written.
    pub(crate) async fn put_away(&self, whose: &str, text: &[u8]) -> io::Result<String> {
        let file = format!("{}.sealed", uuid::Uuid::new_v4().simple());
        let sealed = self.seal().seal(&bound(whose, &file), text)?;
        self.files.write(&file, sealed).await?;
        Ok(file)
    }

    /// The text of a file.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is no such file; else when it cannot be read or opened.
    pub(crate) async fn take_out(&self, whose: &str, file: &str) -> io::Result<Vec<u8>> {
        let sealed = self.files.read(file).await?.ok_or(io::ErrorKind::NotFound)?;
        self.seal().open(&bound(whose, file), &sealed)
    }

    /// Holds off the sweep, from before something is put away until it is journaled.
    pub(crate) async fn changing(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    /// Removes a file that does not count any more.
    pub(crate) async fn forget(&self, file: &str) {
        if let Err(error) = self.files.remove(file).await {
            tracing::warn!(%error, "what is sealed and counts no longer stays until another leader begins");
        }
    }

    async fn write(&self, address: &Address, value: &str) -> io::Result<String> {
        self.put_away(&address.key(), value.as_bytes()).await
    }

    async fn read(&self, address: &Address, file: &str) -> io::Result<String> {
        let value = self.take_out(&address.key(), file).await?;
        String::from_utf8(value).map_err(io::Error::other)
    }

    /// Removes what no secret names.
    ///
    /// # Errors
    /// When the place cannot be read or a file not removed.
    async fn keep_only(&self, named: &BTreeSet<String>) -> io::Result<()> {
        for name in self.files.names().await? {
            if name.ends_with(".sealed") && !named.contains(&name) {
                self.files.remove(&name).await?;
            }
        }
        Ok(())
    }
}

fn bound(whose: &str, file: &str) -> String {
    format!("{whose}\n{file}")
}

fn file_of(view: &View<'_>, key: &str) -> Option<String> {
    let secret = view.ledger.house().secrets().find(|secret| secret.address.key() == key)?;
    Some(secret.file()?.to_owned())
}

/// Gives a secret a value; it counts for jobs that begin from now on.
///
/// # Errors
/// [`VaultError`].
pub async fn set(
    services: &Services,
    address: Address,
    value: &str,
    origin: Origin,
) -> Result<(), VaultError> {
    if value.is_empty() || value.len() > MAX_VALUE_BYTES {
        return Err(VaultError::Invalid(format!("a secret's value has 1 to {MAX_VALUE_BYTES} bytes")));
    }
    let failed = |source| VaultError::Io { name: address.describe(), source };
    let _changing = services.vault.changing.lock().await;
    let file = services.vault.write(&address, value).await.map_err(failed)?;
    keep(services, address, ValuePlace::File(file), origin).await
}

/// Says that a secret's value is in HashiCorp Vault; it counts for jobs that begin from now on. Where all jobs log in there alike, the value
/// is looked for first.
///
/// # Errors
/// [`VaultError`].
pub async fn refer(
    services: &Services,
    address: Address,
    reference: VaultReference,
    origin: Origin,
) -> Result<(), VaultError> {
    let Some(vault) = &services.hashicorp_vault else {
        return Err(VaultError::Invalid(of_jobs::NO_VAULT.to_owned()));
    };
    if let Some(Err(fault)) = vault.look(&reference).await {
        return Err(VaultError::elsewhere(address.describe(), fault));
    }
    let _changing = services.vault.changing.lock().await;
    keep(services, address, ValuePlace::Vault(reference), origin).await
}

/// Journals where a value is, and removes the one of before. The caller holds [`Vault::changing`].
async fn keep(
    services: &Services,
    address: Address,
    place: ValuePlace,
    origin: Origin,
) -> Result<(), VaultError> {
    let key = address.key();
    let before = services.driver.query(move |view| file_of(&view, &key)).await?;
    let secret = KeptSecret { address, place, at: slipway_scheduler::Timestamp(0) };
    services.driver.house(HouseCommand::SetSecret(secret), origin).await?;
    forget(services, before).await;
    Ok(())
}

/// Removes a secret.
///
/// # Errors
/// [`VaultError`].
pub async fn remove(services: &Services, address: Address, origin: Origin) -> Result<(), VaultError> {
    let key = address.key();
    let _changing = services.vault.changing.lock().await;
    let before = services.driver.query(move |view| file_of(&view, &key)).await?;
    services.driver.house(HouseCommand::RemoveSecret(address), origin).await?;
    forget(services, before).await;
    Ok(())
}

/// Removes what a crash left: sealed values that nothing in the journal names. For a leader that begins.
pub(crate) async fn sweep(services: &Services) {
    let _changing = services.vault.changing.lock().await;
    let named = services.driver.query(|view| {
        let house = view.ledger.house();
        let secrets = house.secrets().filter_map(|secret| Some(secret.file()?.to_owned()));
        secrets.chain(house.identity_keys().map(|key| key.file.clone())).collect::<BTreeSet<_>>()
    });
    let Ok(named) = named.await else { return };
    if let Err(error) = services.vault.keep_only(&named).await {
        tracing::warn!(%error, "sealed values that no secret names stay");
    }
}

/// A file whose value does not count any more.
async fn forget(services: &Services, file: Option<String>) {
    if let Some(file) = file {
        services.vault.forget(&file).await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::house::Scope;

    fn vault(folder: &std::path::Path) -> Vault {
        let keys = VaultKeys::alone(None, &folder.join("key")).unwrap();
        Vault::new(SmallFiles::Folder(folder.to_owned()), keys)
    }

    fn address(name: &str) -> Address {
        Address { name: name.to_owned(), scope: Scope::Server }
    }

    #[tokio::test]
    async fn a_value_is_sealed_and_bound_to_its_secret() {
        let folder = tempfile::tempdir().unwrap();
        let vault = vault(folder.path());
        let file = vault.write(&address("TOKEN"), "correct horse").await.unwrap();
        let kept = address("TOKEN");
        assert_eq!(vault.read(&kept, &file).await.unwrap(), "correct horse");
        let bytes = std::fs::read(folder.path().join(&file)).unwrap();
        assert!(!bytes.windows(5).any(|part| part == b"horse"), "it lies there sealed");
        assert!(vault.read(&address("OTHER"), &file).await.is_err(), "one secret's file is no other's");
        vault.keep_only(&BTreeSet::from([file.clone()])).await.unwrap();
        assert_eq!(vault.read(&kept, &file).await.unwrap(), "correct horse");
        vault.keep_only(&BTreeSet::new()).await.unwrap();
        assert!(vault.read(&kept, &file).await.is_err());
    }
}
