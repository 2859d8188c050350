//! Unpacks an uploaded working tree: a tar in one zstd frame.

use std::io::{Read, Seek as _};
use std::path::{Component, Path};

use slipway_proto::v1;

use super::CheckoutError;
use crate::coordinator::{BlobError, Coordinator};
use crate::failure::{Cause, Failure};
use crate::limits::{TREE_MAX_BYTES, TREE_MAX_ENTRIES, TREE_UNPACKED_MAX_BYTES};

/// Largest window of the zstd frame that is accepted (2^27 bytes): it is the decoder's memory.
const WINDOW_LOG_MAX: u32 = 27;

/// Fetches the blob and unpacks it into `folder`, which is empty and the agent's own.
pub(super) async fn unpack(
    coordinator: &Coordinator,
    sha256: &str,
    size_bytes: u64,
    folder: &Path,
) -> Result<(), CheckoutError> {
    let digest = v1::Digest { sha256: sha256.to_owned(), size_bytes };
    // The archive is whole and checked before anything of it is unpacked. It has no name: it goes with its descriptor.
    let unnamed = || -> std::io::Result<std::fs::File> {
        let path = folder.join(".archive");
        let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(file)
    };
    let mut archive = unnamed().map_err(|error| Failure::io("cannot keep the working tree", &error))?;
    coordinator
        .blob(&digest, TREE_MAX_BYTES, |part| std::io::Write::write_all(&mut archive, part))
        .await
        .map_err(|error| match error {
            BlobError::Io(error) => Failure::io("cannot keep the working tree", &error),
            error => Failure::new(
                Cause::CheckoutUnavailable,
                format!("the working tree is not to be had: {error}"),
            ),
        })?;
    archive.rewind().map_err(|error| Failure::io("cannot read the working tree", &error))?;
    let into = folder.to_owned();
    let unpacked = tokio::task::spawn_blocking(move || unpack_archive(archive, &into)).await;
    unpacked.map_err(|error| Failure::new(Cause::Internal, error.to_string()))?.map_err(|error| {
        match Failure::io("cannot unpack the working tree", &error) {
            full @ Failure { cause: Cause::DiskFull, .. } => CheckoutError::Fleet(full),
            Failure { message, .. } => CheckoutError::Step(message),
        }
    })
}

/// Unpacks a compressed archive into a folder that nobody else can change meanwhile.
///
/// Entries that would leave the folder end it with an error; `tar` itself does not write through links that lead out.
fn unpack_archive(archive: impl Read, folder: &Path) -> std::io::Result<()> {
    let mut decoder = zstd::stream::read::Decoder::new(archive)?;
    decoder.window_log_max(WINDOW_LOG_MAX)?;
    let mut entries = tar::Archive::new(decoder.take(TREE_UNPACKED_MAX_BYTES + 1));
    entries.set_preserve_mtime(true);
    entries.set_preserve_permissions(true);
    entries.set_overwrite(false);
    let (mut count, mut size) = (0u64, 0u64);
    for entry in entries.entries()? {
        let mut entry = entry?;
        count += 1;
        size = size.saturating_add(entry.size());
        if count > TREE_MAX_ENTRIES || size > TREE_UNPACKED_MAX_BYTES {
            return Err(std::io::Error::other(format!(
                "it has more than {TREE_MAX_ENTRIES} entries or {TREE_UNPACKED_MAX_BYTES} bytes"
            )));
        }
        let kind = entry.header().entry_type();
        let name = entry.path()?.into_owned();
        let stays = name.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !(kind.is_file() || kind.is_dir() || kind.is_symlink()) || !stays {
            return Err(std::io::Error::other(format!(
                "it has an entry that is not allowed: {}",
                name.display()
            )));
        }
        if !entry.unpack_in(folder)? {
            return Err(std::io::Error::other(format!("an entry leaves the folder: {}", name.display())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn archive(build: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        build(&mut builder);
        zstd::encode_all(builder.into_inner().unwrap().as_slice(), 1).unwrap()
    }

    fn file(builder: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]) {
        let mut header = tar::Header::new_gnu();
        // By hand: the builder itself refuses names that lead out.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o755);
        header.set_cksum();
        builder.append(&header, bytes).unwrap();
    }

    fn link(builder: &mut tar::Builder<Vec<u8>>, name: &str, to: &str) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, name, to).unwrap();
    }

    #[test]
    fn a_tree_is_unpacked_with_modes_and_links() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = archive(|builder| {
            file(builder, "dir/run.sh", b"#!/bin/sh\n");
            link(builder, "link", "dir/run.sh");
            link(builder, "dangling", "/etc/nowhere");
        });
        unpack_archive(bytes.as_slice(), folder.path()).unwrap();
        assert_eq!(std::fs::read(folder.path().join("link")).unwrap(), b"#!/bin/sh\n");
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(folder.path().join("dir/run.sh")).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o755);
    }

    #[test]
    fn nothing_is_written_outside() {
        let outside = tempfile::tempdir().unwrap();
        let target = outside.path().join("out");
        let absolute = outside.path().join("absolute");
        let cases: [Vec<u8>; 4] = [
            archive(|builder| file(builder, "../escape", b"x")),
            archive(|builder| file(builder, "a/../../escape", b"x")),
            archive(|builder| file(builder, absolute.to_str().unwrap(), b"x")),
            archive(|builder| {
                link(builder, "out", outside.path().to_str().unwrap());
                file(builder, "out/through", b"x");
            }),
        ];
        for bytes in cases {
            let folder = outside.path().join("folder");
            std::fs::create_dir(&folder).unwrap();
            assert!(unpack_archive(bytes.as_slice(), &folder).is_err());
            std::fs::remove_dir_all(&folder).unwrap();
            assert!(!outside.path().join("escape").exists() && !absolute.exists());
            assert!(!outside.path().join("through").exists() && !target.exists());
        }
    }
}
