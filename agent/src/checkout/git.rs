//! Fetches with the machine's `git` into a folder of the agent's own.
//!
//! Neither the machine's git configuration nor the repository can make git run anything: no system or user
//! configuration, no hooks, no prompts, no `ext::` or `file` transports of submodules.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use slipway_kit::backoff::Backoff;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;

use super::CheckoutError;
use super::inputs::Fetch;
use crate::failure::{Cause, Failure};

/// Tries of one fetch, as in `actions/checkout`.
const TRIES: u32 = 3;

/// Longest line of git's that is shown.
const LINE_MAX_BYTES: u64 = 4096;

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
    git(folder, &["init", "--quiet", "."], say).await?;
    git(folder, &["remote", "add", "origin", &wanted.url], say).await?;
    let depth = format!("--depth={}", wanted.depth);
    let mut arguments = vec!["fetch", "--no-recurse-submodules", "--force", "--quiet"];
    if wanted.depth > 0 {
        arguments.push(&depth);
    }
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
        match git(folder, &arguments, say).await {
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
    let mut place = vec!["checkout", "--quiet", "--force"];
    if wanted.branch.is_empty() {
        place.extend(["--detach", "refs/slipway/wanted"]);
    } else {
        place.extend(["-B", &wanted.branch, "refs/slipway/wanted"]);
    }
    git(folder, &place, say).await?;
    if wanted.submodules {
        let mut update = vec!["submodule", "update", "--init", "--force"];
        update.extend((wanted.depth > 0).then_some(depth.as_str()));
        update.extend(wanted.recursive.then_some("--recursive"));
        git(folder, &update, say).await?;
    }
    let head = command(folder, &["rev-parse", "HEAD"]).output().await.map_err(|error| missing(&error))?;
    Ok(String::from_utf8_lossy(&head.stdout).trim().to_owned())
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .args(["-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never", "-c", "gc.auto=0"])
        .args(["-c", "core.fsmonitor=false", "-c", "advice.detachedHead=false"])
        .args(arguments)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_LFS_SKIP_SMUDGE", "1")
        .env("LC_ALL", "C")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

fn missing(error: &std::io::Error) -> CheckoutError {
    let message = format!("the agent's machine has no usable `git` ({error}): install it");
    Failure::new(Cause::CheckoutUnavailable, message).into()
}

async fn git(
    folder: &Path,
    arguments: &[&str],
    say: &mut (dyn FnMut(String) + Send),
) -> Result<(), CheckoutError> {
    let shown: Vec<&str> =
        arguments.iter().copied().filter(|argument| !argument.starts_with("--quiet")).collect();
    say(format!("[command]git {}", shown.join(" ")));
    let mut child = command(folder, arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| missing(&error))?;
    let mut last = String::new();
    let mut refused = false;
    if let Some(stderr) = child.stderr.take() {
        let mut lines = BufReader::new(stderr);
        loop {
            let mut line = Vec::new();
            let read = (&mut lines).take(LINE_MAX_BYTES).read_until(b'\n', &mut line).await;
            match read {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            refused |=
                ["couldn't find remote ref", "not our ref", "did not match any file", "did not match any"]
                    .iter()
                    .any(|words| line.contains(words));
            if !line.is_empty() {
                say(line.clone());
                last = line;
            }
        }
    }
    let status = child.wait().await.map_err(|error| missing(&error))?;
    if status.success() {
        return Ok(());
    }
    let what = arguments.first().copied().unwrap_or_default();
    if refused {
        return Err(CheckoutError::Step(format!("git {what} failed: {last}")));
    }
    let full = last.contains("No space left on device");
    let cause = if full { Cause::DiskFull } else { Cause::CheckoutUnavailable };
    Err(Failure::new(cause, format!("git {what} failed: {last}")).into())
}
