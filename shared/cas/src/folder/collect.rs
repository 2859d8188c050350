//! Removes blobs that nobody names, while others write and read.
//!
//! Who puts a blob that is there touches its file and then looks whether it is there still. The collection first moves a
//! file to `condemned/` and then looks at its time: one that was touched before it was moved goes back, and whoever
//! touches it afterwards finds it gone and writes it again. So no lock is needed, and processes on several machines may do
//! this at once. A crash in between leaves a file in `condemned/`, which goes back when the store is opened.

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::{FolderStore, io_at, sync_folder};
use crate::Digest;
use crate::store::{Collected, Named, StoreError};

const CONDEMNED: &str = "condemned";

impl FolderStore {
    /// Whether the blob is here, and as new as one that is written now.
    pub(super) fn renewed(&self, digest: Digest) -> Result<bool, StoreError> {
        let file = match self.open_blob(digest) {
            Ok(file) => file,
            Err(StoreError::NotFound(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        match file.set_modified(SystemTime::now()) {
            Ok(()) => self.has(digest),
            // Another user's, from a backup for example: what is put again is ours.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(false),
            Err(error) => Err(io_at(&self.path(digest))(error)),
        }
    }

    /// Makes the folder of condemned blobs, and gives those back that a crash left in it.
    pub(super) fn open_collection(&self) -> Result<(), StoreError> {
        let condemned = self.root.join(CONDEMNED);
        fs::create_dir_all(&condemned).map_err(io_at(&condemned))?;
        for entry in fs::read_dir(&condemned).map_err(io_at(&condemned))? {
            let path = entry.map_err(io_at(&condemned))?.path();
            match fs::metadata(&path).map(|metadata| metadata.len()) {
                Ok(size_bytes) => {
                    let hash = path.file_name().unwrap_or_default().to_string_lossy();
                    if let Ok(digest) = Digest::from_hex(&hash, size_bytes) {
                        self.give_back(&path, digest)?;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io_at(&path)(error)),
            }
        }
        Ok(())
    }

    pub(super) fn collect_all(&self, before: SystemTime, named: &Named) -> Result<Collected, StoreError> {
        let blobs = self.root.join("blobs");
        let mut collected = Collected::default();
        for shard in fs::read_dir(&blobs).map_err(io_at(&blobs))? {
            let shard = shard.map_err(io_at(&blobs))?;
            let (start, shard) = (shard.file_name(), shard.path());
            let so_far = collected.blobs;
            for entry in fs::read_dir(&shard).map_err(io_at(&shard))? {
                let rest = entry.map_err(io_at(&shard))?.file_name();
                let hash = format!("{}{}", start.display(), rest.display());
                match Digest::from_hex(&hash, 0) {
                    Ok(digest) if !named.contains(digest.hash()) => {
                        if let Some(size_bytes) = self.collect_one(&shard.join(rest), &hash, before)? {
                            collected.add(size_bytes);
                        }
                    }
                    // Somebody's, or no blob.
                    _ => {}
                }
            }
            if collected.blobs > so_far {
                sync_folder(&shard)?;
            }
        }
        Ok(collected)
    }

    /// The bytes of the blob, if it was removed.
    fn collect_one(&self, path: &Path, hash: &str, before: SystemTime) -> Result<Option<u64>, StoreError> {
        if look(path)?.is_none_or(|(put, _)| put >= before) {
            return Ok(None);
        }
        let condemned = self.root.join(CONDEMNED).join(hash);
        match fs::rename(path, &condemned) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_at(path)(error)),
        }
        match look(&condemned)? {
            Some((put, size_bytes)) if put < before => {
                remove(&condemned)?;
                Ok(Some(size_bytes))
            }
            Some((_, size_bytes)) => {
                if let Ok(digest) = Digest::from_hex(hash, size_bytes) {
                    self.give_back(&condemned, digest)?;
                }
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// Puts a condemned blob in its place again, over the same bytes if somebody wrote them meanwhile.
    fn give_back(&self, condemned: &Path, digest: Digest) -> Result<(), StoreError> {
        self.make_shard(digest)?;
        match fs::rename(condemned, self.path(digest)) {
            Ok(()) => sync_folder(&self.shard(digest)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io_at(condemned)(error)),
        }
    }
}

/// When a blob was put or renewed last, and its bytes; none where there is none.
fn look(path: &Path) -> Result<Option<(SystemTime, u64)>, StoreError> {
    match fs::symlink_metadata(path).and_then(|metadata| Ok((metadata.modified()?, metadata.len()))) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_at(path)(error)),
    }
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_at(path)(error)),
        _ => Ok(()),
    }
}
