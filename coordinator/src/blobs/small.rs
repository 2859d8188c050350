//! Small blobs in one SQLite file.
//!
//! One thread commits what is put, as much as waits at a time. When a blob was put or renewed last is in a table of its
//! own, so that looking through all of them reads no blob.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use slipway_cas::{Collected, Digest, Named, StoreError};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::sqlite;

/// The longest blob that is kept in the file, in bytes.
pub(super) const SMALL_MAX_BYTES: usize = 64 << 10;

/// Blobs waiting to be committed; more wait at the door.
const WAITING_MAX: usize = 1_024;

/// Blobs in one commit.
const COMMIT_MAX: usize = 256;

/// Blobs that a collection looks at and removes at a time, with the file locked.
const COLLECT_AT_ONCE: usize = 128;

/// How long one connection waits for the other.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// A blob that is put again is written down as renewed after this time; to the hour is enough.
const RENEW_EVERY_MS: i64 = 60 * 60 * 1_000;

/// The file.
#[derive(Clone)]
pub(super) struct SmallBlobs {
    path: Arc<PathBuf>,
    incoming: mpsc::Sender<Incoming>,
    reader: Arc<Mutex<Connection>>,
    /// The turn to use the reader: who waits for it holds no thread.
    turn: Arc<Semaphore>,
}

struct Incoming {
    digest: Digest,
    bytes: Bytes,
    durable: oneshot::Sender<Result<(), String>>,
}

impl SmallBlobs {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |error: rusqlite::Error| failure(path, error);
        let mut writer = connect(path).map_err(failed)?;
        make_tables(&mut writer).map_err(failed)?;
        let reader = connect(path).map_err(failed)?;
        let (incoming, waiting) = mpsc::channel(WAITING_MAX);
        std::thread::Builder::new()
            .name("small-blobs".to_owned())
            .spawn(move || commit_all(writer, waiting))
            .map_err(|source| StoreError::Io { place: path.display().to_string(), source })?;
        let (reader, turn) = (Arc::new(Mutex::new(reader)), Arc::new(Semaphore::new(1)));
        Ok(Self { path: Arc::new(path.to_owned()), incoming, reader, turn })
    }

    pub(super) async fn put(&self, bytes: Bytes) -> Result<Digest, StoreError> {
        let digest = Digest::of(&bytes);
        let gone = || failure(&self.path, "the thread that writes it has ended");
        let (durable, answer) = oneshot::channel();
        self.incoming.send(Incoming { digest, bytes, durable }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?.map_err(|reason| failure(&self.path, reason))?;
        Ok(digest)
    }

    /// Asks the file; `None` at once for a blob that is too long to be in it.
    async fn ask<T: Send + 'static>(
        &self,
        digest: Digest,
        question: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        if digest.size_bytes() > SMALL_MAX_BYTES as u64 {
            return Ok(None);
        }
        let turn =
            Arc::clone(&self.turn).acquire_owned().await.map_err(|error| failure(&self.path, error))?;
        let (reader, path) = (Arc::clone(&self.reader), Arc::clone(&self.path));
        let asked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            // A panic in between leaves a connection without an open transaction.
            question(&mut reader.lock().unwrap_or_else(PoisonError::into_inner))
                .map_err(|error| failure(&path, error))
        });
        asked.await.unwrap_or_else(|error| Err(failure(&self.path, error))).map(Some)
    }

    pub(super) async fn find(&self, digest: Digest) -> Result<Option<Bytes>, StoreError> {
        let found = self.ask(digest, move |connection| {
            let mut statement = connection.prepare_cached("SELECT bytes FROM blob WHERE hash = ?1")?;
            statement.query_row([digest.hash()], |row| row.get::<_, Vec<u8>>(0)).optional()
        });
        let found = found.await?.flatten().map(Bytes::from);
        // The same hash with another length: nobody has such a blob.
        match found {
            Some(bytes) if bytes.len() as u64 != digest.size_bytes() => Err(StoreError::NotFound(digest)),
            found => Ok(found),
        }
    }

    pub(super) async fn has(&self, digest: Digest) -> Result<bool, StoreError> {
        Ok(self.ask(digest, move |connection| is_there(connection, digest)).await?.unwrap_or(false))
    }

    pub(super) async fn renew(&self, digest: Digest) -> Result<bool, StoreError> {
        let renewed = self.ask(digest, move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let found = is_there(&transaction, digest)?;
            if found {
                note(&transaction, digest, now_ms())?;
            }
            transaction.commit()?;
            Ok(found)
        });
        Ok(renewed.await?.unwrap_or(false))
    }

    pub(super) async fn delete(&self, digest: Digest) -> Result<bool, StoreError> {
        let deleted = self.ask(digest, move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let key = params![digest.hash(), digest.size_bytes()];
            let deleted =
                transaction.execute("DELETE FROM blob WHERE hash = ?1 AND size_bytes = ?2", key)? > 0;
            if deleted {
                transaction.execute("DELETE FROM renewed WHERE hash = ?1", [digest.hash()])?;
            }
            transaction.commit()?;
            Ok(deleted)
        });
        Ok(deleted.await?.unwrap_or(false))
    }

    pub(super) async fn collect(&self, before: SystemTime, named: Named) -> Result<Collected, StoreError> {
        let path = Arc::clone(&self.path);
        let collected = tokio::task::spawn_blocking(move || {
            // A connection of its own: readers do not wait for it.
            let collected =
                connect(&path).and_then(|mut connection| collect(&mut connection, ms(before), &named));
            collected.map_err(|error| failure(&path, error))
        });
        collected.await.unwrap_or_else(|error| Err(failure(&self.path, error)))
    }
}

