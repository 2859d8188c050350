//! The projections: what the journal says, as tables that an admin can query (docs/HISTORY.md).
//!
//! The journal stays the only truth. Rows are a function of its entries ([`rows`]) and of attempts' records ([`steps`]), and are
//! written with their cursor in one transaction ([`Tables`]), so that they can be thrown away and made again at any time. Only
//! the leader makes them, on tasks of its own: the driver hands over what became durable ([`Tap`]) and never waits, and a slow,
//! full or absent database holds nothing up but the projections.
//!
//! Engines are [`sqlite`] and [`postgres`]; both pass [`conformance`].

pub mod conformance;
mod feed;
mod handle;
pub mod limits;
pub mod postgres;
mod projector;
mod reader;
mod rows;
#[cfg(test)]
mod rows_tests;
mod schema;
mod source;
mod sql;
pub mod sqlite;
mod steps;
mod tables;
mod task;
#[cfg(test)]
mod tests;
mod thread;

pub use feed::{Committed, Feed, Tap, feed};
pub use handle::{History, Progress, RebuildError, Rebuilding};
pub(crate) use handle::{Parts, parts};
pub use reader::AskError;
pub(crate) use reader::Reader;
pub use tables::{Cursor, FORMAT, HistoryError, Pending, Row, Statement, Tables, Value};
pub(crate) use task::run;
