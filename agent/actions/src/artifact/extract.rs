//! Unpacking: a zip archive into a folder, and nowhere else.

use std::fs::{self, File};
use std::io::{BufReader, Read as _, Write as _};
use std::path::{Component, Path, PathBuf};

use zip::ZipArchive;

use crate::failure::Failure;
use crate::limits::{ARTIFACT_MAX_ENTRIES, FILE_BYTES, UNPACKED_MAX_BYTES};

/// Unpacks an archive below `folder`. Modes are not kept, as the original does not keep them.
///
/// # Errors
/// When the archive is damaged, has too much in it or an entry that leads out of the folder: nothing of it is unpacked
/// then; and when a file can't be written.
pub fn extract(archive: File, folder: &Path) -> Result<(), Failure> {
    let wrong = |error: zip::result::ZipError| match error {
        zip::result::ZipError::Io(error) => Failure::from(error),
        other => Failure::new(format!("the archive is damaged: {other}")),
    };
    let mut zip = ZipArchive::new(BufReader::with_capacity(FILE_BYTES, archive)).map_err(wrong)?;
    let count = zip.len();
    if count > ARTIFACT_MAX_ENTRIES {
        return Err(Failure::new(format!("the archive has more than {ARTIFACT_MAX_ENTRIES} entries")));
    }
    for name in zip.file_names() {
        inside(&name.map_err(wrong)?)?;
    }
    let mut bytes_left = UNPACKED_MAX_BYTES;
    let mut buffer = vec![0; FILE_BYTES];
    for index in 0..count {
        let mut entry = zip.by_index(index).map_err(wrong)?;
        let path = folder.join(inside(&entry.name().map_err(wrong)?)?);
        let at = |error| Failure::at(&path, error);
        if entry.is_dir() {
            fs::create_dir_all(&path).map_err(at)?;
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(at)?;
        }
        let mut file = File::create(&path).map_err(at)?;
        loop {
            let read = entry.read(&mut buffer);
            let read = read.map_err(|error| at(error).after("the archive is damaged: "))?;
            if read == 0 {
                break;
            }
            bytes_left = bytes_left.checked_sub(read as u64).ok_or_else(|| {
                Failure::new(format!(
                    "the archive has more than {UNPACKED_MAX_BYTES} bytes when it is unpacked"
                ))
            })?;
            file.write_all(buffer.get(..read).unwrap_or_default()).map_err(at)?;
        }
    }
    Ok(())
}

/// An entry's path below the folder.
fn inside(name: &str) -> Result<PathBuf, Failure> {
    let mut path = PathBuf::new();
    for part in Path::new(name).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(Failure::new(format!(
                    "the entry '{name}' leads out of the folder, so nothing of the archive was unpacked"
                )));
            }
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Seek as _;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;
    use crate::artifact::{Compressed, pack};

    fn archive(write: impl FnOnce(&mut File)) -> File {
        let mut file = tempfile::tempfile().unwrap();
        write(&mut file);
        file.rewind().unwrap();
        file
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let from = tempfile::tempdir().unwrap();
        let root = from.path();
        fs::create_dir_all(root.join("deep/er")).unwrap();
        let noise: Vec<u8> =
            (0..3_500_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        fs::write(root.join("deep/er/noise"), &noise).unwrap();
        fs::write(root.join("größe"), "").unwrap();
        std::os::unix::fs::symlink("deep/er/noise", root.join("link")).unwrap();
        // As large as a piece is.
        fs::write(root.join("exact"), vec![7; 1 << 20]).unwrap();
        let files = ["deep/er/noise", "größe", "link", "exact"].map(|file| root.join(file));
        for level in [0, 1, 6, 9] {
            let into = tempfile::tempdir().unwrap();
            let compressed = Compressed::new(level).unwrap();
            let file = archive(|file| pack(file, root, &files, compressed).unwrap());
            extract(file, into.path()).unwrap();
            assert_eq!(fs::read(into.path().join("deep/er/noise")).unwrap(), noise);
            assert_eq!(fs::read(into.path().join("link")).unwrap(), noise, "a link counts as its target");
            assert_eq!(fs::read(into.path().join("größe")).unwrap(), b"");
            assert_eq!(fs::read(into.path().join("exact")).unwrap(), vec![7; 1 << 20]);
        }
        assert!(Compressed::new(10).is_none() && Compressed::new(-1).is_none());
        let elsewhere = pack(Vec::new(), &root.join("deep"), &files, Compressed::new(6).unwrap());
        assert!(elsewhere.unwrap_err().to_string().contains("is not a parent directory of the file"));
    }

    #[test]
    fn nothing_is_unpacked_outside_of_the_folder() {
        let into = tempfile::tempdir().unwrap();
        let folder = into.path().join("folder");
        let file = archive(|file| {
            let mut zip = ZipWriter::new(file);
            for name in ["good", "../bad"] {
                zip.start_file(name, SimpleFileOptions::default()).unwrap();
                zip.write_all(b"x").unwrap();
            }
            zip.finish().unwrap();
        });
        let message = extract(file, &folder).unwrap_err().to_string();
        assert_eq!(
            message,
            "the entry '../bad' leads out of the folder, so nothing of the archive was unpacked"
        );
        assert!(!folder.exists() && !into.path().join("bad").exists());
        let damaged = archive(|file| file.write_all(b"no archive").unwrap());
        assert!(extract(damaged, &folder).unwrap_err().to_string().contains("damaged"));
    }
}
