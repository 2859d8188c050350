//! The journal in one SQLite file: the embedded default.
//!
//! WAL with `synchronous=FULL`: a committed transaction survives a power cut. A batch is one transaction, so one
//! sync pays for all of it. The connection locks the file exclusively, besides the data directory's own lock.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::record::GENESIS;
use super::{
    Address, Entry, Hash, Journal, JournalError, KEPT_SNAPSHOTS, Leader, MAX_PAYLOAD_BYTES, MAX_READ, Record,
    Snapshot,
};

/// Form of the tables, kept in `PRAGMA user_version`.
pub const SCHEMA_VERSION: u32 = 1;

/// `PRAGMA application_id` of a Slipway journal: "Slip".
const APPLICATION_ID: u32 = 0x536c_6970;

/// How long to wait for another process that has the file open, in milliseconds.
const BUSY_TIMEOUT_MS: u64 = 1_000;

const SCHEMA: &str = "
    CREATE TABLE leader (only INTEGER PRIMARY KEY CHECK (only = 1), epoch INTEGER NOT NULL,
                         head_position INTEGER NOT NULL, head_hash BLOB NOT NULL) STRICT;
    CREATE TABLE record (position INTEGER PRIMARY KEY, version INTEGER NOT NULL, epoch INTEGER NOT NULL,
                         time_ms INTEGER NOT NULL, previous BLOB NOT NULL, payload BLOB NOT NULL,
                         checksum INTEGER NOT NULL) STRICT;
    CREATE TABLE snapshot (position INTEGER PRIMARY KEY, version INTEGER NOT NULL, checksum INTEGER NOT NULL,
                           size_bytes INTEGER NOT NULL, state BLOB NOT NULL) STRICT;
";

/// A journal in a SQLite file.
#[derive(Debug)]
pub struct SqliteJournal {
    connection: Connection,
    place: String,
    end: u64,
    head: Hash,
}

impl SqliteJournal {
    /// Opens the file, making it if need be, and checks that its head is whole.
    ///
    /// # Errors
    /// [`JournalError::Newer`], [`JournalError::Foreign`], [`JournalError::Damaged`], and [`JournalError::Engine`]
    /// when the file cannot be read or written or another process has it.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let place = path.display().to_string();
        let connection = Connection::open(path).map_err(engine(&place))?;
        let mut journal = Self { connection, place, end: 0, head: GENESIS };
        journal.prepare()?;
        journal.load_head()?;
        Ok(journal)
    }

    fn prepare(&mut self) -> Result<(), JournalError> {
        let place = self.place.clone();
        self.connection
            .busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS))
            .map_err(engine(&place))?;
        let (id, version, tables): (u32, u32, u32) = self
            .connection
            .query_row(
                "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM \
                 pragma_user_version), (SELECT count(*) FROM sqlite_schema)",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .map_err(|error| match error.sqlite_error_code() {
                Some(rusqlite::ErrorCode::NotADatabase) => JournalError::Foreign { place: place.clone() },
                _ => engine(&place)(error),
            })?;
        let new = id == 0 && version == 0 && tables == 0;
        if !new && id != APPLICATION_ID {
            return Err(JournalError::Foreign { place });
        }
        if version > SCHEMA_VERSION {
            return Err(JournalError::Newer { found: version, supported: SCHEMA_VERSION });
        }
        self.connection
            .execute_batch(
                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;",
            )
            .map_err(engine(&place))?;
        if new {
            let transaction = self.connection.transaction().map_err(engine(&place))?;
            transaction
                .execute_batch(&format!(
                    "{SCHEMA} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"
                ))
                .map_err(engine(&place))?;
            transaction
                .execute("INSERT INTO leader VALUES (1, 0, 0, ?1)", params![GENESIS])
                .map_err(engine(&place))?;
            transaction.commit().map_err(engine(&place))?;
        }
        Ok(())
    }

    fn load_head(&mut self) -> Result<(), JournalError> {
        let (position, hash): (u64, Hash) = self
            .connection
            .query_row("SELECT head_position, head_hash FROM leader", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .map_err(engine(&self.place))?;
        let last: Option<u64> = self
            .connection
            .query_row("SELECT max(position) FROM record", [], |row| row.get(0))
            .map_err(engine(&self.place))?;
        if last.unwrap_or(0) != position {
            return Err(JournalError::Damaged {
                position: last.unwrap_or(0) + 1,
                reason: format!("the journal should end at {position}"),
            });
        }
        let found = match self.record(position)? {
            Some(record) => record.hash(),
            None => GENESIS,
        };
        if found != hash {
            return Err(JournalError::Damaged { position, reason: "the last record was changed".to_owned() });
        }
        (self.end, self.head) = (position, hash);
        Ok(())
    }

    fn record(&self, position: u64) -> Result<Option<Record>, JournalError> {
        self.connection
            .query_row(&format!("{SELECT} WHERE position = ?1"), params![position], read_row)
            .optional()
            .map_err(engine(&self.place))
    }
}

