//! The projections in one SQLite file beside the journal, which anybody on the machine may read while the coordinator works.
//!
//! WAL with `synchronous=NORMAL`: a power cut may take the last transactions, whole; they are made again from the journal.

use std::path::Path;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, ToSql, TransactionBehavior, params_from_iter};

use super::limits::{BUSY_TIMEOUT, STATEMENTS_PREPARED};
use super::schema::{self, Dialect, STEPS};
use super::tables::{APPLICATION, Cursor, FORMAT, HistoryError, Pending, Row, Statement, Tables, Value};
use super::thread::ConnectionThread;
use crate::journal::{Hash, Mark};
use crate::sqlite;

/// The file in the data directory.
pub const HISTORY_FILE: &str = "history.db";

/// Epoch, the new mark, the end of a rebuild, the mark before.
const MOVE: &str = "UPDATE projection SET position = ?2, hash = ?3, rebuild_to = ?4
    WHERE epoch = ?1 AND position = ?5 AND hash = ?6";

/// Projections in a SQLite file.
#[derive(Debug)]
pub struct SqliteTables {
    connection: ConnectionThread,
    place: String,
}

impl SqliteTables {
    /// Opens the file, making it if need be or bringing it to the current format. Blocks.
    ///
    /// # Errors
    /// [`HistoryError::Newer`], [`HistoryError::Foreign`], [`HistoryError::Engine`].
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        let place = path.display().to_string();
        let failed = failed(&place);
        let mut connection = sqlite::open(path).map_err(&failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(&failed)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_PREPARED);
        let found = find(&connection, &place)?;
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")
            .map_err(&failed)?;
        migrate(&mut connection, found).map_err(&failed)?;
        let connection = ConnectionThread::start(connection)
            .map_err(|error| HistoryError::Engine { place: place.clone(), reason: error.to_string() })?;
        Ok(Self { connection, place })
    }

    /// Does something with the file where it may block.
    fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Refusal> + Send + 'static,
    ) -> Pending<'static, T> {
        let (done, place) = (self.connection.ask(work), self.place.clone());
        Box::pin(async move {
            match done.await {
                Ok(Ok(done)) => Ok(done),
                Ok(Err(Refusal::Fenced)) => Err(HistoryError::Fenced),
                Ok(Err(Refusal::Failed(error))) => Err(failed(&place)(error)),
                Err(_) => {
                    Err(HistoryError::Engine { place, reason: "its thread has ended by a bug".to_owned() })
                }
            }
        })
    }
}

/// Why something was not done.
enum Refusal {
    Fenced,
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

fn failed(place: &str) -> impl Fn(rusqlite::Error) -> HistoryError + use<> {
    let place = place.to_owned();
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => HistoryError::Foreign { place: place.clone() },
        _ => HistoryError::Engine { place: place.clone(), reason: error.to_string() },
    }
}

/// The format of what is there; 0: nothing.
fn find(connection: &Connection, place: &str) -> Result<u32, HistoryError> {
    let tables = "SELECT count(*), count(*) FILTER (WHERE name = 'meta') FROM sqlite_schema";
    let (tables, meta): (u64, u64) =
        connection.query_row(tables, [], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed(place))?;
    if tables == 0 {
        return Ok(0);
    }
    let foreign = || HistoryError::Foreign { place: place.to_owned() };
    if meta == 0 {
        return Err(foreign());
    }
    let row = connection.query_row("SELECT application, format FROM meta", [], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?))
    });
    match row {
        Ok((application, _)) if application != APPLICATION => Err(foreign()),
        Ok((_, found)) if found > FORMAT => Err(HistoryError::Newer { place: place.to_owned(), found }),
        Ok((_, found)) => Ok(found),
        Err(_) => Err(foreign()),
    }
}

/// Whether the tables are there in a form that questions of today can be asked.
///
/// # Errors
/// The file cannot be read, or is something else.
pub(super) fn is_made(connection: &Connection) -> rusqlite::Result<bool> {
    let format = connection.query_row("SELECT format FROM meta", [], |row| row.get::<_, u32>(0));
    match format {
        Ok(format) => Ok(format >= FORMAT),
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(false),
        // What SQLite says of a table that is not there, and of nothing that a file can be broken by.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::Unknown) => Ok(false),
        Err(error) => Err(error),
    }
}

fn migrate(connection: &mut Connection, from: u32) -> rusqlite::Result<()> {
    if from == FORMAT {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(&schema::drop_views())?;
    for (format, step) in STEPS.iter().filter(|(format, _)| *format > from) {
        transaction.execute_batch(step)?;
        transaction.execute("UPDATE meta SET format = ?1", [format])?;
    }
    transaction.execute_batch(&schema::views(Dialect::Sqlite))?;
    transaction.commit()
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

/// The cursor's row: mark and end of a rebuild.
fn cursor(connection: &Connection) -> rusqlite::Result<Cursor> {
    let columns = "SELECT position, hash, rebuild_to FROM projection";
    connection.query_row(columns, [], |row| {
        let (position, hash, rebuild_to): (u64, String, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        // A hash that is none is no record's: the journal shows that.
        let mut bytes = Hash::default();
        let _ = hex::decode_to_slice(hash, &mut bytes);
        Ok(Cursor { mark: Mark { position, hash: bytes }, rebuild_to })
    })
}

impl Tables for SqliteTables {
    fn claim(&mut self, epoch: u64) -> Pending<'_, Cursor> {
        // The data directory is locked: whoever else wrote here is gone.
        self.ask(move |connection| {
            connection.execute("UPDATE projection SET epoch = ?1", [epoch])?;
            Ok(cursor(connection)?)
        })
    }

    fn apply<'a>(
        &'a mut self,
        epoch: u64,
        from: Mark,
        statements: &'a [Statement],
        to: Cursor,
    ) -> Pending<'a, ()> {
        let statements = statements.to_vec();
        self.ask(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for Statement { sql, values } in statements {
                transaction.prepare_cached(sql)?.execute(params_from_iter(values))?;
            }
            let moved = transaction.execute(
                MOVE,
                (
                    epoch,
                    to.mark.position,
                    hex::encode(to.mark.hash),
                    to.rebuild_to,
                    from.position,
                    hex::encode(from.hash),
                ),
            )?;
            if moved == 0 {
                return Err(Refusal::Fenced);
            }
            Ok(transaction.commit()?)
        })
    }

    fn query<'a>(&'a mut self, sql: &'a str) -> Pending<'a, Vec<Row>> {
        let sql = sql.to_owned();
        self.ask(move |connection| {
            let mut statement = connection.prepare(&sql)?;
            let columns = statement.column_count();
            let rows =
                statement.query_map([], |row| (0..columns).map(|at| Ok(text(row.get_ref(at)?))).collect());
            Ok(rows?.collect::<rusqlite::Result<_>>()?)
        })
    }
}

pub(super) fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}
