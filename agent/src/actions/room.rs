//! Keeps the store within its size: the least recently used goes first, and never what is in use.

use std::fs::File;
use std::path::Path;
use std::time::SystemTime;

use super::kept::{Kept, Marker};
use super::lock::RepositoryLock;
use super::name::RepositoryName;

struct Candidate {
    name: RepositoryName,
    kept: Kept,
    used: SystemTime,
    size_bytes: u64,
}

/// Removes what is needed to stay within the limit. `own` is the lock that the caller holds; repositories that others
/// hold are left alone.
pub(super) fn make(store: &Path, limit_bytes: u64, own: &RepositoryLock) {
    let mut all = candidates(store);
    let mut total: u64 = all.iter().map(|candidate| candidate.size_bytes).fold(0, u64::saturating_add);
    all.sort_by_key(|candidate| candidate.used);
    for candidate in all {
        if total <= limit_bytes {
            return;
        }
        let prefix = candidate.name.key().replace('/', "+");
        let theirs = match own.is_for(&prefix) {
            true => None,
            false => match RepositoryLock::try_take(store, &prefix) {
                Ok(Some(lock)) => Some(lock),
                _ => continue,
            },
        };
        match candidate.kept.remove_unused() {
            Ok(true) => total = total.saturating_sub(candidate.size_bytes),
            Ok(false) => {}
            Err(error) => tracing::warn!(repository = %candidate.name, %error, "an action cannot be removed"),
        }
        drop(theirs);
    }
}

fn candidates(store: &Path) -> Vec<Candidate> {
    let names = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    };
    let mut found = Vec::new();
    for owner in names(store).into_iter().filter(|owner| !owner.starts_with('.')) {
        for repository in names(&store.join(&owner)) {
            let Ok(name) = RepositoryName::parse(&format!("{owner}/{repository}")) else { continue };
            for entry in names(&store.join(&owner).join(&repository)) {
                let Some(commit) = entry.strip_suffix(".json") else { continue };
                let kept = Kept::new(store, &name, commit);
                let Ok(file) = File::open(&kept.marker) else { continue };
                let used =
                    file.metadata().and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
                // A note that cannot be read makes its tree worth nothing, and the first to go.
                let (used, size_bytes) = Marker::read(&file)
                    .map_or((SystemTime::UNIX_EPOCH, 0), |marker| (used, marker.size_bytes));
                found.push(Candidate { name: name.clone(), kept, used, size_bytes });
            }
        }
    }
    found
}