const SELECT: &str = "SELECT version, position, epoch, time_ms, previous, payload, checksum FROM record";

fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        version: row.get(0)?,
        position: row.get(1)?,
        epoch: row.get(2)?,
        time_ms: row.get(3)?,
        previous: row.get(4)?,
        payload: row.get(5)?,
        checksum: row.get(6)?,
    })
}

fn engine(place: &str) -> impl Fn(rusqlite::Error) -> JournalError {
    let place = place.to_owned();
    move |error| {
        let reason = match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                "another process has it open; stop that one, or choose another data directory".to_owned()
            }
            Some(rusqlite::ErrorCode::DiskFull) => "the disk is full".to_owned(),
            _ => error.to_string(),
        };
        JournalError::Engine { place: place.clone(), reason }
    }
}

impl Journal for SqliteJournal {
    fn leader(&mut self) -> Result<Leader, JournalError> {
        let epoch = self.connection.query_row("SELECT epoch FROM leader", [], |row| row.get(0));
        // The file is locked by this process: whoever led before is dead.
        Ok(Leader { epoch: epoch.map_err(engine(&self.place))?, ..Leader::default() })
    }

    fn take_over(&mut self, seen: u64, _address: &Address) -> Result<Option<u64>, JournalError> {
        self.connection
            .query_row(
                "UPDATE leader SET epoch = epoch + 1 WHERE epoch = ?1 RETURNING epoch",
                params![seen],
                |row| row.get(0),
            )
            .optional()
            .map_err(engine(&self.place))
    }

    fn wait(&mut self, _position: u64, patience: Duration) -> Result<(), JournalError> {
        // Nobody else can append.
        std::thread::sleep(patience);
        Ok(())
    }

    fn append(&mut self, epoch: u64, entries: &[Entry]) -> Result<u64, JournalError> {
        if let Some(entry) = entries.iter().find(|entry| entry.payload.len() > MAX_PAYLOAD_BYTES) {
            return Err(JournalError::TooLong { size_bytes: entry.payload.len() });
        }
        let error = engine(&self.place);
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&error)?;
        let current: u64 = transaction
            .prepare_cached("SELECT epoch FROM leader")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(&error)?;
        if current != epoch {
            return Err(JournalError::Fenced { ours: epoch, current });
        }
        if entries.is_empty() {
            return Ok(self.end);
        }
        let (mut end, mut head) = (self.end, self.head);
        {
            let mut insert = transaction
                .prepare_cached("INSERT INTO record VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
                .map_err(&error)?;
            for entry in entries {
                let record = Record::new(end + 1, epoch, entry.time_ms, head, entry.payload.clone());
                insert
                    .execute(params![
                        record.position,
                        record.version,
                        record.epoch,
                        record.time_ms,
                        record.previous,
                        record.payload,
                        record.checksum
                    ])
                    .map_err(&error)?;
                (end, head) = (record.position, record.hash());
            }
            transaction
                .prepare_cached("UPDATE leader SET head_position = ?1, head_hash = ?2")
                .and_then(|mut statement| statement.execute(params![end, head]))
                .map_err(&error)?;
        }
        transaction.commit().map_err(&error)?;
        (self.end, self.head) = (end, head);
        Ok(end)
    }

