//! The index: what there is, how much, and what was used when.
//!
//! One connection writes, a few read. SQLite's log is synced when it is folded into the file, not at each commit: a
//! power cut loses the latest commits and keeps the rest consistent.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Result, params};

use super::VALUE_OVERHEAD_BYTES;
use super::uses::{Uses, now_ms};
use crate::cache::engine::{Codec, Keep, Listed, Page, Value};
use crate::cache::key::Key;
use crate::cache::limits::{SCAN_KEYS, TEMPORARY_TTL};

/// Raised when the tables change: an index of another version is emptied.
const VERSION: u32 = 1;
const READERS: usize = 4;
/// Pages in SQLite's log before they are folded in, 4 KiB each.
const LOG_PAGES: u32 = 4096;
/// Values looked at when room is made, a step.
const EVICT_STEP: usize = 64;
/// Expired values removed at each write.
const EXPIRE_STEP: usize = 64;
/// When room is made, this part of the whole is made free, so that it is not made for every value anew.
const FREE_PART: u64 = 64;

const TABLES: &str = "
CREATE TABLE value (
  id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE,
  codec INTEGER NOT NULL, plain_bytes INTEGER NOT NULL, data_bytes INTEGER NOT NULL, checksum INTEGER NOT NULL,
  used INTEGER NOT NULL, expires INTEGER, file TEXT
);
CREATE INDEX value_used ON value(used);
CREATE INDEX value_expires ON value(expires) WHERE expires IS NOT NULL;
CREATE INDEX value_file ON value(file) WHERE file IS NOT NULL;
CREATE TABLE packed (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE doomed (file TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE total (held INTEGER NOT NULL, size_bytes INTEGER NOT NULL);
INSERT INTO total VALUES (0, 0);
";

/// Where a value's bytes are.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Packed(Bytes),
    File(String),
}

impl Place {
    pub(super) fn file(&self) -> Option<&str> {
        match self {
            Self::Packed(_) => None,
            Self::File(name) => Some(name),
        }
    }
}

/// What the index says of a value.
#[derive(Debug)]
pub(super) struct Row {
    id: i64,
    /// `None` when the number stands for none.
    pub(super) codec: Option<Codec>,
    pub(super) plain_bytes: u32,
    pub(super) data_bytes: usize,
    pub(super) checksum: u32,
    pub(super) place: Place,
}

/// A value to be entered.
#[derive(Debug)]
pub(super) struct NewRow {
    pub(super) key: String,
    pub(super) value: Value,
    pub(super) keep: Keep,
    pub(super) checksum: u32,
    pub(super) place: Place,
}

/// What became of an insertion.
#[derive(Debug, Default)]
pub(super) struct Inserted {
    pub(super) evicted: usize,
    /// Files of values that were there already.
    pub(super) unwanted: Vec<String>,
}

pub(super) struct Index {
    root: PathBuf,
    writer: Mutex<Writer>,
    readers: Vec<Mutex<Connection>>,
    turn: AtomicUsize,
    uses: Uses,
    /// Read while presence is answered, written while room is made: what is said to be there is noted as used before
    /// the next choice of what goes.
    choosing: RwLock<()>,
}

struct Writer {
    connection: Connection,
    max_bytes: u64,
    held: u64,
    size_bytes: u64,
    /// Files of rows that are gone, still to be removed.
    doomed: Vec<String>,
    /// Files that are removed, still listed.
    removed: Vec<String>,
}

fn connect(root: &Path) -> Result<Connection> {
    let connection = Connection::open(root.join("index.sqlite"))?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

fn cost(data_bytes: u64) -> u64 {
    data_bytes + VALUE_OVERHEAD_BYTES
}

/// SQLite's integers are signed; lengths and times here fit.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

impl Index {
    /// Opens or makes it. An error means that it is to be emptied.
    pub(super) fn open(root: &Path, max_bytes: u64) -> Result<Self> {
        if root.join("unreadable").exists() {
            return Err(rusqlite::Error::InvalidQuery);
        }
        let connection = connect(root)?;
        match connection.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))? {
            VERSION => {}
            0 => {
                connection
                    .execute_batch(&format!("BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;"))?;
            }
            _ => return Err(rusqlite::Error::InvalidQuery),
        }
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
        let held = number("SELECT held FROM total")?.map_or(0, unsigned);
        let size_bytes = number("SELECT size_bytes FROM total")?.map_or(0, unsigned);
        let last = number("SELECT max(used) FROM value")?.map_or(0, unsigned);
        let doomed = connection
            .prepare("SELECT file FROM doomed")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<Vec<String>>>()?;
        let readers = (0..READERS).map(|_| connect(root).map(Mutex::new)).collect::<Result<_>>()?;
        let writer = Writer { connection, max_bytes, held, size_bytes, doomed, removed: Vec::new() };
        Ok(Self {
            root: root.to_owned(),
            writer: Mutex::new(writer),
            readers,
            turn: AtomicUsize::new(0),
            uses: Uses::after(last),
            choosing: RwLock::new(()),
        })
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // A transaction that was cut short by a panic is rolled back when it is dropped.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reader(&self) -> MutexGuard<'_, Connection> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.readers[turn % READERS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks the folder to be emptied at the next start if this error says that the index is broken.
    fn mind<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(rusqlite::Error::SqliteFailure(error, _)) = &result
            && matches!(error.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        {
            // If even this fails, the next start finds out by itself.
            let _ = std::fs::write(self.root.join("unreadable"), b"");
        }
        result
    }

    pub(super) fn row(&self, key: &str) -> Result<Option<Row>> {
        self.mind(row(&self.reader(), key))
    }

    /// Whether a value has this file.
    pub(super) fn refers_to(&self, file: &str) -> Result<bool> {
        self.mind(self.reader().prepare_cached("SELECT 1 FROM value WHERE file = ?1")?.exists([file]))
    }

    /// Notes uses, and writes them when there are many.
    pub(super) fn note_uses(&self, keys: &[String]) -> Result<()> {
        if self.uses.note(keys) {
            self.mind(self.writer().transact(|writer| writer.write_uses(&self.uses)))?;
        }
        Ok(())
    }

    /// Which keys are there; those that are count as used.
    pub(super) fn have(&self, keys: &[String]) -> Result<Vec<bool>> {
        let there = {
            let _choosing = self.choosing.read().unwrap_or_else(PoisonError::into_inner);
            // First noted, then looked at: nothing can choose in between.
            self.uses.note(keys);
            let reader = self.reader();
            let mut exists = reader.prepare_cached("SELECT 1 FROM value WHERE key = ?1")?;
            self.mind(keys.iter().map(|key| exists.exists([key])).collect::<Result<Vec<_>>>())?
        };
        self.note_uses(&[])?;
        Ok(there)
    }

    /// Enters values, and makes room if there are too many.
    pub(super) fn insert(&self, rows: &[NewRow]) -> Result<Inserted> {
        let mut writer = self.writer();
        let inserted = writer.transact(|writer| {
            let mut inserted = Inserted::default();
            writer.forget_removed()?;
            for row in rows {
                if !writer.enter(row, self.uses.next())? {
                    inserted.unwanted.extend(row.place.file().map(str::to_owned));
                }
            }
            writer.expire()?;
            if writer.size_bytes > writer.max_bytes {
                // Held until this is committed.
                let choosing = self.choosing.write().unwrap_or_else(PoisonError::into_inner);
                writer.write_uses(&self.uses)?;
                inserted.evicted = writer.evict()?;
                return Ok((inserted, Some(choosing)));
            }
            Ok((inserted, None))
        });
        self.mind(inserted).map(|(inserted, _choosing)| inserted)
    }

    /// Removes what is under these keys; says how many there were.
    pub(super) fn remove(&self, keys: &[String]) -> Result<u64> {
        let removed = self.writer().transact(|writer| {
            let mut removed = 0;
            for key in keys {
                removed += u64::from(writer.remove_key(key)?);
            }
            Ok(removed)
        });
        self.mind(removed)
    }

    /// Removes this very value; `false` if it is gone or another is in its place.
    pub(super) fn remove_row(&self, row: &Row) -> Result<bool> {
        self.mind(self.writer().transact(|writer| writer.remove_id(row.id)))
    }

    /// Files to be removed; the caller says which ones are by [`Index::forget_doomed`].
    pub(super) fn take_doomed(&self) -> Vec<String> {
        std::mem::take(&mut self.writer().doomed)
    }

    /// These files are removed; the list is shortened with the next write.
    pub(super) fn forget_doomed(&self, files: Vec<String>) {
        self.writer().removed.extend(files);
    }

    /// Values held and their bytes.
    pub(super) fn totals(&self) -> (u64, u64) {
        let writer = self.writer();
        (writer.held, writer.size_bytes)
    }

    /// A part of all keys, in their order.
    pub(super) fn page(&self, from: Option<String>) -> Result<Page> {
        self.mind(self.writer().transact(|writer| writer.write_uses(&self.uses)))?;
        let reader = self.reader();
        let mut statement = reader
            .prepare_cached("SELECT key, data_bytes, used FROM value WHERE key > ?1 ORDER BY key LIMIT ?2")?;
        let now = now_ms();
        let read = |row: &rusqlite::Row<'_>| {
            Ok((row.get::<_, String>(0)?, unsigned(row.get(1)?), unsigned(row.get(2)?)))
        };
        let rows = statement.query_map(params![from.unwrap_or_default(), signed(SCAN_KEYS as u64)], read)?;
        let rows: Vec<_> = self.mind(rows.collect::<Result<_>>())?;
        let next = (rows.len() == SCAN_KEYS).then(|| rows.last().map(|row| row.0.clone())).flatten();
        let listed = |(key, data_bytes, used): (String, u64, u64)| {
            let idle_s = Some(now.saturating_sub(used) / 1000);
            Key::from_text(&key).map(|key| Listed { key, size_bytes: Some(cost(data_bytes)), idle_s })
        };
        Ok(Page { keys: rows.into_iter().filter_map(listed).collect(), next })
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        // Lost uses cost a little; the list of the doomed is read again at the next start.
        let _ = self.writer().transact(|writer| {
            writer.forget_removed()?;
            writer.write_uses(&self.uses)
        });
    }
}

