//! Actions of other repositories (`uses: owner/name/path@version`): fetched once, kept by commit, copied into jobs.
//!
//! ```text
//! <data-dir>/actions/
//!   <owner>/<name>/<commit>/       the tree, without .git, never changed; names in lower case
//!   <owner>/<name>/<commit>.json   what it must be: see `kept`
//!   .staging/                      what is being made
//!   .locks/                        one file for each repository
//! ```
//!
//! Invariants: a tree gets its name only when it is whole and checked, and is checked again before each use, so that a
//! process may be killed at any instant and a damaged disk shows. One repository is fetched by one at a time, be it
//! jobs of this agent or other processes. What a [`Fetched`] names stays until that is dropped.
//!
//! Deliberately absent: guessing. When the source cannot be reached, only a commit (written in the workflow or in its
//! lock file) can be answered from what is kept; a tag or branch may have moved. Also absent: credentials.

mod digest;
mod git;
mod kept;
mod lock;
mod make;
mod name;
mod place;
mod room;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::failure::{Cause, Failure};
use crate::limits::{ACTION_MAX_BYTES, ACTION_MAX_ENTRIES, ACTIONS_KEPT_MAX_BYTES};

pub use git::{is_commit, resolve};
pub use name::{NameError, RepositoryName};
pub use place::place;
pub use slipway_kit::actions_source::ActionsSource;
use slipway_kit::actions_source::Place;

/// Where actions come from and where this machine keeps them.
#[derive(Debug)]
pub struct ActionStore {
    source: ActionsSource,
    folder: PathBuf,
    limits: StoreLimits,
    /// One asks the source for a version at a time; who waited meanwhile shares the answer.
    asked: Turns<Option<Answer>>,
    /// One fetches a repository at a time; other processes are held off by a lock file.
    fetching: Turns<()>,
}

/// Bounds of a store; other than the defaults only in tests.
#[derive(Debug, Clone, Copy)]
pub struct StoreLimits {
    /// Most entries of one action.
    pub entries: u64,
    /// Most bytes of one action.
    pub bytes: u64,
    /// Bytes of all above which the least recently used go.
    pub kept_bytes: u64,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self { entries: ACTION_MAX_ENTRIES, bytes: ACTION_MAX_BYTES, kept_bytes: ACTIONS_KEPT_MAX_BYTES }
    }
}

/// An answer of the source, and when it was asked.
#[derive(Debug, Clone)]
struct Answer {
    asked: Instant,
    commit: String,
}

/// Things of which one is done at a time, by name.
#[derive(Debug)]
struct Turns<T>(Mutex<HashMap<String, Arc<tokio::sync::Mutex<T>>>>);

impl<T: Default> Turns<T> {
    fn new() -> Self {
        Self(Mutex::default())
    }

    fn of(&self, name: &str) -> Arc<tokio::sync::Mutex<T>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What nobody holds is nobody's turn.
        all.retain(|known, turn| known == name || Arc::strong_count(turn) > 1);
        Arc::clone(all.entry(name.to_owned()).or_default())
    }
}

/// An action's repository on this machine.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Its tree, without `.git`. Never changed.
    pub folder: PathBuf,
    /// Its commit; none when the source is a plain folder.
    pub commit: Option<String>,
    /// Keeps it from being removed.
    _in_use: Option<Arc<std::fs::File>>,
}

impl Fetched {
    /// Reads a small file of it, such as `action.yml`: at most `max` bytes and one more. None when there is none.
    ///
    /// Links are followed within the tree and never out of it: an action's author must not be able to show a file of
    /// this machine.
    ///
    /// # Errors
    /// When it can't be read, or leads out of the tree.
    pub fn read(&self, relative: &Path, max: usize) -> std::io::Result<Option<Vec<u8>>> {
        place::read_inside(&self.folder, relative, max)
    }
}

/// Why an action can't be had.
#[derive(Debug)]
pub enum FetchError {
    /// The workflow's fault: no such repository or version, or not what the lock file says.
    Missing(String),
    /// The fleet could not get it now.
    Fleet(Failure),
}

impl From<Failure> for FetchError {
    fn from(failure: Failure) -> Self {
        Self::Fleet(failure)
    }
}

impl std::fmt::Display for FetchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(message) => f.write_str(message),
            Self::Fleet(failure) => failure.fmt(f),
        }
    }
}

fn unavailable(message: impl Into<String>) -> FetchError {
    FetchError::Fleet(Failure::new(Cause::ActionUnavailable, message))
}

fn unkept(error: &std::io::Error) -> FetchError {
    FetchError::Fleet(Failure::io("cannot keep an action", error))
}

