//! The coordinator's blobs: small ones together in one SQLite file, larger ones as files in a folder.
//!
//! Every job has a specification of a few kilobytes. As a file of its own each would wait for the file system's journal,
//! twice; here all that come at a time are made durable by one commit.
//!
//! Invariants: what [`Store::put`] returned for is durable; a reader sees committed blobs only; every blob is checked
//! against its digest when it is read whole. One process at a time owns the folder (its caller locks it).

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params};
use slipway_cas::{BlobWriter, Digest, FolderStore, Pending, Store, StoreError, store::MAX_PIECE_BYTES};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::sqlite;

/// The longest blob that is kept in the file, in bytes.
const SMALL_MAX_BYTES: usize = 64 << 10;

/// Blobs waiting to be committed; more wait at the door.
const WAITING_MAX: usize = 1_024;

/// Blobs in one commit.
const COMMIT_MAX: usize = 256;

/// How long one connection waits for the other.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The two places as one store.
#[derive(Clone)]
pub(crate) struct BlobStore {
    folder: FolderStore,
    incoming: mpsc::Sender<Incoming>,
    reader: Arc<Mutex<Connection>>,
    /// The turn to use the reader: who waits for it holds no thread.
    turn: Arc<Semaphore>,
    place: Arc<str>,
}

struct Incoming {
    digest: Digest,
    bytes: Bytes,
    durable: oneshot::Sender<Result<(), String>>,
}

impl BlobStore {
    /// Opens folder and file below `root`, making them if need be.
    ///
    /// # Errors
    /// [`StoreError::Io`] when one of them can't be used.
    pub(crate) fn open(root: &Path) -> Result<Self, StoreError> {
        let folder = FolderStore::open(root)?;
        let path = root.join("small.sqlite");
        let place: Arc<str> = path.display().to_string().into();
        let failed = |error: rusqlite::Error| failure(&place, error);
        let writer = connect(&path).map_err(failed)?;
        let reader = connect(&path).map_err(failed)?;
        let (incoming, waiting) = mpsc::channel(WAITING_MAX);
        std::thread::Builder::new()
            .name("small-blobs".to_owned())
            .spawn(move || commit_all(writer, waiting))
            .map_err(|source| StoreError::Io { place: place.to_string(), source })?;
        let (reader, turn) = (Arc::new(Mutex::new(reader)), Arc::new(Semaphore::new(1)));
        Ok(Self { folder, incoming, reader, turn, place })
    }

    /// Asks the file; `None` at once for a blob that is too long to be in it.
    async fn ask<T: Send + 'static>(
        &self,
        digest: Digest,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        if digest.size_bytes() > SMALL_MAX_BYTES as u64 {
            return Ok(None);
        }
        let turn =
            Arc::clone(&self.turn).acquire_owned().await.map_err(|error| failure(&self.place, error))?;
        let (reader, place) = (Arc::clone(&self.reader), Arc::clone(&self.place));
        let asked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            // A panic in between leaves a connection without an open transaction.
            question(&reader.lock().unwrap_or_else(PoisonError::into_inner))
                .map_err(|error| failure(&place, error))
        });
        asked.await.unwrap_or_else(|error| Err(failure(&self.place, error))).map(Some)
    }

    async fn find(&self, digest: Digest) -> Result<Option<Bytes>, StoreError> {
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

    async fn has(&self, digest: Digest) -> Result<bool, StoreError> {
        let found = self.ask(digest, move |connection| {
            let mut statement =
                connection.prepare_cached("SELECT 1 FROM blob WHERE hash = ?1 AND size_bytes = ?2")?;
            statement.exists(params![digest.hash(), digest.size_bytes()])
        });
        Ok(found.await?.unwrap_or(false))
    }
}

