//! Looks through a job's workspace for files, below a descriptor of it and without following any link: the job's processes may
//! still be at work, and swap whatever they like.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::{Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::patterns::Sets;
use crate::beneath::{NO_LINKS, open_beneath};
use crate::limits::{REPORTS_DEPTH_MAX, REPORTS_ENTRIES_MAX};

/// Folders that are never looked into, whatever the patterns: they are large, and nobody's reports.
const NEVER: [&str; 2] = ["node_modules", ".git"];

/// A folder that is looked through.
#[derive(Debug)]
pub(super) struct Root(OwnedFd);

/// A file that was opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) size_bytes: u64,
    /// When it was written last, Unix nanoseconds.
    pub(super) written_ns: u64,
}

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// Paths of files that are wanted, in order.
    pub(super) files: Vec<Vec<String>>,
    /// Why it did not get to the end.
    pub(super) broke_off: Option<String>,
}

impl Root {
    /// Opens `relative` below `root`, which is the agent's own folder.
    pub(super) fn open(root: &Path, relative: &Path) -> std::io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = Self(rustix::fs::open(root, flags | OFlags::NOFOLLOW, Mode::empty())?);
        if relative.as_os_str().is_empty() {
            return Ok(root);
        }
        Ok(Self(root.open_below(relative, flags)?))
    }

    fn open_below(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        open_beneath(&self.0, path, flags | OFlags::NOFOLLOW, NO_LINKS)
    }

    /// Opens a file for reading; none: it is a link, a pipe, a device, a folder or gone.
    pub(super) fn file(&self, path: &[String]) -> std::io::Result<Option<Opened>> {
        // Never waits for the other end of a pipe.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match self.open_below(&relative(path), flags) {
            Ok(file) => file,
            // A socket, or a device without a driver: no file either.
            Err(Errno::LOOP | Errno::NOENT | Errno::NOTDIR | Errno::NXIO | Errno::NODEV) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let status = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        let seconds = u64::try_from(status.st_mtime).unwrap_or(0);
        let written_ns = seconds.saturating_mul(1_000_000_000).saturating_add(status.st_mtime_nsec);
        let size_bytes = u64::try_from(status.st_size).unwrap_or(0);
        Ok(Some(Opened { file: File::from(file), size_bytes, written_ns }))
    }

    /// All files that are wanted: folders depth first, names in byte order.
    pub(super) fn walk(&self, patterns: &Sets, deadline: Instant) -> Walked {
        let mut walked = Walked::default();
        let mut entries = 0_usize;
        let mut stack: Vec<(Vec<String>, bool)> = vec![(Vec::new(), true)];
        while let Some((path, folder)) = stack.pop() {
            if !folder {
                walked.files.push(path);
                continue;
            }
            if Instant::now() >= deadline {
                walked.broke_off = Some("looking for them took too long".to_owned());
                return walked;
            }
            // What can't be read or is gone has nothing for us: a database's folder, for one.
            let Ok(found) = self.wanted_in(&path, patterns, &mut entries) else { continue };
            if entries > REPORTS_ENTRIES_MAX {
                walked.broke_off =
                    Some(format!("the workspace has more than {REPORTS_ENTRIES_MAX} files and folders"));
                return walked;
            }
            stack.extend(found.into_iter().rev());
        }
        walked
    }

    /// What is wanted in a folder, sorted: paths, and whether each is a folder.
    fn wanted_in(
        &self,
        path: &[String],
        patterns: &Sets,
        entries: &mut usize,
    ) -> std::io::Result<Vec<(Vec<String>, bool)>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let folder = self.open_below(&relative(path), flags)?;
        let mut found = Vec::new();
        for entry in Dir::new(folder)? {
            let entry = entry?;
            // A name that is not UTF-8 can't be matched.
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name == "." || name == ".." {
                continue;
            }
            *entries += 1;
            if *entries > REPORTS_ENTRIES_MAX {
                break;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => self.kind(path, name),
                kind => kind,
            };
            let below = || [path, &[name.to_owned()]].concat();
            match kind {
                FileType::Directory if path.len() < REPORTS_DEPTH_MAX && !NEVER.contains(&name) => {
                    let below = below();
                    if patterns.wants_in(&below) {
                        found.push((below, true));
                    }
                }
                FileType::RegularFile if patterns.may_want(name) => {
                    let below = below();
                    if patterns.wants_file(&below) {
                        found.push((below, false));
                    }
                }
                _ => {}
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// For a file system that does not say with the name what it is.
    fn kind(&self, path: &[String], name: &str) -> FileType {
        let found = self.open_below(&relative(path).join(name), OFlags::PATH | OFlags::CLOEXEC);
        let status = found.and_then(rustix::fs::fstat);
        status.map_or(FileType::Unknown, |status| FileType::from_raw_mode(status.st_mode))
    }
}

fn relative(path: &[String]) -> PathBuf {
    if path.is_empty() { PathBuf::from(".") } else { path.iter().collect() }
}
