//! Fetches with the machine's `git` into a folder of the agent's own.

use std::path::Path;
use std::time::Duration;

use slipway_kit::backoff::Backoff;

use super::CheckoutError;
use super::inputs::Fetch;
use super::kept::Kept;
use crate::docker::passwd::ContainerUser;
use crate::failure::{Cause, Failure};
use crate::git::{self, Authorization, GitError};

/// Tries of one fetch, as in `actions/checkout`.
const TRIES: u32 = 3;

/// Where a checkout has its commit, in the repository.
pub(super) const WANTED: &str = "refs/slipway/wanted";

/// For a repository that belongs to the container's user already. It was made by the agent, and no job has had it.
pub(super) const OWNED: [&str; 2] = ["-c", "safe.directory=*"];

/// What was checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CheckedOut {
    /// The commit.
    pub(super) commit: String,
    /// Whether the files belong to whom they are for already, but for those of git itself.
    pub(super) given: bool,
}

/// Fetches and checks out into an empty folder, with what is kept of the repository where that helps.
pub(super) async fn fetch(
    wanted: &Fetch,
    folder: &Path,
    user: &ContainerUser,
    kept: &Kept,
    say: &mut (dyn FnMut(String) + Send),
) -> Result<CheckedOut, CheckoutError> {
    if !is_address(&wanted.url) {
        return Err(CheckoutError::Step(format!("`{}` is not an address to fetch from", wanted.url)));
    }
    let authorization = authorization(wanted);
    let authorization = authorization.as_ref();
    let done = match from_kept(wanted, folder, user, authorization, kept, say).await? {
        Some(done) => done,
        None => {
            begin(folder, wanted, say).await?;
            fetch_all(wanted, folder, authorization, say).await?;
            let commit = place(wanted, folder, authorization, say).await?;
            CheckedOut { commit, given: false }
        }
    };
    if let Some(authorization) = authorization.filter(|_| wanted.persist) {
        persist(authorization, folder)?;
    }
    kept.note(wanted, &done.commit, user, files_in(folder));
    Ok(done)
}

/// Whether git may be told to fetch from there.
pub(super) fn is_address(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    matches!(scheme, Some("http" | "https" | "git" | "ssh" | "file")) && !url.starts_with('-')
}

/// What the server is told of who asks.
pub(super) fn authorization(wanted: &Fetch) -> Option<Authorization> {
    wanted.token.as_deref().and_then(|token| Authorization::of_token(&wanted.url, token))
}

/// The same through the mirror. None: there is none for this, or it is of no use.
async fn from_kept(
    wanted: &Fetch,
    folder: &Path,
    user: &ContainerUser,
    authorization: Option<&Authorization>,
    kept: &Kept,
    say: &mut (dyn FnMut(String) + Send),
) -> Result<Option<CheckedOut>, CheckoutError> {
    let Some(mirror) = kept.mirror(wanted).await else { return Ok(None) };
    let found = match mirror.fetch(wanted, authorization, say).await {
        Ok(found) => found,
        // The server's word, and nothing that is different without the mirror.
        Err(error @ CheckoutError::Step(_)) => return Err(error),
        Err(CheckoutError::Fleet(failure)) if failure.cause == Cause::DiskFull => return Err(failure.into()),
        Err(CheckoutError::Fleet(failure)) => {
            say(format!("{failure}; fetching without what is kept of the repository"));
            mirror.remove();
            return Ok(None);
        }
    };
    let taken = kept.take(wanted, user, folder);
    if taken.is_none() {
        begin(folder, wanted, say).await?;
    }
    mirror.give(wanted, &found, &folder.join(".git")).await?;
    let commit = found.commit;
    mirror.remove_if_grown();
    drop(mirror);
    let Some(taken) = taken else {
        return Ok(Some(CheckedOut {
            commit: place(wanted, folder, authorization, say).await?,
            given: false,
        }));
    };
    let is_whole = taken.commit == commit;
    if is_whole {
        say(format!("{commit} is checked out already"));
        head(wanted, &commit, folder, say).await?;
    } else {
        say(format!("{} is checked out already; going on to what is wanted", taken.commit));
        place(wanted, folder, authorization, say).await?;
    }
    Ok(Some(CheckedOut { commit, given: is_whole }))
}

/// Has what is wanted checked out where the commit is already: no file changes.
async fn head(
    wanted: &Fetch,
    commit: &str,
    folder: &Path,
    say: &mut (dyn FnMut(String) + Send),
) -> Result<(), CheckoutError> {
    if wanted.branch.is_empty() {
        // It has no branch.
        return Ok(());
    }
    let branch = format!("refs/heads/{}", wanted.branch);
    git(folder, &[&OWNED[..], &["update-ref", &branch, commit]].concat(), say).await?;
    git(folder, &[&OWNED[..], &["symbolic-ref", "HEAD", &branch]].concat(), say).await
}

/// How many files git's index lists; 0 when it cannot be read.
fn files_in(folder: &Path) -> u32 {
    use std::io::Read as _;
    // "DIRC", the version, the number of entries.
    let mut start = [0; 12];
    let read =
        std::fs::File::open(folder.join(".git/index")).and_then(|mut file| file.read_exact(&mut start));
    let [.., a, b, c, d] = start;
    read.map_or(0, |()| u32::from_be_bytes([a, b, c, d]))
}

/// An empty repository that knows where it comes from.
pub(super) async fn begin(
    folder: &Path,
    wanted: &Fetch,
    say: &mut (dyn FnMut(String) + Send),
) -> Result<(), CheckoutError> {
    git(folder, &["init", "--quiet", "."], say).await?;
    git(folder, &["remote", "add", "origin", &wanted.url], say).await
}

