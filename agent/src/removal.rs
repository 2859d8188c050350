//! Removes what jobs leave on the agent's disk, whatever shape they gave it.
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
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match unlinkat(CWD, path, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // POSIX knows both for a folder.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno.into()),
    }
    let Some(top) = folder(CWD, path)? else { return Ok(()) };
    let mut removal = Removal { top: &top, moved: true };
    while std::mem::take(&mut removal.moved) {
        removal.empty(&top, REMOVAL_LEVELS)?;
    }
    gone(unlinkat(CWD, path, AtFlags::REMOVEDIR))
}

struct Removal<'a> {
    top: &'a OwnedFd,
    /// Whether something was moved to the top that is still to be removed.
    moved: bool,
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
            // A name of ours alone: what a job made cannot be in the way.
            let up = format!(".removed-{}", uuid::Uuid::new_v4().simple());
            self.moved = true;
            return gone(renameat(from, name, self.top, up));
        }
        let Some(inner) = folder(from.as_fd(), name)? else { return Ok(()) };
        self.empty(&inner, levels - 1)?;
        gone(unlinkat(from, name, AtFlags::REMOVEDIR))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A chain of so many folders with a file at its end, made as a shell would: name by name.
    fn deep(top: &Path, levels: usize) {
        let mut at = folder(CWD, top).unwrap().unwrap();
        for _ in 0..levels {
            rustix::fs::mkdirat(&at, "d", Mode::from_raw_mode(0o755)).unwrap();
            at = folder(at.as_fd(), "d").unwrap().unwrap();
        }
        openat(&at, "file", OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::from_raw_mode(0o644))
            .unwrap();
    }

    #[test]
    fn any_depth_goes_with_few_descriptors() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("job");
        std::fs::create_dir_all(top.join("wide/a")).unwrap();
        std::fs::write(top.join("wide/file"), "x").unwrap();
        // Deeper than the stack of a thread or its descriptors would bear.
        deep(&top, 20_000);
        deep(&top.join("wide"), 2 * REMOVAL_LEVELS);
        remove(&top).unwrap();
        assert!(!top.exists());
        remove(&top).unwrap();
    }

    #[test]
    fn links_are_removed_and_what_they_lead_to_stays() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("kept"), "x").unwrap();
        let top = folder.path().join("job");
        std::fs::create_dir(&top).unwrap();
        std::os::unix::fs::symlink(outside.path(), top.join("link")).unwrap();
        remove(&top).unwrap();
        assert!(!top.exists() && outside.path().join("kept").exists());
        std::os::unix::fs::symlink(outside.path(), &top).unwrap();
        remove(&top).unwrap();
        assert!(!top.exists() && outside.path().join("kept").exists());
    }
}
