//! Opens what lies below a folder that a job's processes may change at any time, and nothing else.
//!
//! The kernel resolves the path itself (`openat2`). Where there is no such call (Linux before 5.6, some emulators and
//! filters of system calls), [`walk`] takes it component by component, with the same promise and the same errors.
//!
//! Invariant: nothing outside of the folder is opened, whatever the job swaps meanwhile.
//!
//! Deliberately absent: making files. What is opened here is read.

mod walk;

#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::limits::BENEATH_RACES_MAX;

/// Links are not followed, nowhere on the way.
pub(crate) const NO_LINKS: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Links are followed as long as they stay below the folder: relative ones.
pub(crate) const LINKS_BELOW: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// [`NO_LINKS`], and no other file system than the folder's.
pub(crate) const NO_LINKS_ONE_FILE_SYSTEM: ResolveFlags = NO_LINKS.union(ResolveFlags::NO_XDEV);

/// Whether a call of this process was answered with "no such system call".
static KERNEL_LACKS_OPENAT2: AtomicBool = AtomicBool::new(false);

/// Opens `path` below `folder` for reading; `how` is one of this module's constants. A race with a rename is tried
/// again [`BENEATH_RACES_MAX`] times by the kernel, and as often by [`walk`]: the kernel refuses `..` while anything is
/// renamed on the whole machine, the walk only if it is a folder that it came through.
///
/// # Errors
/// `XDEV`: it leads out of the folder (`..`, an absolute path or link), or to another file system where that is not
/// wanted. `LOOP`: a link where none is wanted, or more than 40 in a row. `AGAIN`: it is renamed all the time. Else as
/// `open`.
pub(crate) fn open_beneath(
    folder: impl AsFd,
    path: &Path,
    flags: OFlags,
    how: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let folder = folder.as_fd();
    if !KERNEL_LACKS_OPENAT2.load(Ordering::Relaxed) {
        match again(|| rustix::fs::openat2(folder, path, flags, Mode::empty(), how)) {
            Err(Errno::NOSYS) => KERNEL_LACKS_OPENAT2.store(true, Ordering::Relaxed),
            Err(Errno::AGAIN) => {}
            other => return other,
        }
    }
    again(|| walk::open(folder, path, flags, how))
}

fn again<T>(mut open: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    for _ in 0..BENEATH_RACES_MAX {
        match open() {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}
