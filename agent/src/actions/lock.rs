//! Who may change what is kept of a repository: one at a time, among all processes. The lock ends with its process,
//! however that ends.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::name::RepositoryName;
use crate::limits::ACTION_LOOK;

/// The folder of things being made.
const STAGING: &str = ".staging";

/// The folder of lock files.
const LOCKS: &str = ".locks";

/// The right to change what is kept of one repository, and to use staging folders of its name.
#[derive(Debug)]
pub(super) struct RepositoryLock {
    _file: File,
    staging: PathBuf,
    /// `owner+name`: no name has a plus.
    prefix: String,
}

impl RepositoryLock {
    /// Waits for it.
    pub(super) async fn take(store: &Path, name: &RepositoryName) -> std::io::Result<Self> {
        loop {
            if let Some(lock) = Self::try_take(store, &name.key().replace('/', "+"))? {
                return Ok(lock);
            }
            tokio::time::sleep(ACTION_LOOK).await;
        }
    }

    /// Takes it if nobody has it; what was left in staging under its name goes.
    pub(super) fn try_take(store: &Path, prefix: &str) -> std::io::Result<Option<Self>> {
        let (locks, staging) = (store.join(LOCKS), store.join(STAGING));
        std::fs::create_dir_all(&locks)?;
        std::fs::create_dir_all(&staging)?;
        // It is never removed: somebody may wait for it.
        let path = locks.join(prefix);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
        let lock = Self { _file: file, staging, prefix: prefix.to_owned() };
        for entry in std::fs::read_dir(&lock.staging)? {
            let entry = entry?;
            if repository_of(&entry.file_name().to_string_lossy()) == Some(prefix) {
                crate::checkout::remove(&entry.path())?;
            }
        }
        Ok(Some(lock))
    }

    /// Whether it is the lock of this `owner+name`.
    pub(super) fn is_for(&self, prefix: &str) -> bool {
        self.prefix == prefix
    }

    /// A free path of its own in the staging folder. (Never one twice: a killed git may still write to an old one.)
    pub(super) fn staging(&self) -> PathBuf {
        self.staging.join(format!("{}+{}", self.prefix, uuid::Uuid::new_v4().simple()))
    }
}

/// The `owner+name` of a staging folder.
fn repository_of(staged: &str) -> Option<&str> {
    staged.rsplit_once('+').map(|(repository, _)| repository)
}

/// Removes what killed processes left: what nobody is making, and trees without a note.
pub(super) fn sweep(store: &Path) {
    let names = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    };
    for staged in names(&store.join(STAGING)) {
        // Taking the lock removes them.
        let taken = repository_of(&staged).map(|repository| RepositoryLock::try_take(store, repository));
        if let Some(Err(error)) = taken {
            tracing::warn!(staged, %error, "an unfinished action stays behind");
        }
    }
    for owner in names(store).into_iter().filter(|owner| !owner.starts_with('.')) {
        for name in names(&store.join(&owner)) {
            let folder = store.join(&owner).join(&name);
            let entries = names(&folder);
            let noteless =
                |entry: &&String| !entry.contains('.') && !entries.contains(&format!("{entry}.json"));
            for entry in entries.iter().filter(noteless) {
                // It may just be getting its note.
                if let Ok(Some(_lock)) = RepositoryLock::try_take(store, &format!("{owner}+{name}"))
                    && !folder.join(format!("{entry}.json")).exists()
                    && let Err(error) = crate::checkout::remove(&folder.join(entry))
                {
                    tracing::warn!(owner, name, entry, %error, "an unfinished action stays behind");
                }
            }
        }
    }
}
