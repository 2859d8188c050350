//! Reading the trail, and checking the whole journal below it, a piece at a time.

use serde::Serialize;

use super::AuditEntry;
use crate::driver::{Driver, DriverError};
use crate::journal::Record;

/// How many pieces of the journal one request reads at most: the driver has other work.
const PIECES_MAX: usize = 4;

/// An entry and its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Placed {
    /// The journal's position.
    pub(crate) position: u64,
    /// SHA-256 of the journal's record, in hexadecimal.
    pub(crate) hash: String,
    #[serde(flatten)]
    pub(crate) entry: AuditEntry,
}

/// A piece of the trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Placed>,
    /// Go on after this position.
    pub(crate) position: u64,
    /// Hash of the record there, in hexadecimal; empty at the journal's beginning.
    pub(crate) hash: String,
    /// Where the journal ended when this was read.
    pub(crate) end: u64,
}

/// What the record says of somebody's command.
fn entry(record: &Record) -> Option<AuditEntry> {
    AuditEntry::of(&serde_json::from_slice(&record.payload).ok()?)
}

/// The entries after a position, at most `limit`; the records between are checked against each other on the way.
///
/// # Errors
/// [`DriverError`], above all [`DriverError::Journal`] for one that is damaged.
pub(crate) async fn page(driver: &Driver, after: u64, limit: usize) -> Result<Page, DriverError> {
    let mut page = Page { entries: Vec::new(), position: after, hash: String::new(), end: after };
    for _ in 0..PIECES_MAX {
        let piece = driver.read_journal(page.position).await?;
        page.end = piece.end;
        if piece.records.is_empty() {
            break;
        }
        for record in &piece.records {
            if page.entries.len() == limit {
                return Ok(page);
            }
            (page.position, page.hash) = (record.position, hex::encode(record.hash()));
            if let Some(entry) = entry(record) {
                page.entries.push(Placed { position: record.position, hash: page.hash.clone(), entry });
            }
        }
    }
    Ok(page)
}

/// How many records one look backwards takes: the driver's thread reads them.
const BACK_RECORDS: u64 = 256;

/// How many such looks one request takes at most.
const BACK_LOOKS: usize = 16;

/// Entries, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Newest {
    pub(crate) entries: Vec<Placed>,
    /// Go on before this position; none: the journal begins here.
    pub(crate) before: Option<u64>,
}

/// The newest entries before a position (none: before the journal's end), about `limit` of them.
///
/// # Errors
/// [`DriverError`], above all [`DriverError::Journal`] for one that is damaged.
pub(crate) async fn newest(
    driver: &Driver,
    before: Option<u64>,
    limit: usize,
) -> Result<Newest, DriverError> {
    let end = driver.stretch(0, 0).await?;
    let (first, last) = (end.anchor.position, end.head.position);
    let mut before = before.map_or(last + 1, |before| before.min(last + 1));
    let mut entries = Vec::new();
    for _ in 0..BACK_LOOKS {
        if before <= first + 1 || entries.len() >= limit {
            break;
        }
        let after = before.saturating_sub(BACK_RECORDS + 1).max(first);
        let most = usize::try_from(before - 1 - after).unwrap_or(usize::MAX);
        let stretch = driver.stretch(after, most).await?;
        let placed =
            stretch.records.iter().rev().filter(|record| record.position < before).filter_map(|record| {
                let hash = hex::encode(record.hash());
                Some(Placed { position: record.position, hash, entry: entry(record)? })
            });
        entries.extend(placed);
        before = after + 1;
    }
    Ok(Newest { entries, before: (before > first + 1).then_some(before) })
}

/// Checks the journal after a position whose hash the caller has (both from the page before; none for the beginning).
///
/// # Errors
/// [`DriverError::Journal`] for one that is damaged, or that has another hash there.
pub(crate) async fn verify(driver: &Driver, after: u64, hash: &str) -> Result<Page, DriverError> {
    let mut page = Page { entries: Vec::new(), position: after, hash: hash.to_owned(), end: after };
    for _ in 0..PIECES_MAX {
        let piece = driver.read_journal(page.position).await?;
        page.end = piece.end;
        let Some(first) = piece.records.first() else {
            if page.position > piece.end {
                let reason = format!("the journal ends at {}, before position {}", piece.end, page.position);
                return Err(DriverError::Journal(reason));
            }
            break;
        };
        if !page.hash.is_empty() && hex::encode(first.previous) != page.hash {
            let position = page.position;
            let reason = format!("the record at position {position} has another hash than {}", page.hash);
            return Err(DriverError::Journal(reason));
        }
        if let Some(last) = piece.records.last() {
            (page.position, page.hash) = (last.position, hex::encode(last.hash()));
        }
    }
    Ok(page)
}
