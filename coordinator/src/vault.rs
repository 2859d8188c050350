//! Values of kept secrets, sealed.
//!
//! Each value has a file of its own with a name that no other ever had; the journal says which file a secret's value is in
//! ([`crate::house`]). So a value that was set is whole, and one of before stays until the new one counts. What no secret names is
//! left by a crash and goes when the next leader begins. The seal binds a value to its secret and file: one cannot be put in
//! another's place. [`rotate`] seals all of it anew, each file in its place. The keys of identity tokens ([`crate::identity`]) lie here in the same way.

mod rotation;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use slipway_scheduler::RunId;
use slipway_scheduler::command::{LeaseRef, Trust};
use tokio::sync::Mutex;

use crate::audit::Origin;
use crate::driver::{DriverError, View};
use crate::house::{Address, HouseCommand, KeptSecret, Scope};
use crate::seal::Seal;
use crate::secrets::SecretMap;
use crate::services::Services;
use crate::small_files::SmallFiles;
use crate::vault_keys::VaultKeys;

pub use rotation::{Rotated, RotationError, rotate};

/// The longest value, in bytes: GitHub's limit.
pub const MAX_VALUE_BYTES: usize = 48 << 10;

/// How often a job's secrets are looked up while somebody gives them other values.
const READS_MAX: u32 = 3;

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
}

impl VaultError {
    fn reading(name: String, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::InvalidData => Self::Lost { name, source },
            _ => Self::Io { name, source },
        }
    }
}

/// What a job gets beside its run's own secrets.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct JobSecrets {
    /// Those of the server and of its repository.
    pub common: SecretMap,
    /// Those of its environment.
    pub environment: SecretMap,
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

    async fn read(&self, secret: &KeptSecret) -> io::Result<String> {
        let value = self.take_out(&secret.address.key(), &secret.file).await?;
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
    view.ledger.house().secrets().find(|secret| secret.address.key() == key).map(|secret| secret.file.clone())
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
    let key = address.key();
    let _changing = services.vault.changing.lock().await;
    let before = services.driver.query(move |view| file_of(&view, &key)).await?;
    let file = services.vault.write(&address, value).await.map_err(failed)?;
    let secret = KeptSecret { address: address.clone(), file, at: slipway_scheduler::Timestamp(0) };
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
        let secrets = house.secrets().map(|secret| secret.file.clone());
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

/// What a leased job may have: nothing where its run is of code from outside. Who read which is in the audit trail.
///
/// # Errors
/// [`VaultError`].
pub async fn for_job(
    services: &Services,
    run: RunId,
    lease: LeaseRef,
    environment: Option<String>,
) -> Result<JobSecrets, VaultError> {
    let mut reads = 1;
    loop {
        match read_for_job(services, run, lease, environment.clone()).await {
            // The old value's file goes as soon as a new one counts: then there is another to read.
            Err(VaultError::Lost { .. }) if reads < READS_MAX => reads += 1,
            other => return other,
        }
    }
}

async fn read_for_job(
    services: &Services,
    run: RunId,
    lease: LeaseRef,
    environment: Option<String>,
) -> Result<JobSecrets, VaultError> {
    let look = move |view: View<'_>| {
        let meta = view.state.run(run)?.meta();
        let agent = view.state.leased(&lease).and_then(|instance| Some(instance.lease()?.1));
        if meta.trust == Trust::Untrusted {
            return None;
        }
        let secrets = view.ledger.house().secrets_for(&meta.repository, environment.as_deref());
        Some((agent, secrets.into_iter().cloned().collect::<Vec<_>>()))
    };
    let Some((agent, secrets)) = services.driver.query(look).await? else { return Ok(JobSecrets::default()) };
    let mut given = JobSecrets::default();
    if secrets.is_empty() {
        return Ok(given);
    }
    let mut names = BTreeMap::new();
    for secret in &secrets {
        let failed = |source| VaultError::reading(secret.address.describe(), source);
        let value = services.vault.read(secret).await.map_err(failed)?;
        let name = secret.address.name.clone();
        names.insert(name.clone(), secret.address.describe());
        match secret.address.scope {
            Scope::Environment { .. } => given.environment.insert(name, value),
            Scope::Server | Scope::Repository { .. } => given.common.insert(name, value),
        };
    }
    let names = names.into_values().collect::<Vec<_>>().join(", ");
    let agent = agent.map_or_else(String::new, |agent| agent.to_string());
    let origin = Origin { actor: format!("run {run}"), source: format!("agent {agent}") };
    services.driver.note_about(origin, "secret.read", names).await?;
    Ok(given)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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
        let kept =
            KeptSecret { address: address("TOKEN"), file: file.clone(), at: slipway_scheduler::Timestamp(1) };
        assert_eq!(vault.read(&kept).await.unwrap(), "correct horse");
        let bytes = std::fs::read(folder.path().join(&file)).unwrap();
        assert!(!bytes.windows(5).any(|part| part == b"horse"), "it lies there sealed");
        let other = KeptSecret { address: address("OTHER"), ..kept.clone() };
        assert!(vault.read(&other).await.is_err(), "one secret's file is no other's");
        vault.keep_only(&BTreeSet::from([file])).await.unwrap();
        assert_eq!(vault.read(&kept).await.unwrap(), "correct horse");
        vault.keep_only(&BTreeSet::new()).await.unwrap();
        assert!(vault.read(&kept).await.is_err());
    }
}
