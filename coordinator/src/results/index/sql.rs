//! The SQL that both engines speak: what a transaction can do, and values and rows without an engine's types.
//!
//! Statements are written once, with parameters `?1`, `?2`, …; sums and tests are cast to `BIGINT`, because PostgreSQL counts
//! in other types than it stores. Work is a plain function on a thread that may block: SQLite's statements are done there, and
//! PostgreSQL's are waited for there.

use super::super::error::ResultsError;

/// A column's value. There are no other types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Number(i64),
    Text(String),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        // Times and sizes: what is beyond is as good as endless.
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Parameters of a statement.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::results::index::sql::Value::from($value)),*][..] };
}
pub(super) use values;

/// Why a transaction did not come about.
#[derive(Debug)]
pub(super) enum Fault {
    /// It stays so.
    Refused(ResultsError),
    /// The server, the connection to it or another transaction was in the way: another try may do.
    Passing(String),
}

impl From<ResultsError> for Fault {
    fn from(error: ResultsError) -> Self {
        Self::Refused(error)
    }
}

/// A row of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row(pub(super) Vec<Value>);

impl Row {
    fn wrong(column: usize) -> ResultsError {
        ResultsError::Failed(format!(
            "the index of caches and artifacts was changed by somebody else: column {column} of an answer is not what it \
             should be"
        ))
    }

    pub(super) fn text(&self, column: usize) -> Result<String, ResultsError> {
        match self.0.get(column) {
            Some(Value::Text(text)) => Ok(text.clone()),
            _ => Err(Self::wrong(column)),
        }
    }

    pub(super) fn number(&self, column: usize) -> Result<i64, ResultsError> {
        match self.0.get(column) {
            Some(Value::Number(number)) => Ok(*number),
            _ => Err(Self::wrong(column)),
        }
    }

    /// A number that is not negative.
    pub(super) fn count(&self, column: usize) -> Result<u64, ResultsError> {
        u64::try_from(self.number(column)?).map_err(|_| Self::wrong(column))
    }

    pub(super) fn yes(&self, column: usize) -> Result<bool, ResultsError> {
        Ok(self.number(column)? != 0)
    }
}

/// A transaction under way.
pub(super) trait Sql {
    /// Does a statement; its rows.
    ///
    /// # Errors
    /// [`Fault`]: nothing more can be done in this transaction.
    fn query(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, Fault>;

    /// Does a statement without rows; how many rows it changed.
    ///
    /// # Errors
    /// [`Fault`].
    fn execute(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, Fault>;

    /// Does a statement without rows once for each of these.
    ///
    /// # Errors
    /// [`Fault`].
    fn execute_each(&mut self, sql: &'static str, each: &[Vec<Value>]) -> Result<(), Fault>;
}

/// The first row, if there is any.
pub(super) fn first(
    sql: &mut dyn Sql,
    statement: &'static str,
    values: &[Value],
) -> Result<Option<Row>, Fault> {
    Ok(sql.query(statement, values)?.into_iter().next())
}

/// The row of a statement that always has one.
pub(super) fn only(sql: &mut dyn Sql, statement: &'static str, values: &[Value]) -> Result<Row, Fault> {
    let none = || ResultsError::Failed("the index of caches and artifacts gave no answer".to_owned());
    Ok(first(sql, statement, values)?.ok_or_else(none)?)
}

/// Every row as something.
pub(super) fn all<T>(
    sql: &mut dyn Sql,
    statement: &'static str,
    values: &[Value],
    read: impl Fn(&Row) -> Result<T, ResultsError>,
) -> Result<Vec<T>, Fault> {
    Ok(sql.query(statement, values)?.iter().map(read).collect::<Result<_, _>>()?)
}
