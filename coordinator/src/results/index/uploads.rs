//! Uploads and their parts.

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use super::super::error::ResultsError;
use super::super::limits::{BLOCKS_MAX, UPLOADS_PER_JOB_MAX};
use super::Index;

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

fn unknown() -> ResultsError {
    ResultsError::NotFound("there is no such upload; it was finished, given up or swept".to_owned())
}

/// A new upload's number.
pub(super) fn begin(
    transaction: &Transaction<'_>,
    lease: &str,
    limit_bytes: u64,
) -> Result<i64, ResultsError> {
    let open: u32 = transaction
        .prepare_cached("SELECT count(*) FROM upload WHERE lease = ?1 AND state <> ?2")?
        .query_row(params![lease, State::Sealed as i64], |row| row.get(0))?;
    if open >= UPLOADS_PER_JOB_MAX {
        return Err(ResultsError::TooLarge(format!(
            "a job has at most {UPLOADS_PER_JOB_MAX} uploads under way"
        )));
    }
    transaction
        .execute("INSERT INTO upload (lease, limit_bytes) VALUES (?1, ?2)", params![lease, limit_bytes])?;
    Ok(transaction.last_insert_rowid())
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
    /// The columns of [`Known::of`], of a table that shares its numbers with `upload`.
    pub(super) fn columns(table: &str) -> String {
        format!("{table}.id, ready, lease, NOT EXISTS (SELECT 1 FROM part WHERE part.upload = {table}.id)")
    }

    pub(super) fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { id: row.get(0)?, ready: row.get(1)?, lease: row.get(2)?, empty: row.get(3)? })
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
    transaction: &Transaction<'_>,
    known: Option<Known>,
    lease: &str,
    is_live: impl Fn(&str) -> bool,
    taken: impl FnOnce() -> String,
) -> Result<Way, ResultsError> {
    let Some(known) = known else { return Ok(Way::Free(None)) };
    if !known.ready && known.lease == lease && known.empty {
        return Ok(Way::Again(known.id));
    }
    if known.ready || is_live(&known.lease) {
        return Err(ResultsError::Exists(taken()));
    }
    forget(transaction, known.id)?;
    Ok(Way::Free(Some(known.id)))
}

/// Forgets an upload and all that it was. Its files are the caller's to remove, afterwards.
pub(super) fn forget(transaction: &Transaction<'_>, id: i64) -> Result<(), ResultsError> {
    transaction.execute("DELETE FROM upload WHERE id = ?1", [id])?;
    Ok(())
}

pub(super) fn find(connection: &Connection, id: i64) -> Result<Upload, ResultsError> {
    let mut statement = connection
        .prepare_cached("SELECT lease, limit_bytes, state, size_bytes FROM upload WHERE id = ?1")?;
    let found = statement.query_row([id], |row| {
        Ok(Upload {
            lease: row.get(0)?,
            limit_bytes: row.get(1)?,
            state: match row.get::<_, i64>(2)? {
                0 => State::Open,
                1 => State::Placed,
                _ => State::Sealed,
            },
            size_bytes: row.get(3)?,
        })
    });
    found.optional()?.ok_or_else(unknown)
}

fn find_unsealed(connection: &Connection, id: i64) -> Result<Upload, ResultsError> {
    let upload = find(connection, id)?;
    if upload.state == State::Sealed {
        return Err(ResultsError::Exists("the upload was finalized and changes no more".to_owned()));
    }
    Ok(upload)
}

/// Lets nobody change an upload from now on. It must be whole.
pub(super) fn seal(transaction: &Transaction<'_>, id: i64) -> Result<Upload, ResultsError> {
    let upload = find(transaction, id)?;
    match upload.state {
        State::Open => Err(ResultsError::Precondition("nothing was uploaded, or not all of it".to_owned())),
        State::Placed => {
            transaction
                .execute("UPDATE upload SET state = ?2 WHERE id = ?1", params![id, State::Sealed as i64])?;
            Ok(upload)
        }
        State::Sealed => Ok(upload),
    }
}

