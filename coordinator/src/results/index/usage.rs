//! What each repository has, and what of it nobody uses.

use serde::Serialize;

use super::super::error::ResultsError;
use super::Index;
use super::sql::{all, only, values};

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

const USAGE: &str = "SELECT repository, CAST(sum(c) AS BIGINT), CAST(sum(cb) AS BIGINT), CAST(sum(a) AS BIGINT),
     CAST(sum(ab) AS BIGINT) FROM (
       SELECT repository, 1 AS c, size_bytes AS cb, 0 AS a, 0 AS ab FROM cache JOIN upload USING (id) WHERE ready = 1
       UNION ALL
       SELECT repository, 0, 0, 1, size_bytes FROM artifact JOIN upload USING (id) WHERE ready = 1
     ) AS held GROUP BY repository ORDER BY sum(cb) + sum(ab) DESC, repository LIMIT ?1";

const UNUSED: &str =
    "SELECT count(*), CAST(coalesce(sum(size_bytes), 0) AS BIGINT) FROM cache JOIN upload USING (id)
     WHERE ready = 1 AND used_ms < ?1";

impl Index {
    /// What each repository has, those with most bytes first; at most so many.
    pub(in super::super) async fn usage(&self, limit: u32) -> Result<Vec<Usage>, ResultsError> {
        self.look(move |sql| {
            all(sql, USAGE, values![limit], |row| {
                Ok(Usage {
                    repository: row.text(0)?,
                    caches: row.count(1)?,
                    cache_bytes: row.count(2)?,
                    artifacts: row.count(3)?,
                    artifact_bytes: row.count(4)?,
                })
            })
        })
        .await
    }

    /// How many cache entries nobody used since then.
    pub(in super::super) async fn count_unused(&self, since_ms: u64) -> Result<Unused, ResultsError> {
        self.look(move |sql| {
            let row = only(sql, UNUSED, values![since_ms])?;
            Ok(Unused { entries: row.count(0)?, size_bytes: row.count(1)? })
        })
        .await
    }
}