impl ActionStore {
    /// A store in `folder`. What a killed process left half made there goes.
    #[must_use]
    pub fn new(source: ActionsSource, folder: PathBuf) -> Self {
        Self::with_limits(source, folder, StoreLimits::default())
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(source: ActionsSource, folder: PathBuf, limits: StoreLimits) -> Self {
        lock::sweep(&folder);
        Self { source, folder, limits, asked: Turns::new(), fetching: Turns::new() }
    }

    /// Makes a repository (`owner/name`) at a branch, tag or commit be in the store. `pin`: the commit that a lock file
    /// names for it. `say` gets lines for the job's log.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn fetch(
        &self,
        repository: &str,
        git_ref: &str,
        pin: Option<&str>,
        say: &mut (dyn FnMut(String) + Send),
    ) -> Result<Fetched, FetchError> {
        let missing = |why: String| FetchError::Missing(format!("{repository}@{git_ref}: {why}"));
        let name = RepositoryName::parse(repository).map_err(|error| missing(error.to_string()))?;
        let known = known_commit(git_ref, pin).map_err(missing)?;
        let place = self.source.place(&name.owner, &name.name).map_err(missing)?;
        let url = match place {
            Place::Plain(folder) => return self.plain(&name, folder, known.as_deref(), say).await,
            Place::Git(url) => url,
        };
        let commit = match known {
            Some(commit) => commit,
            None => self.commit(&name, &url, git_ref).await?,
        };
        if let Some(fetched) = self.kept(&name, &commit, say).await? {
            return Ok(fetched);
        }
        let turn = self.fetching.of(&name.key());
        let _turn = turn.lock().await;
        let lock = lock::RepositoryLock::take(&self.folder, &name).await.map_err(|error| unkept(&error))?;
        // Somebody else may have been faster.
        if let Some(fetched) = self.kept(&name, &commit, say).await? {
            return Ok(fetched);
        }
        say(format!("Downloading {name}@{git_ref} ({commit})"));
        let made = make::Make { store: self, name: &name, url: &url, commit: &commit, lock: Arc::new(lock) };
        made.run(git_ref, say).await
    }

    /// The commit that a version is now.
    async fn commit(&self, name: &RepositoryName, url: &str, git_ref: &str) -> Result<String, FetchError> {
        let came = Instant::now();
        let turn = self.asked.of(&format!("{}@{git_ref}", name.key()));
        let mut answer = turn.lock().await;
        if let Some(answer) = answer.as_ref().filter(|answer| answer.asked >= came) {
            return Ok(answer.commit.clone());
        }
        let asked = Instant::now();
        let commit = git::resolve_with_patience(url, name, git_ref).await?;
        *answer = Some(Answer { asked, commit: commit.clone() });
        Ok(commit)
    }

    /// What is kept of a commit, if it is undamaged.
    async fn kept(
        &self,
        name: &RepositoryName,
        commit: &str,
        say: &mut (dyn FnMut(String) + Send),
    ) -> Result<Option<Fetched>, FetchError> {
        let kept = kept::Kept::new(&self.folder, name, commit);
        let found = tokio::task::spawn_blocking(move || kept.open()).await;
        match found.map_err(|error| Failure::new(Cause::Internal, error.to_string()))? {
            Ok(fetched) => Ok(fetched),
            Err(damage) => {
                let line = format!("What this machine kept of {name} at {commit} is damaged ({damage})");
                tracing::warn!(repository = %name, commit, damage, "a kept action is damaged; it is fetched again");
                say(line);
                Ok(None)
            }
        }
    }

    /// A folder that is no repository: it has one version, and is copied each time.
    async fn plain(
        &self,
        name: &RepositoryName,
        folder: PathBuf,
        pinned: Option<&str>,
        say: &mut (dyn FnMut(String) + Send),
    ) -> Result<Fetched, FetchError> {
        let shown = folder.display().to_string();
        if let Some(commit) = pinned {
            say(format!("{shown} is no git repository: whether it is {name} at {commit} cannot be told"));
        }
        let limits = self.limits;
        let walked = folder.clone();
        let size = tokio::task::spawn_blocking(move || digest::size(&walked, limits)).await;
        size.map_err(|error| Failure::new(Cause::Internal, error.to_string()))?
            .map_err(|error| unavailable(format!("{shown} cannot be used as {name}: {error}")))?;
        Ok(Fetched { folder, commit: None, _in_use: None })
    }
}

/// The commit that needs no asking: the pinned one, or the one that is written.
fn known_commit(git_ref: &str, pin: Option<&str>) -> Result<Option<String>, String> {
    let written = is_commit(git_ref).then(|| git_ref.to_ascii_lowercase());
    let Some(pin) = pin else { return Ok(written) };
    if !is_commit(pin) {
        return Err(format!("the lock file names `{}` for it, which is no commit", pin.escape_debug()));
    }
    let pin = pin.to_ascii_lowercase();
    match written {
        Some(written) if written != pin => {
            Err(format!("the lock file names the commit {pin} for it: run `slipway lock`"))
        }
        _ => Ok(Some(pin)),
    }
}
