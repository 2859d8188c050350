//! The journal in one SQLite file: the embedded default.
//!
//! WAL with `synchronous=FULL`: a committed transaction survives a power cut. A batch is one transaction, so one
//! sync pays for all of it. Whoever opens the file locks it, besides the data directory's own lock.
//! What a crash or a bad disk did to the file shows when it is opened or read.

mod checkpoints;
mod cut;
mod lock;
mod scan;
mod schema;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use self::checkpoints::Checkpoints;
pub use self::cut::{Cut, CutError, Damage, cut, examine};
use self::lock::Lock;
use self::schema::Found;

use super::import;
use super::{
    Address, Entry, Hash, Journal, JournalError, KEPT_SNAPSHOTS, Leader, MAX_PAYLOAD_BYTES, MAX_READ,
    MAX_READ_BYTES, Mark, PRUNE_BATCH, Record, Snapshot,
};

/// How long to wait for another process that has the file open.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// A journal in a SQLite file.
#[derive(Debug)]
pub struct SqliteJournal {
    /// Goes before the connection, which then closes the file as the last one.
    checkpoints: Option<Checkpoints>,
    connection: Connection,
    /// Goes after it.
    _lock: Option<Lock>,
    place: String,
    head: Mark,
    anchor: Mark,
}

impl SqliteJournal {
    /// Opens the file, making it if need be or bringing it to the current format, and checks that its head is whole.
    ///
    /// # Errors
    /// [`JournalError::Newer`], [`JournalError::Foreign`], [`JournalError::Damaged`] with the first position that is
    /// wrong, and [`JournalError::Engine`] when the file cannot be read or written or another process has it.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let mut journal = Self::load(path, Some(Lock::take(path)?))?;
        let checkpoints = Checkpoints::start(&mut journal.connection, path);
        journal.checkpoints = Some(checkpoints.map_err(engine(&journal.place))?);
        Ok(journal)
    }

    fn load(path: &Path, lock: Option<Lock>) -> Result<Self, JournalError> {
        let mut journal = Self::connect(path, lock)?;
        let loaded = journal.migrate().and_then(|()| journal.load_head());
        match loaded {
            // The end is wrong; what comes before it may be too, and only a look at all of it tells where it begins.
            Err(error @ JournalError::Damaged { .. }) => Err(scan::first_damage(&journal, error)),
            other => other.map(|()| journal),
        }
    }

    /// Opens the file, and looks no further.
    fn connect(path: &Path, lock: Option<Lock>) -> Result<Self, JournalError> {
        let place = path.display().to_string();
        let connection = crate::sqlite::open(path).map_err(engine(&place))?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(engine(&place))?;
        schema::find(&connection, &place)?;
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
            .map_err(damage(&place, 1))?;
        let (head, anchor) = (Mark::BEGINNING, Mark::BEGINNING);
        Ok(Self { checkpoints: None, connection, _lock: lock, place, head, anchor })
    }

    fn migrate(&mut self) -> Result<(), JournalError> {
        let from = match schema::find(&self.connection, &self.place)? {
            Found::Nothing => 0,
            Found::Format(format) => format,
        };
        schema::migrate(&mut self.connection, from).map_err(damage(&self.place, 1))
    }

    /// What the leader's row says: epoch, head, anchor.
    fn leader_row(&self) -> Result<(u64, Mark, Mark), JournalError> {
        self.connection
            .query_row(
                "SELECT epoch, head_position, head_hash, anchor_position, anchor_hash FROM leader",
                [],
                |row| {
                    let head = Mark { position: row.get(1)?, hash: row.get(2)? };
                    Ok((row.get(0)?, head, Mark { position: row.get(3)?, hash: row.get(4)? }))
                },
            )
            .map_err(damage(&self.place, 1))
    }

    fn load_head(&mut self) -> Result<(), JournalError> {
        let (epoch, head, anchor) = self.leader_row()?;
        let last: Option<u64> = self
            .connection
            .query_row("SELECT max(position) FROM record", [], |row| row.get(0))
            .map_err(damage(&self.place, head.position))?;
        let last = last.unwrap_or(anchor.position);
        if last != head.position {
            let position = last.min(head.position) + 1;
            let reason = format!("the journal should end at {}", head.position);
            return Err(JournalError::Damaged { position, reason });
        }
        let record = self.record(head.position)?;
        let found = record.as_ref().map_or(anchor, Record::mark);
        if found != head || record.is_some_and(|record| record.epoch > epoch) {
            let (position, reason) = (head.position, "the last record was changed".to_owned());
            return Err(JournalError::Damaged { position, reason });
        }
        (self.head, self.anchor) = (head, anchor);
        Ok(())
    }

    fn record(&self, position: u64) -> Result<Option<Record>, JournalError> {
        self.connection
            .query_row(&format!("{SELECT} WHERE position = ?1"), params![position], read_row)
            .optional()
            .map_err(damage(&self.place, position))
    }

    /// The records that follow, as many as are read at once.
    fn page(&self, after: Mark, most: usize) -> Result<Vec<Record>, JournalError> {
        let (mut previous, mut room) = (after, MAX_READ_BYTES);
        let error = |position: u64| damage(&self.place, position);
        let mut statement = self
            .connection
            .prepare_cached(&format!("{SELECT} WHERE position > ?1 ORDER BY position LIMIT ?2"))
            .map_err(error(after.position + 1))?;
        let rows = statement.query_map(params![after.position, most.min(MAX_READ)], read_row);
        let mut records = Vec::new();
        for row in rows.map_err(error(after.position + 1))? {
            let record = row.map_err(error(previous.position + 1))?;
            record.check(previous.position + 1, &previous.hash)?;
            previous = record.mark();
            room = room.saturating_sub(record.payload.len());
            records.push(record);
            if room == 0 {
                break;
            }
        }
        Ok(records)
    }

    /// The snapshots up to a position that are whole, newest first.
    fn readable_snapshots(&self, upto: u64) -> Result<Vec<Snapshot>, JournalError> {
        let query = "SELECT position, version, checksum, size_bytes, state FROM snapshot WHERE position <= ?1 \
                     ORDER BY position DESC";
        let mut statement = self.connection.prepare(query).map_err(damage(&self.place, upto))?;
        let rows = statement.query_map(params![upto], |row| {
            let snapshot = Snapshot {
                position: row.get(0)?,
                version: row.get(1)?,
                size_bytes: row.get(3)?,
                packed: row.get(4)?,
            };
            Ok((snapshot, row.get::<_, u32>(2)?))
        });
        let mut snapshots = Vec::new();
        for row in rows.map_err(damage(&self.place, upto))? {
            match row {
                Ok((snapshot, checksum)) if crc32fast::hash(&snapshot.packed) == checksum => {
                    snapshots.push(snapshot);
                }
                Ok((Snapshot { position, .. }, _)) => {
                    tracing::warn!(position, "a damaged snapshot is left out");
                }
                Err(error) => match damage(&self.place, upto)(error) {
                    JournalError::Damaged { reason, .. } => {
                        tracing::warn!(reason, "damaged snapshots are left out");
                        // A damaged tree may lead in circles.
                        break;
                    }
                    error => return Err(error),
                },
            }
        }
        Ok(snapshots)
    }

    /// The hash of the record at `position` or of the one that the journal begins after.
    fn hash_at(&self, position: u64) -> Result<Option<Hash>, JournalError> {
        if position == self.anchor.position {
            return Ok(Some(self.anchor.hash));
        }
        Ok(self.record(position)?.map(|record| record.hash()))
    }
}

