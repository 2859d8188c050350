//! What is asked of the source with git: which commit a version is, and the commit itself.

use std::path::Path;
use std::time::Duration;

use slipway_kit::backoff::Backoff;

use super::name::RepositoryName;
use super::{FetchError, unavailable};
use crate::failure::{Cause, Failure};
use crate::git::{self, GitError};
use crate::limits::{
    ACTION_GIT_TIMEOUT, ACTION_LOOK, ACTION_PACK_MAX_BYTES, ACTION_TRIES, ACTION_WAIT_FIRST, ACTION_WAIT_MAX,
};
use slipway_kit::actions_source::{ActionsSource, Place};

/// The longest name of a version, in bytes.
const REF_MAX_BYTES: usize = 1_024;

/// Whether a text is a commit's full id.
#[must_use]
pub fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether git takes a text as the name of a ref (git-check-ref-format): no range, no pattern, no option.
fn is_ref(text: &str) -> bool {
    let banned = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    (1..=REF_MAX_BYTES).contains(&text.len())
        && !text.starts_with(['-', '/', '+'])
        && !text.ends_with(['/', '.'])
        && !text.contains("..")
        && !text.contains("@{")
        && !text.contains("//")
        && !text.chars().any(banned)
}

/// The commit that a version of a repository (`owner/name`) is at this source, now; none when the source has it as a
/// plain folder.
///
/// # Errors
/// See [`FetchError`].
pub async fn resolve(
    source: &ActionsSource,
    repository: &str,
    git_ref: &str,
) -> Result<Option<String>, FetchError> {
    let missing = |why: String| FetchError::Missing(format!("{repository}@{git_ref}: {why}"));
    let name = RepositoryName::parse(repository).map_err(|error| missing(error.to_string()))?;
    match source.place(&name.owner, &name.name).map_err(missing)? {
        Place::Plain(_) => Ok(None),
        Place::Git(_) if is_commit(git_ref) => Ok(Some(git_ref.to_ascii_lowercase())),
        Place::Git(url) => resolve_with_patience(&url, &name, git_ref).await.map(Some),
    }
}

/// Asks until there is an answer, a few times.
pub(super) async fn resolve_with_patience(
    url: &str,
    name: &RepositoryName,
    git_ref: &str,
) -> Result<String, FetchError> {
    let missing = |why: String| FetchError::Missing(format!("{name}@{git_ref}: {why}"));
    if !is_ref(git_ref) {
        return Err(missing("that is not the name of a version".to_owned()));
    }
    let names = if git_ref.starts_with("refs/") {
        vec![git_ref.to_owned()]
    } else {
        vec![format!("refs/tags/{git_ref}"), format!("refs/heads/{git_ref}")]
    };
    let patterns: Vec<String> =
        names.iter().flat_map(|name| [name.clone(), format!("{name}^{{}}")]).collect();
    let mut arguments = vec!["ls-remote", "--quiet", "--end-of-options", url];
    arguments.extend(patterns.iter().map(String::as_str));
    let mut patience = Patience::new();
    let printed = loop {
        match bounded(git::output(Path::new("/"), &arguments)).await {
            Ok(printed) => break printed,
            Err(error) => patience.after(error, &format!("{name}@{git_ref}"), url, &mut |_| {}).await?,
        }
    };
    let printed = String::from_utf8_lossy(&printed);
    let line = |wanted: &str| {
        printed.lines().find_map(|line| line.split_once('\t').filter(|(_, name)| *name == wanted))
    };
    // A tag before a branch, as on GitHub; an annotated tag is what it points to.
    let found = patterns.chunks(2).find_map(|pair| pair.iter().rev().find_map(|pattern| line(pattern)));
    match found {
        Some((commit, _)) if is_commit(commit) => Ok(commit.to_ascii_lowercase()),
        Some((commit, _)) => Err(missing(format!("`{commit}` is not a SHA-1 commit, which alone is supported"))),
        None if (7..40).contains(&git_ref.len()) && git_ref.bytes().all(|byte| byte.is_ascii_hexdigit()) => Err(missing(
            "the repository has no such tag or branch; a shortened commit is not supported, write all 40 digits"
                .to_owned(),
        )),
        None => Err(missing("the repository has no such tag or branch".to_owned())),
    }
}

