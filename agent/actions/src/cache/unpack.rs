//! Unpacking: a tar archive into the workspace and around it, as `tar -xP` does. The container is the boundary: an entry
//! may name any path that the job's user can write.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, utimensat};
use tar::{Archive, Entry, EntryType};

use super::header::read_time;
use crate::failure::Failure;
use crate::limits::{FILE_BYTES, UNPACKED_MAX_BYTES};
use crate::say;

/// What is set on a member when its content is there.
#[derive(Debug, Clone, Copy)]
struct Attributes {
    mode: u32,
    owner: Option<(u32, u32)>,
    mtime: (i64, i64),
}

/// Unpacks an archive below `workspace`; names in it may lead out of there.
///
/// # Errors
/// When the archive is damaged or too large, or a file can't be written.
pub fn unpack(archive: impl Read, workspace: &Path) -> Result<(), Failure> {
    fs::create_dir_all(workspace).map_err(|error| Failure::at(workspace, error))?;
    let mut unpacking = Unpacking::new(workspace);
    let mut archive = Archive::new(archive);
    for entry in archive.entries()? {
        unpacking.entry(entry?)?;
    }
    unpacking.finish()
}

struct Unpacking<'a> {
    workspace: &'a Path,
    /// As root, owners are kept, and modes as they are; others have their mask, as with `tar`.
    root: bool,
    mask: u32,
    bytes_left: u64,
    buffer: Vec<u8>,
    /// A folder's attributes come last: it may be one that nobody may write into, and writing changes its time.
    folders: Vec<(PathBuf, Attributes)>,
}

impl<'a> Unpacking<'a> {
    fn new(workspace: &'a Path) -> Self {
        let mask = rustix::process::umask(rustix::fs::Mode::empty());
        rustix::process::umask(mask);
        Self {
            workspace,
            root: rustix::process::geteuid().is_root(),
            mask: mask.bits(),
            bytes_left: UNPACKED_MAX_BYTES,
            buffer: vec![0; FILE_BYTES],
            folders: Vec::new(),
        }
    }

    fn entry<R: Read>(&mut self, mut entry: Entry<'_, R>) -> Result<(), Failure> {
        let path = self.workspace.join(OsStr::from_bytes(&entry.path_bytes()));
        let attributes = self.attributes(&mut entry)?;
        let kind = entry.header().entry_type();
        let done = match kind {
            EntryType::Directory => self.folder(&path, attributes),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.file(&path, &mut entry, attributes)
            }
            EntryType::Symlink | EntryType::Link => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                let target = Path::new(OsStr::from_bytes(&target));
                if kind == EntryType::Symlink {
                    self.symbolic(&path, target, attributes)
                } else {
                    let first = self.workspace.join(target);
                    make_room(&path).and_then(|()| fs::hard_link(first, &path))
                }
            }
            _ => {
                say::debug(&format!("{}: special file ignored", path.display()));
                Ok(())
            }
        };
        done.map_err(|error| Failure::at(&path, error))
    }

    fn attributes<R: Read>(&self, entry: &mut Entry<'_, R>) -> Result<Attributes, Failure> {
        let (mut owner, mut mtime) = (None, None);
        if let Some(extensions) = entry.pax_extensions()? {
            for extension in extensions {
                let extension = extension?;
                if let (Ok("mtime"), Ok(value)) = (extension.key(), extension.value()) {
                    mtime = read_time(value);
                }
            }
        }
        let header = entry.header();
        if self.root {
            let id = |id: io::Result<u64>| id.ok().and_then(|id| u32::try_from(id).ok());
            owner = id(header.uid()).zip(id(header.gid()));
        }
        let mode = header.mode()?;
        let seconds = i64::try_from(header.mtime()?).unwrap_or(0);
        Ok(Attributes {
            mode: if self.root { mode & 0o7777 } else { mode & 0o777 & !self.mask },
            owner,
            mtime: mtime.unwrap_or((seconds, 0)),
        })
    }

    fn folder(&mut self, path: &Path, attributes: Attributes) -> io::Result<()> {
        match fs::symlink_metadata(path) {
            Ok(status) if status.is_dir() => {}
            Ok(_) => {
                fs::remove_file(path)?;
                fs::create_dir(path)?;
            }
            Err(_) => fs::create_dir_all(path)?,
        }
        // Until all is in it.
        let mode = fs::metadata(path)?.mode();
        if mode & 0o700 != 0o700 {
            // Of another user's folder others decide; what is written into it tells whether that works.
            let _ = fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777 | 0o700));
        }
        self.folders.push((path.to_owned(), attributes));
        Ok(())
    }

    fn file<R: Read>(
        &mut self,
        path: &Path,
        entry: &mut Entry<'_, R>,
        attributes: Attributes,
    ) -> io::Result<()> {
        make_room(path)?;
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
        loop {
            let count = entry.read(&mut self.buffer)?;
            if count == 0 {
                break;
            }
            self.bytes_left = self.bytes_left.checked_sub(count as u64).ok_or_else(|| {
                io::Error::from(Failure::new(format!("the cache has more than {UNPACKED_MAX_BYTES} bytes")))
            })?;
            file.write_all(self.buffer.get(..count).unwrap_or_default())?;
        }
        attributes.set(&file)
    }

    fn symbolic(&self, path: &Path, target: &Path, attributes: Attributes) -> io::Result<()> {
        make_room(path)?;
        symlink(target, path)?;
        if let Some((uid, gid)) = attributes.owner {
            std::os::unix::fs::lchown(path, Some(uid), Some(gid))?;
        }
        Ok(utimensat(CWD, path, &attributes.times(), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn finish(self) -> Result<(), Failure> {
        for (path, attributes) in self.folders.into_iter().rev() {
            let set = File::open(&path).and_then(|folder| attributes.set(&folder));
            match set {
                // A folder that was there and is another user's stays as it is.
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
                other => other.map_err(|error| Failure::at(&path, error))?,
            }
        }
        Ok(())
    }
}

impl Attributes {
    fn set(&self, file: &File) -> io::Result<()> {
        if let Some((uid, gid)) = self.owner {
            std::os::unix::fs::fchown(file, Some(uid), Some(gid))?;
        }
        file.set_permissions(fs::Permissions::from_mode(self.mode))?;
        Ok(rustix::fs::futimens(file, &self.times())?)
    }

    fn times(&self) -> Timestamps {
        let (seconds, nanoseconds) = self.mtime;
        Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds },
        }
    }
}

/// Removes what is at a path, unless that is a folder with something in it, and makes the folders above it.
fn make_room(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(status) if status.is_dir() => fs::remove_dir(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::NotFound => match path.parent() {
            Some(parent) => fs::create_dir_all(parent),
            None => Ok(()),
        },
        Err(error) => Err(error),
    }
}
