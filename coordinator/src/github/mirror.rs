//! Bare repositories in the data directory, from which workflow files are read. Real git does the work.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use slipway_cas::Digest;
use tokio::process::Command;

use crate::submit::MAX_WORKFLOW_BYTES;

/// How long one git command may take.
const GIT_TIMEOUT: Duration = Duration::from_secs(120);

/// The most workflow files that are read of one commit.
const MAX_FILES: usize = 256;

/// Where workflow files are.
const FOLDER: &str = ".github/workflows/";

/// A workflow file at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WorkflowFile {
    pub(super) path: String,
    /// `Err`: why it cannot be read.
    pub(super) text: Result<String, String>,
}

/// The mirrors of all repositories.
#[derive(Debug)]
pub(super) struct Mirrors {
    folder: PathBuf,
    /// Git does not like two fetches into one repository.
    busy: Mutex<BTreeMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>,
}

impl Mirrors {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, busy: Mutex::default() }
    }

    /// Fetches the commit and reads its workflow files.
    pub(super) async fn workflows(&self, clone_url: &str, sha: &str) -> Result<Vec<WorkflowFile>, String> {
        let mirror = self.folder.join(format!("{}.git", &Digest::of(clone_url.as_bytes()).hash_hex()[..32]));
        let turn = {
            let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(busy.entry(mirror.clone()).or_default())
        };
        let _turn = turn.lock().await;
        read(&mirror, clone_url, sha).await
    }
}

async fn read(mirror: &Path, clone_url: &str, sha: &str) -> Result<Vec<WorkflowFile>, String> {
    prepare(mirror).await?;
    let have = git(mirror, &["cat-file", "-e", &format!("{sha}^{{commit}}")]).await;
    if have.is_err() {
        git(mirror, &["fetch", "--quiet", "--no-tags", "--depth=1", "--end-of-options", clone_url, sha])
            .await?;
    }
    let listing = git(mirror, &["ls-tree", "-z", "-l", sha, "--", FOLDER]).await?;
    let mut files = Vec::new();
    for entry in listing.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()).take(MAX_FILES) {
        let Some((object, path, size_bytes)) = parse_entry(entry) else { continue };
        if !(path.ends_with(".yml") || path.ends_with(".yaml")) {
            continue;
        }
        let text = if size_bytes > MAX_WORKFLOW_BYTES {
            Err(format!("{path} is longer than {MAX_WORKFLOW_BYTES} bytes"))
        } else {
            let bytes = git(mirror, &["cat-file", "blob", &object]).await?;
            String::from_utf8(bytes).map_err(|_| format!("{path} is not UTF-8"))
        };
        files.push(WorkflowFile { path, text });
    }
    Ok(files)
}

/// `<mode> <type> <object> <size>\t<path>`: object, path and size of a file.
fn parse_entry(entry: &[u8]) -> Option<(String, String, usize)> {
    let entry = std::str::from_utf8(entry).ok()?;
    let (head, path) = entry.split_once('\t')?;
    let mut words = head.split_ascii_whitespace().skip(1);
    let kind = words.next()?;
    let object = words.next()?;
    let size_bytes = words.next()?.parse().ok()?;
    (kind == "blob").then(|| (object.to_owned(), path.to_owned(), size_bytes))
}

async fn prepare(mirror: &Path) -> Result<(), String> {
    if !mirror.join("HEAD").is_file() {
        tokio::fs::create_dir_all(mirror).await.map_err(|error| format!("{}: {error}", mirror.display()))?;
        git(mirror, &["init", "--quiet", "--bare"]).await?;
    }
    Ok(())
}

async fn git(mirror: &Path, arguments: &[&str]) -> Result<Vec<u8>, String> {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(mirror)
        .args(["-c", "protocol.ext.allow=never", "-c", "core.hooksPath=/dev/null"])
        .args(arguments)
        // Never ask a person, never read what this user has configured.
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(GIT_TIMEOUT, command.output());
    let output = output.await.map_err(|_| format!("git {} took too long", arguments[0]))?;
    let output = output.map_err(|error| format!("git cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: String = said.trim().chars().take(1_000).collect();
    Err(format!("git {} failed: {said}", arguments[0]))
}
