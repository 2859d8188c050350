//! Where blobs and records are: opened and checked before anything depends on them.

use std::path::PathBuf;
use std::sync::Arc;

use slipway_cas::objects::{Bucket, ObjectBlobs};
use slipway_cas::{FolderStore, Store};

use crate::blobs::BlobStore;
use crate::coordinator::StartError;
use crate::data_dir::DataDir;
use crate::options::Objects;
use crate::records::{FolderRecords, ObjectRecords, Records};

/// What was opened.
pub(crate) struct Places {
    /// The folder of objects; with an object store, where they were before there was one.
    pub(crate) folder: PathBuf,
    /// The object store, where the options name one.
    pub(crate) bucket: Option<Bucket>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) records: Records,
}

/// Opens what the options name. `shared`: other coordinators open it too.
///
/// # Errors
/// [`StartError`], when it cannot be used.
pub(crate) async fn open(
    objects: Option<&Objects>,
    shared: bool,
    data_dir: &DataDir,
) -> Result<Places, StartError> {
    let folder = match objects {
        Some(Objects::Folder(folder)) => folder.clone(),
        Some(Objects::Bucket(_)) | None => data_dir.path("objects"),
    };
    if let Some(Objects::Bucket(address)) = objects {
        let bucket = Bucket::open(address)?;
        bucket.check().await?;
        let store = Arc::new(ObjectBlobs::open(bucket.clone(), data_dir.path("uploads"))?);
        let records = Records::new(Arc::new(ObjectRecords::new(bucket.clone())));
        return Ok(Places { folder, bucket: Some(bucket), store, records });
    }
    // Small blobs share a file where this coordinator is the only one: a file that several machines write is no database.
    let store: Arc<dyn Store> = match shared {
        true => Arc::new(FolderStore::open_shared(&folder)?),
        false => Arc::new(BlobStore::open(&folder)?),
    };
    let place = folder.join("records");
    let records = if shared { FolderRecords::open_shared(place)? } else { FolderRecords::open(place)? };
    let records = Records::new(Arc::new(records));
    Ok(Places { folder, bucket: None, store, records })
}