fn files(connection: &Connection, id: i64, which: &str) -> Result<Vec<String>, ResultsError> {
    let mut statement =
        connection.prepare(&format!("SELECT file FROM part WHERE upload = ?1 AND {which}"))?;
    let files = statement.query_map([id], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(files)
}

impl Index {
    /// An upload that may still change.
    pub(in super::super) async fn open_upload(&self, id: i64) -> Result<Upload, ResultsError> {
        self.look(move |connection| find_unsealed(connection, id)).await
    }

    /// Keeps a written part. The names of files that it replaces come back.
    pub(in super::super) async fn add_part(
        &self,
        id: i64,
        block: String,
        part: Part,
    ) -> Result<Vec<String>, ResultsError> {
        self.change(move |transaction| {
            let upload = find_unsealed(transaction, id)?;
            let mut statement =
                transaction.prepare_cached("SELECT file FROM part WHERE upload = ?1 AND block = ?2")?;
            let replaced: Option<String> =
                statement.query_row(params![id, block], |row| row.get(0)).optional()?;
            transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO part (upload, block, position, file, size_bytes, crc32)
                 VALUES (?1, ?2, NULL, ?3, ?4, ?5)",
                )?
                .execute(params![id, block, part.file, part.size_bytes, part.crc32])?;
            let (count, bytes) = transaction
                .prepare_cached("SELECT count(*), sum(size_bytes) FROM part WHERE upload = ?1")?
                .query_row([id], |row| Ok((row.get::<_, usize>(0)?, row.get::<_, u64>(1)?)))?;
            if count > BLOCKS_MAX {
                return Err(ResultsError::TooLarge(format!("an upload has at most {BLOCKS_MAX} blocks")));
            }
            if bytes > upload.limit_bytes {
                return Err(too_large(upload.limit_bytes));
            }
            Ok(replaced.into_iter().collect())
        })
        .await
    }

    /// Makes this part the whole upload. The names of files that are no longer needed come back.
    pub(in super::super) async fn set_whole(&self, id: i64, part: Part) -> Result<Vec<String>, ResultsError> {
        self.change(move |transaction| {
            let upload = find_unsealed(transaction, id)?;
            if part.size_bytes > upload.limit_bytes {
                return Err(too_large(upload.limit_bytes));
            }
            let replaced = files(transaction, id, "true")?;
            transaction.execute("DELETE FROM part WHERE upload = ?1", [id])?;
            transaction.execute(
                "INSERT INTO part (upload, block, position, file, size_bytes, crc32) VALUES (?1, '', 0, ?2, ?3, ?4)",
                params![id, part.file, part.size_bytes, part.crc32],
            )?;
            placed(transaction, id, part.size_bytes)?;
            Ok(replaced)
        })
        .await
    }

    /// Puts the parts in order. Parts that have no place go; the names of their files come back.
    pub(in super::super) async fn place(&self, id: i64, order: Placed) -> Result<Vec<String>, ResultsError> {
        self.change(move |transaction| {
            let upload = find_unsealed(transaction, id)?;
            transaction.execute("UPDATE part SET position = NULL WHERE upload = ?1", [id])?;
            let size_bytes = match order {
                Placed::Blocks(blocks) => place_blocks(transaction, id, &blocks)?,
                Placed::Offsets(size_bytes) => place_offsets(transaction, id, size_bytes)?,
            };
            if size_bytes > upload.limit_bytes {
                return Err(too_large(upload.limit_bytes));
            }
            let left = files(transaction, id, "position IS NULL")?;
            transaction.execute("DELETE FROM part WHERE upload = ?1 AND position IS NULL", [id])?;
            placed(transaction, id, size_bytes)?;
            Ok(left)
        })
        .await
    }

    /// The parts of a sealed upload in order.
    pub(in super::super) async fn parts(&self, id: i64) -> Result<(Upload, Vec<Part>), ResultsError> {
        self.look(move |connection| {
            let upload = find(connection, id)?;
            if upload.state != State::Sealed {
                return Err(unknown());
            }
            let mut statement = connection.prepare_cached(
                "SELECT file, size_bytes, crc32 FROM part WHERE upload = ?1 ORDER BY position",
            )?;
            let parts = statement.query_map([id], |row| {
                Ok(Part { file: row.get(0)?, size_bytes: row.get(1)?, crc32: row.get(2)? })
            })?;
            Ok((upload, parts.collect::<Result<_, _>>()?))
        })
        .await
    }

    /// Forgets these uploads.
    pub(in super::super) async fn forget_all(&self, ids: Vec<i64>) -> Result<(), ResultsError> {
        self.change(move |transaction| ids.into_iter().try_for_each(|id| forget(transaction, id))).await
    }

    /// Uploads that never became something to be seen, with their leases, after this number.
    pub(in super::super) async fn unfinished(
        &self,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, String)>, ResultsError> {
        self.look(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, lease FROM upload WHERE id > ?1
                 AND NOT EXISTS (SELECT 1 FROM cache WHERE cache.id = upload.id AND ready = 1)
                 AND NOT EXISTS (SELECT 1 FROM artifact WHERE artifact.id = upload.id AND ready = 1)
                 ORDER BY id LIMIT ?2",
            )?;
            let rows = statement.query_map(params![after, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// The number of every upload.
    pub(in super::super) async fn numbers(&self) -> Result<std::collections::BTreeSet<i64>, ResultsError> {
        self.look(|connection| {
            let mut statement = connection.prepare("SELECT id FROM upload")?;
            let ids = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(ids)
        })
        .await
    }
}

pub(in super::super) fn too_large(limit_bytes: u64) -> ResultsError {
    ResultsError::TooLarge(format!("the upload is larger than {limit_bytes} bytes"))
}

fn placed(transaction: &Transaction<'_>, id: i64, size_bytes: u64) -> Result<(), ResultsError> {
    transaction.execute(
        "UPDATE upload SET state = ?2, size_bytes = ?3 WHERE id = ?1",
        params![id, State::Placed as i64, size_bytes],
    )?;
    Ok(())
}

fn place_blocks(transaction: &Transaction<'_>, id: i64, blocks: &[String]) -> Result<u64, ResultsError> {
    let mut statement = transaction.prepare_cached(
        "UPDATE part SET position = ?3 WHERE upload = ?1 AND block = ?2 AND position IS NULL RETURNING size_bytes",
    )?;
    let mut size_bytes = 0_u64;
    for (position, block) in blocks.iter().enumerate() {
        let found: Option<u64> =
            statement.query_row(params![id, block, position], |row| row.get(0)).optional()?;
        let found = found.ok_or_else(|| {
            ResultsError::Invalid(format!("block {block} was not uploaded, or stands in the list twice"))
        })?;
        size_bytes = size_bytes.saturating_add(found);
    }
    Ok(size_bytes)
}

fn place_offsets(transaction: &Transaction<'_>, id: i64, size_bytes: u64) -> Result<u64, ResultsError> {
    let mut statement = transaction.prepare("SELECT block, size_bytes FROM part WHERE upload = ?1")?;
    let rows = statement.query_map([id], |row| Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?)))?;
    let mut parts = Vec::new();
    for row in rows {
        let (block, bytes) = row?;
        parts.push((block.parse::<u64>().unwrap_or(u64::MAX), block, bytes));
    }
    parts.sort_unstable();
    let mut due = 0_u64;
    for (position, (offset, block, bytes)) in parts.into_iter().enumerate() {
        if offset != due {
            return Err(ResultsError::Invalid(format!("bytes from {due} on are missing or came twice")));
        }
        due = due.saturating_add(bytes);
        transaction.execute(
            "UPDATE part SET position = ?3 WHERE upload = ?1 AND block = ?2",
            params![id, block, position],
        )?;
    }
    if due != size_bytes {
        return Err(ResultsError::Invalid(format!("{due} bytes were uploaded, not {size_bytes}")));
    }
    Ok(due)
}
