//! Rows and numbers between the journal and the database.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::failure::Failure;
use crate::journal::{Address, Hash, JournalError, LEADER_GRACE, LEADER_SILENT, Leader, Mark, Record};

/// The leader's row.
#[derive(Debug)]
pub(super) struct LeaderRow {
    pub(super) epoch: u64,
    pub(super) claim: Vec<u8>,
    pub(super) head: Mark,
    pub(super) anchor: Mark,
    address: Address,
    silent: Duration,
    locked: bool,
}

impl LeaderRow {
    pub(super) fn read(row: Option<&Row>, place: &str) -> Result<Self, Failure> {
        let row = row.ok_or_else(|| JournalError::Damaged {
            position: 0,
            reason: format!("the table slipway.leader of {place} is empty"),
        })?;
        let fields = Fields { row, place };
        let silent: f64 = fields.get(4)?;
        Ok(Self {
            epoch: fields.number(0)?,
            claim: fields.get(1)?,
            address: Address { http: fields.get(2)?, grpc: fields.get(3)? },
            // A clock that was set back counts as no time.
            silent: Duration::try_from_secs_f64(silent.max(0.0)).unwrap_or(Duration::MAX),
            locked: fields.get(5)?,
            head: Mark { position: fields.number(6)?, hash: fields.hash(7)? },
            anchor: Mark { position: fields.number(8)?, hash: fields.hash(9)? },
        })
    }

    /// Who leads, and whether it lives.
    pub(super) fn leader(self) -> Leader {
        let alive = self.epoch > 0 && self.silent < if self.locked { LEADER_SILENT } else { LEADER_GRACE };
        Leader { epoch: self.epoch, address: self.address, alive }
    }
}

/// A record as it lies in the table; its own checks come later.
pub(super) fn record(row: &Row, place: &str) -> Result<Record, Failure> {
    let fields = Fields { row, place };
    let position = fields.number(0)?;
    let wrong =
        |column: &str| JournalError::Damaged { position, reason: format!("its {column} is impossible") };
    Ok(Record {
        position,
        version: u32::try_from(fields.number(1)?).map_err(|_| wrong("version"))?,
        epoch: fields.number(2)?,
        time_ms: fields.number(3)?,
        previous: fields.get::<&[u8]>(4)?.try_into().map_err(|_| wrong("hash"))?,
        payload: fields.get(5)?,
        checksum: u32::try_from(fields.number(6)?).map_err(|_| wrong("checksum"))?,
    })
}

/// The columns of one row.
pub(super) struct Fields<'a> {
    pub(super) row: &'a Row,
    pub(super) place: &'a str,
}

impl<'a> Fields<'a> {
    pub(super) fn get<T: FromSql<'a>>(&self, index: usize) -> Result<T, Failure> {
        self.row.try_get(index).map_err(|error| self.wrong(index, &error.to_string()))
    }

    pub(super) fn number(&self, index: usize) -> Result<u64, Failure> {
        let number: i64 = self.get(index)?;
        u64::try_from(number).map_err(|_| self.wrong(index, "is negative"))
    }

    fn hash(&self, index: usize) -> Result<Hash, Failure> {
        let bytes: &[u8] = self.get(index)?;
        bytes.try_into().map_err(|_| self.wrong(index, "is no hash"))
    }

    fn wrong(&self, index: usize, reason: &str) -> Failure {
        let column = self.row.columns().get(index).map_or("?", |column| column.name());
        let reason = format!("a table of schema slipway was changed: column {column}: {reason}");
        JournalError::Engine { place: self.place.to_owned(), reason }.into()
    }
}

/// A number as the database has them. One that is too large is none that a journal ever gets to: it matches nothing.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
