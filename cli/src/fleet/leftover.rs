//! What private fleets leave behind whose process was killed: folders in the temporary directory, and the containers
//! and networks of their agents.
//!
//! Invariant: a fleet that lives is never touched. Each holds a lock on a file in its folder, which ends with its
//! process however that ends, and the file gets its name only once the lock is held.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::output;

/// How the folders of private fleets begin.
pub(super) const PREFIX: &str = "slipway-run-";

/// The file that a living owner holds a lock on.
const LOCK: &str = "owner.lock";

/// Most entries of the temporary directory that are looked at.
const ENTRIES_LIMIT: usize = 100_000;

/// Most folders cleared at one start; the next one goes on.
const CLEARED_LIMIT: usize = 20;

/// Marks a new folder as owned by this process for as long as the file is open.
///
/// # Errors
/// The folder cannot be written.
pub(super) fn claim(folder: &Path) -> io::Result<File> {
    let unnamed = folder.join(format!("{LOCK}.new"));
    let lock = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unnamed)?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    std::fs::rename(&unnamed, folder.join(LOCK))?;
    Ok(lock)
}

/// Removes what killed private fleets of this user left, and says so in one line; what cannot be removed stays for the
/// next time.
pub async fn clear(docker_host: &str) {
    let (mut folders, mut containers) = (0, 0);
    for folder in abandoned(&std::env::temp_dir()).into_iter().take(CLEARED_LIMIT) {
        if let Some(removed) = clear_one(docker_host, &folder).await {
            folders += 1;
            containers += removed;
        }
    }
    if folders > 0 {
        let runs =
            if folders == 1 { "a run that was".to_owned() } else { format!("{folders} runs that were") };
        let plural = if containers == 1 { "" } else { "s" };
        output::note(&format!(
            "note: removed what {runs} killed had left: {containers} container{plural}, and its files"
        ));
    }
}

/// A folder without a living owner; the lock keeps others from clearing it too.
struct Abandoned {
    path: PathBuf,
    _lock: File,
}

fn abandoned(temporary: &Path) -> Vec<Abandoned> {
    let Ok(entries) = std::fs::read_dir(temporary) else { return Vec::new() };
    let named = entries
        .take(ENTRIES_LIMIT)
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    named.filter_map(|entry| take_over(entry.path())).collect()
}

fn take_over(path: PathBuf) -> Option<Abandoned> {
    let folder = std::fs::symlink_metadata(&path).ok()?;
    // Anyone may make a folder of this name; another user's could name agents that are not ours to clear.
    if !folder.is_dir() || folder.uid() != rustix::process::geteuid().as_raw() {
        return None;
    }
    let lock = OpenOptions::new().read(true).open(path.join(LOCK)).ok()?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(Abandoned { path, _lock: lock })
}

/// The number of containers removed; `None`: something is in the way.
async fn clear_one(docker_host: &str, folder: &Abandoned) -> Option<usize> {
    let mut containers = 0;
    // A fleet that was killed before its agent began has none.
    for agent in std::fs::read_dir(folder.path.join("data/agents")).into_iter().flatten().flatten() {
        if agent.path().join("agent.id").is_file() {
            containers += slipway_agent::orphan::remove(docker_host, &agent.path()).await.ok()?;
        }
    }
    let path = folder.path.clone();
    tokio::task::spawn_blocking(move || std::fs::remove_dir_all(path)).await.ok()?.ok()?;
    Some(containers)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_what_nobody_owns_any_more_is_abandoned() {
        let temporary = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = temporary.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let living = make("slipway-run-living");
        let _lock = claim(&living).unwrap();
        drop(claim(&make("slipway-run-dead")).unwrap());
        make("slipway-run-just-made");
        drop(claim(&make("another-thing")).unwrap());
        std::os::unix::fs::symlink(&living, temporary.path().join("slipway-run-link")).unwrap();

        let found = abandoned(temporary.path());
        let paths: Vec<_> = found.iter().map(|folder| folder.path.clone()).collect();
        assert_eq!(paths, [temporary.path().join("slipway-run-dead")]);
        assert!(abandoned(temporary.path()).is_empty(), "one clears it, not two");
    }
}
