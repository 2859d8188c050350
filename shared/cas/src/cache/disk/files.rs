//! The large values' files.
//!
//! Each has a name of its own, never used twice, so that no file ever changes: another value of the same key is
//! another file.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

/// `files/` and `incoming/` of a folder.
#[derive(Debug)]
pub(super) struct Files {
    files: PathBuf,
    incoming: PathBuf,
}

/// An error with the path it is about.
fn at(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    let path = path.display().to_string();
    move |error| io::Error::new(error.kind(), format!("{path}: {error}"))
}

fn unless_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

impl Files {
    /// Makes the folders that are not there.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let this = Self { files: root.join("files"), incoming: root.join("incoming") };
        fs::create_dir_all(&this.incoming).map_err(at(&this.incoming))?;
        for shard in 0..=u8::MAX {
            let shard = this.files.join(format!("{shard:02x}"));
            fs::create_dir_all(&shard).map_err(at(&shard))?;
        }
        Ok(this)
    }

    fn settled(&self, name: &str) -> PathBuf {
        // The end of the name: its start is the time.
        self.files.join(&name[name.len().saturating_sub(2)..]).join(name)
    }

    /// Writes a new file in `incoming/` and names it.
    pub(super) fn write(&self, data: &[u8]) -> io::Result<String> {
        let name = uuid::Uuid::now_v7().simple().to_string();
        let path = self.incoming.join(&name);
        let written = File::create_new(&path).and_then(|mut file| file.write_all(data));
        if let Err(error) = written {
            let _ = fs::remove_file(&path);
            return Err(at(&path)(error));
        }
        Ok(name)
    }

    /// Moves files whose rows are committed to their place.
    pub(super) fn settle(&self, names: &[String]) -> io::Result<()> {
        for name in names {
            let (from, to) = (self.incoming.join(name), self.settled(name));
            // Absent: its value was evicted meanwhile.
            unless_absent(fs::rename(&from, &to)).map_err(at(&to))?;
        }
        Ok(())
    }

    /// Removes files that no row was committed for.
    pub(super) fn give_up(&self, names: &[String]) {
        for name in names {
            // What cannot be removed goes at the next start.
            let _ = fs::remove_file(self.incoming.join(name));
        }
    }

    /// The bytes of a file, no more than `limit` and one: a longer one is as wrong as a shorter one.
    pub(super) fn read(&self, name: &str, limit: usize) -> io::Result<Option<Bytes>> {
        // In this order, and the first once more: it may be moved between two looks.
        for path in [self.settled(name), self.incoming.join(name), self.settled(name)] {
            match File::open(&path) {
                Ok(file) => {
                    let mut data = Vec::with_capacity(limit + 1);
                    file.take(limit as u64 + 1).read_to_end(&mut data).map_err(at(&path))?;
                    return Ok(Some(data.into()));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(at(&path)(error)),
            }
        }
        Ok(None)
    }

    /// Removes files; those it names are not there any more.
    pub(super) fn remove(&self, names: Vec<String>) -> Vec<String> {
        let gone = |name: &String| {
            let both = [self.incoming.join(name), self.settled(name)];
            both.into_iter().all(|path| unless_absent(fs::remove_file(path)).is_ok())
        };
        names.into_iter().filter(gone).collect()
    }

    /// Finishes what a killed process left in `incoming/`: what has a row is moved to its place, the rest goes.
    pub(super) fn recover(&self, wanted: impl Fn(&str) -> rusqlite::Result<bool>) -> io::Result<()> {
        for entry in fs::read_dir(&self.incoming).map_err(at(&self.incoming))? {
            let entry = entry.map_err(at(&self.incoming))?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy().into_owned();
            if entry.file_type().map_err(at(&path))?.is_dir() {
                // The files of an index that was lost; they may be many.
                std::thread::spawn(move || fs::remove_dir_all(path));
            } else if wanted(&name).map_err(io::Error::other)? {
                self.settle(&[name])?;
            } else {
                fs::remove_file(&path).map_err(at(&path))?;
            }
        }
        Ok(())
    }

    /// Removes settled files that are not wanted; says how many.
    pub(super) fn sweep(&self, wanted: impl Fn(&str) -> rusqlite::Result<bool>) -> io::Result<u64> {
        let mut removed = 0;
        for shard in fs::read_dir(&self.files).map_err(at(&self.files))? {
            let shard = shard.map_err(at(&self.files))?.path();
            for entry in fs::read_dir(&shard).map_err(at(&shard))? {
                let entry = entry.map_err(at(&shard))?;
                if !wanted(&entry.file_name().to_string_lossy()).map_err(io::Error::other)? {
                    unless_absent(fs::remove_file(entry.path())).map_err(at(&entry.path()))?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }
}
