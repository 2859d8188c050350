//! A small disk of memory, to be filled up.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::shell::run;

/// A mounted tmpfs; it goes with its value.
pub(crate) struct Disk {
    path: PathBuf,
}

impl Disk {
    pub(crate) fn mount(path: PathBuf, mebibytes: u32) -> Self {
        std::fs::create_dir_all(&path).unwrap();
        let size = format!("size={mebibytes}m");
        run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", path.to_str().unwrap()]);
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }

    /// Takes every byte that is left.
    pub(crate) fn fill(&self) {
        let file = File::create(self.ballast()).unwrap();
        let mut size: u64 = 0;
        let mut step: u64 = 64 << 20;
        // The room that is left changes meanwhile; so ever smaller pieces until not even a page fits.
        while step >= 4096 {
            let taken = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), size, step);
            match taken {
                Ok(()) => size += step,
                Err(_) => step /= 2,
            }
        }
    }

    /// Gives it back.
    pub(crate) fn empty(&self) {
        // Not there: nothing was taken.
        let _ = std::fs::remove_file(self.ballast());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a container that is just going may still have a folder of it.
        let _ = std::process::Command::new("umount").arg("--lazy").arg(&self.path).output();
    }
}
