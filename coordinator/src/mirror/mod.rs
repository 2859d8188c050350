//! Bare repositories in the data directory, from which workflow files, tips and differences are read. Real git does the
//! work.
//!
//! Invariants: two git commands never write one mirror at a time; names from outside reach git only after `--end-of-options`
//! and after [`is_ref`] or [`is_commit`]. Nothing of a repository is ever checked out or run here.

mod changes;
mod files;
mod git;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use slipway_cas::Digest;
pub(crate) use slipway_workflow::calls::is_ref;
use tokio::sync::OwnedMutexGuard;

pub(crate) use changes::Change;
pub(crate) use files::WorkflowFile;
use git::{git, line};

/// Why something cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MirrorError {
    /// The repository, ref or commit is not there: asking again does not help.
    #[error("{0}")]
    Missing(String),
    /// Git or its server failed: it may go better later.
    #[error("{0}")]
    Failed(String),
}

/// The mirrors of all repositories.
#[derive(Debug)]
pub struct Mirrors {
    folder: PathBuf,
    /// Git does not like two fetches into one repository.
    busy: Mutex<BTreeMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>,
}

/// A mirror that is ours until dropped.
struct Turn {
    mirror: PathBuf,
    _turn: OwnedMutexGuard<()>,
}

/// Whether a text is a commit's id: 40 hexadecimal digits, or 64.
pub(crate) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Mirrors {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, busy: Mutex::default() }
    }

    async fn turn(&self, clone_url: &str) -> Result<Turn, MirrorError> {
        let name = Digest::of(clone_url.as_bytes()).hash_hex();
        let mirror = self.folder.join(format!("{}.git", name.get(..32).unwrap_or(&name)));
        let turn = {
            let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(busy.entry(mirror.clone()).or_default())
        };
        let turn = Turn { _turn: turn.lock_owned().await, mirror };
        if !turn.mirror.join("HEAD").is_file() {
            let place = turn.mirror.display().to_string();
            let made = tokio::fs::create_dir_all(&turn.mirror).await;
            made.map_err(|error| MirrorError::Failed(format!("{place}: {error}")))?;
            git(&turn.mirror, &["init", "--quiet", "--bare"]).await?;
        }
        Ok(turn)
    }

    /// The commit that a ref has now.
    pub(crate) async fn tip(&self, clone_url: &str, git_ref: &str) -> Result<String, MirrorError> {
        if !is_ref(git_ref) {
            return Err(MirrorError::Missing(format!("`{}` is no ref", git_ref.escape_debug())));
        }
        let turn = self.turn(clone_url).await?;
        fetch(&turn.mirror, clone_url, &[git_ref], 1).await?;
        line(&turn.mirror, &["rev-parse", "FETCH_HEAD^{commit}"]).await
    }

    /// The branch that the repository's `HEAD` names, without `refs/heads/`.
    pub(crate) async fn default_branch(&self, clone_url: &str) -> Result<String, MirrorError> {
        let turn = self.turn(clone_url).await?;
        let said =
            line(&turn.mirror, &["ls-remote", "--symref", "--end-of-options", clone_url, "HEAD"]).await?;
        let head = said.lines().find_map(|line| line.strip_prefix("ref: refs/heads/")?.split('\t').next());
        let missing = || MirrorError::Missing("the repository's HEAD names no branch".to_owned());
        head.map(str::to_owned).ok_or_else(missing)
    }

    /// The parents of a commit, in order.
    pub(crate) async fn parents(&self, clone_url: &str, sha: &str) -> Result<Vec<String>, MirrorError> {
        let turn = self.turn(clone_url).await?;
        have(&turn.mirror, clone_url, sha).await?;
        // Read as it is: a shallow mirror would hide them from git's own walk.
        let commit = line(&turn.mirror, &["cat-file", "commit", sha]).await?;
        let parents = commit.lines().take_while(|line| !line.is_empty());
        Ok(parents.filter_map(|line| line.strip_prefix("parent ")).map(str::to_owned).collect())
    }

    /// The message of a commit.
    pub(crate) async fn message(&self, clone_url: &str, sha: &str) -> Result<String, MirrorError> {
        let turn = self.turn(clone_url).await?;
        have(&turn.mirror, clone_url, sha).await?;
        let commit = line(&turn.mirror, &["cat-file", "commit", sha]).await?;
        Ok(commit.split_once("\n\n").map_or_else(String::new, |(_, message)| message.to_owned()))
    }
}

/// Fetches refs or commits, this deep.
async fn fetch(mirror: &Path, clone_url: &str, names: &[&str], depth: u32) -> Result<(), MirrorError> {
    // Left by a fetch that was killed: nobody else fetches into this mirror now.
    if let Err(error) = tokio::fs::remove_file(mirror.join("shallow.lock")).await
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(MirrorError::Failed(format!("{}: {error}", mirror.join("shallow.lock").display())));
    }
    let depth = format!("--depth={depth}");
    let mut arguments = vec!["fetch", "--quiet", "--no-tags", &depth, "--end-of-options", clone_url];
    arguments.extend(names);
    git(mirror, &arguments).await.map(drop)
}

/// Makes sure that a commit is in the mirror.
async fn have(mirror: &Path, clone_url: &str, sha: &str) -> Result<(), MirrorError> {
    if !is_commit(sha) {
        return Err(MirrorError::Missing(format!("`{}` is no commit", sha.escape_debug())));
    }
    if git(mirror, &["cat-file", "-e", &format!("{sha}^{{commit}}")]).await.is_ok() {
        return Ok(());
    }
    fetch(mirror, clone_url, &[sha], 1).await
}
