//! The tables, and how an older form becomes the current one.
//!
//! Invariant: all steps from the format found to the current one and its number are one transaction.

use rusqlite::Connection;

use crate::journal::{FORMAT, JournalError};

/// `PRAGMA application_id` of a Slipway journal: "Slip".
const APPLICATION_ID: u32 = 0x536c_6970;

/// Each step and the format it leads to, kept in `PRAGMA user_version`.
const STEPS: &[(u32, &str)] = &[
    (
        1,
        "CREATE TABLE leader (only INTEGER PRIMARY KEY CHECK (only = 1), epoch INTEGER NOT NULL,
                              head_position INTEGER NOT NULL, head_hash BLOB NOT NULL) STRICT;
         CREATE TABLE record (position INTEGER PRIMARY KEY, version INTEGER NOT NULL, epoch INTEGER NOT NULL,
                              time_ms INTEGER NOT NULL, previous BLOB NOT NULL, payload BLOB NOT NULL,
                              checksum INTEGER NOT NULL) STRICT;
         CREATE TABLE snapshot (position INTEGER PRIMARY KEY, version INTEGER NOT NULL, checksum INTEGER NOT NULL,
                                size_bytes INTEGER NOT NULL, state BLOB NOT NULL) STRICT;
         INSERT INTO leader VALUES (1, 0, 0, zeroblob(32));",
    ),
    (
        2,
        "ALTER TABLE leader ADD COLUMN anchor_position INTEGER NOT NULL DEFAULT 0;
         ALTER TABLE leader ADD COLUMN anchor_hash BLOB NOT NULL
             DEFAULT x'0000000000000000000000000000000000000000000000000000000000000000';",
    ),
];

/// What a file says it is.
pub(super) enum Found {
    /// A new file.
    Nothing,
    /// A journal in this format.
    Format(u32),
}

/// Looks, and changes nothing.
pub(super) fn find(connection: &Connection, place: &str) -> Result<Found, JournalError> {
    let (id, version, tables): (u32, u32, u32) = connection
        .query_row(
            "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM \
             pragma_user_version), (SELECT count(*) FROM sqlite_schema)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => JournalError::Foreign { place: place.to_owned() },
            _ => super::damage(place, 1)(error),
        })?;
    match (id, version, tables) {
        (0, 0, 0) => Ok(Found::Nothing),
        (APPLICATION_ID, found, _) if found > FORMAT => Err(JournalError::Newer { found, supported: FORMAT }),
        (APPLICATION_ID, format, _) if format > 0 => Ok(Found::Format(format)),
        _ => Err(JournalError::Foreign { place: place.to_owned() }),
    }
}

/// Makes the tables or brings them up to date.
pub(super) fn migrate(connection: &mut Connection, from: u32) -> rusqlite::Result<()> {
    if from == FORMAT {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for (format, step) in STEPS.iter().filter(|(format, _)| *format > from) {
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", format)?;
    }
    if from == 0 {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    transaction.commit()?;
    if from > 0 {
        tracing::info!(from, to = FORMAT, "the journal was brought to a newer format");
    }
    Ok(())
}
