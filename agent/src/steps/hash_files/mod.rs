//! `hashFiles`: SHA-256 over the SHA-256 digests of the files that match, in the order in which GitHub finds them.
//!
//! Follows the runner's `hashFiles` script and `@actions/glob`: depth first, names in byte order, hidden files
//! included, a symbolic link to a file counts as its content, one to a directory is not followed. Nothing outside the
//! workspace is ever opened: every path is resolved below the workspace's descriptor ([`crate::beneath`]), so a job
//! that swaps links meanwhile gains nothing. It reads files and may take long: call it where blocking is allowed.

mod open;

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::FileType;
use sha2::{Digest, Sha256};
use slipway_glob::{Options, Pattern, PatternError, judge};
use thiserror::Error;

use open::{Root, read_into};

/// Most files and directories that one call looks at.
pub const MAX_ENTRIES: usize = 5_000_000;

/// Most bytes that one call reads.
pub const MAX_BYTES: u64 = 64 * 1024 * 1024 * 1024;

/// Deepest folder below the workspace.
pub const MAX_DEPTH: usize = 512;

/// Why there is no digest.
#[derive(Debug, Error)]
pub enum HashError {
    /// A pattern can't be used.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// As GitHub's text, its spelling included.
    #[error("Invalid glob option {0}, avaliable option: '--follow-symbolic-links'.")]
    Option(String),
    /// More than one call may look at or read.
    #[error(
        "The patterns cover more than {MAX_ENTRIES} entries, {MAX_DEPTH} levels or {MAX_BYTES} bytes; name fewer files"
    )]
    TooMuch,
    /// A link out of the workspace.
    #[error("'{0}' leads out of the workspace; exclude it with a pattern that starts with '!'")]
    Outside(String),
    /// A pipe, socket or device.
    #[error("'{0}' is not a file that can be read; exclude it with a pattern that starts with '!'")]
    NotAFile(String),
    /// The system's answer.
    #[error("Fail to hash files: '{path}': {source}")]
    Io {
        /// As the step sees it.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Where the workspace is for the agent, so that `hashFiles` can look into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// The folder on this machine that only the agent can move: the job's work folder.
    pub work: PathBuf,
    /// The workspace below it; the job may put anything in its place.
    pub inside: PathBuf,
    /// The same folder as the step sees it: `github.workspace`, which absolute patterns and links start with.
    pub seen: String,
}

/// Hashes what the patterns match in a workspace. No match gives the empty string.
///
/// # Errors
/// [`HashError`]; its text follows `hashFiles('…') failed. `.
pub fn hash_files(place: &Workspace, patterns: &[String]) -> Result<String, HashError> {
    let (follow, patterns) = match patterns.split_first() {
        Some((first, rest)) if first.starts_with("--") => {
            if !first.eq_ignore_ascii_case("--follow-symbolic-links") {
                return Err(HashError::Option(first.clone()));
            }
            (true, rest)
        }
        _ => (false, patterns),
    };
    let workspace = slipway_glob::names(&place.seen);
    // What is at home is outside of the workspace, where nothing counts.
    let options = Options { folder: &workspace, home: None, descendants: true };
    let patterns = slipway_glob::parse(patterns.iter().map(String::as_str), options)?;
    let starts = search_paths(&patterns, &workspace);
    if starts.is_empty() {
        return Ok(String::new());
    }
    let root = Root::open(&place.work, &place.inside, &place.seen)?;
    let mut walk = Walk {
        root,
        patterns,
        workspace,
        follow,
        entries: 0,
        bytes_left: MAX_BYTES,
        hash: Sha256::new(),
        found: false,
    };
    for start in starts {
        walk.visit(start)?;
    }
    Ok(if walk.found { hex(&walk.hash.finalize()) } else { String::new() })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where to start, relative to the workspace.
fn search_paths(patterns: &[Pattern], workspace: &[String]) -> Vec<Vec<String>> {
    let mut starts: Vec<Vec<String>> = Vec::new();
    for start in slipway_glob::search_paths(patterns) {
        // A start above the workspace finds there only what leads down to it.
        let inside = if workspace.starts_with(start.as_slice()) {
            Vec::new()
        } else {
            match start.strip_prefix(workspace) {
                Some(inside) => inside.to_vec(),
                None => continue,
            }
        };
        if !starts.contains(&inside) {
            starts.push(inside);
        }
    }
    starts
}

/// An entry to look at, with the directories that lead to it (device and number), for finding cycles of links.
struct Entry {
    path: Vec<String>,
    chain: Vec<(u64, u64)>,
}

struct Walk {
    root: Root,
    patterns: Vec<Pattern>,
    workspace: Vec<String>,
    follow: bool,
    entries: usize,
    bytes_left: u64,
    hash: Sha256,
    found: bool,
}

impl Walk {
    fn visit(&mut self, start: Vec<String>) -> Result<(), HashError> {
        let mut stack = vec![Entry { path: start, chain: Vec::new() }];
        while let Some(entry) = stack.pop() {
            self.entries += 1;
            if self.entries > MAX_ENTRIES || entry.path.len() > MAX_DEPTH {
                return Err(HashError::TooMuch);
            }
            let mut whole = self.workspace.clone();
            whole.extend_from_slice(&entry.path);
            let verdict = judge(&self.patterns, &whole);
            if !verdict.file && !verdict.descend {
                continue;
            }
            let Some(kind) = self.root.kind(&entry.path, self.follow)? else { continue };
            if kind.is_directory {
                if verdict.descend && !entry.chain.contains(&kind.identity) {
                    self.push_children(entry, kind.identity, &mut stack)?;
                }
            } else if verdict.file && !entry.path.is_empty() {
                self.add(&entry.path)?;
            }
        }
        Ok(())
    }

    fn push_children(
        &self,
        entry: Entry,
        identity: (u64, u64),
        stack: &mut Vec<Entry>,
    ) -> Result<(), HashError> {
        let room = MAX_ENTRIES.saturating_sub(stack.len());
        let names = self.root.names(&entry.path, self.follow, room)?;
        let mut chain = entry.chain;
        if self.follow {
            chain.push(identity);
        }
        for name in names.into_iter().rev() {
            let mut path = entry.path.clone();
            path.push(name);
            stack.push(Entry { path, chain: chain.clone() });
        }
        Ok(())
    }

    fn add(&mut self, path: &[String]) -> Result<(), HashError> {
        let Some((file, size)) = self.open_file(path)? else { return Ok(()) };
        if size > self.bytes_left {
            return Err(HashError::TooMuch);
        }
        let mut hash = Sha256::new();
        let read = read_into(file, self.bytes_left, &mut hash)
            .map_err(|source| HashError::Io { path: self.root.shown(path), source })?;
        self.bytes_left = self.bytes_left.checked_sub(read).ok_or(HashError::TooMuch)?;
        self.hash.update(hash.finalize());
        self.found = true;
        Ok(())
    }

    /// `None` for a directory behind a link, which is skipped.
    fn open_file(&self, path: &[String]) -> Result<Option<(OwnedFd, u64)>, HashError> {
        let file = self.root.open_following(path)?;
        let status = rustix::fs::fstat(&file)
            .map_err(|source| HashError::Io { path: self.root.shown(path), source: source.into() })?;
        match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile => Ok(Some((file, u64::try_from(status.st_size).unwrap_or(0)))),
            FileType::Directory => Ok(None),
            _ => Err(HashError::NotAFile(self.root.shown(path))),
        }
    }
}

#[cfg(test)]
mod tests;
