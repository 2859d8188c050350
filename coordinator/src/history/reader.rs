//! Questions about the history, for people who look at trends.
//!
//! Each question has a connection of its own that cannot write, so that nobody who looks holds up whoever writes; few are answered at a
//! time, and one that takes too long ends with a word on what to do.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use rusqlite::{Connection, ErrorCode, OpenFlags, params_from_iter};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use super::limits::{
    ASK_GRACE, ASK_STEPS, ASK_TIMEOUT, ASK_TURN_TIMEOUT, ASKED_AT_ONCE, BUSY_TIMEOUT, MADE_LOOK_EVERY,
    MADE_TIMEOUT,
};
use super::postgres::SCHEMA;
use super::sqlite::HISTORY_FILE;
use super::tables::{Row, Statement, Value};
use crate::journal::JournalPlace;
use crate::journal::postgres::{Link, PostgresOptions, words};
use crate::options::Options;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nothing is projected here.
    #[error("this coordinator keeps no history")]
    Off,
    /// Others ask.
    #[error("the history answers others; ask again in a moment")]
    Busy,
    /// It would take longer than it may.
    #[error("the history has more to look through than {} s are enough for; ask for fewer days or for one repository", ASK_TIMEOUT.as_secs())]
    Late,
    /// Its tables are not there, or of an older form still: a coordinator that just began makes them.
    #[error(
        "the history's tables are being made; ask again in a moment, and see the coordinator's log if it stays so"
    )]
    NotYet,
    /// The database does not answer as it should.
    #[error("the history cannot be read: {0}")]
    Failed(String),
}

#[derive(Debug)]
enum Place {
    Sqlite(PathBuf),
    Postgres(Box<PostgresOptions>),
}

/// Answers questions; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    place: Option<Arc<Place>>,
    turns: Arc<Semaphore>,
}

impl Reader {
    /// Of a coordinator without a history.
    pub(super) fn off() -> Self {
        Self { place: None, turns: Arc::new(Semaphore::new(0)) }
    }

    /// Of these options' history; nothing is opened before somebody asks.
    pub(crate) fn new(options: &Options) -> Self {
        let place = match &options.journal {
            JournalPlace::Sqlite => Place::Sqlite(options.data_dir.join(HISTORY_FILE)),
            JournalPlace::Postgres(postgres) => Place::Postgres(Box::new(postgres.clone())),
        };
        Self { place: Some(Arc::new(place)), turns: Arc::new(Semaphore::new(ASKED_AT_ONCE)) }
    }

    /// The rows of a statement whose columns are `bigint` or `text`. Tables that are being made are waited for.
    ///
    /// # Errors
    /// [`AskError`].
    pub(crate) async fn rows(&self, statement: Statement) -> Result<Vec<Row>, AskError> {
        let begun = tokio::time::Instant::now();
        loop {
            match self.ask(&statement).await {
                Err(AskError::NotYet) if begun.elapsed() < MADE_TIMEOUT => sleep(MADE_LOOK_EVERY).await,
                answer => return answer,
            }
        }
    }

    async fn ask(&self, statement: &Statement) -> Result<Vec<Row>, AskError> {
        let place = Arc::clone(self.place.as_ref().ok_or(AskError::Off)?);
        let turn = timeout(ASK_TURN_TIMEOUT, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| AskError::Busy)?.map_err(|_| AskError::Off)?;
        match &*place {
            Place::Sqlite(path) => {
                let (path, statement) = (path.clone(), statement.clone());
                let asked = tokio::task::spawn_blocking(move || {
                    let _turn = turn;
                    of_sqlite(&path, &statement)
                });
                asked.await.map_err(|error| AskError::Failed(error.to_string()))?
            }
            Place::Postgres(options) => {
                // A server that hangs must not hold up for ever.
                let answer = timeout(ASK_TIMEOUT + ASK_GRACE, of_postgres(options, statement));
                let answer = answer.await.unwrap_or(Err(AskError::Late));
                drop(turn);
                answer
            }
        }
    }
}