fn failure(path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Io { place: path.display().to_string(), source: io::Error::other(error) }
}

fn ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn now_ms() -> i64 {
    ms(SystemTime::now())
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = sqlite::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
    Ok(connection)
}

/// Blobs of a version that did not write down when they were put count as put now.
fn make_tables(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS blob (hash BLOB PRIMARY KEY, size_bytes INTEGER NOT NULL, bytes BLOB NOT NULL)
         WITHOUT ROWID;",
    )?;
    let has_times = transaction.prepare("SELECT 1 FROM sqlite_master WHERE name = 'renewed'")?.exists([])?;
    if !has_times {
        transaction.execute_batch(
            "CREATE TABLE renewed (hash BLOB PRIMARY KEY, at_ms INTEGER NOT NULL) WITHOUT ROWID;",
        )?;
        transaction.execute("INSERT INTO renewed SELECT hash, ?1 FROM blob", [now_ms()])?;
    }
    transaction.commit()
}

fn is_there(connection: &Connection, digest: Digest) -> rusqlite::Result<bool> {
    let mut statement =
        connection.prepare_cached("SELECT 1 FROM blob WHERE hash = ?1 AND size_bytes = ?2")?;
    statement.exists(params![digest.hash(), digest.size_bytes()])
}

/// Writes down that the blob was put or renewed.
fn note(connection: &Connection, digest: Digest, at_ms: i64) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO renewed VALUES (?1, ?2)
         ON CONFLICT (hash) DO UPDATE SET at_ms = excluded.at_ms WHERE at_ms < excluded.at_ms - ?3",
    )?;
    statement.execute(params![digest.hash(), at_ms, RENEW_EVERY_MS]).map(drop)
}

/// Commits what waits, as much as there is at a time, until the store is gone.
fn commit_all(mut connection: Connection, mut waiting: mpsc::Receiver<Incoming>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut group = vec![first];
        while group.len() < COMMIT_MAX {
            let Ok(next) = waiting.try_recv() else { break };
            group.push(next);
        }
        let committed = commit(&mut connection, &group).map_err(|error| error.to_string());
        for incoming in group {
            // Who asked may have gone; the blob is there all the same.
            let _ = incoming.durable.send(committed.clone());
        }
    }
}

