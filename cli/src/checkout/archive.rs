//! The working tree as one archive: a tar in one zstd frame, written to a file.
//!
//! Invariant: the archive is well formed even when files change while they are read. A file that shrinks is filled up
//! with zeros, one that grows is cut: the next run takes the finished file.

use std::fs::{File, Metadata};
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use tar::{Builder, EntryType, Header};

use super::history::{self, History};
use super::{Checkout, files};
use crate::failure::Failure;

/// Largest working tree, before compression, in bytes.
pub const TREE_LIMIT_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// zstd's fastest ordinary level: the archive is read once, nearby.
const COMPRESSION_LEVEL: i32 = 1;

/// What was written.
#[derive(Debug)]
pub struct Archive {
    /// The archive, at its beginning; gone from the disk when dropped.
    pub file: File,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// What had to stay behind, and why.
    pub skipped: Vec<String>,
    /// Git works in the job.
    pub with_git: bool,
}

/// Archives a checkout as it is on disk now, uncommitted changes included. `html_url` becomes git's `origin` in there.
///
/// # Errors
/// A file cannot be read, or a limit is passed; the message names it.
pub fn pack(checkout: &Checkout, html_url: &str) -> Result<Archive, Failure> {
    let listing = files::list(&checkout.root, checkout.git.as_ref())?;
    let history = checkout.git.as_ref().and_then(|git| history::collect(&checkout.root, git, html_url));
    let unwritten = |error: std::io::Error| {
        Failure::usage(format!("cannot write the archive of the working tree to {}: {error}", temp_dir()))
    };
    let file = tempfile::tempfile().map_err(unwritten)?;
    let encoder = zstd::Encoder::new(BufWriter::new(file), COMPRESSION_LEVEL).map_err(unwritten)?;
    let mut writer = TreeWriter { tar: Builder::new(encoder), total_bytes: 0, skipped: listing.skipped };
    for path in &listing.paths {
        writer.add(&checkout.root, path, path)?;
    }
    if let Some(history) = &history {
        writer.add_history(history)?;
    }
    let skipped = writer.skipped;
    let encoder = writer.tar.into_inner().map_err(unwritten)?;
    let mut buffer = encoder.finish().map_err(unwritten)?;
    buffer.flush().map_err(unwritten)?;
    let mut file = buffer.into_inner().map_err(|error| unwritten(error.into_error()))?;
    let size_bytes = file.metadata().map_err(unwritten)?.len();
    std::io::Seek::rewind(&mut file).map_err(unwritten)?;
    Ok(Archive { file, size_bytes, skipped, with_git: history.is_some() })
}

fn temp_dir() -> String {
    std::env::temp_dir().display().to_string()
}

struct TreeWriter<W: Write> {
    tar: Builder<W>,
    total_bytes: u64,
    skipped: Vec<String>,
}

impl<W: Write> TreeWriter<W> {
    fn add(&mut self, root: &Path, path: &Path, stored: &Path) -> Result<(), Failure> {
        let full = root.join(path);
        let explain =
            |error: std::io::Error| Failure::usage(format!("cannot take {} along: {error}", full.display()));
        let metadata = match full.symlink_metadata() {
            Ok(metadata) => metadata,
            // Gone since it was listed: a build or an editor is at work.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(explain(error)),
        };
        let mut header = header(&metadata);
        if metadata.is_symlink() {
            header.set_entry_type(EntryType::Symlink);
            let target = full.read_link().map_err(explain)?;
            return self.tar.append_link(&mut header, stored, target).map_err(explain);
        }
        if metadata.is_dir() {
            header.set_entry_type(EntryType::Directory);
            return self.tar.append_data(&mut header, stored, std::io::empty()).map_err(explain);
        }
        if !metadata.is_file() {
            self.skipped.push(format!("{}: not a file any more", stored.display()));
            return Ok(());
        }
        self.total_bytes = self.total_bytes.saturating_add(metadata.len());
        if self.total_bytes > TREE_LIMIT_BYTES {
            return Err(Failure::usage(format!(
                "the working tree is larger than {} GiB: list what a build makes in .gitignore",
                TREE_LIMIT_BYTES >> 30
            )));
        }
        let file = match File::open(&full) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(explain(error)),
        };
        header.set_size(metadata.len());
        let exact = file.take(metadata.len()).chain(std::io::repeat(0)).take(metadata.len());
        self.tar.append_data(&mut header, stored, exact).map_err(explain)
    }

    fn add_history(&mut self, history: &History) -> Result<(), Failure> {
        for path in &history.paths {
            self.add(&history.folder, path, &Path::new(".git").join(path))?;
        }
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(history.config.len() as u64);
        let stored = self.tar.append_data(&mut header, ".git/config", history.config.as_bytes());
        stored.map_err(|error| Failure::usage(format!("cannot take .git along: {error}")))
    }
}

/// Type and size are the caller's; owners stay behind, times and permissions go along.
fn header(metadata: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(metadata.permissions().mode() & 0o777);
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
    header.set_size(0);
    header
}
