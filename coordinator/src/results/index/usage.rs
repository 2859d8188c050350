//! What each repository has, and what of it nobody uses.

use rusqlite::params;
use serde::Serialize;

use super::super::error::ResultsError;
use super::Index;

/// What a repository has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Forge and repository.
    pub repository: String,
    /// Cache entries.
    pub caches: u64,
    /// Their bytes.
    pub cache_bytes: u64,
    /// Artifacts.
    pub artifacts: u64,
    /// Their bytes.
    pub artifact_bytes: u64,
}

/// Cache entries that nobody used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Unused {
    /// How many.
    pub entries: u64,
    /// Their bytes.
    pub size_bytes: u64,
}

impl Index {
    /// What each repository has, those with most bytes first; at most so many.
    pub(in super::super) async fn usage(&self, limit: u32) -> Result<Vec<Usage>, ResultsError> {
        self.look(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT repository, sum(c), sum(cb), sum(a), sum(ab) FROM (
                   SELECT repository, 1 AS c, size_bytes AS cb, 0 AS a, 0 AS ab FROM cache JOIN upload USING (id) WHERE ready = 1
                   UNION ALL
                   SELECT repository, 0, 0, 1, size_bytes FROM artifact JOIN upload USING (id) WHERE ready = 1
                 ) GROUP BY repository ORDER BY sum(cb) + sum(ab) DESC, repository LIMIT ?1",
            )?;
            let rows = statement.query_map([limit], |row| {
                Ok(Usage {
                    repository: row.get(0)?,
                    caches: row.get(1)?,
                    cache_bytes: row.get(2)?,
                    artifacts: row.get(3)?,
                    artifact_bytes: row.get(4)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// How many cache entries nobody used since then.
    pub(in super::super) async fn count_unused(&self, since_ms: u64) -> Result<Unused, ResultsError> {
        self.look(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT count(*), coalesce(sum(size_bytes), 0) FROM cache JOIN upload USING (id)
                 WHERE ready = 1 AND used_ms < ?1",
            )?;
            let unused = statement.query_row(params![since_ms], |row| {
                Ok(Unused { entries: row.get(0)?, size_bytes: row.get(1)? })
            });
            Ok(unused?)
        })
        .await
    }
}
