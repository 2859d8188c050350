//! Small files that the next leader has to find: in a folder, or in the object store that several coordinators share.
//!
//! Invariants: a file is written whole or not at all, and durably; in a folder only its owner may read it. What others must
//! not read in an object store is sealed by whoever writes it.

use std::fs;
use std::io;
use std::path::PathBuf;

use futures_util::TryStreamExt as _;
use slipway_cas::objects::object_store::path::Path;
use slipway_cas::objects::object_store::{Error, ObjectStoreExt as _};
use slipway_cas::objects::{Bucket, describe};

use crate::secret_file;

/// Where small files of one kind are; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) enum SmallFiles {
    /// In this folder, which exists.
    Folder(PathBuf),
    /// Below this prefix.
    Objects(Bucket, &'static str),
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn failed(bucket: &Bucket, path: &Path) -> impl FnOnce(Error) -> io::Error + use<> {
    let place = format!("{}/{path}", bucket.url());
    move |error| io::Error::other(format!("{place}: {}", describe(&error)))
}

impl SmallFiles {
    /// The names of all.
    ///
    /// # Errors
    /// When the place cannot be read.
    pub(crate) async fn names(&self) -> io::Result<Vec<String>> {
        match self.clone() {
            Self::Folder(folder) => {
                blocking(move || {
                    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
                    Ok(names.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect())
                })
                .await
            }
            Self::Objects(bucket, prefix) => {
                let below = Path::from(prefix);
                let listed = bucket.store().list(Some(&below));
                let names = listed.map_ok(|object| object.location.filename().map(ToOwned::to_owned));
                let names: Vec<_> = names.try_collect().await.map_err(failed(&bucket, &below))?;
                Ok(names.into_iter().flatten().collect())
            }
        }
    }

    /// A file; none if there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) async fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match self.clone() {
            Self::Folder(folder) => {
                let path = folder.join(name);
                blocking(move || match fs::read(path) {
                    Ok(bytes) => Ok(Some(bytes)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(error),
                })
                .await
            }
            Self::Objects(bucket, prefix) => {
                let path = Path::from(prefix).join(name);
                let read = async { bucket.store().get(&path).await?.bytes().await };
                match read.await {
                    Ok(bytes) => Ok(Some(bytes.into())),
                    Err(Error::NotFound { .. }) => Ok(None),
                    Err(error) => Err(failed(&bucket, &path)(error)),
                }
            }
        }
    }

    /// Writes a file, in the place of the one of its name.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) async fn write(&self, name: &str, bytes: Vec<u8>) -> io::Result<()> {
        match self.clone() {
            Self::Folder(folder) => {
                let path = folder.join(name);
                blocking(move || secret_file::write(&path, &bytes)).await
            }
            Self::Objects(bucket, prefix) => {
                let path = Path::from(prefix).join(name);
                bucket.store().put(&path, bytes.into()).await.map(drop).map_err(failed(&bucket, &path))
            }
        }
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub(crate) async fn remove(&self, name: &str) -> io::Result<()> {
        match self.clone() {
            Self::Folder(folder) => {
                let path = folder.join(name);
                blocking(move || match fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                    _ => Ok(()),
                })
                .await
            }
            Self::Objects(bucket, prefix) => {
                let path = Path::from(prefix).join(name);
                match bucket.store().delete(&path).await {
                    Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                    Err(error) => Err(failed(&bucket, &path)(error)),
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use slipway_cas::objects::object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn a_folder_and_an_object_store_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let bucket = Bucket::new("memory://", Arc::new(InMemory::new()));
        let others = SmallFiles::Objects(bucket.clone(), "others");
        others.write("z", b"of others".to_vec()).await.unwrap();
        for files in [SmallFiles::Folder(folder.path().to_owned()), SmallFiles::Objects(bucket, "secrets")] {
            assert!(files.names().await.unwrap().is_empty());
            assert_eq!(files.read("a.json").await.unwrap(), None);
            files.remove("a.json").await.unwrap();
            for content in ["first", "", "second"] {
                files.write("a.json", content.into()).await.unwrap();
                assert_eq!(files.read("a.json").await.unwrap().unwrap(), content.as_bytes());
            }
            files.write("b.json", b"b".to_vec()).await.unwrap();
            let mut names = files.names().await.unwrap();
            names.sort();
            assert_eq!(names, ["a.json", "b.json"]);
            files.remove("a.json").await.unwrap();
            assert_eq!(files.names().await.unwrap(), ["b.json"]);
        }
        assert_eq!(others.names().await.unwrap(), ["z"]);
    }
}
