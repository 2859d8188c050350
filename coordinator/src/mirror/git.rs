//! One git command in a mirror, bounded in time, deaf to what this machine's user has configured.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::MirrorError;

/// How long one git command may take.
const GIT_TIMEOUT: Duration = Duration::from_secs(120);

/// How much of git's own words is passed on, in characters.
const SAID_MAX_CHARS: usize = 1_000;

/// Runs git in a mirror and gives what it printed.
pub(super) async fn git(mirror: &Path, arguments: &[&str]) -> Result<Vec<u8>, MirrorError> {
    let name = arguments.first().copied().unwrap_or_default();
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(mirror)
        .args(["-c", "protocol.ext.allow=never", "-c", "core.hooksPath=/dev/null"])
        // What git tidies up, it does in our turn.
        .args(["-c", "gc.autoDetach=false", "-c", "maintenance.autoDetach=false"])
        .args(arguments)
        // Never ask a person, never read what this user has configured.
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(GIT_TIMEOUT, command.output()).await;
    let output = output.map_err(|_| MirrorError::Failed(format!("git {name} took too long")))?;
    let output = output.map_err(|error| MirrorError::Failed(format!("git cannot be started: {error}")))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let missing = ["find remote ref", "not our ref", "does not appear to be a git repository", "not found"]
        .iter()
        .any(|words| said.contains(words));
    let said: String = said.trim().chars().take(SAID_MAX_CHARS).collect();
    let text = format!("git {name} failed: {said}");
    Err(if missing { MirrorError::Missing(text) } else { MirrorError::Failed(text) })
}

/// Git's first line.
pub(super) async fn line(mirror: &Path, arguments: &[&str]) -> Result<String, MirrorError> {
    let bytes = git(mirror, arguments).await?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}
