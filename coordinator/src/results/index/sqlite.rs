//! The index in one SQLite file.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Rows, ToSql, TransactionBehavior, params_from_iter};

use super::super::error::ResultsError;
use super::Sharing;
use super::sql::{Fault, Row, Sql, Value};

/// How long one connection waits for another.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How many prepared statements are kept: all there are.
const STATEMENTS: usize = 64;

/// Version of the tables.
const VERSION: i64 = 2;

/// From each older version to the next one.
const STEPS: [&str; 1] = ["ALTER TABLE artifact ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
CREATE INDEX artifact_run ON artifact (run);"];

const TABLES: &str = "
CREATE TABLE upload (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  lease TEXT NOT NULL,
  limit_bytes INTEGER NOT NULL,
  state INTEGER NOT NULL DEFAULT 0,
  size_bytes INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX upload_lease ON upload (lease);
CREATE TABLE part (
  upload INTEGER NOT NULL REFERENCES upload (id) ON DELETE CASCADE,
  block TEXT NOT NULL,
  position INTEGER,
  file TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  crc32 INTEGER NOT NULL,
  PRIMARY KEY (upload, block)
) STRICT, WITHOUT ROWID;
CREATE TABLE cache (
  id INTEGER PRIMARY KEY REFERENCES upload (id) ON DELETE CASCADE,
  repository TEXT NOT NULL,
  scope TEXT NOT NULL,
  version TEXT NOT NULL,
  key TEXT NOT NULL,
  ready INTEGER NOT NULL DEFAULT 0,
  created_ms INTEGER NOT NULL,
  used_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX cache_key ON cache (repository, scope, version, key);
CREATE INDEX cache_used ON cache (used_ms);
CREATE TABLE artifact (
  id INTEGER PRIMARY KEY REFERENCES upload (id) ON DELETE CASCADE,
  repository TEXT NOT NULL,
  family TEXT NOT NULL,
  run_attempt INTEGER NOT NULL,
  name TEXT NOT NULL,
  run TEXT NOT NULL,
  instance TEXT NOT NULL,
  mime_type TEXT NOT NULL,
  sha256 TEXT NOT NULL DEFAULT '',
  ready INTEGER NOT NULL DEFAULT 0,
  created_ms INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL,
  pinned INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX artifact_name ON artifact (repository, family, run_attempt, name);
CREATE INDEX artifact_expires ON artifact (expires_ms);
CREATE INDEX artifact_run ON artifact (run);
";

impl Sharing {
    fn journal_mode(self) -> &'static str {
        match self {
            Self::Alone => "WAL",
            Self::Among => "DELETE",
        }
    }
}

/// The index in a file; cheap to clone.
#[derive(Clone)]
pub(in super::super) struct SqliteIndex {
    connection: Arc<Mutex<Connection>>,
}

impl SqliteIndex {
    /// Opens the file, making it if need be.
    pub(super) fn open(path: &Path, sharing: Sharing) -> Result<Self, ResultsError> {
        let connection = crate::sqlite::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.execute_batch(&format!(
            "PRAGMA journal_mode = {}; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;",
            sharing.journal_mode()
        ))?;
        match connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))? {
            0 => connection
                .execute_batch(&format!("BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;"))?,
            VERSION => {}
            older @ 1..VERSION => {
                // It has been checked to be within them.
                let steps = STEPS.get(usize::try_from(older - 1).unwrap_or_default()..).unwrap_or_default();
                let steps = steps.concat();
                connection
                    .execute_batch(&format!("BEGIN; {steps} PRAGMA user_version = {VERSION}; COMMIT;"))?;
            }
            other => {
                return Err(ResultsError::Failed(format!(
                    "{}: its tables have version {other} and this coordinator knows {VERSION}; start a newer one",
                    path.display()
                )));
            }
        }
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    /// Does something in one transaction, where it may block. An error takes it back.
    pub(super) async fn transaction<T: Send + 'static>(
        &self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&mut dyn Sql) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, ResultsError> {
        let index = self.clone();
        let done = tokio::task::spawn_blocking(move || index.blocking(behavior, work));
        done.await.unwrap_or_else(|error| Err(ResultsError::Failed(error.to_string())))
    }

    /// The same on this thread.
    pub(super) fn blocking<T>(
        &self,
        behavior: TransactionBehavior,
        work: impl FnOnce(&mut dyn Sql) -> Result<T, Fault>,
    ) -> Result<T, ResultsError> {
        // A panic in between took its transaction back.
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = connection.transaction_with_behavior(behavior)?;
        let value = work(&mut Under(&transaction)).map_err(|fault| match fault {
            Fault::Refused(error) => error,
            Fault::Passing(reason) => ResultsError::Failed(reason),
        })?;
        transaction.commit()?;
        Ok(value)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Refused(error.into())
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Number(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// A transaction of SQLite.
struct Under<'a>(&'a Connection);

impl Under<'_> {
    fn rows(mut rows: Rows<'_>, columns: usize) -> rusqlite::Result<Vec<Row>> {
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let value = |column| {
                Ok(match row.get_ref(column)? {
                    ValueRef::Integer(number) => Value::Number(number),
                    ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                    // There are none: whoever asks for it is told.
                    ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => Value::Null,
                })
            };
            found.push(Row((0..columns).map(value).collect::<rusqlite::Result<_>>()?));
        }
        Ok(found)
    }
}

impl Sql for Under<'_> {
    fn query(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, Fault> {
        let mut statement = self.0.prepare_cached(sql)?;
        let columns = statement.column_count();
        Ok(Self::rows(statement.query(params_from_iter(values))?, columns)?)
    }

    fn execute(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, Fault> {
        Ok(self.0.prepare_cached(sql)?.execute(params_from_iter(values))? as u64)
    }

    fn execute_each(&mut self, sql: &'static str, each: &[Vec<Value>]) -> Result<(), Fault> {
        let mut statement = self.0.prepare_cached(sql)?;
        for values in each {
            statement.execute(params_from_iter(values))?;
        }
        Ok(())
    }
}