/// What follows `git`, before and after the address.
pub(super) fn fetch_arguments(wanted: &Fetch) -> (Vec<String>, Vec<String>) {
    let mut options: Vec<String> =
        ["fetch", "--no-recurse-submodules", "--force", "--quiet"].map(str::to_owned).to_vec();
    if wanted.depth > 0 {
        options.push(format!("--depth={}", wanted.depth));
    }
    options.extend(wanted.filter.as_ref().map(|filter| format!("--filter={filter}")));
    options.push("--no-tags".to_owned());
    let mut refs = Vec::new();
    if wanted.tags {
        refs.push("+refs/tags/*:refs/tags/*".to_owned());
    }
    // With the whole history come all branches; the commit itself may be on none of them any more.
    if wanted.depth == 0 {
        refs.push("+refs/heads/*:refs/remotes/origin/*".to_owned());
    }
    refs.push(format!("+{}:{WANTED}", wanted.wanted));
    (options, refs)
}

/// Fetches from the server, some times.
async fn fetch_all(
    wanted: &Fetch,
    folder: &Path,
    authorization: Option<&Authorization>,
    say: &mut (dyn FnMut(String) + Send),
) -> Result<(), CheckoutError> {
    let (options, refs) = fetch_arguments(wanted);
    let arguments = options.iter().map(String::as_str).chain(["origin", "--"]);
    let arguments: Vec<&str> = arguments.chain(refs.iter().map(String::as_str)).collect();
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
    loop {
        match git_as(authorization, folder, &arguments, say).await {
            Ok(()) => return Ok(()),
            Err(CheckoutError::Fleet(failure))
                if backoff.failures() + 1 < TRIES && failure.cause != Cause::DiskFull =>
            {
                say(format!("{failure}; trying again"));
                tokio::time::sleep(backoff.next_wait()).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Checks out what was fetched; gives the commit.
async fn place(
    wanted: &Fetch,
    folder: &Path,
    authorization: Option<&Authorization>,
    say: &mut (dyn FnMut(String) + Send),
) -> Result<String, CheckoutError> {
    if !wanted.sparse.is_empty() {
        let mut sparse = vec!["sparse-checkout", "set", if wanted.cone { "--cone" } else { "--no-cone" }];
        sparse.extend(wanted.sparse.iter().map(String::as_str));
        git(folder, &sparse, say).await?;
    }
    let mut place = OWNED.to_vec();
    place.extend(["checkout", "--quiet", "--force"]);
    if wanted.branch.is_empty() {
        place.extend(["--detach", WANTED]);
    } else {
        place.extend(["-B", &wanted.branch, WANTED]);
    }
    // What a filter left out is asked for now.
    git_as(authorization, folder, &place, say).await?;
    if wanted.submodules {
        let depth = format!("--depth={}", wanted.depth);
        let mut update = vec!["submodule", "update", "--init", "--force"];
        update.extend((wanted.depth > 0).then_some(depth.as_str()));
        update.extend(wanted.recursive.then_some("--recursive"));
        git_as(authorization, folder, &update, say).await?;
    }
    let head = git::output(folder, &[&OWNED[..], &["rev-parse", "HEAD"]].concat()).await.map_err(explain)?;
    Ok(String::from_utf8_lossy(&head).trim().to_owned())
}

/// Leaves the token where later steps' git finds it, as `actions/checkout` does.
fn persist(authorization: &Authorization, folder: &Path) -> Result<(), CheckoutError> {
    use std::io::Write as _;
    let section =
        format!("[http \"{}\"]\n\textraheader = {}\n", authorization.server(), authorization.value());
    let appended = std::fs::OpenOptions::new()
        .append(true)
        .open(folder.join(".git/config"))
        .and_then(|mut config| config.write_all(section.as_bytes()));
    appended.map_err(|error| Failure::io("cannot write git's configuration", &error).into())
}

pub(super) async fn git(
    folder: &Path,
    arguments: &[&str],
    say: &mut (dyn FnMut(String) + Send),
) -> Result<(), CheckoutError> {
    git_as(None, folder, arguments, say).await
}

/// Runs git, says the command and what git says of it.
pub(super) async fn git_as(
    authorization: Option<&Authorization>,
    folder: &Path,
    arguments: &[&str],
    say: &mut (dyn FnMut(String) + Send),
) -> Result<(), CheckoutError> {
    // Settings of the agent's own and how much git says are nobody's business.
    let own = arguments.iter().position(|argument| *argument != "-c" && !argument.contains('=')).unwrap_or(0);
    let shown = arguments.iter().skip(own).copied().filter(|argument| *argument != "--quiet");
    let shown: Vec<&str> = shown.collect();
    say(format!("[command]git {}", shown.join(" ")));
    git::run_as(authorization, folder, arguments, say).await.map_err(explain)
}

pub(super) fn explain(error: GitError) -> CheckoutError {
    let cause = match &error {
        GitError::NoRef(message) => return CheckoutError::Step(message.clone()),
        // Another machine would be told the same.
        GitError::NoRepository(message) => {
            return CheckoutError::Step(format!(
                "{message}: there is no such repository, or `token` (by default the secret GITHUB_TOKEN) does not open it"
            ));
        }
        GitError::DiskFull(_) => Cause::DiskFull,
        GitError::Failed(_) => Cause::CheckoutUnavailable,
    };
    Failure::new(cause, error.to_string()).into()
}
