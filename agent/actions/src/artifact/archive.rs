//! Packing: files into a zip archive that is written from front to end, with sizes behind each file.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::date::Moment;
use super::names::check_path;
use crate::failure::Failure;
use crate::limits::{FILE_BYTES, ZIP64_FROM_BYTES};

/// How files are compressed: zlib's levels, 0 to 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compressed(i64);

impl Compressed {
    /// None: there is no such level.
    #[must_use]
    pub fn new(level: i64) -> Option<Self> {
        (0..=9).contains(&level).then_some(Self(level))
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

/// Packs files; what is a link counts as what it leads to.
///
/// # Errors
/// When one can't be read, or the archive can't be written.
pub fn pack(out: impl Write, root: &Path, files: &[PathBuf], compressed: Compressed) -> Result<(), Failure> {
    let members: Vec<String> = files.iter().map(|file| member(root, file)).collect::<Result<_, _>>()?;
    let mut zip = ZipWriter::new_stream(out);
    let mut buffer = vec![0; FILE_BYTES];
    for (path, name) in files.iter().zip(members) {
        let at = |error| Failure::at(path, error);
        let mut file = File::open(path).map_err(at)?;
        let status = file.metadata().map_err(at)?;
        let mut options = SimpleFileOptions::default()
            .unix_permissions(status.mode() & 0o777)
            .last_modified_time(changed(status.mtime()))
            .large_file(status.len() >= ZIP64_FROM_BYTES);
        options = if compressed.0 == 0 {
            options.compression_method(CompressionMethod::Stored)
        } else {
            options.compression_method(CompressionMethod::Deflated).compression_level(Some(compressed.0))
        };
        zip.start_file(name, options).map_err(wrong)?;
        loop {
            let count = file.read(&mut buffer).map_err(at)?;
            if count == 0 {
                break;
            }
            zip.write_all(buffer.get(..count).unwrap_or_default())?;
        }
    }
    zip.finish().map_err(wrong)?.into_inner().flush()?;
    Ok(())
}

fn wrong(error: zip::result::ZipError) -> Failure {
    match error {
        zip::result::ZipError::Io(error) => error.into(),
        other => Failure::new(format!("An error has occurred during zip creation for the artifact: {other}")),
    }
}

/// A zip archive has no time before 1980.
fn changed(unix_s: i64) -> DateTime {
    let Moment { year, month, day, hour, minute, second } = Moment::of(unix_s);
    let year = u16::try_from(year).unwrap_or(1980);
    DateTime::from_date_and_time(year, month, day, hour, minute, second).unwrap_or_default()
}