    fn end(&self) -> u64 {
        self.end
    }

    fn read(&mut self, position: u64) -> Result<Vec<Record>, JournalError> {
        let mut previous = match position {
            0 => GENESIS,
            _ => match self.record(position)? {
                Some(record) => record.hash(),
                None if position >= self.end => return Ok(Vec::new()),
                None => {
                    return Err(JournalError::Damaged { position, reason: "it is missing".to_owned() });
                }
            },
        };
        let error = engine(&self.place);
        let mut statement = self
            .connection
            .prepare_cached(&format!("{SELECT} WHERE position > ?1 ORDER BY position LIMIT {MAX_READ}"))
            .map_err(&error)?;
        let rows = statement.query_map(params![position], read_row).map_err(&error)?;
        let mut records = Vec::new();
        for row in rows {
            let record = row.map_err(&error)?;
            record.check(position + records.len() as u64 + 1, &previous)?;
            previous = record.hash();
            records.push(record);
        }
        Ok(records)
    }

    fn import(&mut self, records: &[Record], epoch: u64) -> Result<(), JournalError> {
        let error = engine(&self.place);
        let transaction = self.connection.transaction().map_err(&error)?;
        let (mut end, mut head) = (self.end, self.head);
        {
            let mut insert = transaction
                .prepare_cached("INSERT INTO record VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
                .map_err(&error)?;
            for record in records {
                record.check(end + 1, &head)?;
                insert
                    .execute(params![
                        record.position,
                        record.version,
                        record.epoch,
                        record.time_ms,
                        record.previous,
                        record.payload,
                        record.checksum
                    ])
                    .map_err(&error)?;
                (end, head) = (record.position, record.hash());
            }
            transaction
                .execute(
                    "UPDATE leader SET head_position = ?1, head_hash = ?2, epoch = max(epoch, ?3)",
                    params![end, head, epoch],
                )
                .map_err(&error)?;
        }
        transaction.commit().map_err(&error)?;
        (self.end, self.head) = (end, head);
        Ok(())
    }

    fn save_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), JournalError> {
        let error = engine(&self.place);
        let transaction = self.connection.transaction().map_err(&error)?;
        transaction
            .execute(
                "INSERT OR REPLACE INTO snapshot VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    snapshot.position,
                    snapshot.version,
                    crc32fast::hash(&snapshot.packed),
                    snapshot.size_bytes,
                    snapshot.packed
                ],
            )
            .map_err(&error)?;
        transaction
            .execute(
                "DELETE FROM snapshot WHERE position NOT IN (SELECT position FROM snapshot ORDER BY position DESC \
                 LIMIT ?1)",
                params![KEPT_SNAPSHOTS],
            )
            .map_err(&error)?;
        transaction.commit().map_err(&error)
    }

    fn snapshots(&mut self) -> Result<Vec<Snapshot>, JournalError> {
        let error = engine(&self.place);
        let mut statement = self
            .connection
            .prepare(
                "SELECT position, version, checksum, size_bytes, state FROM snapshot ORDER BY position DESC",
            )
            .map_err(&error)?;
        let rows = statement
            .query_map([], |row| {
                let packed: Vec<u8> = row.get(4)?;
                Ok((row.get(0)?, row.get(1)?, row.get::<_, u32>(2)?, row.get::<_, usize>(3)?, packed))
            })
            .map_err(&error)?;
        let mut snapshots = Vec::new();
        for row in rows {
            let (position, version, checksum, size_bytes, packed) = row.map_err(&error)?;
            if crc32fast::hash(&packed) != checksum || position > self.end {
                tracing::warn!(position, "a damaged snapshot is left out");
                continue;
            }
            snapshots.push(Snapshot { position, version, size_bytes, packed });
        }
        Ok(snapshots)
    }
}
