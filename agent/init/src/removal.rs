//! Removes what jobs leave on the agent's disk, whatever shape they gave it: the agent itself, or init in a container where the agent has no
//! right to.
//!
//! A job may nest folders deeper than a program may recurse or hold descriptors, so this goes down a bounded number of levels and
//! moves what lies deeper up to the top first. No link is followed: everything is named below an open folder.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;

use crate::limits::REMOVAL_LEVELS;

/// Removes a file, link or folder with everything in it; one that is gone already is fine.
///
/// # Errors
/// When something of it can't be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    match unlinkat(CWD, path, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // POSIX knows both for a folder.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno.into()),
    }
    let Some(top) = folder(CWD, path)? else { return Ok(()) };
    empty_open(&top)?;
    gone(unlinkat(CWD, path, AtFlags::REMOVEDIR))
}

/// Removes everything in a folder, which stays.
///
/// # Errors
/// When something of it can't be removed, or it is no folder.
pub fn empty(path: &Path) -> io::Result<()> {
    match folder(CWD, path)? {
        Some(top) => empty_open(&top),
        None => Ok(()),
    }
}

fn empty_open(top: &OwnedFd) -> io::Result<()> {
    let mut removal = Removal { top, moved: true, names: 0 };
    while std::mem::take(&mut removal.moved) {
        removal.empty(top, REMOVAL_LEVELS)?;
    }
    Ok(())
}

struct Removal<'a> {
    top: &'a OwnedFd,
    /// Whether something was moved to the top that is still to be removed.
    moved: bool,
    /// Names given to what was moved.
    names: u64,
}

impl Removal<'_> {
    fn empty(&mut self, from: &OwnedFd, levels: usize) -> io::Result<()> {
        for entry in Dir::read_from(from)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            if entry.file_type() != FileType::Directory {
                match unlinkat(from, name, AtFlags::empty()) {
                    Err(Errno::ISDIR | Errno::PERM) => {}
                    other => {
                        gone(other)?;
                        continue;
                    }
                }
            }
            self.folder(from, name, levels)?;
        }
        Ok(())
    }

    fn folder(&mut self, from: &OwnedFd, name: &CStr, levels: usize) -> io::Result<()> {
        if levels == 0 {
            return self.move_up(from, name);
        }
        let Some(inner) = folder(from.as_fd(), name)? else { return Ok(()) };
        self.empty(&inner, levels - 1)?;
        gone(unlinkat(from, name, AtFlags::REMOVEDIR))
    }
}

impl Removal<'_> {
    /// To the first name that is free: a job may have used any of them. An empty folder of that name is replaced, as all here goes anyway.
    fn move_up(&mut self, from: &OwnedFd, name: &CStr) -> io::Result<()> {
        loop {
            self.names += 1;
            match renameat(from, name, self.top, format!(".removed-{}", self.names)) {
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                other => {
                    self.moved = true;
                    return gone(other);
                }
            }
        }
    }
}

/// Opens a folder, never through a link. None: it is gone.
fn folder<P: rustix::path::Arg>(at: std::os::fd::BorrowedFd<'_>, name: P) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(at, name, flags, Mode::empty()) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn gone(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
