//! `slipway lock`: which commit each action's version is, written into the repository's lock file.
//!
//! Lines that are there keep their place and their comments; new ones come at the end, by name.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use futures_util::{StreamExt as _, stream};
use slipway_agent::actions::{ActionsSource, FetchError, resolve};
use slipway_workflow::action::lock::{LOCK_FILE, LOCK_MAX_BYTES, LockLine, read, read_line};

use crate::checkout::Checkout;
use crate::failure::{Exit, Failure};
use crate::input::read_text;
use crate::output::{self, Out, escape};
use crate::settings::Settings;
use crate::used_actions::{Version, used};
use crate::workflow_file;

/// Questions to the source at once.
const ASKED_AT_ONCE: usize = 8;

/// What a new file begins with.
const HEADER: &str =
    "# Commits of the actions and reusable workflows that this repository uses, by `slipway lock`.\n";

/// Flags of `slipway lock`.
#[derive(Debug, Args)]
pub struct Lock {
    /// Workflow files; none: all of .github/workflows, and what nobody uses any more goes
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write nothing; end with 1 when the lock file lacks a version or has another commit
    #[arg(long)]
    check: bool,
    /// Where actions come from [default: https://github.com]
    #[arg(long, value_name = "URL", env = "SLIPWAY_ACTIONS_SOURCE")]
    actions_source: Option<String>,
}

impl Lock {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let source = self.actions_source.clone().or_else(|| settings.actions_source.clone());
        let source = source.as_deref().map(ActionsSource::parse).transpose();
        let source = source.map_err(|error| Failure::usage(format!("--actions-source: {error}")))?;
        let checkout = Checkout::folder(Path::new("."))?;
        let path = checkout.root.join(LOCK_FILE);
        let old = if path.exists() { read_text(&path, LOCK_MAX_BYTES as u64)? } else { String::new() };
        let pinned = read(&old).map_err(|wrong| {
            Failure::usage(format!("{}:{}: {}", path.display(), wrong.line, escape::name(&wrong.message)))
        })?;
        let versions = self.versions(&checkout)?;
        let commits = resolve_all(&source.unwrap_or_default(), &versions).await?;
        let new = rewrite(&old, &versions, &commits, self.files.is_empty());
        let changes = changes(&pinned, &commits, &new)?;
        for change in &changes {
            out.line(&escape::name(change))?;
        }
        if changes.is_empty() {
            let count = versions.len();
            out.line(&format!(
                "{LOCK_FILE} is complete: {count} version{}",
                if count == 1 { "" } else { "s" }
            ))?;
            return Ok(Exit::Success);
        }
        if self.check {
            output::note(&format!("error: {LOCK_FILE} is not up to date: run `slipway lock`"));
            return Ok(Exit::WorkFailed);
        }
        write(&path, &new).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        Ok(Exit::Success)
    }

    fn versions(&self, checkout: &Checkout) -> Result<BTreeMap<String, Version>, Failure> {
        let paths = if self.files.is_empty() { workflow_file::all(checkout)? } else { self.files.clone() };
        let mut texts = Vec::new();
        for path in &paths {
            let file = workflow_file::load(checkout, path)?;
            texts.push((file.shown, file.text));
        }
        used(&checkout.root, texts)
    }
}

/// The commit of each version, by key.
async fn resolve_all(
    source: &ActionsSource,
    versions: &BTreeMap<String, Version>,
) -> Result<BTreeMap<String, String>, Failure> {
    let asked = stream::iter(versions).map(|(key, version)| async move {
        match resolve(source, &version.repository, &version.git_ref).await {
            Ok(Some(commit)) => Ok((key.clone(), commit)),
            Ok(None) => Err(Failure::usage(format!(
                "{version}: the actions source has it as a plain folder, which has no commit to lock"
            ))),
            Err(FetchError::Missing(message)) => {
                let message = escape::name(&message);
                Err(Failure::usage(format!("{message}; {} uses it", escape::name(&version.user))))
            }
            Err(FetchError::Fleet(failure)) => Err(Failure::fleet(escape::name(&failure.to_string()))),
        }
    });
    let answers: Vec<Result<_, Failure>> = asked.buffered(ASKED_AT_ONCE).collect().await;
    answers.into_iter().collect()
}

/// The file's new text.
fn rewrite(
    old: &str,
    versions: &BTreeMap<String, Version>,
    commits: &BTreeMap<String, String>,
    whole: bool,
) -> String {
    let mut new = String::new();
    let mut missing = commits.clone();
    for line in old.lines() {
        match read_line(line) {
            Ok(LockLine::Pin { version, commit }) => {
                let key = version.to_ascii_lowercase();
                match commits.get(&key) {
                    // Written once is enough.
                    Some(found) if missing.remove(&key).is_some() => {
                        new.push_str(&line.replacen(commit, found, 1))
                    }
                    Some(_) => continue,
                    None if whole => continue,
                    None => new.push_str(line),
                }
            }
            _ => new.push_str(line),
        }
        new.push('\n');
    }
    if new.is_empty() && !missing.is_empty() {
        new.push_str(HEADER);
    }
    for (key, commit) in &missing {
        if let Some(version) = versions.get(key) {
            new.push_str(&format!("{version} {commit}\n"));
        }
    }
    new
}

/// What is different, one line each.
fn changes(
    before: &BTreeMap<String, String>,
    commits: &BTreeMap<String, String>,
    new: &str,
) -> Result<Vec<String>, Failure> {
    let after = read(new).map_err(|wrong| Failure::usage(wrong.message))?;
    let mut changes = Vec::new();
    for (key, commit) in commits {
        match before.get(key) {
            Some(old) if old == commit => {}
            Some(old) => changes.push(format!("{key} {old} -> {commit}")),
            None => changes.push(format!("{key} {commit}")),
        }
    }
    changes.extend(
        before.keys().filter(|key| !after.contains_key(*key)).map(|key| format!("{key} is not used")),
    );
    Ok(changes)
}

/// Writes a file as a whole or not at all.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(".slipway-actions.").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_place_and_comments() {
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        let old = format!("# ours\n\nO/R@v1 {one}  # why\ngone/gone@v1 {one}\no/r@V1 {one}\n");
        let version = |repository: &str, git_ref: &str| Version {
            repository: repository.to_owned(),
            git_ref: git_ref.to_owned(),
            user: String::new(),
        };
        let versions = [("o/r@v1", version("o/r", "v1")), ("A/b@Main", version("A/b", "Main"))]
            .map(|(k, v)| (k.to_ascii_lowercase(), v));
        let versions = BTreeMap::from(versions);
        let commits = versions.keys().map(|key| (key.clone(), two.clone())).collect();
        let new = format!("# ours\n\nO/R@v1 {two}  # why\nA/b@Main {two}\n");
        assert_eq!(rewrite(&old, &versions, &commits, true), new);
        assert_eq!(rewrite(&new, &versions, &commits, true), new);
        let some = rewrite(&old, &versions, &commits, false);
        assert!(some.contains("gone/gone@v1"), "{some}");
    }
}
