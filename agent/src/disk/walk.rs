//! What a folder takes of the disk. The job's processes may change it at any time: nothing is followed out of it, and the walk goes on in
//! slices, so that a tree of millions of files holds up nobody.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::beneath::{NO_LINKS_ONE_FILE_SYSTEM, open_beneath};
use crate::limits::{DISK_WALK_ENTRIES_MAX, DISK_WALK_OPEN_MAX_BYTES};

/// Bytes of a block as `stat` counts them.
const BLOCK_BYTES: u64 = 512;

/// A walk under way.
#[derive(Debug)]
pub(super) struct Walk {
    root: OwnedFd,
    device: u64,
    /// Folders that were not looked into yet, below the root.
    open: Vec<PathBuf>,
    /// What their names take of memory.
    open_bytes: usize,
    bytes: u64,
    entries: usize,
}

impl Walk {
    /// Begins at a folder.
    pub(super) fn begin(folder: &Path) -> std::io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::open(folder, flags, Mode::empty())?;
        let status = rustix::fs::fstat(&root)?;
        Ok(Self {
            root,
            device: status.st_dev,
            open: vec![PathBuf::from(".")],
            open_bytes: 1,
            bytes: 0,
            entries: 0,
        })
    }

    /// Goes on for about so many entries. The bytes, once it is through; what vanished or can't be opened counts nothing, nor do folders
    /// beyond what may be remembered. After [`DISK_WALK_ENTRIES_MAX`] it is through as well.
    pub(super) fn go_on(&mut self, entries: usize) -> Option<u64> {
        let until = self.entries.saturating_add(entries);
        while self.entries < until {
            if self.entries >= DISK_WALK_ENTRIES_MAX {
                return Some(self.bytes);
            }
            let Some(folder) = self.open.pop() else { return Some(self.bytes) };
            self.open_bytes = self.open_bytes.saturating_sub(folder.as_os_str().len());
            // It may be gone by now, or be something else.
            let _ = self.look_into(&folder);
        }
        None
    }

    fn look_into(&mut self, folder: &Path) -> Result<(), Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = open_beneath(&self.root, folder, flags, NO_LINKS_ONE_FILE_SYSTEM)?;
        for entry in Dir::read_from(&opened)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            self.entries += 1;
            let Ok(status) = rustix::fs::statat(&opened, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if status.st_dev != self.device {
                continue;
            }
            let blocks = u64::try_from(status.st_blocks).unwrap_or(0).saturating_mul(BLOCK_BYTES);
            if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
                self.bytes = self.bytes.saturating_add(blocks);
                let below = folder.join(OsString::from_vec(name.to_bytes().to_vec()));
                let more = below.as_os_str().len();
                if self.open_bytes.saturating_add(more) <= DISK_WALK_OPEN_MAX_BYTES {
                    self.open_bytes += more;
                    self.open.push(below);
                }
            } else {
                // A file of several names counts once in all.
                self.bytes = self.bytes.saturating_add(blocks / u64::from(status.st_nlink as u32).max(1));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_tree_is_counted_in_slices_and_without_what_links_lead_to() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::write(elsewhere.path().join("large"), vec![1; 4 << 20]).unwrap();
        let deep = folder.path().join("a/b/c");
        std::fs::create_dir_all(&deep).unwrap();
        for number in 0..50 {
            std::fs::write(deep.join(format!("file-{number}")), vec![1; 16 << 10]).unwrap();
        }
        std::fs::hard_link(deep.join("file-0"), folder.path().join("again")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("link")).unwrap();
        let mut walk = Walk::begin(folder.path()).unwrap();
        let mut slices = 0;
        let bytes = loop {
            slices += 1;
            if let Some(bytes) = walk.go_on(10) {
                break bytes;
            }
        };
        assert!(slices > 1, "{slices}");
        assert!((50 * (16 << 10)..1 << 20).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_folder_that_is_not_there_is_told() {
        assert!(Walk::begin(Path::new("/no/such/folder")).is_err());
    }
}
