//! Files below a folder that a job's processes may change at any time.
//!
//! The agent is usually root, and a step may put a symbolic link where the agent is about to read or write. So
//! nothing here follows a link or leaves the folder: paths are resolved below a root ([`crate::beneath`]).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, open, openat, unlinkat};
use rustix::io::Errno;

use crate::beneath::{NO_LINKS, open_beneath};
use crate::docker::passwd::ContainerUser;
use crate::limits::CHECKOUT_KEPT_MAX_DEPTH;

/// A folder below a root, held open.
#[derive(Debug)]
pub(crate) struct Inside {
    folder: OwnedFd,
}

/// What is in a folder.
pub(crate) enum Entry {
    /// A folder and its permissions.
    Folder(Inside, u32),
    /// A file and its permissions.
    File(File, u32),
    /// A symbolic link and where it leads, not followed.
    Link(PathBuf),
    /// A pipe, socket or device.
    Other,
}

impl Inside {
    /// Opens `relative` below `root`; with an empty `relative`, the root itself.
    pub(crate) fn open(root: &Path, relative: &Path) -> std::io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(root, flags | OFlags::NOFOLLOW, Mode::empty())?;
        if relative.as_os_str().is_empty() {
            return Ok(Self { folder: root });
        }
        let folder = open_beneath(&root, relative, flags, NO_LINKS)?;
        Ok(Self { folder })
    }

    /// Opens `relative` below `root` and makes what is missing of it for the user.
    pub(crate) fn make(root: &Path, relative: &Path, user: &ContainerUser) -> std::io::Result<Self> {
        let mut inside = Self::open(root, Path::new(""))?;
        for part in relative.components() {
            match mkdirat(&inside.folder, part.as_os_str(), Mode::from_raw_mode(0o755)) {
                Ok(()) => {
                    inside = inside.child(Path::new(part.as_os_str()))?;
                    give(&inside.path(), user)?;
                }
                Err(Errno::EXIST) => inside = inside.child(Path::new(part.as_os_str()))?,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(inside)
    }

    /// Moves what `new` does not have there: files that an earlier checkout did not bring stay. Git's own folder does
    /// not.
    pub(crate) fn keep_in(&self, new: &Self) -> std::io::Result<()> {
        self.keep_below(new, CHECKOUT_KEPT_MAX_DEPTH)
    }

    fn keep_below(&self, new: &Self, levels: usize) -> std::io::Result<()> {
        let Some(levels) = levels.checked_sub(1) else {
            return Err(std::io::Error::other(format!(
                "what is there has folders of more than {CHECKOUT_KEPT_MAX_DEPTH} levels; check out with `clean: true`"
            )));
        };
        for name in self.names()?.into_iter().filter(|name| name != ".git") {
            match (self.entry(&name), new.entry(&name)) {
                (Ok(Entry::Folder(old, _)), Ok(Entry::Folder(new, _))) => old.keep_below(&new, levels)?,
                (_, Ok(_)) => {}
                (_, Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                    rustix::fs::renameat(&self.folder, &name, &new.folder, &name)?;
                }
                (_, Err(error)) => return Err(error),
            }
        }
        Ok(())
    }

    pub(crate) fn child(&self, name: &Path) -> std::io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { folder: open_beneath(&self.folder, name, flags, NO_LINKS)? })
    }

    /// Names in this folder, sorted.
    pub(crate) fn names(&self) -> std::io::Result<Vec<OsString>> {
        let mut names = std::fs::read_dir(self.path())?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<std::io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    /// What a name of this folder is; files and folders are open.
    pub(crate) fn entry(&self, name: &OsStr) -> std::io::Result<Entry> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match open_beneath(&self.folder, Path::new(name), flags, NO_LINKS) {
            Ok(file) => File::from(file),
            Err(Errno::LOOP) => {
                let target = rustix::fs::readlinkat(&self.folder, name, Vec::new())?;
                return Ok(Entry::Link(PathBuf::from(OsString::from_vec(target.into_bytes()))));
            }
            // A socket.
            Err(Errno::NXIO) => return Ok(Entry::Other),
            Err(errno) => return Err(errno.into()),
        };
        let found = file.metadata()?;
        let mode = found.permissions().mode() & 0o7777;
        Ok(match found.file_type() {
            kind if kind.is_dir() => Entry::Folder(self.child(Path::new(name))?, mode),
            kind if kind.is_file() => Entry::File(file, mode),
            _ => Entry::Other,
        })
    }

    /// Its descriptor's number, while this lives.
    pub(crate) fn as_raw_fd(&self) -> i32 {
        self.folder.as_raw_fd()
    }

    /// A path that leads to this very folder whatever happens to its name; valid while this lives.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/.", self.folder.as_fd().as_raw_fd()))
    }

    /// Reads a regular file of this folder, at most `max` bytes and one more. None when there is none.
    pub(crate) fn read(&self, name: &str, max: usize) -> std::io::Result<Option<Vec<u8>>> {
        // Not blocking: a step may have put a pipe there.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match open_beneath(&self.folder, Path::new(name), flags, NO_LINKS) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT | Errno::LOOP) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        if !file.metadata()?.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.take(max as u64 + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Writes a new file in this folder, in place of whatever has its name, and gives it to the user.
    pub(crate) fn write(&self, name: &str, bytes: &[u8], user: &ContainerUser) -> std::io::Result<()> {
        self.remove(name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.folder, name, flags, Mode::from_raw_mode(0o644))?);
        file.write_all(bytes)?;
        match std::os::unix::fs::fchown(&file, Some(user.uid), Some(user.gid)) {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                file.set_permissions(std::fs::Permissions::from_mode(0o666))
            }
            other => other,
        }
    }

    /// Removes a file of this folder; one that is gone already is fine.
    pub(crate) fn remove(&self, name: &str) -> std::io::Result<()> {
        match unlinkat(&self.folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => crate::removal::remove(&self.path().join(name)),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Gives a folder to the container's user. An agent without the right to (not root) opens it to everyone instead: only
/// the job's container sees it.
pub(crate) fn give(path: &Path, user: &ContainerUser) -> std::io::Result<()> {
    match std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid)) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn me() -> ContainerUser {
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        ContainerUser { uid, gid, ..ContainerUser::root() }
    }

    #[test]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "host").unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("temp")).unwrap();
        assert!(Inside::open(folder.path(), Path::new("temp")).is_err());
        assert!(Inside::open(folder.path(), Path::new("..")).is_err());
        assert!(Inside::make(folder.path(), Path::new("temp/x"), &me()).is_err());

        let inside = Inside::make(folder.path(), Path::new("a/b"), &me()).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), folder.path().join("a/b/file")).unwrap();
        assert_eq!(inside.read("file", 10).unwrap(), None);
        inside.write("file", b"new", &me()).unwrap();
        assert_eq!(inside.read("file", 10).unwrap().unwrap(), b"new");
        assert_eq!(std::fs::read(outside.path().join("secret")).unwrap(), b"host");
    }

    #[test]
    fn a_file_is_read_up_to_the_limit_and_one_byte() {
        let folder = tempfile::tempdir().unwrap();
        let inside = Inside::open(folder.path(), Path::new("")).unwrap();
        inside.write("file", b"12345", &me()).unwrap();
        assert_eq!(inside.read("file", 3).unwrap().unwrap(), b"1234");
        assert_eq!(inside.read("gone", 3).unwrap(), None);
    }
}
