//! Packing: files into a zip archive, read ahead and compressed on several threads.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read as _, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::deflate::{Pool, Promised, wait};
use super::names::check_path;
use super::zip_writer::{Member, ZipWriter};
use crate::failure::Failure;
use crate::limits::{PIECE_BYTES, PIECES_AHEAD, ZIP64_FROM_BYTES};

/// How files are compressed: zlib's levels, 0 to 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compressed(u32);

impl Compressed {
    /// None: there is no such level.
    #[must_use]
    pub fn new(level: i64) -> Option<Self> {
        u32::try_from(level).ok().filter(|level| *level <= 9).map(Self)
    }
}

/// What a file is called in an artifact with this root.
///
/// # Errors
/// When it lies elsewhere, or its name can't be.
pub(super) fn member(root: &Path, file: &Path) -> Result<String, Failure> {
    let inside = file.strip_prefix(root).map_err(|_| {
        Failure::new(format!(
            "The rootDirectory: {} is not a parent directory of the file: {}",
            root.display(),
            file.display()
        ))
    })?;
    let name = inside.to_string_lossy().into_owned();
    check_path(&name)?;
    Ok(name)
}

/// What comes next in the archive.
enum Next {
    Begin(Member),
    Piece(Promised),
    End,
}

/// Packs files; what is a link counts as what it leads to.
///
/// # Errors
/// When one can't be read, or the archive can't be written.
pub fn pack(out: impl Write, root: &Path, files: &[PathBuf], compressed: Compressed) -> Result<(), Failure> {
    let members: Vec<String> = files.iter().map(|file| member(root, file)).collect::<Result<_, _>>()?;
    let pool = Pool::new(compressed.0);
    let most = pool.threads * PIECES_AHEAD;
    let mut packing = Packing { zip: ZipWriter::new(out), queue: VecDeque::new() };
    for (path, name) in files.iter().zip(members) {
        let at = |error| Failure::at(path, error);
        let mut file = File::open(path).map_err(at)?;
        let status = file.metadata().map_err(at)?;
        packing.queue.push_back(Next::Begin(Member {
            name,
            mode: status.mode() & 0o777,
            changed_s: status.mtime(),
            deflated: compressed.0 > 0,
            large: status.len() >= ZIP64_FROM_BYTES,
        }));
        loop {
            // Room for one byte more tells a small file's end without another read.
            let room = status.len().saturating_add(1).min(PIECE_BYTES);
            let mut bytes = Vec::with_capacity(usize::try_from(room).unwrap_or(0));
            (&mut file).take(PIECE_BYTES).read_to_end(&mut bytes).map_err(at)?;
            let is_last = (bytes.len() as u64) < PIECE_BYTES;
            packing.queue.push_back(Next::Piece(pool.begin(bytes, is_last)?));
            packing.write_down_to(most)?;
            if is_last {
                break;
            }
        }
        packing.queue.push_back(Next::End);
    }
    packing.write_down_to(0)?;
    packing.zip.finish()?;
    Ok(())
}

/// An archive, and what is on its way to it.
struct Packing<W> {
    zip: ZipWriter<W>,
    queue: VecDeque<Next>,
}

impl<W: Write> Packing<W> {
    /// Writes from the front until no more than so many are left.
    fn write_down_to(&mut self, left: usize) -> Result<(), Failure> {
        while self.queue.len() > left {
            match self.queue.pop_front() {
                Some(Next::Begin(member)) => self.zip.begin(member)?,
                Some(Next::Piece(promised)) => self.zip.piece(&wait(&promised)?)?,
                Some(Next::End) => self.zip.end()?,
                None => {}
            }
        }
        Ok(())
    }
}
