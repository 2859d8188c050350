//! The repositories that this coordinator knows: from their webhooks, or from its configuration.
//!
//! Each has one small file, written anew as a whole (a crash leaves the old one or the new one), where the next leader finds it:
//! where its code is, its default branch, and what of its default branch's workflows starts by itself: schedules, and
//! whether any waits for other workflows' runs. Deliberately absent: anything secret, and the code.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use slipway_cas::Digest;

use crate::forge::rules::Rules;
use crate::small_files::SmallFiles;

/// The most repositories that are remembered.
pub const REPOSITORIES_MAX: usize = 10_000;

/// Files that are read at a time.
const READ_AT_ONCE: usize = 16;

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

/// What a default branch starts by itself, and asks of commits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// `schedule`.
    pub schedules: Vec<Scheduled>,
    /// Since when some workflow has `workflow_run`, Unix milliseconds; `None`: none has.
    pub listens_since_ms: Option<u64>,
    /// What commits have to be.
    #[serde(default)]
    pub commits: Option<Rules>,
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
    files: SmallFiles,
    known: Arc<Mutex<BTreeMap<String, Repository>>>,
    /// Held by whoever changes one.
    changing: Arc<tokio::sync::Mutex<()>>,
}

impl Repositories {
    /// Reads what is there. A file that cannot be read is left out and told: its repository is learned again.
    ///
    /// # Errors
    /// When the place cannot be read.
    pub(crate) async fn open(files: SmallFiles) -> io::Result<Self> {
        let repositories = Self { files, known: Arc::default(), changing: Arc::default() };
        repositories.reload().await?;
        Ok(repositories)
    }

    /// Reads it again: another coordinator led meanwhile.
    ///
    /// # Errors
    /// When the place cannot be read.
    pub async fn reload(&self) -> io::Result<()> {
        let _changing = self.changing.lock().await;
        let mut known = BTreeMap::new();
        let names = self.files.names().await?;
        let names = names.into_iter().filter(|name| name.ends_with(".json"));
        let mut read = stream::iter(names)
            .map(|name| async move {
                let read = self.files.read(&name).await;
                (name, read.and_then(|bytes| Ok(serde_json::from_slice(&bytes.unwrap_or_default())?)))
            })
            .buffer_unordered(READ_AT_ONCE);
        while let Some((file, read)) = read.next().await {
            let read: io::Result<Repository> = read;
            match read {
                Ok(repository) => drop(known.insert(repository.name.to_ascii_lowercase(), repository)),
                Err(error) => tracing::warn!(file, %error, "a repository is forgotten"),
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
    pub async fn change(
        &self,
        name: &str,
        change: impl FnOnce(Option<Repository>) -> Option<Repository>,
    ) -> io::Result<()> {
        let key = name.to_ascii_lowercase();
        let _changing = self.changing.lock().await;
        let (before, count) = {
            let known = self.lock();
            (known.get(&key).cloned(), known.len())
        };
        if before.is_none() && count >= REPOSITORIES_MAX {
            return Err(io::Error::other(format!("there are {REPOSITORIES_MAX} repositories already")));
        }
        let Some(after) = change(before.clone()).filter(|after| Some(after) != before.as_ref()) else {
            return Ok(());
        };
        let file = format!("{}.json", Digest::of(key.as_bytes()).hash_hex());
        self.files.write(&file, serde_json::to_vec(&after)?).await?;
        self.lock().insert(key, after);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Repository>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_changed_is_there_after_opening_again() {
        let folder = tempfile::tempdir().unwrap();
        let files = SmallFiles::Folder(folder.path().to_owned());
        let repositories = Repositories::open(files.clone()).await.unwrap();
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
            .await
            .unwrap();
        repositories
            .change("o/N", |before| Some(Repository { standing: Some(Standing::default()), ..before? }))
            .await
            .unwrap();
        std::fs::write(folder.path().join("broken.json"), "{").unwrap();
        let again = Repositories::open(files).await.unwrap();
        assert_eq!(again.all().len(), 1);
        assert_eq!(again.find("o/n").unwrap().standing, Some(Standing::default()));
    }
}
