//! The index: what there is, how much, and what was used when.
//!
//! One connection writes, a few read. SQLite's log is synced when it is folded into the file, not at each commit: a
//! power cut loses the latest commits and keeps the rest consistent.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};

use bytes::Bytes;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Result, params};

use super::known::Known;
use super::uses::{Uses, now_ms};
use super::writer::{Inserted, NewRow, Writer, cost, signed, unsigned};
use crate::cache::engine::{Codec, Holding, Listed, Page};
use crate::cache::key::Key;
use crate::cache::limits::SCAN_KEYS;
use crate::cache::quotas::Quotas;

/// Raised when the tables change: an index of another version is emptied.
const VERSION: u32 = 2;
const READERS: usize = 4;
/// Pages in SQLite's log before they are folded in, 4 KiB each.
const LOG_PAGES: u32 = 4096;
/// So many values are read into memory before the folder is open: it takes some hundredths of a second. More of them are read
/// beside the first calls.
const READ_AT_ONCE: u64 = 20_000;
/// The most owners of values that are told.
const OWNERS_MAX: usize = 10_000;

/// The totals of owners follow each value by themselves, so that no change can forget them.
const TABLES: &str = "
CREATE TABLE value (
  id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
  codec INTEGER NOT NULL, plain_bytes INTEGER NOT NULL, data_bytes INTEGER NOT NULL, checksum INTEGER NOT NULL,
  used INTEGER NOT NULL, expires INTEGER, file TEXT
);
CREATE INDEX value_used ON value(used);
CREATE INDEX value_owner ON value(owner, used);
CREATE INDEX value_expires ON value(expires) WHERE expires IS NOT NULL;
CREATE INDEX value_file ON value(file) WHERE file IS NOT NULL;
CREATE TABLE packed (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE doomed (file TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE total (held INTEGER NOT NULL, size_bytes INTEGER NOT NULL);
INSERT INTO total VALUES (0, 0);
CREATE TABLE owner (name TEXT PRIMARY KEY, held INTEGER NOT NULL, size_bytes INTEGER NOT NULL) WITHOUT ROWID;
CREATE TRIGGER value_entered AFTER INSERT ON value BEGIN
  INSERT INTO owner VALUES (NEW.owner, 1, NEW.data_bytes)
    ON CONFLICT (name) DO UPDATE SET held = held + 1, size_bytes = size_bytes + NEW.data_bytes;
END;
CREATE TRIGGER value_removed AFTER DELETE ON value BEGIN
  UPDATE owner SET held = held - 1, size_bytes = size_bytes - OLD.data_bytes WHERE name = OLD.owner;
END;
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

pub(super) struct Index {
    root: PathBuf,
    writer: Mutex<Writer>,
    readers: Vec<Mutex<Connection>>,
    turn: AtomicUsize,
    uses: Uses,
    known: Arc<Known>,
    /// Read while presence is answered, written while room is made: what is said to be there is noted as used before
    /// the next choice of what goes.
    choosing: RwLock<()>,
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

impl Index {
    /// Opens or makes it. An error means that it is to be emptied.
    pub(super) fn open(root: &Path, max_bytes: u64, quotas: &Quotas) -> Result<Self> {
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
        // Owners that are no more: a repository that was removed, a pull request that was closed.
        connection.execute("DELETE FROM owner WHERE held <= 0", [])?;
        let known = Arc::new(Known::unread());
        read_into(&known, connect(root)?, held)?;
        let readers = (0..READERS).map(|_| connect(root).map(Mutex::new)).collect::<Result<_>>()?;
        let writer = Writer {
            connection,
            max_bytes,
            quotas: quotas.clone(),
            held,
            size_bytes,
            doomed,
            removed: Vec::new(),
            known: Arc::clone(&known),
            changes: Vec::new(),
        };
        Ok(Self {
            root: root.to_owned(),
            writer: Mutex::new(writer),
            readers,
            turn: AtomicUsize::new(0),
            uses: Uses::after(last),
            known,
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

    /// Notes the use of a value.
    pub(super) fn note_use(&self, row: &Row) {
        self.uses.note(std::iter::once(row.id));
    }

    /// Writes the uses that were noted, if there are many.
    pub(super) fn write_many_uses(&self) -> Result<()> {
        match self.uses.are_many() {
            true => self.mind(self.writer().transact(|writer| writer.write_uses(&self.uses))),
            false => Ok(()),
        }
    }

    /// Whether uses are to be written.
    pub(super) fn has_many_uses(&self) -> bool {
        self.uses.are_many()
    }

    /// Which keys are there; those that are count as used.
    pub(super) fn have(&self, keys: &[Key]) -> Result<Vec<bool>> {
        // Held until they are noted: nothing can choose in between.
        let _choosing = self.choosing.read().unwrap_or_else(PoisonError::into_inner);
        let ids = match self.known.find(keys) {
            Some(ids) => ids,
            None => self.mind(self.ids(keys))?,
        };
        Ok(self.noted(&ids))
    }

    /// The same if that takes no wait: from memory, and while no room is made.
    pub(super) fn have_at_once(&self, keys: &[Key]) -> Option<Vec<bool>> {
        let _choosing = match self.choosing.try_read() {
            Ok(choosing) => choosing,
            Err(TryLockError::Poisoned(choosing)) => choosing.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(self.noted(&self.known.find(keys)?))
    }

    fn noted(&self, ids: &[Option<i64>]) -> Vec<bool> {
        self.uses.note(ids.iter().flatten().copied());
        ids.iter().map(Option::is_some).collect()
    }

    fn ids(&self, keys: &[Key]) -> Result<Vec<Option<i64>>> {
        let reader = self.reader();
        let mut find = reader.prepare_cached("SELECT id FROM value WHERE key = ?1")?;
        keys.iter().map(|key| find.query_row([key.to_text()], |row| row.get(0)).optional()).collect()
    }

    /// What stands for a key in what is known of the index.
    pub(super) fn known(&self) -> &Known {
        &self.known
    }

    /// Enters values, and makes room if there are too many, or too many of their owners'.
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
            let surplus = writer.over_quota(rows)?;
            if !writer.is_full() && surplus.is_empty() && !writer.has_expired()? {
                return Ok((inserted, None));
            }
            // Held until this is committed. What was used since is not what goes, and is temporary no more.
            let choosing = self.choosing.write().unwrap_or_else(PoisonError::into_inner);
            writer.write_uses(&self.uses)?;
            writer.expire()?;
            for owner in surplus {
                inserted.evicted += writer.evict_of(&owner)?;
            }
            inserted.evicted += writer.evict()?;
            Ok((inserted, Some(choosing)))
        });
        self.mind(inserted).map(|(inserted, _choosing)| inserted)
    }

    /// What each owner has, those with most bytes first.
    pub(super) fn owners(&self) -> Result<Vec<Holding>> {
        let reader = self.reader();
        let mut statement = reader.prepare_cached(
            "SELECT name, held, size_bytes FROM owner WHERE held > 0 ORDER BY size_bytes DESC, name LIMIT ?1",
        )?;
        let rows = statement.query_map([signed(OWNERS_MAX as u64)], |row| {
            let (owner, values) = (row.get(0)?, unsigned(row.get(1)?));
            Ok(Holding { owner, values, size_bytes: cost(unsigned(row.get(2)?), values) })
        })?;
        self.mind(rows.collect())
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
        self.mind(self.writer().transact(|writer| Ok(writer.remove_id(row.id)?.is_some())))
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
            Key::from_text(&key).map(|key| Listed { key, size_bytes: Some(cost(data_bytes, 1)), idle_s })
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

/// Reads what an index has, as it is now: at once if that is little, otherwise beside what follows.
fn read_into(known: &Arc<Known>, connection: Connection, held: u64) -> Result<()> {
    // From here on the connection sees nothing that changes later.
    connection.execute_batch("BEGIN")?;
    connection.query_row("SELECT held FROM total", [], |_| Ok(()))?;
    let known = Arc::clone(known);
    let read = move || {
        let read = || -> Result<()> {
            let mut statement = connection.prepare("SELECT key, id FROM value")?;
            let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
            // A key that is none is nobody's to ask for.
            let key = |row: Result<(String, i64)>| match row {
                Ok((text, id)) => Key::from_text(&text).map(|key| Some((key, id))),
                Err(_) => Some(None),
            };
            known.read(rows.filter_map(key));
            Ok(())
        };
        if read().is_err() {
            known.read(std::iter::once(None));
        }
    };
    match held <= READ_AT_ONCE {
        true => read(),
        false => drop(std::thread::spawn(read)),
    }
    Ok(())
}
