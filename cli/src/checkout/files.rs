//! Which files of a checkout go along: what git tracks and what is new and not ignored, as they are on disk now.
//! Without git, everything.
//!
//! Deliberately absent: `.git` itself (see `history`), and anything that is neither file, link nor directory.

use std::collections::BTreeSet;
use std::fs::FileType;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::git::Git;
use crate::failure::Failure;

/// Most files, links and directories in one tree.
pub const ENTRY_LIMIT: usize = 1_000_000;

/// How deep submodules and repositories inside the repository are followed.
const NESTED_LIMIT: usize = 16;

/// What goes along, by path from the root, sorted; and what had to stay.
#[derive(Debug, Default)]
pub struct Listing {
    /// Files, links and (without git) directories.
    pub paths: BTreeSet<PathBuf>,
    /// What cannot go along, and why, for a note.
    pub skipped: Vec<String>,
}

/// Lists a checkout.
///
/// # Errors
/// git fails, a directory cannot be read, or there are more than [`ENTRY_LIMIT`] entries.
pub fn list(root: &Path, git: Option<&Git>) -> Result<Listing, Failure> {
    let mut listing = Listing::default();
    match git {
        Some(git) => tracked(root, Path::new(""), git, 0, &mut listing)?,
        None => everything(root, Path::new(""), &mut listing)?,
    }
    Ok(listing)
}

fn tracked(root: &Path, at: &Path, git: &Git, depth: usize, listing: &mut Listing) -> Result<(), Failure> {
    for path in git.paths(&["ls-files", "-co", "--exclude-standard", "-z"])? {
        let path = at.join(path);
        let full = root.join(&path);
        // A tracked file that is gone from the disk is gone in the run too.
        let Ok(metadata) = full.symlink_metadata() else { continue };
        if !metadata.is_dir() {
            add(path, metadata.file_type(), listing)?;
        } else if full.join(".git").exists() && depth < NESTED_LIMIT {
            // A submodule, or a repository inside this one: its own rules hold in there.
            tracked(root, &path, &Git::open(&full)?, depth + 1, listing)?;
        } else {
            add(path, metadata.file_type(), listing)?;
        }
    }
    Ok(())
}

fn everything(root: &Path, at: &Path, listing: &mut Listing) -> Result<(), Failure> {
    // A stack of our own: a deep tree must not use up the thread's.
    let mut waiting = vec![at.to_path_buf()];
    while let Some(directory) = waiting.pop() {
        let full = root.join(&directory);
        let explain = |error| Failure::usage(format!("cannot read {}: {error}", full.display()));
        for entry in std::fs::read_dir(&full).map_err(explain)? {
            let entry = entry.map_err(explain)?;
            let kind = entry.file_type().map_err(explain)?;
            let path = directory.join(entry.file_name());
            if entry.file_name() == ".git" {
                continue;
            }
            if kind.is_dir() {
                waiting.push(path.clone());
            }
            add(path, kind, listing)?;
        }
    }
    Ok(())
}

fn add(path: PathBuf, kind: FileType, listing: &mut Listing) -> Result<(), Failure> {
    if kind.is_file() || kind.is_symlink() || kind.is_dir() {
        listing.paths.insert(path);
    } else {
        listing.skipped.push(format!("{}: {}", path.display(), strange(kind)));
    }
    if listing.paths.len() > ENTRY_LIMIT {
        return Err(Failure::usage(format!(
            "the checkout has more than {ENTRY_LIMIT} files; make it a git repository and list what a build makes in .gitignore"
        )));
    }
    Ok(())
}

fn strange(kind: FileType) -> &'static str {
    if kind.is_socket() {
        "a socket"
    } else if kind.is_fifo() {
        "a named pipe"
    } else {
        "a device"
    }
}
