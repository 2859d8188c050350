//! Rows from one index into another: an index that was a file moves into a database, and a backup of a database is a file.
//!
//! Numbers stay as they are. What was never finished is left behind: the jobs that began it ask again.

use std::path::Path;

use rusqlite::TransactionBehavior;

use super::super::error::ResultsError;
use super::sql::{Fault, Row, Sql, first, only, values};
use super::{Index, Sharing};

/// Uploads that are copied at a time.
const PAGE: i64 = 500;

/// What can be seen: the uploads after `?1`.
const UPLOADS: &str = "SELECT id, lease, limit_bytes, state, size_bytes FROM upload WHERE id > ?1
     AND (EXISTS (SELECT 1 FROM cache WHERE cache.id = upload.id AND ready = 1)
         OR EXISTS (SELECT 1 FROM artifact WHERE artifact.id = upload.id AND ready = 1))
     ORDER BY id LIMIT ?2";

const ADD_UPLOAD: &str =
    "INSERT INTO upload (id, lease, limit_bytes, state, size_bytes) VALUES (?1, ?2, ?3, ?4, ?5)";

/// A table whose rows belong to an upload: those of one, and how one is added.
struct Table {
    of_upload: &'static str,
    add: &'static str,
}

const PARTS: Table = Table {
    of_upload: "SELECT upload, block, position, file, size_bytes, crc32 FROM part WHERE upload = ?1",
    add: "INSERT INTO part (upload, block, position, file, size_bytes, crc32) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
};

const NAMES: [Table; 2] = [
    Table {
        of_upload: "SELECT id, repository, scope, version, key, ready, created_ms, used_ms FROM cache WHERE id = ?1",
        add: "INSERT INTO cache (id, repository, scope, version, key, ready, created_ms, used_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    },
    Table {
        of_upload: "SELECT id, repository, family, run_attempt, name, run, instance, mime_type, sha256, ready, created_ms,
             expires_ms, pinned FROM artifact WHERE id = ?1",
        add: "INSERT INTO artifact (id, repository, family, run_attempt, name, run, instance, mime_type, sha256, ready,
             created_ms, expires_ms, pinned) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    },
];

/// The next number that is given is beyond all there are.
const NUMBERS_AFTER: &str = "SELECT setval(pg_get_serial_sequence('upload', 'id'),
     greatest(CAST(?1 AS BIGINT), (SELECT coalesce(max(id), 1) FROM upload)))";

/// What was taken over from a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in super::super) struct Taken {
    /// Entries and artifacts that this index has now.
    pub(in super::super) taken: u64,
    /// Those whose bytes are not where this coordinator's are.
    pub(in super::super) left: u64,
}

/// Copies what can be seen. Uploads with a part that is not `here` are counted and left.
fn copy(from: &mut dyn Sql, to: &mut dyn Sql, here: &dyn Fn(&str) -> bool) -> Result<Taken, Fault> {
    let (mut taken, mut after) = (Taken::default(), 0);
    loop {
        let uploads = from.query(UPLOADS, values![after, PAGE])?;
        let Some(last) = uploads.last() else { return Ok(taken) };
        after = last.number(0)?;
        let (mut wanted, mut parts, mut names) = (Vec::new(), Vec::new(), [Vec::new(), Vec::new()]);
        for upload in uploads {
            let id = upload.number(0)?;
            let own = from.query(PARTS.of_upload, values![id])?;
            let files = own.iter().map(|part| part.text(3)).collect::<Result<Vec<_>, _>>()?;
            if !files.iter().all(|file| here(file)) {
                taken.left += 1;
                continue;
            }
            taken.taken += 1;
            parts.extend(own.into_iter().map(|Row(part)| part));
            for (table, rows) in NAMES.iter().zip(&mut names) {
                rows.extend(from.query(table.of_upload, values![id])?.into_iter().map(|Row(row)| row));
            }
            wanted.push(upload.0);
        }
        to.execute_each(ADD_UPLOAD, &wanted)?;
        to.execute_each(PARTS.add, &parts)?;
        for (table, rows) in NAMES.iter().zip(&names) {
            to.execute_each(table.add, rows)?;
        }
    }
}

impl Index {
    /// Takes over what an index in a file has, once, into one that has nothing yet; the file stays as it is. `here` says of a
    /// part's file whether its bytes are where this coordinator looks for them. `None`: there is no file, or it was done.
    pub(in super::super) async fn take_over(
        &self,
        file: &Path,
        here: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Result<Option<Taken>, ResultsError> {
        if matches!(self, Self::Sqlite(_)) || !file.exists() {
            return Ok(None);
        }
        let Self::Sqlite(old) = Self::open_file(file, Sharing::Among)? else { return Ok(None) };
        self.change(move |sql| {
            let done = only(sql, "SELECT taken_over, (SELECT count(*) FROM upload) FROM results_meta", &[])?;
            if done.yes(0)? || done.count(1)? > 0 {
                return Ok(None);
            }
            let copied = old.blocking(TransactionBehavior::Deferred, |from| {
                let last = first(from, "SELECT seq FROM sqlite_sequence WHERE name = 'upload'", &[])?;
                let last = last.map_or(Ok(1), |row| row.number(0))?;
                let taken = copy(from, sql, &here)?;
                sql.query(NUMBERS_AFTER, values![last])?;
                sql.execute("UPDATE results_meta SET taken_over = 1", &[])?;
                Ok(taken)
            });
            Ok(Some(copied?))
        })
        .await
    }

    /// Writes what can be seen into a new index in a file, as of one moment.
    pub(in super::super) async fn copy_to(&self, file: &Path) -> Result<(), ResultsError> {
        let file = file.to_owned();
        self.look(move |sql| {
            // A try before this one may have left something.
            let _ = std::fs::remove_file(&file);
            let Self::Sqlite(new) = Self::open_file(&file, Sharing::Among)? else { return Ok(()) };
            new.blocking(TransactionBehavior::Immediate, |to| copy(sql, to, &|_| true).map(drop))?;
            Ok(())
        })
        .await
    }

    /// Whether it is a file that can be copied as it is.
    pub(in super::super) fn is_file(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }
}
