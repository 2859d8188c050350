//! Whether an attempt's records are all there, and as the agent counted them.

use std::sync::Arc;

use serde::Serialize;
use slipway_cas::Digest;
use slipway_wire::record_digest::RecordDigest;

use super::cursor::{Cursor, Until};
use super::engine::Engine;
use super::{AttemptKey, Ended, RecordsError};

/// What a look at all of an attempt's records found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// How many records can be read, from the first on without a gap.
    pub records: u64,
    /// Their digest.
    pub digest: Digest,
    /// They are in one sealed log.
    pub sealed: bool,
    /// What is wrong, for a person; none: what there is, is whole, and what was reported, if anything was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Reads all records of an attempt and compares them with what it was reported with; `ended` is none while it runs.
///
/// # Errors
/// [`RecordsError::Io`] when the storage fails. What is damaged or missing is in the verdict.
pub(super) async fn verify(
    engine: &Arc<dyn Engine>,
    key: AttemptKey,
    ended: Option<Ended>,
) -> Result<Verdict, RecordsError> {
    let mut cursor = Cursor::new(Arc::clone(engine), key);
    let mut counted = RecordDigest::new();
    let mut records = 0;
    let mut problem = None;
    let mut sealed = None;
    match cursor.sealed().await {
        Ok(index) => sealed = index,
        Err(RecordsError::Vanished { .. }) => {}
        Err(error @ RecordsError::Damaged { .. }) => problem = Some(error.to_string()),
        Err(error) => return Err(error),
    }
    while problem.is_none() {
        match cursor.frame(records + 1, Until::End).await {
            Ok(Some((head, bytes))) => {
                counted.push_delimited(&bytes);
                records = head.next() - 1;
            }
            Ok(None) => break,
            Err(error @ (RecordsError::Damaged { .. } | RecordsError::Missing { .. })) => {
                problem = Some(error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    let digest = counted.digest();
    let differs = |reported: u64, reported_digest: String| {
        let (place, found, found_digest) = (engine.place(key), records, digest);
        Some(RecordsError::Differs { place, found, found_digest, reported, reported_digest }.to_string())
    };
    let reported = ended.and_then(|ended| ended.reported);
    if problem.is_none()
        && let Some((count, reported_digest)) = reported
        && (count != records || reported_digest.is_some_and(|reported| reported != digest))
    {
        let text = reported_digest.map_or_else(|| "no digest".to_owned(), |digest| digest.to_string());
        problem = differs(count, text);
    }
    if problem.is_none()
        && let Some(index) = &sealed
        && (index.records, index.digest) != (records, digest)
    {
        problem = differs(index.records, index.digest.to_string());
    }
    Ok(Verdict { records, digest, sealed: sealed.is_some(), problem })
}
