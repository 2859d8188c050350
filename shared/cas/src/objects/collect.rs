//! Removes blobs that nobody names from weeks that are over.

use std::io;
use std::time::SystemTime;

use futures_util::stream::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore as _, ObjectStoreExt as _};

use super::week::Week;
use super::{Bucket, describe};
use crate::Digest;
use crate::store::{Collected, Named, StoreError};

/// Objects that are removed at a time.
const REMOVALS_AT_ONCE: usize = 8;

/// The weeks that blobs were put in, newest first; the time before weeks is always the last.
pub(super) async fn weeks(bucket: &Bucket) -> Result<Vec<Week>, StoreError> {
    let listed = bucket.store().list_with_delimiter(Some(&Path::from("blobs"))).await;
    let listed = listed.map_err(|error| failed(bucket, &error))?;
    let mut weeks: Vec<Week> =
        listed.common_prefixes.iter().filter_map(|prefix| Week::parse(prefix.filename()?)).collect();
    weeks.sort_unstable_by(|one, other| other.cmp(one));
    weeks.push(Week::Before);
    Ok(weeks)
}

pub(super) async fn collect(
    bucket: &Bucket,
    before: SystemTime,
    named: Named,
) -> Result<Collected, StoreError> {
    let mut collected = Collected::default();
    for week in weeks(bucket).await? {
        if week.end().is_some_and(|end| end > before) {
            continue;
        }
        let folder = week.folder();
        let old = bucket.store().list(Some(&folder)).try_filter(|object| {
            let goes = is_over(week, object, before, &named);
            std::future::ready(goes)
        });
        let mut removed = old
            .map(|object| async {
                let object = object?;
                match bucket.store().delete(&object.location).await {
                    Ok(()) => Ok(Some(object.size)),
                    // Another coordinator's removal, before it lost the lead.
                    Err(Error::NotFound { .. }) => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .buffer_unordered(REMOVALS_AT_ONCE);
        while let Some(size_bytes) = removed.try_next().await.map_err(|error| failed(bucket, &error))? {
            size_bytes.into_iter().for_each(|size_bytes| collected.add(size_bytes));
        }
    }
    Ok(collected)
}

/// Whether the object is a blob of exactly this week that nobody names. For the time before weeks the object itself has
/// to be old: nothing else says so.
fn is_over(week: Week, object: &ObjectMeta, before: SystemTime, named: &Named) -> bool {
    if week == Week::Before && SystemTime::from(object.last_modified) >= before {
        return false;
    }
    let Some(parts) = object.location.prefix_match(&week.folder()) else { return false };
    let hash: String = parts.map(|part| part.as_ref().to_owned()).collect();
    Digest::from_hex(&hash, 0).is_ok_and(|digest| !named.contains(digest.hash()))
}

fn failed(bucket: &Bucket, error: &Error) -> StoreError {
    StoreError::Io { place: format!("{} blobs", bucket.url()), source: io::Error::other(describe(error)) }
}
