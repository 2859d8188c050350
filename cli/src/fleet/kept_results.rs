//! Caches and artifacts of private fleets, kept from one to the next: a store for each checkout in the user's cache
//! folder, so that no checkout sees another's.
//!
//! Invariant: a store has one fleet at a time. Whoever uses it holds a lock on a file in it, which ends with its process
//! however that ends; a second fleet of the same checkout does without. Number and age of unused stores are bounded.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::local_run::{KEPT_FOR, hash};

/// The file that whoever uses a store holds a lock on; its time says when that began.
const LOCK: &str = "lock";

/// The file that says whose store it is, for people who look.
const CHECKOUT: &str = "checkout";

/// A store that nobody used for this long goes: its caches are over, and no run that it has artifacts of can be repeated.
const UNUSED_FOR: Duration = KEPT_FOR;

/// Most stores; the least recently used go.
const STORES_MAX: usize = 20;

/// How often a lock is taken again that was removed meanwhile.
const TRIES: u32 = 3;

/// A store that this process uses.
#[derive(Debug)]
pub struct KeptStore {
    folder: PathBuf,
    _lock: File,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Another fleet of this checkout uses it.
    #[error("another `slipway run` of this checkout uses them")]
    InUse,
    /// It cannot be made or locked.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl KeptStore {
    /// Takes the store of a checkout, for as long as the value lives, and removes the stores that are over.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn take(stores: &Path, checkout: &Path) -> Result<Self, Refused> {
        let folder = stores.join(hash(checkout.as_os_str().as_bytes()));
        let io_at = |path: &Path| {
            let path = path.to_owned();
            move |error| Refused::Io { path, error }
        };
        let path = folder.join(LOCK);
        for _ in 0..TRIES {
            DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(io_at(&folder))?;
            let lock = match lock(&path) {
                Ok(lock) => lock,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Refused::InUse),
                // Its folder was removed after it was made.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(io_at(&path)(error)),
            };
            if !is_at(&lock, &path) {
                continue;
            }
            lock.set_modified(SystemTime::now()).map_err(io_at(&path))?;
            let named = folder.join(CHECKOUT);
            std::fs::write(&named, checkout.as_os_str().as_bytes()).map_err(io_at(&named))?;
            remove_surplus(stores, &folder, SystemTime::now());
            return Ok(KeptStore { folder, _lock: lock });
        }
        Err(Refused::InUse)
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Opens and locks a file; [`io::ErrorKind::WouldBlock`] where another has the lock.
fn lock(path: &Path) -> io::Result<File> {
    let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(Errno::WOULDBLOCK) => Err(io::ErrorKind::WouldBlock.into()),
        Err(error) => Err(error.into()),
    }
}

/// Whether this is still the file of that name: whoever removes a store has its lock too.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(one), Ok(other)) = (file.metadata(), std::fs::metadata(path)) else { return false };
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Removes the stores that are over. What is in use, or cannot be removed, stays for the next time.
fn remove_surplus(stores: &Path, own: &Path, now: SystemTime) {
    let Ok(entries) = std::fs::read_dir(stores) else { return };
    let mut others: Vec<(SystemTime, PathBuf)> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|folder| folder != own)
        .filter_map(|folder| Some((std::fs::metadata(folder.join(LOCK)).ok()?.modified().ok()?, folder)))
        .collect();
    others.sort_by(|one, other| other.cmp(one));
    for (at, (used, folder)) in others.into_iter().enumerate() {
        let unused = now.duration_since(used).is_ok_and(|unused| unused > UNUSED_FOR);
        if !unused && at < STORES_MAX - 1 {
            continue;
        }
        if let Ok(_lock) = lock(&folder.join(LOCK)) {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_checkout_has_its_own_store_and_one_fleet_at_a_time() {
        let stores = tempfile::tempdir().unwrap();
        let first = KeptStore::take(stores.path(), Path::new("/a")).unwrap();
        assert!(matches!(KeptStore::take(stores.path(), Path::new("/a")), Err(Refused::InUse)));
        let other = KeptStore::take(stores.path(), Path::new("/b")).unwrap();
        assert_ne!(first.folder(), other.folder());
        let folder = first.folder().to_owned();
        std::fs::write(folder.join("index"), "x").unwrap();
        drop(first);
        let again = KeptStore::take(stores.path(), Path::new("/a")).unwrap();
        assert_eq!(again.folder(), folder);
        assert!(folder.join("index").exists());
        assert_eq!(std::fs::read_to_string(folder.join(CHECKOUT)).unwrap(), "/a");
    }

    #[test]
    fn stores_that_are_over_go_and_those_in_use_stay() {
        let stores = tempfile::tempdir().unwrap();
        let take = |name: &str| KeptStore::take(stores.path(), Path::new(name)).unwrap();
        let age = |folder: &Path, age: Duration| {
            let lock = OpenOptions::new().write(true).open(folder.join(LOCK)).unwrap();
            lock.set_modified(SystemTime::now() - age).unwrap();
        };
        let old = take("/old").folder().to_owned();
        age(&old, UNUSED_FOR + Duration::from_secs(60));
        let used = take("/used");
        assert!(!old.exists(), "nobody used it for long");
        age(used.folder(), UNUSED_FOR * 2);
        let mut folders = Vec::new();
        for number in 0..=STORES_MAX {
            folders.push(take(&format!("/{number}")).folder().to_owned());
            let minutes = (STORES_MAX - number + 1) as u64;
            age(folders.last().unwrap(), Duration::from_secs(60 * minutes));
        }
        assert!(used.folder().exists(), "its fleet lives");
        let left = folders.iter().filter(|folder| folder.exists()).count();
        assert_eq!(left, STORES_MAX);
        assert!(!folders[0].exists(), "the one that nobody used for longest");
    }
}
