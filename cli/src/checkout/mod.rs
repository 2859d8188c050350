//! The directory a run starts from: where its root is, what git knows about it, and its working tree as an archive.
//!
//! It reads only: the checkout is never written to, and git is asked questions without optional locks.

pub mod archive;
pub mod event;
pub mod files;
pub mod git;
mod history;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::failure::Failure;
use git::Git;

/// The full zero of a commit id where there is none.
pub const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// Most changed files an event names; GitHub looks at 300.
const CHANGED_LIMIT: usize = 300;

/// A directory with workflows, perhaps a git repository.
#[derive(Debug, Clone)]
pub struct Checkout {
    /// Its root: the nearest directory upwards with `.github/workflows` or `.git`.
    pub root: PathBuf,
    /// What git knows, where it is a repository.
    pub git: Option<Git>,
}

/// Who and what a run is about, as its event tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `owner/name`.
    pub repository: String,
    /// Where to look at it; made up where no remote says.
    pub html_url: String,
    /// The branch; `main` where there is none.
    pub branch: String,
    /// The branch pull requests go to.
    pub default_branch: String,
    /// The tag HEAD stands on, only without a branch.
    pub tag: Option<String>,
    /// The commit, or [`NO_COMMIT`].
    pub sha: String,
    /// The commit before it, or [`NO_COMMIT`].
    pub parent: String,
    /// The commit's message.
    pub message: String,
    /// The commit's time, ISO 8601.
    pub time: String,
    /// Files that the commit or uncommitted work changed; `None` where git cannot say.
    pub changed: Option<Vec<String>>,
    /// The author's name.
    pub author: String,
    /// The author's mail address.
    pub email: String,
    /// A login made from git's `user.name`.
    pub actor: String,
}

impl Checkout {
    /// Finds the checkout that `dir` lies in.
    ///
    /// # Errors
    /// `dir` is no directory, or git refuses the repository.
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        let root = root_of(dir)?;
        let git = if root.join(".git").exists() { Some(Git::open(&root)?) } else { None };
        Ok(Checkout { root, git })
    }

    /// As [`Checkout::open`], but git is not asked: enough to find workflow files.
    ///
    /// # Errors
    /// `dir` is no directory.
    pub fn folder(dir: &Path) -> Result<Self, Failure> {
        Ok(Checkout { root: root_of(dir)?, git: None })
    }

    /// Who and what a run of this checkout is about; made up, but stable, where git does not say.
    pub fn identity(&self) -> Identity {
        let folder = self.root.file_name().map(|name| name.to_string_lossy().into_owned());
        let folder = sanitised(&folder.unwrap_or_default(), "checkout");
        let ask = |arguments: &[&str]| self.git.as_ref().and_then(|git| git.ask(arguments));
        let remote = ask(&["config", "--get", "remote.origin.url"]);
        let (repository, html_url) = repository(remote.as_deref(), &folder);
        let default_branch = ask(&["symbolic-ref", "--short", "refs/remotes/origin/HEAD"])
            .and_then(|name| name.strip_prefix("origin/").map(str::to_owned));
        let branch = ask(&["symbolic-ref", "--short", "HEAD"]);
        let tag = match branch {
            Some(_) => None,
            None => ask(&["describe", "--tags", "--exact-match", "HEAD"]),
        };
        let default_branch = default_branch.unwrap_or_else(|| match branch.as_deref() {
            Some(only @ ("main" | "master")) => only.to_owned(),
            _ => "main".to_owned(),
        });
        let author = ask(&["config", "--get", "user.name"]).or_else(|| std::env::var("USER").ok());
        let author = author.unwrap_or_else(|| "slipway".to_owned());
        Identity {
            html_url,
            repository,
            branch: branch.unwrap_or_else(|| default_branch.clone()),
            default_branch,
            tag,
            sha: ask(&["rev-parse", "--verify", "HEAD"]).unwrap_or_else(|| NO_COMMIT.to_owned()),
            parent: ask(&["rev-parse", "--verify", "HEAD~1"]).unwrap_or_else(|| NO_COMMIT.to_owned()),
            message: ask(&["log", "-1", "--format=%B"]).unwrap_or_default(),
            time: ask(&["log", "-1", "--format=%cI"]).unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned()),
            changed: self.changed(),
            email: ask(&["config", "--get", "user.email"]).unwrap_or_else(|| "slipway@localhost".to_owned()),
            actor: sanitised(&author, "slipway"),
            author,
        }
    }
}

impl Checkout {
    /// What changed: the newest commit's files, and those changed since.
    fn changed(&self) -> Option<Vec<String>> {
        let git = self.git.as_ref()?;
        let mut changed = std::collections::BTreeSet::new();
        for question in [
            &["diff-tree", "--root", "--no-commit-id", "--name-only", "-r", "-z", "HEAD"][..],
            &["diff", "--name-only", "-z", "HEAD"],
            &["ls-files", "-o", "--exclude-standard", "-z"],
        ] {
            changed.extend(git.paths(question).ok()?.iter().map(|path| path.display().to_string()));
        }
        Some(changed.into_iter().take(CHANGED_LIMIT).collect())
    }
}

/// The nearest directory upwards with workflows or a repository, else the directory itself.
fn root_of(dir: &Path) -> Result<PathBuf, Failure> {
    let dir =
        dir.canonicalize().map_err(|error| Failure::usage(format!("--dir {}: {error}", dir.display())))?;
    if !dir.is_dir() {
        return Err(Failure::usage(format!("--dir {}: not a directory", dir.display())));
    }
    let marked = |path: &&Path| path.join(".github/workflows").is_dir() || path.join(".git").exists();
    Ok(dir.ancestors().find(marked).unwrap_or(&dir).to_path_buf())
}

/// `owner/name` and the page of a remote: `https://host/owner/name.git`, `git@host:owner/name`, a path.
fn repository(remote: Option<&str>, folder: &str) -> (String, String) {
    let local = || (format!("local/{folder}"), format!("http://localhost/local/{folder}"));
    let Some(remote) = remote else { return local() };
    let (host, path) = match remote.split_once("://") {
        Some(("file", _)) => return local(),
        Some((_, rest)) => match rest.split_once('/') {
            Some((host, path)) => (host, path),
            None => return local(),
        },
        None => match remote.split_once(':') {
            Some((host, path)) if !host.contains('/') => (host, path),
            _ => return local(),
        },
    };
    // Credentials in the URL and ports of ssh stay behind.
    let host = host.rsplit('@').next().unwrap_or(host);
    let path = path.trim_matches('/');
    let mut parts = path.strip_suffix(".git").unwrap_or(path).rsplit('/');
    match (parts.next(), parts.next()) {
        (Some(name), Some(owner)) if !name.is_empty() && !owner.is_empty() => {
            let full = format!("{}/{}", sanitised(owner, "local"), sanitised(name, folder));
            let page = format!("https://{host}/{full}");
            (full, page)
        }
        _ => local(),
    }
}

/// A name of the characters GitHub allows in repository and user names; others become `-`.
fn sanitised(text: &str, fallback: &str) -> String {
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-');
    let name: String = text.chars().map(|c| if allowed(c) { c } else { '-' }).take(100).collect();
    let name = name.trim_matches(['-', '.']).to_owned();
    if name.is_empty() { fallback.to_owned() } else { name }
}
