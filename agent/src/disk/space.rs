//! The room of file systems, as the kernel tells it; asking costs next to nothing.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::decide::Level;

const GIB: f64 = (1_u64 << 30) as f64;
const MIB: f64 = (1_u64 << 20) as f64;

/// A folder's file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The folder.
    pub folder: PathBuf,
    /// The number of its file system.
    pub device: u64,
}

/// The room of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Space {
    /// Bytes that a program without special rights can still write.
    pub free_bytes: u64,
    /// Bytes altogether.
    pub size_bytes: u64,
    /// Files that can still be made.
    pub inodes_free: u64,
    /// Files altogether; 0: the file system does not count them.
    pub inodes: u64,
}

impl Place {
    /// The file system of a folder; none: it is not to be seen from here.
    #[must_use]
    pub fn of(folder: &Path) -> Option<Self> {
        let device = std::fs::metadata(folder).ok()?.dev();
        Some(Self { folder: folder.to_owned(), device })
    }

    /// Its room now.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn space(&self) -> std::io::Result<Space> {
        Space::of(&self.folder)
    }
}

impl Space {
    /// The room of a folder's file system.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn of(folder: &Path) -> std::io::Result<Self> {
        let stat = rustix::fs::statvfs(folder)?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Self {
            free_bytes: bytes(stat.f_bavail),
            size_bytes: bytes(stat.f_blocks),
            inodes_free: stat.f_favail,
            inodes: stat.f_files,
        })
    }

    /// How much is free, for a person: `1.2 GiB free of 40 GiB at /var/lib/docker`.
    #[must_use]
    pub fn words(&self, folder: &Path) -> String {
        let at = folder.display();
        let free = format!("{} free of {} at {at}", shown(self.free_bytes), shown(self.size_bytes));
        match self.inodes_percent() {
            Some(percent) if percent < self.percent() => format!("{free}, and {percent} % of its inodes"),
            _ => free,
        }
    }

    /// The same with what it means.
    #[must_use]
    pub fn told(&self, level: Level, folder: &Path) -> String {
        let what = match level {
            Level::Roomy => "disk",
            Level::Low => "low disk",
            Level::Full => "full disk",
        };
        format!("{what}: {}", self.words(folder))
    }

    fn percent(&self) -> u64 {
        self.free_bytes.saturating_mul(100).checked_div(self.size_bytes).unwrap_or(100)
    }

    fn inodes_percent(&self) -> Option<u64> {
        self.inodes_free.saturating_mul(100).checked_div(self.inodes)
    }
}

/// Bytes for a person.
#[must_use]
pub fn shown(bytes: u64) -> String {
    let gib = bytes as f64 / GIB;
    if gib >= 10.0 {
        format!("{gib:.0} GiB")
    } else if gib >= 1.0 {
        format!("{gib:.1} GiB")
    } else {
        format!("{:.0} MiB", bytes as f64 / MIB)
    }
}
