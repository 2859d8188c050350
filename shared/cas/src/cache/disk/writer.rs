//! Changing the index: what comes, and what goes because it is old, too much, or too much of its owner's.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Result, params};

use super::VALUE_OVERHEAD_BYTES;
use super::index::Place;
use super::known::{Change, Known, Mark};
use super::uses::{Uses, now_ms};
use crate::cache::engine::{Keep, Value};
use crate::cache::key::Key;
use crate::cache::limits::TEMPORARY_TTL;
use crate::cache::quotas::Quotas;

/// Values looked at when room is made, a step.
const EVICT_STEP: usize = 64;
/// Expired values removed at each write.
const EXPIRE_STEP: usize = 64;
/// When room is made, this part of the whole is made free, so that it is not made for every value anew.
const FREE_PART: u64 = 64;

/// A value to be entered.
#[derive(Debug)]
pub(super) struct NewRow {
    pub(super) key: String,
    pub(super) mark: Mark,
    pub(super) owner: String,
    pub(super) value: Value,
    pub(super) keep: Keep,
    pub(super) checksum: u32,
    pub(super) place: Place,
}

/// What became of an insertion.
#[derive(Debug, Default)]
pub(super) struct Inserted {
    pub(super) evicted: usize,
    /// Files of values that were there already.
    pub(super) unwanted: Vec<String>,
}

/// The connection that writes, and what it knows without asking.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) max_bytes: u64,
    pub(super) quotas: Quotas,
    pub(super) held: u64,
    pub(super) size_bytes: u64,
    /// Files of rows that are gone, still to be removed.
    pub(super) doomed: Vec<String>,
    /// Files that are removed, still listed.
    pub(super) removed: Vec<String>,
    pub(super) known: Arc<Known>,
    /// What came and went in the transaction under way.
    pub(super) changes: Vec<Change>,
}

/// What so many values with so many bytes cost.
pub(super) const fn cost(data_bytes: u64, values: u64) -> u64 {
    data_bytes.saturating_add(values.saturating_mul(VALUE_OVERHEAD_BYTES))
}

/// SQLite's integers are signed; lengths and times here fit.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// What a bound is brought down to when it was passed.
const fn free(max_bytes: u64) -> u64 {
    max_bytes - max_bytes / FREE_PART
}

