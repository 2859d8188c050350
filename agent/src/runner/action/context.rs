//! The folder that a Docker action's image is built from, as an archive.
//!
//! A job's processes may change the folder meanwhile, so nothing here follows a link out of it: each entry is opened by
//! the kernel below its folder. Owners and times are left out, so that the same files make the same archive.

use std::fs::File;
use std::io::{self, Seek as _, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::limits::{BUILD_CONTEXT_MAX_BYTES, BUILD_CONTEXT_MAX_DEPTH, BUILD_CONTEXT_MAX_ENTRIES};
use crate::runner::inside::{Entry, Inside};

/// An archive on disk.
pub(super) struct Archive {
    pub(super) file: File,
    /// SHA-256 of it, in hexadecimal digits.
    pub(super) digest: String,
}

/// Archives `relative` below `root` into a file at `place`, which is made.
///
/// # Errors
/// When something can't be read, or there is too much of it.
pub(super) fn archive(root: &Path, relative: &Path, place: &Path) -> io::Result<Archive> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(place)?;
    let hashed = Hashed { file: io::BufWriter::new(file), hash: Sha256::new() };
    let mut packing = Packing { tar: tar::Builder::new(hashed), bytes: 0, entries: 0 };
    packing.folder(&Inside::open(root, relative)?, Path::new(""))?;
    let hashed = packing.tar.into_inner()?;
    let mut file = hashed.file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.rewind()?;
    Ok(Archive { file, digest: hex::encode(hashed.hash.finalize()) })
}

impl Archive {
    /// A file of the archive as it will be used, at most `max` bytes; None: it is none, or longer.
    pub(super) fn text(&mut self, name: &str, max: u64) -> io::Result<Option<String>> {
        let mut found = None;
        for entry in tar::Archive::new(&self.file).entries()? {
            let entry = entry?;
            if entry.path()?.as_ref() == Path::new(name)
                && entry.header().entry_type().is_file()
                && entry.size() <= max
            {
                let mut bytes = Vec::new();
                io::Read::read_to_end(&mut io::Read::take(entry, max), &mut bytes)?;
                found = Some(String::from_utf8_lossy(&bytes).into_owned());
                break;
            }
        }
        self.file.rewind()?;
        Ok(found)
    }
}

struct Hashed {
    file: io::BufWriter<File>,
    hash: Sha256,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

struct Packing {
    tar: tar::Builder<Hashed>,
    bytes: u64,
    entries: u64,
}

impl Packing {
    fn folder(&mut self, folder: &Inside, path: &Path) -> io::Result<()> {
        // A job could nest folders until the agent's stack or descriptors end.
        if path.components().count() > BUILD_CONTEXT_MAX_DEPTH {
            return Err(io::Error::other(format!(
                "it has folders of more than {BUILD_CONTEXT_MAX_DEPTH} levels"
            )));
        }
        for name in folder.names()? {
            self.entries += 1;
            if self.entries > BUILD_CONTEXT_MAX_ENTRIES {
                let message = format!("it has more than {BUILD_CONTEXT_MAX_ENTRIES} files and folders");
                return Err(io::Error::other(message));
            }
            let path: PathBuf = path.join(&name);
            match folder.entry(&name)? {
                Entry::Folder(inner, mode) => {
                    let mut header = header(tar::EntryType::Directory, mode);
                    self.tar.append_data(&mut header, &path, io::empty())?;
                    self.folder(&inner, &path)?;
                }
                Entry::File(file, mode) => {
                    let size_bytes = file.metadata()?.len();
                    self.bytes = self.bytes.saturating_add(size_bytes);
                    if self.bytes > BUILD_CONTEXT_MAX_BYTES {
                        let message = format!("its files have more than {BUILD_CONTEXT_MAX_BYTES} bytes");
                        return Err(io::Error::other(message));
                    }
                    let mut header = header(tar::EntryType::Regular, mode);
                    header.set_size(size_bytes);
                    // One that shrinks or grows meanwhile would spoil the archive.
                    let exact = io::Read::chain(io::Read::take(file, size_bytes), io::repeat(0));
                    self.tar.append_data(&mut header, &path, io::Read::take(exact, size_bytes))?;
                }
                Entry::Link(target) => {
                    let mut header = header(tar::EntryType::Symlink, 0o777);
                    self.tar.append_link(&mut header, &path, target)?;
                }
                Entry::Other => {}
            }
        }
        Ok(())
    }
}

fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    header.set_mtime(0);
    header
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_same_files_make_the_same_archive_and_links_stay_links() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "host").unwrap();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        std::fs::write(folder.path().join("a/b/file"), "text").unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), folder.path().join("a/link")).unwrap();
        let pack = |name: &str| archive(folder.path(), Path::new("a"), &outside.path().join(name)).unwrap();
        let (one, two) = (pack("1"), pack("2"));
        assert_eq!(one.digest, two.digest);
        let mut tar = tar::Archive::new(one.file);
        let names: Vec<(String, tar::EntryType)> = tar
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                (entry.path().unwrap().display().to_string(), entry.header().entry_type())
            })
            .collect();
        assert_eq!(
            names,
            [
                ("b".to_owned(), tar::EntryType::Directory),
                ("b/file".to_owned(), tar::EntryType::Regular),
                ("link".to_owned(), tar::EntryType::Symlink)
            ]
        );
        assert!(archive(folder.path(), Path::new("a/link"), &outside.path().join("3")).is_err());
    }
}