fn commit(connection: &mut Connection, group: &[Incoming]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let now = now_ms();
        let mut insert = transaction.prepare_cached("INSERT OR IGNORE INTO blob VALUES (?1, ?2, ?3)")?;
        for Incoming { digest, bytes, .. } in group {
            insert.execute(params![digest.hash(), digest.size_bytes(), &bytes[..]])?;
            note(&transaction, *digest, now)?;
        }
    }
    transaction.commit()
}

fn collect(connection: &mut Connection, before_ms: i64, named: &Named) -> rusqlite::Result<Collected> {
    let mut collected = Collected::default();
    let mut last = Vec::new();
    loop {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut left = COLLECT_AT_ONCE;
        {
            let mut old = transaction.prepare_cached(
                "SELECT hash FROM renewed WHERE hash > ?1 AND at_ms < ?2 ORDER BY hash LIMIT ?3",
            )?;
            let limit = i64::try_from(COLLECT_AT_ONCE).unwrap_or(i64::MAX);
            let hashes: Vec<Vec<u8>> = old
                .query_map(params![last, before_ms, limit], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            for hash in hashes {
                left -= 1;
                if !<&[u8; 32]>::try_from(&hash[..]).is_ok_and(|hash| named.contains(hash)) {
                    let size_bytes = transaction
                        .prepare_cached("DELETE FROM blob WHERE hash = ?1 RETURNING size_bytes")?
                        .query_row([&hash], |row| row.get(0))
                        .optional()?;
                    transaction.prepare_cached("DELETE FROM renewed WHERE hash = ?1")?.execute([&hash])?;
                    size_bytes.into_iter().for_each(|size_bytes| collected.add(size_bytes));
                }
                last = hash;
            }
        }
        transaction.commit()?;
        if left > 0 {
            return Ok(collected);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Makes a blob look as if it had been put then.
    pub(crate) fn date(path: &Path, digest: Digest, at: SystemTime) {
        let connection = connect(path).unwrap();
        let changed = connection
            .execute("UPDATE renewed SET at_ms = ?2 WHERE hash = ?1", params![digest.hash(), ms(at)]);
        assert_eq!(changed.unwrap(), 1);
    }

    #[tokio::test]
    async fn blobs_of_the_version_before_count_as_put_now() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small.sqlite");
        let digest = SmallBlobs::open(&path).unwrap().put("of before".into()).await.unwrap();
        connect(&path).unwrap().execute_batch("DROP TABLE renewed").unwrap();
        let store = SmallBlobs::open(&path).unwrap();
        let [then, soon] = [-1, 1].map(|hours| ms(SystemTime::now()) + hours * RENEW_EVERY_MS);
        let at = |ms: i64| UNIX_EPOCH + Duration::from_millis(ms.unsigned_abs());
        assert_eq!(store.collect(at(then), Named::default()).await.unwrap(), Collected::default());
        assert!(store.has(digest).await.unwrap());
        assert_eq!(
            store.collect(at(soon), Named::default()).await.unwrap(),
            Collected { blobs: 1, bytes: 9 }
        );
    }

    #[tokio::test]
    async fn more_than_are_removed_at_a_time_go() {
        let folder = tempfile::tempdir().unwrap();
        let store = SmallBlobs::open(&folder.path().join("small.sqlite")).unwrap();
        let mut named = std::collections::HashSet::new();
        for number in 0..(3 * COLLECT_AT_ONCE) {
            let digest = store.put(number.to_string().into()).await.unwrap();
            if number % 3 == 0 {
                named.insert(*digest.hash());
            }
        }
        let soon = SystemTime::now() + Duration::from_secs(60);
        let collected = store.collect(soon, Arc::new(named)).await.unwrap();
        assert_eq!(collected.blobs, 2 * COLLECT_AT_ONCE as u64);
    }
}
