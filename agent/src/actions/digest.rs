//! What a tree is: its size, and one digest of names, modes, links and contents.

use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::StoreLimits;

/// A file system gives out space in pieces; this is charged for each entry, so that many small ones count too.
pub(super) const ENTRY_BYTES: u64 = 4_096;

/// How much of a file is read at a time.
const PIECE_BYTES: usize = 128 * 1024;

/// A tree's size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    entries: u64,
    bytes: u64,
}

impl Size {
    /// Counts one more entry.
    pub(super) fn add(&mut self, bytes: u64, limits: StoreLimits) -> io::Result<()> {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.entries > limits.entries || self.bytes > limits.bytes {
            let (entries, bytes) = (limits.entries, limits.bytes);
            return Err(io::Error::other(format!(
                "it is too large for an action: at most {entries} entries and {bytes} bytes are taken"
            )));
        }
        Ok(())
    }

    /// What it takes of a disk.
    pub(super) fn on_disk(self) -> u64 {
        self.bytes.saturating_add(self.entries.saturating_mul(ENTRY_BYTES))
    }
}

/// The size of a tree, without `.git`.
pub(super) fn size(folder: &Path, limits: StoreLimits) -> io::Result<Size> {
    let mut size = Size::default();
    walk(folder, &mut |_, found| size.add(if found.is_file() { found.len() } else { 0 }, limits))?;
    Ok(size)
}

/// The digest of a tree: SHA-256, in hexadecimal.
pub(super) fn digest(folder: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    let text = |hash: &mut Sha256, bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    walk(folder, &mut |path, found| {
        text(&mut hash, path.strip_prefix(folder).unwrap_or(path).as_os_str().as_bytes());
        if found.is_dir() {
            hash.update(b"d");
        } else if found.is_symlink() {
            hash.update(b"l");
            text(&mut hash, std::fs::read_link(path)?.as_os_str().as_bytes());
        } else if found.is_file() {
            hash.update(if found.permissions().mode() & 0o100 == 0 { b"f" } else { b"x" });
            hash.update(found.len().to_be_bytes());
            let mut file = std::fs::File::open(path)?;
            loop {
                let read = file.read(&mut piece)?;
                let Some(read) = piece.get(..read).filter(|read| !read.is_empty()) else { break };
                hash.update(read);
            }
        } else {
            return Err(io::Error::other(format!("{} is no file, folder or link", path.display())));
        }
        Ok(())
    })?;
    Ok(hex::encode(hash.finalize()))
}

/// Every entry below a folder, in the order of names, without `.git` at its top.
pub(super) fn walk(
    folder: &Path,
    each: &mut dyn FnMut(&Path, &std::fs::Metadata) -> io::Result<()>,
) -> io::Result<()> {
    let mut waiting = names(folder)?;
    waiting.retain(|path| path.file_name().is_none_or(|name| name != ".git"));
    while let Some(path) = waiting.pop() {
        let found = std::fs::symlink_metadata(&path)?;
        each(&path, &found)?;
        if found.is_dir() {
            waiting.extend(names(&path)?);
        }
    }
    Ok(())
}

/// Paths of a folder's entries, last name first.
fn names(folder: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.push(entry?.path());
    }
    names.sort_unstable_by(|one, other| other.cmp(one));
    Ok(names)
}