fn row(connection: &Connection, key: &str) -> Result<Option<Row>> {
    let mut statement = connection.prepare_cached(
        "SELECT value.id, codec, plain_bytes, data_bytes, checksum, file, data FROM value
         LEFT JOIN packed ON packed.id = value.id WHERE key = ?1",
    )?;
    let read = |row: &rusqlite::Row<'_>| {
        let file: Option<String> = row.get(5)?;
        let data =
            || row.get::<_, Option<Vec<u8>>>(6).map(|data| Place::Packed(data.unwrap_or_default().into()));
        Ok(Row {
            id: row.get(0)?,
            codec: Codec::from_number(row.get(1)?),
            plain_bytes: row.get(2)?,
            data_bytes: usize::try_from(row.get::<_, i64>(3)?).unwrap_or(usize::MAX),
            checksum: row.get(4)?,
            place: file.map_or_else(data, |file| Ok(Place::File(file)))?,
        })
    };
    statement.query_row([key], read).optional()
}

impl Writer {
    /// Runs work in one transaction; what it changed in memory is undone with it.
    fn transact<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let (held, size_bytes, doomed, removed) =
            (self.held, self.size_bytes, self.doomed.len(), self.removed.clone());
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let done = work(self).and_then(|done| {
            self.connection
                .prepare_cached("UPDATE total SET held = ?1, size_bytes = ?2")?
                .execute([signed(self.held), signed(self.size_bytes)])?;
            self.connection.execute_batch("COMMIT")?;
            Ok(done)
        });
        if done.is_err() {
            (self.held, self.size_bytes, self.removed) = (held, size_bytes, removed);
            self.doomed.truncate(doomed);
            if !self.connection.is_autocommit() {
                self.connection.execute_batch("ROLLBACK")?;
            }
        }
        done
    }

    /// Enters a value in place of the one of its key; `false` for a temporary one whose key is taken.
    fn enter(&mut self, row: &NewRow, used: u64) -> Result<bool> {
        if row.keep == Keep::Temporary {
            if self.connection.prepare_cached("SELECT 1 FROM value WHERE key = ?1")?.exists([&row.key])? {
                return Ok(false);
            }
        } else {
            self.remove_key(&row.key)?;
        }
        let ttl_ms = u64::try_from(TEMPORARY_TTL.as_millis()).unwrap_or(u64::MAX);
        let expires = (row.keep == Keep::Temporary).then(|| signed(now_ms().saturating_add(ttl_ms)));
        let data_bytes = row.value.data.len() as u64;
        self.connection
            .prepare_cached(
                "INSERT INTO value (key, codec, plain_bytes, data_bytes, checksum, used, expires, file)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                row.key,
                row.value.codec.number(),
                row.value.plain_bytes,
                signed(data_bytes),
                row.checksum,
                signed(used),
                expires,
                row.place.file(),
            ])?;
        if let Place::Packed(data) = &row.place {
            self.connection
                .prepare_cached("INSERT INTO packed (id, data) VALUES (?1, ?2)")?
                .execute(params![self.connection.last_insert_rowid(), &data[..]])?;
        }
        self.held += 1;
        self.size_bytes += cost(data_bytes);
        Ok(true)
    }

    fn remove_key(&mut self, key: &str) -> Result<bool> {
        let id = self
            .connection
            .prepare_cached("SELECT id FROM value WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        id.map_or(Ok(false), |id| self.remove_id(id))
    }

    fn remove_id(&mut self, id: i64) -> Result<bool> {
        let gone = self
            .connection
            .prepare_cached("DELETE FROM value WHERE id = ?1 RETURNING data_bytes, file")?
            .query_row([id], |row| Ok((unsigned(row.get(0)?), row.get::<_, Option<String>>(1)?)))
            .optional()?;
        let Some((data_bytes, file)) = gone else { return Ok(false) };
        match file {
            Some(file) => {
                self.connection
                    .prepare_cached("INSERT OR IGNORE INTO doomed VALUES (?1)")?
                    .execute([&file])?;
                self.doomed.push(file);
            }
            None => {
                self.connection.prepare_cached("DELETE FROM packed WHERE id = ?1")?.execute([id])?;
            }
        }
        self.held = self.held.saturating_sub(1);
        self.size_bytes = self.size_bytes.saturating_sub(cost(data_bytes));
        Ok(true)
    }

    fn ids(&self, sql: &str, bound: i64, limit: usize) -> Result<Vec<i64>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.query_map([bound, signed(limit as u64)], |row| row.get(0))?.collect()
    }

    /// Removes temporary values whose time is over.
    fn expire(&mut self) -> Result<()> {
        let sql = "SELECT id FROM value WHERE expires IS NOT NULL AND expires < ?1 ORDER BY expires LIMIT ?2";
        for id in self.ids(sql, signed(now_ms()), EXPIRE_STEP)? {
            self.remove_id(id)?;
        }
        Ok(())
    }

    /// Removes the least recently used until there is room; says how many.
    fn evict(&mut self) -> Result<usize> {
        let goal = self.max_bytes - self.max_bytes / FREE_PART;
        let mut evicted = 0;
        while self.size_bytes > goal {
            let oldest =
                self.ids("SELECT id FROM value WHERE used >= ?1 ORDER BY used LIMIT ?2", 0, EVICT_STEP)?;
            if oldest.is_empty() {
                // The totals are wrong (a person changed the file): start from what there is.
                (self.held, self.size_bytes) = (0, 0);
            }
            for id in oldest {
                if self.size_bytes <= goal {
                    break;
                }
                self.remove_id(id)?;
                evicted += 1;
            }
        }
        Ok(evicted)
    }

    /// Writes the uses noted so far; a temporary value that is used is temporary no more.
    fn write_uses(&mut self, uses: &Uses) -> Result<()> {
        let mut statement = self
            .connection
            .prepare_cached("UPDATE value SET used = ?2, expires = NULL WHERE key = ?1 AND used < ?2")?;
        for (key, used) in uses.take() {
            statement.execute(params![key, signed(used)])?;
        }
        Ok(())
    }

    /// Shortens the list of the doomed by the files that are removed.
    fn forget_removed(&mut self) -> Result<()> {
        for file in std::mem::take(&mut self.removed) {
            self.connection.prepare_cached("DELETE FROM doomed WHERE file = ?1")?.execute([file])?;
        }
        Ok(())
    }
}