fn of_sqlite(path: &std::path::Path, statement: &Statement) -> Result<Vec<Row>, AskError> {
    let failed = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => AskError::Late,
        Some(ErrorCode::CannotOpen) if path.try_exists().is_ok_and(|there| !there) => AskError::NotYet,
        _ => AskError::Failed(error.to_string()),
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    if !super::sqlite::is_made(&connection).map_err(failed)? {
        return Err(AskError::NotYet);
    }
    let begun = Instant::now();
    let is_late = move || begun.elapsed() > ASK_TIMEOUT;
    connection.progress_handler(ASK_STEPS, Some(is_late)).map_err(failed)?;
    let mut prepared = connection.prepare(statement.sql).map_err(failed)?;
    let columns = prepared.column_count();
    let row = |row: &rusqlite::Row<'_>| {
        (0..columns).map(|at| Ok(super::sqlite::text(row.get_ref(at)?))).collect::<rusqlite::Result<Row>>()
    };
    let rows = prepared.query_map(params_from_iter(&statement.values), row).map_err(failed)?;
    rows.collect::<rusqlite::Result<_>>().map_err(failed)
}

async fn of_postgres(options: &PostgresOptions, statement: &Statement) -> Result<Vec<Row>, AskError> {
    let failed = |error: tokio_postgres::Error| match error.code() {
        Some(code) if *code == SqlState::QUERY_CANCELED => AskError::Late,
        // A step of a migration is there whole or not at all.
        Some(code) if [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN].contains(code) => {
            AskError::NotYet
        }
        _ => AskError::Failed(words(&error)),
    };
    let link = Link::open(options).await.map_err(AskError::Failed)?;
    let settings = format!(
        "SET search_path = {SCHEMA}; SET default_transaction_read_only = on; SET statement_timeout = {}",
        ASK_TIMEOUT.as_millis()
    );
    link.client.batch_execute(&settings).await.map_err(failed)?;
    let values: Vec<&(dyn ToSql + Sync)> = statement.values.iter().map(|value: &Value| value as _).collect();
    // Parameters are written with a dollar here.
    let rows = link.client.query(&statement.sql.replace('?', "$"), &values).await.map_err(failed)?;
    let cell = |row: &tokio_postgres::Row, at: usize, kind: &Type| match *kind {
        Type::INT8 => Ok(row.try_get::<_, Option<i64>>(at)?.map(|number| number.to_string())),
        _ => row.try_get::<_, Option<String>>(at),
    };
    let row = |row: &tokio_postgres::Row| {
        let cells = row.columns().iter().enumerate().map(|(at, column)| cell(row, at, column.type_()));
        cells.collect::<Result<Row, tokio_postgres::Error>>()
    };
    rows.iter().map(row).collect::<Result<_, _>>().map_err(failed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::history::sqlite::SqliteTables;

    fn reader(folder: &std::path::Path) -> Reader {
        Reader {
            place: Some(Arc::new(Place::Sqlite(folder.join(HISTORY_FILE)))),
            turns: Arc::new(Semaphore::new(ASKED_AT_ONCE)),
        }
    }

    fn question() -> Statement {
        Statement { sql: "SELECT count(*) FROM runs", values: Vec::new() }
    }

    #[tokio::test]
    async fn tables_that_are_being_made_are_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let reader = reader(folder.path());
        let asked = tokio::spawn({
            let reader = reader.clone();
            async move { reader.rows(question()).await }
        });
        // No file, then a file without tables, and then all of it.
        assert!(matches!(reader.ask(&question()).await, Err(AskError::NotYet)));
        Connection::open(folder.path().join(HISTORY_FILE)).unwrap().execute_batch("VACUUM").unwrap();
        assert!(matches!(reader.ask(&question()).await, Err(AskError::NotYet)));
        assert!(!asked.is_finished());
        let _tables = SqliteTables::open(&folder.path().join(HISTORY_FILE)).unwrap();
        assert_eq!(asked.await.unwrap().unwrap(), [[Some("0".to_owned())]]);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (reader, file) = (reader(folder.path()), folder.path().join(HISTORY_FILE));
        std::fs::write(&file, "no database, and longer than the head of one is: ".repeat(8)).unwrap();
        let told = reader.rows(question()).await.unwrap_err().to_string();
        assert!(told.contains("cannot be read") && told.contains("not a database"), "{told}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_in_vain_is_told_to_ask_again() {
        let folder = tempfile::tempdir().unwrap();
        let answer = reader(folder.path()).rows(question()).await;
        assert!(matches!(answer, Err(AskError::NotYet)), "{answer:?}");
    }
}
