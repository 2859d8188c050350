//! The `.git` that goes along with a working tree, so that git works in the job.
//!
//! A small, self-contained repository goes along as it is, without hooks, locks and its configuration: that may hold
//! credentials and commands, and is written anew. A large one, a linked worktree, or one that borrows objects goes
//! along as a clone of its newest commit, as `actions/checkout` makes by default.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::git::Git;
use crate::failure::Failure;

/// Largest `.git` that goes along whole, in bytes.
pub(super) const WHOLE_LIMIT_BYTES: u64 = 64 * 1024 * 1024;

/// Most files in a `.git` that goes along whole.
const WHOLE_LIMIT_FILES: usize = 20_000;

/// A `.git` ready to be archived.
#[derive(Debug)]
pub(super) struct History {
    /// Where it lies.
    pub(super) folder: PathBuf,
    /// Its files and directories, by path from `folder`.
    pub(super) paths: Vec<PathBuf>,
    /// The configuration to write instead of the present one.
    pub(super) config: String,
    /// Keeps a temporary clone alive while it is read.
    _clone: Option<tempfile::TempDir>,
}

/// Finds or makes the `.git` to take along; `None` where there is no commit or no way.
pub(super) fn collect(root: &Path, git: &Git, html_url: &str) -> Option<History> {
    let config = configuration(git, html_url);
    if config.is_some()
        && let Some(paths) = whole(&root.join(".git"))
    {
        return Some(History { folder: root.join(".git"), paths, config: config?, _clone: None });
    }
    newest_commit(root, git).ok().flatten().and_then(|clone| {
        let folder = clone.path().join("clone/.git");
        let config = configuration(&Git::open(&clone.path().join("clone")).ok()?, html_url)?;
        Some(History { paths: files(&folder, usize::MAX, u64::MAX)?, folder, config, _clone: Some(clone) })
    })
}

/// The files of a repository that needs nothing outside itself and is small.
fn whole(folder: &Path) -> Option<Vec<PathBuf>> {
    let borrowed = ["objects/info/alternates", "commondir", "modules", "shallow.lock"];
    if !folder.is_dir() || folder.is_symlink() || borrowed.iter().any(|name| folder.join(name).exists()) {
        return None;
    }
    files(folder, WHOLE_LIMIT_FILES, WHOLE_LIMIT_BYTES)
}

fn files(folder: &Path, limit_files: usize, limit_bytes: u64) -> Option<Vec<PathBuf>> {
    let mut paths = Vec::new();
    let mut size = 0;
    let mut waiting = vec![PathBuf::new()];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(folder.join(&directory)).ok()? {
            let entry = entry.ok()?;
            let path = directory.join(entry.file_name());
            let kind = entry.file_type().ok()?;
            if left_behind(&path) {
                continue;
            }
            if kind.is_dir() {
                waiting.push(path.clone());
            } else if kind.is_file() {
                size += entry.metadata().ok()?.len();
            } else {
                continue;
            }
            paths.push(path);
            if paths.len() > limit_files || size > limit_bytes {
                return None;
            }
        }
    }
    paths.sort();
    Some(paths)
}

fn left_behind(path: &Path) -> bool {
    let first = ["config", "config.worktree", "hooks", "worktrees", "lfs", "gc.pid"];
    first.iter().any(|name| path == Path::new(name)) || path.extension().is_some_and(|end| end == "lock")
}

/// A plain configuration with the remote's public address; `None` for a repository with format extensions other than
/// its hash, which a plain one cannot describe.
fn configuration(git: &Git, html_url: &str) -> Option<String> {
    let extensions = git.ask(&["config", "--local", "--get-regexp", r"^extensions\."]).unwrap_or_default();
    let mut hash = "";
    for extension in extensions.lines() {
        match extension.split_once(' ') {
            Some(("extensions.objectformat", "sha256")) => hash = "[extensions]\n\tobjectformat = sha256\n",
            Some(("extensions.objectformat", "sha1")) => {}
            _ => return None,
        }
    }
    let version = if hash.is_empty() { 0 } else { 1 };
    Some(format!(
        "[core]\n\trepositoryformatversion = {version}\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n{hash}\
         [remote \"origin\"]\n\turl = {html_url}\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n"
    ))
}

/// Clones the newest commit into a temporary directory, with an index that matches it.
fn newest_commit(root: &Path, git: &Git) -> Result<Option<tempfile::TempDir>, Failure> {
    if git.ask(&["rev-parse", "--verify", "HEAD"]).is_none() {
        return Ok(None);
    }
    let explain = |error: std::io::Error| Failure::usage(format!("cannot copy the newest commit: {error}"));
    let folder = tempfile::Builder::new().prefix("slipway-history-").tempdir().map_err(explain)?;
    let clone = folder.path().join("clone");
    // A file URL: with a path git would link or copy the whole object store instead of packing one commit.
    let source = format!("file://{}", root.display());
    let cloned = Command::new("git")
        .args(["clone", "--quiet", "--no-checkout", "--depth=1", "--no-tags", "--template=", &source])
        .arg(&clone)
        .env("GIT_TERMINAL_PROMPT", "0")
        .output()
        .map_err(explain)?;
    if !cloned.status.success() {
        return Ok(None);
    }
    let indexed = Command::new("git").arg("-C").arg(&clone).args(["reset", "--quiet"]).output();
    // `reset` without a work tree reports every file as removed and is content with it.
    indexed.map_err(explain)?;
    Ok(Some(folder))
}
