//! Uploads and their parts.

use std::collections::{BTreeMap, BTreeSet};

use super::super::error::ResultsError;
use super::super::limits::{BLOCKS_MAX, UPLOADS_PER_JOB_MAX};
use super::Index;
use super::sql::{Fault, Row, Sql, all, first, only, values};

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum State {
    /// Parts come.
    Open = 0,
    /// The order of its parts is known; they may still be replaced.
    Placed = 1,
    /// It changes no more.
    Sealed = 2,
}

/// An upload's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Upload {
    pub(in super::super) lease: String,
    pub(in super::super) limit_bytes: u64,
    pub(in super::super) state: State,
    pub(in super::super) size_bytes: u64,
}

/// A part that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Part {
    /// Its name among the upload's files.
    pub(in super::super) file: String,
    pub(in super::super) size_bytes: u64,
    pub(in super::super) crc32: u32,
}

/// Where parts go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Placed {
    /// These blocks, in this order.
    Blocks(Vec<String>),
    /// All that came, each named by its offset; together they have this many bytes without a gap.
    Offsets(u64),
}

/// The parts that the index names, by upload; an upload without any is there too.
pub(in super::super) type Named = BTreeMap<i64, BTreeSet<String>>;

fn unknown() -> ResultsError {
    ResultsError::NotFound("there is no such upload; it was finished, given up or swept".to_owned())
}

const OPEN_OF_LEASE: &str = "SELECT count(*) FROM upload WHERE lease = ?1 AND state <> ?2";

const BEGIN: &str = "INSERT INTO upload (lease, limit_bytes) VALUES (?1, ?2) RETURNING id";

/// A new upload's number.
pub(super) fn begin(sql: &mut dyn Sql, lease: &str, limit_bytes: u64) -> Result<i64, Fault> {
    let open = only(sql, OPEN_OF_LEASE, values![lease, State::Sealed as i64])?.count(0)?;
    if open >= u64::from(UPLOADS_PER_JOB_MAX) {
        let reason = format!("a job has at most {UPLOADS_PER_JOB_MAX} uploads under way");
        return Err(ResultsError::TooLarge(reason).into());
    }
    Ok(only(sql, BEGIN, values![lease, limit_bytes])?.number(0)?)
}

/// What has the name that a job asks for.
#[derive(Debug)]
pub(super) struct Known {
    id: i64,
    ready: bool,
    lease: String,
    empty: bool,
}

impl Known {
    /// Of the columns number, `ready`, lease, and 1 if it has no part.
    pub(super) fn of(row: &Row) -> Result<Self, ResultsError> {
        Ok(Self { id: row.number(0)?, ready: row.yes(1)?, lease: row.text(2)?, empty: row.yes(3)? })
    }
}

/// What becomes of a wish for a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The job has asked before and sent nothing yet: it gets the same upload.
    Again(i64),
    /// The name is free, now that this upload is forgotten.
    Free(Option<i64>),
}

/// Makes way for an upload of this lease. What a job that is over (`is_live`) left unfinished is in nobody's way.
///
/// # Errors
/// [`ResultsError::Exists`] with this text: the name is taken.
pub(super) fn make_way(
    sql: &mut dyn Sql,
    known: Option<Known>,
    lease: &str,
    is_live: impl Fn(&str) -> bool,
    taken: impl FnOnce() -> String,
) -> Result<Way, Fault> {
    let Some(known) = known else { return Ok(Way::Free(None)) };
    if !known.ready && known.lease == lease && known.empty {
        return Ok(Way::Again(known.id));
    }
    if known.ready || is_live(&known.lease) {
        return Err(ResultsError::Exists(taken()).into());
    }
    forget(sql, known.id)?;
    Ok(Way::Free(Some(known.id)))
}

/// Forgets an upload and all that it was. Its bytes are the caller's to remove, afterwards.
pub(super) fn forget(sql: &mut dyn Sql, id: i64) -> Result<(), Fault> {
    sql.execute("DELETE FROM upload WHERE id = ?1", values![id])?;
    Ok(())
}

pub(super) fn find(sql: &mut dyn Sql, id: i64) -> Result<Upload, Fault> {
    let row =
        first(sql, "SELECT lease, limit_bytes, state, size_bytes FROM upload WHERE id = ?1", values![id])?
            .ok_or_else(unknown)?;
    let state = match row.number(2)? {
        0 => State::Open,
        1 => State::Placed,
        _ => State::Sealed,
    };
    Ok(Upload { lease: row.text(0)?, limit_bytes: row.count(1)?, state, size_bytes: row.count(3)? })
}

fn find_unsealed(sql: &mut dyn Sql, id: i64) -> Result<Upload, Fault> {
    let upload = find(sql, id)?;
    if upload.state == State::Sealed {
        let reason = "the upload was finalized and changes no more".to_owned();
        return Err(ResultsError::Exists(reason).into());
    }
    Ok(upload)
}

