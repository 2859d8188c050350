//! Fetches with the machine's `git` into a folder of the agent's own.

use std::path::Path;
use std::time::Duration;

use slipway_kit::backoff::Backoff;

use super::CheckoutError;
use super::inputs::Fetch;
use crate::failure::{Cause, Failure};
use crate::git::{self, Authorization, GitError};

/// Tries of one fetch, as in `actions/checkout`.
const TRIES: u32 = 3;

/// Fetches and checks out; gives the commit.
pub(super) async fn fetch(
    wanted: &Fetch,
    folder: &Path,
    say: &mut (dyn FnMut(String) + Send),
) -> Result<String, CheckoutError> {
    let scheme = wanted.url.split_once("://").map(|(scheme, _)| scheme);
    if !matches!(scheme, Some("http" | "https" | "git" | "ssh" | "file")) || wanted.url.starts_with('-') {
        return Err(CheckoutError::Step(format!("`{}` is not an address to fetch from", wanted.url)));
    }
    let authorization = wanted.token.as_deref().and_then(|token| Authorization::of_token(&wanted.url, token));
    let authorization = authorization.as_ref();
    git(folder, &["init", "--quiet", "."], say).await?;
    git(folder, &["remote", "add", "origin", &wanted.url], say).await?;
    if let Some(authorization) = authorization.filter(|_| wanted.persist) {
        persist(authorization, folder)?;
    }
    let depth = format!("--depth={}", wanted.depth);
    let mut arguments = vec!["fetch", "--no-recurse-submodules", "--force", "--quiet"];
    if wanted.depth > 0 {
        arguments.push(&depth);
    }
    let filter = wanted.filter.as_ref().map(|filter| format!("--filter={filter}"));
    arguments.extend(filter.as_deref());
    arguments.push(if wanted.tags { "--tags" } else { "--no-tags" });
    arguments.extend(["origin", "--"]);
    // With the whole history come all branches; the commit itself may be on none of them any more.
    if wanted.depth == 0 {
        arguments.push("+refs/heads/*:refs/remotes/origin/*");
    }
    let pinned = format!("+{}:refs/slipway/wanted", wanted.wanted);
    arguments.push(&pinned);
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
    loop {
        match git_as(authorization, folder, &arguments, say).await {
            Ok(()) => break,
            Err(CheckoutError::Fleet(failure))
                if backoff.failures() + 1 < TRIES && failure.cause != Cause::DiskFull =>
            {
                say(format!("{failure}; trying again"));
                tokio::time::sleep(backoff.next_wait()).await;
            }
            Err(error) => return Err(error),
        }
    }
    if !wanted.sparse.is_empty() {
        let mut sparse = vec!["sparse-checkout", "set", if wanted.cone { "--cone" } else { "--no-cone" }];
        sparse.extend(wanted.sparse.iter().map(String::as_str));
        git(folder, &sparse, say).await?;
    }
    let mut place = vec!["checkout", "--quiet", "--force"];
    if wanted.branch.is_empty() {
        place.extend(["--detach", "refs/slipway/wanted"]);
    } else {
        place.extend(["-B", &wanted.branch, "refs/slipway/wanted"]);
    }
    // What a filter left out is asked for now.
    git_as(authorization, folder, &place, say).await?;
    if wanted.submodules {
        let mut update = vec!["submodule", "update", "--init", "--force"];
        update.extend((wanted.depth > 0).then_some(depth.as_str()));
        update.extend(wanted.recursive.then_some("--recursive"));
        git_as(authorization, folder, &update, say).await?;
    }
    let head = git::output(folder, &["rev-parse", "HEAD"]).await.map_err(explain)?;
    Ok(String::from_utf8_lossy(&head).trim().to_owned())
}

/// Runs git, says the command and what git says of it.
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

async fn git(
    folder: &Path,
    arguments: &[&str],
    say: &mut (dyn FnMut(String) + Send),
) -> Result<(), CheckoutError> {
    git_as(None, folder, arguments, say).await
}

async fn git_as(
    authorization: Option<&Authorization>,
    folder: &Path,
    arguments: &[&str],
    say: &mut (dyn FnMut(String) + Send),
) -> Result<(), CheckoutError> {
    let shown: Vec<&str> =
        arguments.iter().copied().filter(|argument| !argument.starts_with("--quiet")).collect();
    say(format!("[command]git {}", shown.join(" ")));
    git::run_as(authorization, folder, arguments, say).await.map_err(explain)
}

fn explain(error: GitError) -> CheckoutError {
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
