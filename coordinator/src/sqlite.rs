//! How SQLite's files are opened.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

/// Opens a file, making it if need be.
///
/// A prepared statement stays as it was planned: built with statistics (`SQLITE_ENABLE_STAT4`, as rusqlite's is), SQLite would otherwise
/// plan each again for each value that is bound to it, which took the projections half of their time.
///
/// # Errors
/// When it can't be opened.
pub(crate) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}
