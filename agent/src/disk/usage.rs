//! What each job uses: its folder on the agent's disk, and what its containers wrote into their own layers on the engine's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::walk::Walk;
use crate::docker::Engine;
use crate::failure::Failure;
use crate::limits::{DISK_WALK_PAUSE, DISK_WALK_SLICE_ENTRIES};

/// Bytes by the names of jobs' folders.
pub type Uses = BTreeMap<String, u64>;

/// Measures the folders of jobs.
pub async fn of_folders(jobs_dir: &Path) -> Uses {
    let mut uses = Uses::new();
    let names = std::fs::read_dir(jobs_dir).into_iter().flatten().flatten();
    for entry in names {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if let Some(bytes) = of_folder(entry.path()).await {
            uses.insert(name, bytes);
        }
    }
    uses
}

/// In slices, off the runtime's threads. None: it went.
async fn of_folder(folder: PathBuf) -> Option<u64> {
    let mut walk = Walk::begin(&folder).ok()?;
    loop {
        let slice = tokio::task::spawn_blocking(move || {
            let through = walk.go_on(DISK_WALK_SLICE_ENTRIES);
            (walk, through)
        });
        let (went_on, through) = slice.await.ok()?;
        if through.is_some() {
            return through;
        }
        walk = went_on;
        tokio::time::sleep(DISK_WALK_PAUSE).await;
    }
}

/// Asks the engine what this agent's containers wrote. It looks through their layers for that: not to be asked all the time.
///
/// # Errors
/// When the engine does not answer.
pub async fn of_layers(engine: &Engine) -> Result<Uses, Failure> {
    let mut uses = Uses::new();
    for (folder_name, bytes) in engine.own_layers().await? {
        *uses.entry(folder_name).or_default() += bytes;
    }
    Ok(uses)
}
