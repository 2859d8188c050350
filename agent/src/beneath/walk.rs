//! A path, resolved below a folder one component at a time, without `openat2`.
//!
//! Each component is opened as what it is (`O_PATH`, `O_NOFOLLOW`) in the folder that is already open, so that a swap
//! between two calls changes only what is found, never where it lies. Links are read and resolved here.
//!
//! Two folders are open at most, however deep the path is: `..` opens the parent and compares it with the folder the
//! walk came through. Where that was moved meanwhile the answer is `AGAIN`, as from the kernel.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, readlinkat};
use rustix::io::Errno;

use crate::limits::{BENEATH_LINKS_MAX, BENEATH_PATH_MAX_BYTES};

/// Opens something as what it is, to look at it and to go on from it.
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Device and number.
type Identity = (u64, u64);

/// As `openat2`; one try.
pub(super) fn open(
    folder: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    how: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let status = fstat(folder)?;
    let here = identity(&status);
    let mut walk =
        Walk { root: folder, below: None, here, above: Vec::new(), todo: Vec::new(), links: 0, how, flags };
    walk.add(path.as_os_str(), true)?;
    walk.run()
}

struct Walk<'a> {
    root: BorrowedFd<'a>,
    /// The folder it has come to; none: the root.
    below: Option<OwnedFd>,
    /// Which folder that is.
    here: Identity,
    /// The folders that it came through, the root first. What is in here is open or was.
    above: Vec<Identity>,
    /// What is left of the path, the next component last.
    todo: Vec<OsString>,
    /// Links followed so far.
    links: usize,
    how: ResolveFlags,
    /// How the last component is opened.
    flags: OFlags,
}

impl Walk<'_> {
    fn run(mut self) -> Result<OwnedFd, Errno> {
        while let Some(part) = self.todo.pop() {
            let last = self.todo.is_empty();
            match (part.as_bytes(), last) {
                (b".", true) => return openat(self.folder(), &part, self.flags, Mode::empty()),
                (b".", false) => {}
                (b"..", true) => return self.parent(self.flags),
                (b"..", false) => {
                    let parent = self.parent(LOOK | OFlags::DIRECTORY)?;
                    self.here = self.above.pop().ok_or(Errno::XDEV)?;
                    self.below = Some(parent);
                }
                (_, true) => {
                    if let Some(opened) = self.last(&part)? {
                        return Ok(opened);
                    }
                }
                (_, false) => self.enter(&part)?,
            }
        }
        // An empty path.
        Err(Errno::NOENT)
    }

    fn folder(&self) -> BorrowedFd<'_> {
        self.below.as_ref().map_or(self.root, |below| below.as_fd())
    }

    /// Puts a path or what a link says before what is left.
    fn add(&mut self, path: &OsStr, is_last: bool) -> Result<(), Errno> {
        let bytes = path.as_bytes();
        if bytes.len() >= BENEATH_PATH_MAX_BYTES {
            return Err(Errno::NAMETOOLONG);
        }
        if bytes.starts_with(b"/") {
            return Err(Errno::XDEV);
        }
        // With a slash at its end it is a folder, or a link to one, which is followed.
        if is_last && bytes.ends_with(b"/") {
            self.flags = self.flags.difference(OFlags::NOFOLLOW).union(OFlags::DIRECTORY);
        }
        let parts = bytes.rsplit(|byte| *byte == b'/').filter(|part| !part.is_empty());
        self.todo.extend(parts.map(|part| OsStr::from_bytes(part).to_owned()));
        Ok(())
    }

    /// Goes into a folder, or puts what a link says in its place.
    fn enter(&mut self, name: &OsStr) -> Result<(), Errno> {
        let (found, status) = self.look(name)?;
        match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => {
                self.above.push(self.here);
                self.here = identity(&status);
                self.below = Some(found);
                Ok(())
            }
            FileType::Symlink => self.follow(&found, false),
            _ => Err(Errno::NOTDIR),
        }
    }

    /// Opens the last component; none: it is a link, and what it says is now what is left.
    fn last(&mut self, name: &OsStr) -> Result<Option<OwnedFd>, Errno> {
        if self.flags.contains(OFlags::NOFOLLOW) {
            let opened = openat(self.folder(), name, self.flags, Mode::empty())?;
            self.check_device(&opened)?;
            return Ok(Some(opened));
        }
        let (found, status) = self.look(name)?;
        let kind = FileType::from_raw_mode(status.st_mode);
        if kind == FileType::Symlink {
            self.follow(&found, true)?;
            return Ok(None);
        }
        if self.flags.contains(OFlags::DIRECTORY) && kind != FileType::Directory {
            return Err(Errno::NOTDIR);
        }
        if self.flags.contains(OFlags::PATH) {
            return Ok(Some(found));
        }
        match openat(self.folder(), name, self.flags | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(opened) => {
                self.check_device(&opened)?;
                Ok(Some(opened))
            }
            // It was no link, and it was a folder if that is wanted: something else was put in its place.
            Err(Errno::LOOP | Errno::NOTDIR) => Err(Errno::AGAIN),
            Err(errno) => Err(errno),
        }
    }

    fn look(&self, name: &OsStr) -> Result<(OwnedFd, Stat), Errno> {
        let found = openat(self.folder(), name, LOOK, Mode::empty())?;
        let status = self.check_device(&found)?;
        Ok((found, status))
    }

    /// Opens the folder that this one is in.
    fn parent(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        let above = self.above.last().ok_or(Errno::XDEV)?;
        let parent = openat(self.folder(), "..", flags, Mode::empty())?;
        if identity(&fstat(&parent)?) == *above { Ok(parent) } else { Err(Errno::AGAIN) }
    }

    fn follow(&mut self, link: &OwnedFd, is_last: bool) -> Result<(), Errno> {
        if self.links >= BENEATH_LINKS_MAX || self.how.contains(ResolveFlags::NO_SYMLINKS) {
            return Err(Errno::LOOP);
        }
        self.links += 1;
        // Of the very link that was looked at.
        let says = readlinkat(link, "", Vec::new())?;
        self.add(OsStr::from_bytes(says.as_bytes()), is_last)
    }

    fn check_device(&self, opened: &OwnedFd) -> Result<Stat, Errno> {
        let status = fstat(opened)?;
        if self.how.contains(ResolveFlags::NO_XDEV) && status.st_dev != self.here.0 {
            return Err(Errno::XDEV);
        }
        Ok(status)
    }
}

fn identity(status: &Stat) -> Identity {
    (status.st_dev, status.st_ino)
}
