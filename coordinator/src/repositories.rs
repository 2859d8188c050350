//! The repositories that this coordinator knows: from their webhooks, or from its configuration.
//!
//! Each has one small file in the data directory, written anew as a whole (a crash leaves the old one or the new one):
//! where its code is, its default branch, and what of its default branch's workflows starts by itself: schedules, and
//! whether any waits for other workflows' runs. Deliberately absent: anything secret, and the code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use slipway_cas::Digest;

/// The most repositories that are remembered.
pub const REPOSITORIES_MAX: usize = 10_000;

/// A repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repository {
    /// `owner/name`.
    pub name: String,
    /// Host of the forge.
    pub forge: String,
    /// What `git fetch` takes.
    pub clone_url: String,
    /// Without `refs/heads/`.
    pub default_branch: String,
    /// `repository` and `organization` of its last payload, for events that Slipway makes itself.
    pub payload: Map<String, Json>,
    /// What its default branch starts by itself; `None`: not looked at yet.
    pub standing: Option<Standing>,
}

/// What the workflows of a default branch start without being named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// `schedule`.
    pub schedules: Vec<Scheduled>,
    /// Since when some workflow has `workflow_run`, Unix milliseconds; `None`: none has.
    pub listens_since_ms: Option<u64>,
}

/// One `cron` of a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduled {
    /// The file.
    pub workflow_file: String,
    /// The five fields.
    pub cron: String,
    /// The time zone's name; `None`: UTC.
    pub timezone: Option<String>,
    /// Who put it there: `github.actor` of its runs.
    pub actor: String,
    /// Since when it stands: earlier ticks are not its own. Unix milliseconds.
    pub since_ms: u64,
    /// The last tick that was dealt with, Unix milliseconds; 0: none.
    pub fired_ms: u64,
}

impl Scheduled {
    /// Whether both are the same line of the same file.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.workflow_file == other.workflow_file
            && self.cron == other.cron
            && self.timezone == other.timezone
    }
}

/// All of them; cheap to clone.
#[derive(Debug, Clone)]
pub struct Repositories {
    folder: PathBuf,
    known: Arc<Mutex<BTreeMap<String, Repository>>>,
}

impl Repositories {
    /// Reads the folder, making it if need be. A file that cannot be read is left out and told: its repository is learned
    /// again.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let repositories = Self { folder, known: Arc::default() };
        repositories.reload()?;
        Ok(repositories)
    }

    /// Reads the folder again: another coordinator led meanwhile.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn reload(&self) -> io::Result<()> {
        let mut known = BTreeMap::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read(&path) {
                Ok(repository) => drop(known.insert(repository.name.to_ascii_lowercase(), repository)),
                Err(error) => tracing::warn!(file = %path.display(), %error, "a repository is forgotten"),
            }
        }
        *self.lock() = known;
        Ok(())
    }

    /// The repository of this name; case does not matter.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Repository> {
        self.lock().get(&name.to_ascii_lowercase()).cloned()
    }

    /// All, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Repository> {
        self.lock().values().cloned().collect()
    }

    /// Changes what is known of a repository (`None`: nothing yet), durably; the change may leave it as it is.
    ///
    /// # Errors
    /// When its file cannot be written, or there are too many.
    pub fn change(
        &self,
        name: &str,
        change: impl FnOnce(Option<Repository>) -> Option<Repository>,
    ) -> io::Result<()> {
        let key = name.to_ascii_lowercase();
        let mut known = self.lock();
        let before = known.get(&key).cloned();
        if before.is_none() && known.len() >= REPOSITORIES_MAX {
            return Err(io::Error::other(format!("there are {REPOSITORIES_MAX} repositories already")));
        }
        let Some(after) = change(before.clone()).filter(|after| Some(after) != before.as_ref()) else {
            return Ok(());
        };
        let place = self.folder.join(format!("{}.json", Digest::of(key.as_bytes()).hash_hex()));
        write(&place, &serde_json::to_vec(&after)?)?;
        known.insert(key, after);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Repository>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> io::Result<Repository> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("draft");
    fs::write(&draft, bytes)?;
    fs::File::open(&draft)?.sync_all()?;
    fs::rename(&draft, path)?;
    match path.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_is_there_after_opening_again() {
        let folder = tempfile::tempdir().unwrap();
        let repositories = Repositories::open(folder.path().to_owned()).unwrap();
        let new = Repository {
            name: "O/n".into(),
            forge: "github.com".into(),
            clone_url: "https://x/o/n".into(),
            default_branch: "main".into(),
            payload: Map::new(),
            standing: None,
        };
        repositories
            .change("O/n", |before| {
                assert!(before.is_none());
                Some(new.clone())
            })
            .unwrap();
        repositories
            .change("o/N", |before| Some(Repository { standing: Some(Standing::default()), ..before? }))
            .unwrap();
        std::fs::write(folder.path().join("broken.json"), "{").unwrap();
        let again = Repositories::open(folder.path().to_owned()).unwrap();
        assert_eq!(again.all().len(), 1);
        assert_eq!(again.find("o/n").unwrap().standing, Some(Standing::default()));
    }
}