fn insert(connection: &Connection, record: &Record) -> rusqlite::Result<usize> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO record (position, version, epoch, time_ms, previous, payload, checksum) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    insert.execute(params![
        record.position,
        record.version,
        record.epoch,
        record.time_ms,
        record.previous,
        record.payload,
        record.checksum
    ])
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

fn engine(place: &str) -> impl Fn(rusqlite::Error) -> JournalError + use<> {
    let place = place.to_owned();
    move |error| {
        let reason = match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                lock::HELD.to_owned()
            }
            Some(rusqlite::ErrorCode::DiskFull) => "the disk is full".to_owned(),
            _ => error.to_string(),
        };
        JournalError::Engine { place: place.clone(), reason }
    }
}

/// What a failed read of the record at `position` means: a file that can be read and makes no sense is damaged.
fn damage(place: &str, position: u64) -> impl Fn(rusqlite::Error) -> JournalError + use<> {
    let engine = engine(place);
    move |error| {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match error.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) | None => {
                JournalError::Damaged { position, reason: error.to_string() }
            }
            Some(_) => engine(error),
        }
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
            return Ok(self.head.position);
        }
        let mut head = self.head;
        for entry in entries {
            let record =
                Record::new(head.position + 1, epoch, entry.time_ms, head.hash, entry.payload.clone());
            insert(&transaction, &record).map_err(&error)?;
            head = record.mark();
        }
        transaction
            .prepare_cached("UPDATE leader SET head_position = ?1, head_hash = ?2")
            .and_then(|mut statement| statement.execute(params![head.position, head.hash]))
            .map_err(&error)?;
        transaction.commit().map_err(&error)?;
        self.head = head;
        if let Some(checkpoints) = &self.checkpoints {
            checkpoints.finish(&self.connection);
        }
        Ok(head.position)
    }

    fn head(&self) -> Mark {
        self.head
    }

    fn anchor(&self) -> Mark {
        self.anchor
    }

    fn hash(&mut self, position: u64) -> Result<Option<Hash>, JournalError> {
        self.hash_at(position)
    }

    fn read_few(&mut self, position: u64, most: usize) -> Result<Vec<Record>, JournalError> {
        if position < self.anchor.position {
            return Err(JournalError::Pruned { position: self.anchor.position });
        }
        let Some(previous) = self.hash_at(position)? else {
            if position >= self.head.position {
                return Ok(Vec::new());
            }
            return Err(JournalError::Damaged { position, reason: "it is missing".to_owned() });
        };
        self.page(Mark { position, hash: previous }, most)
    }

    fn import(&mut self, records: &[Record], epoch: u64) -> Result<(), JournalError> {
        let (anchor, head) = import::follow(self.head, records)?;
        let anchor = anchor.unwrap_or(self.anchor);
        let error = engine(&self.place);
        let transaction = self.connection.transaction().map_err(&error)?;
        for record in records {
            insert(&transaction, record).map_err(&error)?;
        }
        transaction
            .execute(
                "UPDATE leader SET head_position = ?1, head_hash = ?2, anchor_position = ?3, anchor_hash = ?4, \
                 epoch = max(epoch, ?5)",
                params![head.position, head.hash, anchor.position, anchor.hash, epoch],
            )
            .map_err(&error)?;
        transaction.commit().map_err(&error)?;
        (self.head, self.anchor) = (head, anchor);
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
        self.readable_snapshots(self.head.position)
    }

    fn prune(&mut self, before: u64, older_than_ms: u64) -> Result<u64, JournalError> {
        let error = engine(&self.place);
        let transaction = self.connection.transaction().map_err(&error)?;
        let (kept, oldest): (usize, Option<u64>) = transaction
            .query_row("SELECT count(*), min(position) FROM snapshot", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .map_err(&error)?;
        let Some(oldest) = oldest.filter(|_| kept >= KEPT_SNAPSHOTS) else { return Ok(0) };
        // The last record stays: the head is checked against it.
        let bound = before.saturating_sub(1).min(oldest).min(self.head.position.saturating_sub(1));
        let bound = bound.min(self.anchor.position + PRUNE_BATCH as u64);
        let young: Option<u64> = transaction
            .query_row(
                "SELECT min(position) FROM record WHERE position <= ?1 AND time_ms >= ?2",
                // SQLite's integers end there, and so do times.
                params![bound, older_than_ms.min(i64::MAX as u64)],
                |row| row.get(0),
            )
            .map_err(&error)?;
        let upto = young.map_or(bound, |young| young - 1);
        if upto <= self.anchor.position {
            return Ok(0);
        }
        let hash: Hash = transaction
            .query_row("SELECT previous FROM record WHERE position = ?1", params![upto + 1], |row| row.get(0))
            .map_err(&error)?;
        transaction.execute("DELETE FROM record WHERE position <= ?1", params![upto]).map_err(&error)?;
        transaction
            .execute("UPDATE leader SET anchor_position = ?1, anchor_hash = ?2", params![upto, hash])
            .map_err(&error)?;
        transaction.commit().map_err(&error)?;
        let gone = upto - self.anchor.position;
        self.anchor = Mark { position: upto, hash };
        Ok(gone)
    }
}