/// Fetches one commit into the repository in `folder`.
pub(super) async fn fetch_commit(
    folder: &Path,
    url: &str,
    name: &RepositoryName,
    commit: &str,
    say: &mut (dyn FnMut(String) + Send),
) -> Result<(), FetchError> {
    let arguments = [
        "-c",
        "transfer.fsckObjects=true",
        // Old commits of known repositories have these harmless faults (GitHub's own checks let them pass).
        "-c",
        "fetch.fsck.zeroPaddedFilemode=ignore",
        "-c",
        "fetch.fsck.missingSpaceBeforeDate=ignore",
        "-c",
        "fetch.fsck.badTimezone=ignore",
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-recurse-submodules",
        "--depth=1",
        "--end-of-options",
        url,
        commit,
    ];
    let mut patience = Patience::new();
    loop {
        let mut ignore = |_: String| {};
        let fetching = bounded(git::run(folder, &arguments, &mut ignore));
        let fetched = tokio::select! {
            fetched = fetching => fetched,
            size = too_large(folder) => {
                return Err(FetchError::Missing(format!(
                    "{name} at {commit} is too large for an action: git has got {size} bytes of it, and at most \
                     {ACTION_PACK_MAX_BYTES} are taken"
                )));
            }
        };
        match fetched {
            Ok(()) => return Ok(()),
            Err(GitError::NoRef(_)) => {
                return Err(FetchError::Missing(format!("{name} has no commit {commit}")));
            }
            Err(error) => patience.after(error, &format!("{name}@{commit}"), url, say).await?,
        }
    }
}

/// Waits until git has written more than an action may have; gives how much.
async fn too_large(folder: &Path) -> u64 {
    let packs = folder.join("objects/pack");
    loop {
        tokio::time::sleep(ACTION_LOOK).await;
        let entries = std::fs::read_dir(&packs).into_iter().flatten().flatten();
        let size = entries.filter_map(|entry| entry.metadata().ok()).map(|found| found.len()).sum();
        if size > ACTION_PACK_MAX_BYTES {
            return size;
        }
    }
}

/// A git command with its time limit.
pub(super) async fn bounded<T>(command: impl Future<Output = Result<T, GitError>>) -> Result<T, GitError> {
    bounded_by(ACTION_GIT_TIMEOUT, command).await
}

async fn bounded_by<T>(
    limit: Duration,
    command: impl Future<Output = Result<T, GitError>>,
) -> Result<T, GitError> {
    let ended = tokio::time::timeout(limit, command).await;
    ended.unwrap_or_else(|_| Err(GitError::Failed(format!("git did not end within {} s", limit.as_secs()))))
}

/// What git did not do in this store's own folders.
pub(super) fn local(error: &GitError) -> FetchError {
    let cause =
        if matches!(error, GitError::DiskFull(_)) { Cause::DiskFull } else { Cause::ActionUnavailable };
    FetchError::Fleet(Failure::new(cause, error.to_string()))
}

/// Tries and waits.
struct Patience(Backoff);

impl Patience {
    fn new() -> Self {
        Self(Backoff::new(ACTION_WAIT_FIRST, ACTION_WAIT_MAX))
    }

    /// Waits before the next try, or gives up.
    async fn after(
        &mut self,
        error: GitError,
        what: &str,
        url: &str,
        say: &mut (dyn FnMut(String) + Send),
    ) -> Result<(), FetchError> {
        let words = shown(&error.to_string());
        match error {
            GitError::NoRef(_) => Err(FetchError::Missing(format!("{what}: {words}"))),
            GitError::NoRepository(_) => Err(FetchError::Missing(format!(
                "{what}: there is no repository at {}, or it is not public ({words})",
                shown(url)
            ))),
            GitError::DiskFull(_) => Err(local(&error)),
            GitError::Failed(_) if words.contains("dubious ownership") => Err(unavailable(format!(
                "{what}: git takes nothing from {}, which belongs to another user: give it to the agent's user",
                shown(url)
            ))),
            GitError::Failed(_) if self.0.failures() + 1 < ACTION_TRIES => {
                say(format!("{words}; trying again"));
                tokio::time::sleep(self.0.next_wait()).await;
                Ok(())
            }
            GitError::Failed(_) => Err(unavailable(format!(
                "{what} cannot be fetched from {}: {words}; see --actions-source of the agent",
                shown(url)
            ))),
        }
    }
}

/// A text without the name and password that an address may have.
fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        shown.push_str(before);
        let host = after.find(['/', ' ', '\'', '"']).unwrap_or(after.len());
        let (authority, tail) = after.split_at(host);
        shown.push_str(authority.rsplit('@').next().unwrap_or_default());
        rest = tail;
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_addresses_are_not_shown() {
        let text = "fatal: unable to access 'https://me:secret@host:1/o/r/': see https://host/x";
        assert_eq!(shown(text), "fatal: unable to access 'https://host:1/o/r/': see https://host/x");
    }

    #[test]
    fn names_that_git_would_read_otherwise_are_refused() {
        for good in ["main", "v1", "release/1.x", "refs/heads/x"] {
            assert!(is_ref(good), "{good}");
        }
        for bad in ["", "-x", "+a", "a:b", "a..b", "a b", "a^", "a~1", "@{u}", "a/", "a?", "a*", "a\nb", "/a"]
        {
            assert!(!is_ref(bad), "{bad}");
        }
        assert!(is_commit(&"a".repeat(40)) && !is_commit(&"g".repeat(40)) && !is_commit("abc"));
    }
}