/// Lets nobody change an upload from now on. It must be whole.
pub(super) fn seal(sql: &mut dyn Sql, id: i64) -> Result<Upload, Fault> {
    let upload = find(sql, id)?;
    match upload.state {
        State::Open => {
            Err(ResultsError::Precondition("nothing was uploaded, or not all of it".to_owned()).into())
        }
        State::Placed => {
            sql.execute("UPDATE upload SET state = ?2 WHERE id = ?1", values![id, State::Sealed as i64])?;
            Ok(upload)
        }
        State::Sealed => Ok(upload),
    }
}

const KEEP_PART: &str = "INSERT INTO part (upload, block, position, file, size_bytes, crc32)
     VALUES (?1, ?2, CAST(?3 AS BIGINT), ?4, ?5, ?6)
     ON CONFLICT (upload, block) DO UPDATE SET position = excluded.position, file = excluded.file,
         size_bytes = excluded.size_bytes, crc32 = excluded.crc32";

fn keep_part(sql: &mut dyn Sql, id: i64, block: &str, place: Option<i64>, part: &Part) -> Result<(), Fault> {
    let Part { file, size_bytes, crc32 } = part;
    sql.execute(KEEP_PART, values![id, block, place, file, *size_bytes, *crc32])?;
    Ok(())
}

/// Files of parts, but for one: a change that is done again must not take what it put there before for somebody else's.
fn others(files: Vec<String>, ours: &Part) -> Vec<String> {
    files.into_iter().filter(|file| *file != ours.file).collect()
}

impl Index {
    /// An upload that may still change.
    pub(in super::super) async fn open_upload(&self, id: i64) -> Result<Upload, ResultsError> {
        self.look(move |sql| find_unsealed(sql, id)).await
    }

    /// Keeps a written part. The names of files that it replaces come back.
    pub(in super::super) async fn add_part(
        &self,
        id: i64,
        block: String,
        part: Part,
    ) -> Result<Vec<String>, ResultsError> {
        self.change(move |sql| {
            let upload = find_unsealed(sql, id)?;
            let replaced = all(
                sql,
                "SELECT file FROM part WHERE upload = ?1 AND block = ?2",
                values![id, &block],
                |row| row.text(0),
            )?;
            keep_part(sql, id, &block, None, &part)?;
            let held = only(
                sql,
                "SELECT count(*), CAST(sum(size_bytes) AS BIGINT) FROM part WHERE upload = ?1",
                values![id],
            )?;
            if held.count(0)? > BLOCKS_MAX as u64 {
                let reason = format!("an upload has at most {BLOCKS_MAX} blocks");
                return Err(ResultsError::TooLarge(reason).into());
            }
            if held.count(1)? > upload.limit_bytes {
                return Err(too_large(upload.limit_bytes).into());
            }
            Ok(others(replaced, &part))
        })
        .await
    }

    /// Makes this part the whole upload. The names of files that are no longer needed come back.
    pub(in super::super) async fn set_whole(&self, id: i64, part: Part) -> Result<Vec<String>, ResultsError> {
        self.change(move |sql| {
            let upload = find_unsealed(sql, id)?;
            if part.size_bytes > upload.limit_bytes {
                return Err(too_large(upload.limit_bytes).into());
            }
            let replaced =
                all(sql, "SELECT file FROM part WHERE upload = ?1", values![id], |row| row.text(0))?;
            sql.execute("DELETE FROM part WHERE upload = ?1", values![id])?;
            keep_part(sql, id, "", Some(0), &part)?;
            placed(sql, id, part.size_bytes)?;
            Ok(others(replaced, &part))
        })
        .await
    }

    /// Puts the parts in order. Parts that have no place go; the names of their files come back.
    pub(in super::super) async fn place(&self, id: i64, order: Placed) -> Result<Vec<String>, ResultsError> {
        self.change(move |sql| {
            let upload = find_unsealed(sql, id)?;
            let parts: BTreeMap<String, u64> =
                all(sql, "SELECT block, size_bytes FROM part WHERE upload = ?1", values![id], |row| {
                    Ok((row.text(0)?, row.count(1)?))
                })?
                .into_iter()
                .collect();
            let (blocks, size_bytes) = match &order {
                Placed::Blocks(blocks) => (blocks.clone(), in_this_order(&parts, blocks)?),
                Placed::Offsets(size_bytes) => (in_order_of_offsets(&parts, *size_bytes)?, *size_bytes),
            };
            if size_bytes > upload.limit_bytes {
                return Err(too_large(upload.limit_bytes).into());
            }
            sql.execute("UPDATE part SET position = NULL WHERE upload = ?1", values![id])?;
            let places: Vec<_> = blocks
                .iter()
                .enumerate()
                .map(|(position, block)| values![id, block, position].to_vec())
                .collect();
            sql.execute_each("UPDATE part SET position = ?3 WHERE upload = ?1 AND block = ?2", &places)?;
            let left = all(
                sql,
                "SELECT file FROM part WHERE upload = ?1 AND position IS NULL",
                values![id],
                |row| row.text(0),
            )?;
            sql.execute("DELETE FROM part WHERE upload = ?1 AND position IS NULL", values![id])?;
            placed(sql, id, size_bytes)?;
            Ok(left)
        })
        .await
    }

