//! Where blobs, logs, caches and artifacts are.

use std::path::PathBuf;

use slipway_cas::objects::BucketAddress;

use super::{OptionsError, wrong};

/// Where blobs and records are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objects {
    /// In this folder.
    Folder(PathBuf),
    /// In an object store.
    Bucket(BucketAddress),
}

/// What `--objects` says.
///
/// # Errors
/// It is none that this build supports.
pub(super) fn load(url: Option<&str>) -> Result<Option<Objects>, OptionsError> {
    let Some(url) = url else { return Ok(None) };
    match url.strip_prefix("file://") {
        Some(path) if path.starts_with('/') => Ok(Some(Objects::Folder(PathBuf::from(path)))),
        Some(_) => Err(wrong("--objects", "write file:///ABSOLUTE/FOLDER")),
        None => match BucketAddress::from_env(url) {
            Some(address) => Ok(Some(Objects::Bucket(address))),
            None => Err(wrong(
                "--objects",
                format!(
                    "`{}` is not supported by this build; use s3://, gs:// or az://BUCKET/PREFIX, or file:///FOLDER, \
                     or leave it out for the data directory",
                    scheme(url)
                ),
            )),
        },
    }
}

fn scheme(url: &str) -> &str {
    url.split_once(':').map_or(url, |(scheme, _)| scheme)
}
