//! What an engine of the projections does: rows and cursor in one transaction.

use std::pin::Pin;

use super::limits::TEXT_MAX_CHARS;
use crate::journal::Mark;

/// The newest form of the tables that this build writes, of every engine.
pub const FORMAT: u32 = 3;

/// What the tables call themselves.
pub(super) const APPLICATION: &str = "slipway-history";

/// Why projections cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Written by a later version of Slipway.
    #[error(
        "{place} was written by a newer version (format {found}, this build reads ≤ {FORMAT}); start the newer version, or \
         remove it: it is made again from the journal"
    )]
    Newer {
        /// Which file or schema.
        place: String,
        /// The format found.
        found: u32,
    },
    /// Somebody else's tables.
    #[error("{place} is not Slipway's; move it away")]
    Foreign {
        /// Which file or schema.
        place: String,
    },
    /// Another coordinator leads.
    #[error("another coordinator leads; it writes the projections")]
    Fenced,
    /// The engine failed.
    #[error("projections in {place}: {reason}")]
    Engine {
        /// Which file or schema.
        place: String,
        /// What it said.
        reason: String,
    },
    /// The journal, or what it names, cannot be read.
    #[error("{0}")]
    Source(String),
    /// The coordinator stops.
    #[error("the coordinator is stopping")]
    Stopped,
}

/// A column's value. There are no other types: what can be read in one engine means the same in the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A number; counts beyond 2⁶³ - 1 are that.
    Number(i64),
    /// A text of at most [`TEXT_MAX_CHARS`] characters, without NUL, which PostgreSQL does not take.
    Text(String),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        let plain = |c: char| if c == '\0' { char::REPLACEMENT_CHARACTER } else { c };
        Self::Text(text.chars().take(TEXT_MAX_CHARS).map(plain).collect())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Number(number.into())
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Number(yes.into())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One statement of a transaction, in the SQL that both engines speak, with parameters `?1`, `?2`, … .
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The text.
    pub sql: &'static str,
    /// The parameters.
    pub values: Vec<Value>,
}

impl Statement {
    /// A statement.
    #[must_use]
    pub fn new(sql: &'static str, values: impl Into<Vec<Value>>) -> Self {
        Self { sql, values: values.into() }
    }
}

/// How far the projections are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The last record that they have.
    pub mark: Mark,
    /// A rebuild goes on until this position; 0: none does.
    pub rebuild_to: u64,
}

impl Cursor {
    /// Of empty tables.
    pub const BEGINNING: Self = Self { mark: Mark::BEGINNING, rebuild_to: 0 };
}

/// An engine's answer, later.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, HistoryError>> + Send + 'a>>;

/// A row, every column as text; `None` is NULL.
pub type Row = Vec<Option<String>>;

/// An engine of the projections.
pub trait Tables: Send {
    /// Makes this leader the one that writes, and gives the cursor.
    ///
    /// # Errors
    /// [`HistoryError::Fenced`] when another epoch is the journal's, [`HistoryError::Engine`].
    fn claim(&mut self, epoch: u64) -> Pending<'_, Cursor>;

    /// Does all statements and moves the cursor, in one transaction: all of it or nothing. The cursor has to be at `from`, and
    /// `epoch` the one that claimed last. What is done need not be durable when this returns: after a crash the tables may be
    /// at an earlier cursor, never between two.
    ///
    /// # Errors
    /// [`HistoryError::Fenced`] when cursor or epoch are others, [`HistoryError::Engine`].
    fn apply<'a>(
        &'a mut self,
        epoch: u64,
        from: Mark,
        statements: &'a [Statement],
        to: Cursor,
    ) -> Pending<'a, ()>;

    /// The rows of a query, as anybody would see them.
    ///
    /// # Errors
    /// [`HistoryError::Engine`].
    fn query<'a>(&'a mut self, sql: &'a str) -> Pending<'a, Vec<Row>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_both_engines_take() {
        assert_eq!(Value::from(u64::MAX), Value::Number(i64::MAX));
        assert_eq!(Value::from("a\0b"), Value::Text("a\u{fffd}b".to_owned()));
        let Value::Text(cut) = Value::from("ä".repeat(2 * TEXT_MAX_CHARS).as_str()) else { unreachable!() };
        assert_eq!(cut.chars().count(), TEXT_MAX_CHARS);
        assert_eq!(Value::from(None::<u64>), Value::Null);
        assert_eq!(Value::from(Some(true)), Value::Number(1));
    }
}