    /// The parts of a sealed upload in order.
    pub(in super::super) async fn parts(&self, id: i64) -> Result<(Upload, Vec<Part>), ResultsError> {
        self.look(move |sql| {
            let upload = find(sql, id)?;
            if upload.state != State::Sealed {
                return Err(unknown().into());
            }
            let parts = all(
                sql,
                "SELECT file, size_bytes, crc32 FROM part WHERE upload = ?1 ORDER BY position",
                values![id],
                |row| {
                    // A checksum that is none is that of no part.
                    let crc32 = u32::try_from(row.number(2)?).unwrap_or_default();
                    Ok(Part { file: row.text(0)?, size_bytes: row.count(1)?, crc32 })
                },
            )?;
            Ok((upload, parts))
        })
        .await
    }

    /// Forgets these uploads.
    pub(in super::super) async fn forget_all(&self, ids: Vec<i64>) -> Result<(), ResultsError> {
        self.change(move |sql| ids.iter().try_for_each(|id| forget(sql, *id))).await
    }

    /// Uploads that never became something to be seen, with their leases, after this number.
    pub(in super::super) async fn unfinished(
        &self,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, String)>, ResultsError> {
        self.look(move |sql| {
            let unfinished = "SELECT id, lease FROM upload WHERE id > ?1
                 AND NOT EXISTS (SELECT 1 FROM cache WHERE cache.id = upload.id AND ready = 1)
                 AND NOT EXISTS (SELECT 1 FROM artifact WHERE artifact.id = upload.id AND ready = 1)
                 ORDER BY id LIMIT ?2";
            all(sql, unfinished, values![after, limit], |row| Ok((row.number(0)?, row.text(1)?)))
        })
        .await
    }

    /// Every part that is named.
    pub(in super::super) async fn named(&self) -> Result<Named, ResultsError> {
        self.look(|sql| {
            let mut named = Named::new();
            for id in all(sql, "SELECT id FROM upload", values![], |row| row.number(0))? {
                named.insert(id, BTreeSet::new());
            }
            let parts = all(sql, "SELECT upload, file FROM part", values![], |row| {
                Ok((row.number(0)?, row.text(1)?))
            })?;
            for (id, file) in parts {
                named.entry(id).or_default().insert(file);
            }
            Ok(named)
        })
        .await
    }
}

pub(in super::super) fn too_large(limit_bytes: u64) -> ResultsError {
    ResultsError::TooLarge(format!("the upload is larger than {limit_bytes} bytes"))
}

fn placed(sql: &mut dyn Sql, id: i64, size_bytes: u64) -> Result<(), Fault> {
    sql.execute(
        "UPDATE upload SET state = ?2, size_bytes = ?3 WHERE id = ?1",
        values![id, State::Placed as i64, size_bytes],
    )?;
    Ok(())
}

/// How many bytes these blocks have together.
fn in_this_order(parts: &BTreeMap<String, u64>, blocks: &[String]) -> Result<u64, ResultsError> {
    let (mut size_bytes, mut seen) = (0_u64, BTreeSet::new());
    for block in blocks {
        let found = parts.get(block).filter(|_| seen.insert(block)).ok_or_else(|| {
            ResultsError::Invalid(format!("block {block} was not uploaded, or stands in the list twice"))
        })?;
        size_bytes = size_bytes.saturating_add(*found);
    }
    Ok(size_bytes)
}

/// The blocks in the order of the offsets that they are named by; without gaps they have so many bytes.
fn in_order_of_offsets(parts: &BTreeMap<String, u64>, size_bytes: u64) -> Result<Vec<String>, ResultsError> {
    let mut offsets: Vec<(u64, &String, u64)> =
        parts.iter().map(|(block, bytes)| (block.parse().unwrap_or(u64::MAX), block, *bytes)).collect();
    offsets.sort_unstable();
    let mut due = 0_u64;
    for (offset, _, bytes) in &offsets {
        if *offset != due {
            return Err(ResultsError::Invalid(format!("bytes from {due} on are missing or came twice")));
        }
        due = due.saturating_add(*bytes);
    }
    if due != size_bytes {
        return Err(ResultsError::Invalid(format!("{due} bytes were uploaded, not {size_bytes}")));
    }
    Ok(offsets.into_iter().map(|(_, block, _)| block.clone()).collect())
}