fn failure(place: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Io { place: place.to_owned(), source: io::Error::other(error) }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = sqlite::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE IF NOT EXISTS blob (hash BLOB PRIMARY KEY, size_bytes INTEGER NOT NULL, bytes BLOB NOT NULL)
         WITHOUT ROWID;",
    )?;
    Ok(connection)
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
    let transaction = connection.transaction()?;
    {
        let mut insert = transaction.prepare_cached("INSERT OR IGNORE INTO blob VALUES (?1, ?2, ?3)")?;
        for Incoming { digest, bytes, .. } in group {
            insert.execute(params![digest.hash(), digest.size_bytes(), &bytes[..]])?;
        }
    }
    transaction.commit()
}

impl Store for BlobStore {
    fn put(&self, bytes: Bytes) -> Pending<'_, Digest> {
        Box::pin(async move {
            if bytes.len() > SMALL_MAX_BYTES {
                return self.folder.put(bytes).await;
            }
            // One that is there already costs the commit nothing.
            let digest = Digest::of(&bytes);
            let gone = || failure(&self.place, "the thread that writes it has ended");
            let (durable, answer) = oneshot::channel();
            self.incoming.send(Incoming { digest, bytes, durable }).await.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?.map_err(|reason| failure(&self.place, reason))?;
            Ok(digest)
        })
    }

    fn writer(&self, limit_bytes: u64) -> Pending<'_, Box<dyn BlobWriter>> {
        self.folder.writer(limit_bytes)
    }

    fn get(&self, digest: Digest) -> Pending<'_, Bytes> {
        Box::pin(async move {
            match self.find(digest).await? {
                Some(bytes) if digest.matches(&bytes) => Ok(bytes),
                Some(_) => Err(StoreError::Damaged(digest)),
                None => self.folder.get(digest).await,
            }
        })
    }

    fn read(&self, digest: Digest, offset: u64, length: usize) -> Pending<'_, Bytes> {
        Box::pin(async move {
            let Some(bytes) = self.find(digest).await? else {
                return self.folder.read(digest, offset, length).await;
            };
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            let end = start.saturating_add(length.min(MAX_PIECE_BYTES)).min(bytes.len());
            Ok(bytes.slice(start..end))
        })
    }

    fn exists(&self, digest: Digest) -> Pending<'_, bool> {
        Box::pin(async move { Ok(self.has(digest).await? || self.folder.exists(digest).await?) })
    }

    fn delete(&self, digest: Digest) -> Pending<'_, bool> {
        Box::pin(async move {
            let deleted = self.ask(digest, move |connection| {
                connection.execute(
                    "DELETE FROM blob WHERE hash = ?1 AND size_bytes = ?2",
                    params![digest.hash(), digest.size_bytes()],
                )
            });
            let deleted = deleted.await?.unwrap_or(0) > 0;
            Ok(self.folder.delete(digest).await? || deleted)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn small_and_large_conform() {
        let folder = tempfile::tempdir().unwrap();
        let mut number = 0;
        slipway_cas::conformance::check(|| {
            number += 1;
            BlobStore::open(&folder.path().join(number.to_string())).unwrap()
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_small_blobs_at_once_are_all_there_after_opening_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path()).unwrap();
        let mut puts = tokio::task::JoinSet::new();
        for number in 0..600_u32 {
            let store = store.clone();
            puts.spawn(async move { store.put(Bytes::from(number.to_string())).await.unwrap() });
        }
        let digests = puts.join_all().await;
        drop(store);
        let store = BlobStore::open(folder.path()).unwrap();
        for digest in digests {
            assert!(digest.matches(&store.get(digest).await.unwrap()));
        }
    }

    #[tokio::test]
    async fn a_damaged_small_blob_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path()).unwrap();
        let digest = store.put("intact".into()).await.unwrap();
        let other = Connection::open(folder.path().join("small.sqlite")).unwrap();
        other.execute("UPDATE blob SET bytes = x'696e74616b74'", []).unwrap();
        assert!(matches!(store.get(digest).await, Err(StoreError::Damaged(d)) if d == digest));
    }
}
