//! Opening below the workspace, and nowhere else.

use std::ffi::OsStr;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::HashError;
use crate::beneath::{LINKS_BELOW, NO_LINKS, open_beneath};

/// How many absolute links in a row are followed.
const MAX_LINKS: usize = 16;

/// How much of a file is read at a time, in bytes.
const READ_BYTES: usize = 256 * 1024;

/// The workspace's folder.
pub(super) struct Root {
    folder: OwnedFd,
    seen: String,
}

/// What an entry is.
pub(super) struct Kind {
    pub(super) is_directory: bool,
    /// Device and number.
    pub(super) identity: (u64, u64),
}

impl Root {
    /// Opens `inside` below `work`. The job may have put a link in the workspace's place, or in that of a folder above it: only
    /// `work` itself is the agent's own.
    pub(super) fn open(work: &Path, inside: &Path, seen: &str) -> Result<Self, HashError> {
        let failure = |error: Errno| match error {
            Errno::LOOP | Errno::XDEV => HashError::Outside(seen.to_owned()),
            error => HashError::Io { path: seen.to_owned(), source: error.into() },
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(work, flags | OFlags::NOFOLLOW, Mode::empty()).map_err(failure)?;
        let seen_as = seen.trim_end_matches('/').to_owned();
        if inside.as_os_str().is_empty() {
            return Ok(Self { folder, seen: seen_as });
        }
        let folder = open_beneath(&folder, inside, flags, NO_LINKS).map_err(failure)?;
        Ok(Self { folder, seen: seen_as })
    }

    /// A path as the step sees it.
    pub(super) fn shown(&self, path: &[String]) -> String {
        format!("{}/{}", self.seen, path.join("/"))
    }

    /// What an entry is; `None`: it is gone, or, when links are followed, one that leads nowhere.
    pub(super) fn kind(&self, path: &[String], follow: bool) -> Result<Option<Kind>, HashError> {
        let flags = OFlags::PATH | OFlags::CLOEXEC | if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
        let found = match self.open_below(&relative(path), flags) {
            Ok(found) => found,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(self.failure(path, error)),
        };
        let status = rustix::fs::fstat(&found).map_err(|error| self.failure(path, error))?;
        Ok(Some(Kind {
            is_directory: FileType::from_raw_mode(status.st_mode) == FileType::Directory,
            identity: (status.st_dev, status.st_ino),
        }))
    }

    /// Names in a directory, in byte order, at most `room`; one that is not UTF-8 is an error, as it cannot be
    /// matched.
    pub(super) fn names(&self, path: &[String], follow: bool, room: usize) -> Result<Vec<String>, HashError> {
        let flags = OFlags::RDONLY
            | OFlags::DIRECTORY
            | OFlags::CLOEXEC
            | if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
        let folder = match self.open_below(&relative(path), flags) {
            Ok(folder) => folder,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Vec::new()),
            Err(error) => return Err(self.failure(path, error)),
        };
        let mut names = Vec::new();
        for entry in Dir::new(folder).map_err(|error| self.failure(path, error))? {
            let entry = entry.map_err(|error| self.failure(path, error))?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            if names.len() >= room {
                return Err(HashError::TooMuch);
            }
            match std::str::from_utf8(name) {
                Ok(name) => names.push(name.to_owned()),
                Err(_) => {
                    let shown = format!("{}/{}", self.shown(path), String::from_utf8_lossy(name));
                    return Err(HashError::NotAFile(shown));
                }
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Opens a file for reading, through links that stay in the workspace; absolute ones are read as the step would.
    pub(super) fn open_following(&self, path: &[String]) -> Result<OwnedFd, HashError> {
        // Never waits for the other end of a pipe.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mut at = relative(path);
        for _ in 0..MAX_LINKS {
            match self.open_below(&at, flags) {
                Ok(file) => return Ok(file),
                // Whatever would leave the folder is refused, absolute links among it.
                Err(Errno::XDEV) => at = self.absolute_target(&at).ok_or_else(|| self.outside(path))?,
                Err(Errno::NXIO) => return Err(HashError::NotAFile(self.shown(path))),
                Err(error) => return Err(self.failure(path, error)),
            }
        }
        Err(self.failure(path, Errno::LOOP))
    }

    /// Where an absolute link leads within the workspace.
    fn absolute_target(&self, link: &Path) -> Option<PathBuf> {
        let folder = link.parent()?;
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = self.open_below(folder, flags).ok()?;
        let target = rustix::fs::readlinkat(&folder, link.file_name()?, Vec::new()).ok()?;
        let target = PathBuf::from(std::ffi::OsString::from_vec(target.into_bytes()));
        let inside = target.strip_prefix(OsStr::from_bytes(self.seen.as_bytes())).ok()?;
        (!self.seen.is_empty() && !inside.as_os_str().is_empty()).then(|| inside.to_path_buf())
    }

    fn open_below(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        open_beneath(&self.folder, path, flags, LINKS_BELOW)
    }

    fn outside(&self, path: &[String]) -> HashError {
        HashError::Outside(self.shown(path))
    }

    fn failure(&self, path: &[String], error: Errno) -> HashError {
        if error == Errno::XDEV {
            return self.outside(path);
        }
        HashError::Io { path: self.shown(path), source: error.into() }
    }
}

fn relative(path: &[String]) -> PathBuf {
    if path.is_empty() { PathBuf::from(".") } else { path.iter().collect() }
}

/// Hashes a file's content, up to one byte more than `limit`; says how much that was.
pub(super) fn read_into(file: OwnedFd, limit: u64, hash: &mut Sha256) -> std::io::Result<u64> {
    let mut file = std::fs::File::from(file).take(limit.saturating_add(1));
    let mut buffer = vec![0; READ_BYTES];
    let mut total = 0u64;
    loop {
        let read = file.read(&mut buffer)?;
        let Some(chunk) = buffer.get(..read).filter(|chunk| !chunk.is_empty()) else { return Ok(total) };
        hash.update(chunk);
        total = total.saturating_add(chunk.len() as u64);
    }
}