impl Writer {
    /// Runs work in one transaction; what it changed in memory is undone with it.
    pub(super) fn transact<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let (held, size_bytes, doomed, removed) =
            (self.held, self.size_bytes, self.doomed.len(), self.removed.clone());
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let done = work(self).and_then(|done| {
            self.connection
                .prepare_cached("UPDATE total SET held = ?1, size_bytes = ?2")?
                .execute([signed(self.held), signed(self.size_bytes)])?;
            self.connection.execute_batch("COMMIT")?;
            self.known.follow(std::mem::take(&mut self.changes));
            Ok(done)
        });
        if done.is_err() {
            (self.held, self.size_bytes, self.removed) = (held, size_bytes, removed);
            self.doomed.truncate(doomed);
            self.changes.clear();
            if !self.connection.is_autocommit() {
                self.connection.execute_batch("ROLLBACK")?;
            }
        }
        done
    }

    /// Enters a value in place of the one of its key; `false` for a temporary one whose key is taken.
    pub(super) fn enter(&mut self, row: &NewRow, used: u64) -> Result<bool> {
        if row.keep == Keep::Temporary {
            if self.connection.prepare_cached("SELECT 1 FROM value WHERE key = ?1")?.exists([&row.key])? {
                return Ok(false);
            }
        } else {
            self.remove_key(&row.key)?;
        }
        let ttl_ms = u64::try_from(TEMPORARY_TTL.as_millis()).unwrap_or(u64::MAX);
        let expires = (row.keep == Keep::Temporary).then(|| signed(now_ms().saturating_add(ttl_ms)));
        let data_bytes = row.value.data.len() as u64;
        self.connection
            .prepare_cached(
                "INSERT INTO value (key, owner, codec, plain_bytes, data_bytes, checksum, used, expires, file)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                row.key,
                row.owner,
                row.value.codec.number(),
                row.value.plain_bytes,
                signed(data_bytes),
                row.checksum,
                signed(used),
                expires,
                row.place.file(),
            ])?;
        let id = self.connection.last_insert_rowid();
        if let Place::Packed(data) = &row.place {
            self.connection
                .prepare_cached("INSERT INTO packed (id, data) VALUES (?1, ?2)")?
                .execute(params![id, &data[..]])?;
        }
        self.changes.push(Change::Entered(row.mark, id));
        self.held += 1;
        self.size_bytes += cost(data_bytes, 1);
        Ok(true)
    }

    pub(super) fn remove_key(&mut self, key: &str) -> Result<bool> {
        let id = self
            .connection
            .prepare_cached("SELECT id FROM value WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        id.map_or(Ok(false), |id| Ok(self.remove_id(id)?.is_some()))
    }

    /// Removes a value; says what it cost, if it was there.
    pub(super) fn remove_id(&mut self, id: i64) -> Result<Option<u64>> {
        let gone = self
            .connection
            .prepare_cached("DELETE FROM value WHERE id = ?1 RETURNING data_bytes, file, key")?
            .query_row([id], |row| {
                Ok((unsigned(row.get(0)?), row.get::<_, Option<String>>(1)?, row.get::<_, String>(2)?))
            })
            .optional()?;
        let Some((data_bytes, file, key)) = gone else { return Ok(None) };
        if let Some(key) = Key::from_text(&key) {
            self.changes.push(Change::Removed(self.known.mark(&key), id));
        }
        match file {
            Some(file) => {
                self.connection
                    .prepare_cached("INSERT OR IGNORE INTO doomed VALUES (?1)")?
                    .execute([&file])?;
                self.doomed.push(file);
            }
            None => {
                self.connection.prepare_cached("DELETE FROM packed WHERE id = ?1")?.execute([id])?;
            }
        }
        self.held = self.held.saturating_sub(1);
        self.size_bytes = self.size_bytes.saturating_sub(cost(data_bytes, 1));
        Ok(Some(cost(data_bytes, 1)))
    }

    fn ids(&self, sql: &str, bound: i64, limit: usize) -> Result<Vec<i64>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.query_map([bound, signed(limit as u64)], |row| row.get(0))?.collect()
    }

    /// Whether a temporary value's time is over, unless it was used meanwhile.
    pub(super) fn has_expired(&self) -> Result<bool> {
        let sql = "SELECT 1 FROM value WHERE expires IS NOT NULL AND expires < ?1";
        self.connection.prepare_cached(sql)?.exists([signed(now_ms())])
    }

    /// Removes temporary values whose time is over. Uses are to be written before.
    pub(super) fn expire(&mut self) -> Result<()> {
        let sql = "SELECT id FROM value WHERE expires IS NOT NULL AND expires < ?1 ORDER BY expires LIMIT ?2";
        for id in self.ids(sql, signed(now_ms()), EXPIRE_STEP)? {
            self.remove_id(id)?;
        }
        Ok(())
    }

    /// Whether there is more than there may be.
    pub(super) const fn is_full(&self) -> bool {
        self.size_bytes > self.max_bytes
    }

    /// Removes the least recently used until there is room, if there is none; says how many.
    pub(super) fn evict(&mut self) -> Result<usize> {
        if !self.is_full() {
            return Ok(0);
        }
        let goal = free(self.max_bytes);
        let mut evicted = 0;
        while self.size_bytes > goal {
            let oldest =
                self.ids("SELECT id FROM value WHERE used >= ?1 ORDER BY used LIMIT ?2", 0, EVICT_STEP)?;
            if oldest.is_empty() {
                // The totals are wrong (a person changed the file): start from what there is.
                (self.held, self.size_bytes) = (0, 0);
            }
            for id in oldest {
                if self.size_bytes <= goal {
                    break;
                }
                self.remove_id(id)?;
                evicted += 1;
            }
        }
        Ok(evicted)
    }

    /// Those of these values' owners that have more than they may.
    pub(super) fn over_quota(&self, rows: &[NewRow]) -> Result<Vec<String>> {
        let owners: BTreeSet<_> = rows.iter().map(|row| row.owner.as_str()).collect();
        let mut over = Vec::new();
        for owner in owners {
            if let Some(max_bytes) = self.quotas.of(owner)
                && self.owned(owner)? > max_bytes
            {
                over.push(owner.to_owned());
            }
        }
        Ok(over)
    }

    /// What an owner's values cost together.
    fn owned(&self, owner: &str) -> Result<u64> {
        let sql = "SELECT size_bytes, held FROM owner WHERE name = ?1";
        let owned = self
            .connection
            .prepare_cached(sql)?
            .query_row([owner], |row| Ok(cost(unsigned(row.get(0)?), unsigned(row.get(1)?))));
        Ok(owned.optional()?.unwrap_or(0))
    }

    /// Removes the least recently used of an owner's values until it has room again; nobody else's. Says how many.
    pub(super) fn evict_of(&mut self, owner: &str) -> Result<usize> {
        let goal = free(self.quotas.of(owner).unwrap_or(u64::MAX));
        let mut evicted = 0;
        let mut owned = self.owned(owner)?;
        while owned > goal {
            let oldest: Vec<i64> = self
                .connection
                .prepare_cached("SELECT id FROM value WHERE owner = ?1 ORDER BY used LIMIT ?2")?
                .query_map(params![owner, signed(EVICT_STEP as u64)], |row| row.get(0))?
                .collect::<Result<_>>()?;
            if oldest.is_empty() {
                break;
            }
            for id in oldest {
                if owned <= goal {
                    break;
                }
                owned = owned.saturating_sub(self.remove_id(id)?.unwrap_or(0));
                evicted += 1;
            }
        }
        Ok(evicted)
    }

    /// Writes the uses noted so far; a temporary value that is used is temporary no more.
    pub(super) fn write_uses(&mut self, uses: &Uses) -> Result<()> {
        let mut statement = self
            .connection
            .prepare_cached("UPDATE value SET used = ?2, expires = NULL WHERE id = ?1 AND used < ?2")?;
        for (id, used) in uses.take() {
            statement.execute([id, signed(used)])?;
        }
        Ok(())
    }

    /// Shortens the list of the doomed by the files that are removed.
    pub(super) fn forget_removed(&mut self) -> Result<()> {
        for file in std::mem::take(&mut self.removed) {
            self.connection.prepare_cached("DELETE FROM doomed WHERE file = ?1")?.execute([file])?;
        }
        Ok(())
    }
}
