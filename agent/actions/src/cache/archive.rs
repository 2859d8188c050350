//! Packing: files and folders into a tar archive, with names as seen from the workspace.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use tar::Builder;

use super::header::{Kind, begin};
use crate::failure::Failure;
use crate::files::{Seen, children};
use crate::limits::FILE_BYTES;
use crate::say;

/// Packs `members`, each relative to `workspace`, with all that is below them. What is a member twice is packed once.
///
/// # Errors
/// When a file can't be read, or became shorter meanwhile; when the archive can't be written.
pub fn pack(out: impl Write, workspace: &Path, members: &[PathBuf]) -> Result<(), Failure> {
    let mut tar = Builder::new(out);
    let mut seen = Seen::default();
    let mut packed: HashSet<PathBuf> = HashSet::new();
    let mut buffer = vec![0; FILE_BYTES];
    for member in members {
        // The workspace itself is `.`, as the original has it.
        let root = if member.as_os_str().is_empty() { PathBuf::from(".") } else { member.clone() };
        if root.ancestors().any(|above| packed.contains(above)) {
            continue;
        }
        let mut stack = vec![root.clone()];
        while let Some(name) = stack.pop() {
            let path = workspace.join(&name);
            let status = match fs::symlink_metadata(&path) {
                // It went while the folder was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound && name != root => continue,
                other => other.map_err(|error| Failure::at(&path, error))?,
            };
            let kind = status.file_type();
            if kind.is_dir() {
                let header = begin(&mut tar, &name, &status, Kind::Folder)?;
                tar.append(&header, io::empty())?;
                stack.extend(children(&path)?.into_iter().rev().map(|child| name.join(child)));
            } else if kind.is_symlink() {
                let target = fs::read_link(&path).map_err(|error| Failure::at(&path, error))?;
                let header = begin(&mut tar, &name, &status, Kind::Symbolic(&target))?;
                tar.append(&header, io::empty())?;
            } else if kind.is_file() {
                if let Some(first) = seen.before(&status, &name) {
                    let header = begin(&mut tar, &name, &status, Kind::Hard(&first))?;
                    tar.append(&header, io::empty())?;
                    continue;
                }
                file(&mut tar, &name, &path, &mut buffer)?;
            } else {
                let what = if kind.is_socket() { "socket" } else { "special file" };
                say::debug(&format!("{}: {what} ignored", path.display()));
            }
        }
        packed.insert(root);
    }
    tar.finish()?;
    Ok(())
}

/// Packs one file, of the size that it has when it is opened.
fn file<W: Write>(tar: &mut Builder<W>, name: &Path, path: &Path, buffer: &mut [u8]) -> Result<(), Failure> {
    let at = |error| Failure::at(path, error);
    let opened = File::open(path).map_err(at)?;
    let status = opened.metadata().map_err(at)?;
    let header = begin(tar, name, &status, Kind::File(status.len()))?;
    let mut exact = Exact { file: opened, left: status.len(), path };
    // `append` copies with a small buffer of its own.
    let mut buffered = Buffered { inner: &mut exact, buffer, from: 0, until: 0 };
    tar.append(&header, &mut buffered).map_err(Failure::from)
}

/// Gives as many bytes as were announced, or fails.
struct Exact<'a> {
    file: File,
    left: u64,
    path: &'a Path,
}

impl Read for Exact<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        if room == 0 {
            return Ok(0);
        }
        let read = self.file.read(into.get_mut(..room).unwrap_or_default());
        let count = read.map_err(|error| Failure::at(self.path, error))?;
        if count == 0 {
            let message = format!("{}: the file became shorter while it was read", self.path.display());
            return Err(Failure::new(message).into());
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// Reads ahead into a buffer that many files share.
struct Buffered<'a, R> {
    inner: &'a mut R,
    buffer: &'a mut [u8],
    from: usize,
    until: usize,
}

impl<R: Read> Read for Buffered<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.from >= self.until {
            self.from = 0;
            self.until = self.inner.read(self.buffer)?;
        }
        let there = self.buffer.get(self.from..self.until).unwrap_or_default();
        let count = there.len().min(into.len());
        if let (Some(into), Some(there)) = (into.get_mut(..count), there.get(..count)) {
            into.copy_from_slice(there);
        }
        self.from += count;
        Ok(count)
    }
}
