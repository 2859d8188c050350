//! Cache entries: made once, never changed, found by key.

use super::super::error::ResultsError;
use super::super::limits::CACHES_LISTED_MAX;
use super::Index;
use super::sql::{Fault, Row, Sql, all, first, values};
use super::uploads::{self, Known, State, Way};

/// An entry to make.
#[derive(Debug, Clone)]
pub(in super::super) struct NewCache {
    pub(in super::super) repository: String,
    pub(in super::super) scope: String,
    pub(in super::super) version: String,
    pub(in super::super) key: String,
    pub(in super::super) lease: String,
    pub(in super::super) limit_bytes: u64,
    pub(in super::super) now_ms: u64,
}

/// An entry that may be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct CacheEntry {
    pub(in super::super) id: i64,
    pub(in super::super) scope: String,
    pub(in super::super) version: String,
    pub(in super::super) key: String,
    pub(in super::super) created_ms: u64,
}

/// The last character there is: keys with a prefix stand between it and it followed by this.
const LAST: char = char::MAX;

fn entry(row: &Row) -> Result<CacheEntry, ResultsError> {
    Ok(CacheEntry {
        id: row.number(0)?,
        scope: row.text(1)?,
        version: row.text(2)?,
        key: row.text(3)?,
        created_ms: row.count(4)?,
    })
}

const KNOWN: &str = "SELECT cache.id, ready, lease,
     CAST(CASE WHEN EXISTS (SELECT 1 FROM part WHERE part.upload = cache.id) THEN 0 ELSE 1 END AS BIGINT)
     FROM cache JOIN upload USING (id) WHERE repository = ?1 AND scope = ?2 AND version = ?3 AND key = ?4";

const CREATE: &str = "INSERT INTO cache (id, repository, scope, version, key, created_ms, used_ms)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)";

const OWN: &str = "SELECT cache.id FROM cache JOIN upload USING (id)
     WHERE repository = ?1 AND scope = ?2 AND version = ?3 AND key = ?4 AND lease = ?5";

const EXACT: &str = "SELECT id, scope, version, key, created_ms FROM cache
     WHERE repository = ?1 AND scope = ?2 AND version = ?3 AND key = ?4 AND ready = 1";

const PREFIX: &str = "SELECT id, scope, version, key, created_ms FROM cache
     WHERE repository = ?1 AND scope = ?2 AND version = ?3 AND key >= ?4 AND key < ?5 AND ready = 1
     ORDER BY created_ms DESC, id DESC LIMIT 1";

const LIST: &str = "SELECT id, scope, version, key, created_ms FROM cache
     WHERE repository = ?1 AND scope = ?2 AND ready = 1 AND key >= ?3 AND key < ?4 ORDER BY id DESC LIMIT ?5";

const UNUSED: &str = "SELECT id FROM cache WHERE ready = 1 AND used_ms < ?1 LIMIT ?2";

const SURPLUS: &str = "SELECT id FROM (
       SELECT cache.id, sum(size_bytes) OVER (
         PARTITION BY repository ORDER BY used_ms DESC, cache.id DESC ROWS UNBOUNDED PRECEDING
       ) AS newer_bytes
       FROM cache JOIN upload USING (id) WHERE ready = 1
     ) AS summed WHERE newer_bytes > CAST(?1 AS BIGINT) LIMIT ?2";

impl Index {
    /// Makes an entry that is to be filled, and says which upload it replaces. A job that asks again before it sent
    /// anything gets the same one.
    ///
    /// `is_live` says whether a lease is: what a job that is over left unfinished stands in nobody's way.
    pub(in super::super) async fn create_cache(
        &self,
        new: NewCache,
        is_live: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Result<(i64, Option<i64>), ResultsError> {
        self.change(move |sql| {
            let name = values![&new.repository, &new.scope, &new.version, &new.key];
            let known = first(sql, KNOWN, name)?.as_ref().map(Known::of).transpose()?;
            let taken = || "a cache entry with the same key, version and scope already exists".to_owned();
            let replaced = match uploads::make_way(sql, known, &new.lease, &is_live, taken)? {
                Way::Again(id) => return Ok((id, None)),
                Way::Free(replaced) => replaced,
            };
            let id = uploads::begin(sql, &new.lease, new.limit_bytes)?;
            sql.execute(
                CREATE,
                values![id, &new.repository, &new.scope, &new.version, &new.key, new.now_ms],
            )?;
            Ok((id, replaced))
        })
        .await
    }

    /// The number of the entry that this lease fills under this key; ready or not.
    pub(in super::super) async fn own_cache(&self, new: NewCache) -> Result<i64, ResultsError> {
        self.look(move |sql| {
            let of = values![&new.repository, &new.scope, &new.version, &new.key, &new.lease];
            let none = || {
                ResultsError::NotFound(
                    "this job did not begin a cache entry of this key and version".to_owned(),
                )
            };
            Ok(first(sql, OWN, of)?.ok_or_else(none)?.number(0)?)
        })
        .await
    }

    /// Lets everybody see an entry that this lease filled with so many bytes. Doing it twice does no harm.
    pub(in super::super) async fn finish_cache(
        &self,
        id: i64,
        lease: String,
        size_bytes: u64,
        now_ms: u64,
    ) -> Result<(), ResultsError> {
        self.change(move |sql| {
            let upload = uploads::seal(sql, id)?;
            if upload.lease != lease {
                return Err(ResultsError::Denied("another job began this cache entry".to_owned()).into());
            }
            if upload.size_bytes != size_bytes {
                let reason = format!("{} bytes were uploaded, not {size_bytes}", upload.size_bytes);
                return Err(ResultsError::Invalid(reason).into());
            }
            if upload.state == State::Placed {
                let changed = sql.execute(
                    "UPDATE cache SET ready = 1, created_ms = ?2, used_ms = ?2 WHERE id = ?1",
                    values![id, now_ms],
                )?;
                if changed == 0 {
                    return Err(ResultsError::NotFound("there is no such cache entry".to_owned()).into());
                }
            }
            Ok(())
        })
        .await
    }

    /// The entry that a job restores: scope by scope the key itself, then by prefix the key and each restore key, of
    /// several the newest (GitHub docs, "Matching a cache key"). It counts as used.
    pub(in super::super) async fn find_cache(
        &self,
        repository: String,
        scopes: Vec<String>,
        version: String,
        keys: Vec<String>,
        now_ms: u64,
    ) -> Result<Option<CacheEntry>, ResultsError> {
        self.change(move |sql| {
            for scope in &scopes {
                let Some(found) = match_keys(sql, &repository, scope, &version, &keys)? else {
                    continue;
                };
                sql.execute("UPDATE cache SET used_ms = ?2 WHERE id = ?1", values![found.id, now_ms])?;
                return Ok(Some(found));
            }
            Ok(None)
        })
        .await
    }

    /// Entries of any version whose key begins with this, newest first.
    pub(in super::super) async fn list_caches(
        &self,
        repository: String,
        scopes: Vec<String>,
        key: String,
    ) -> Result<Vec<CacheEntry>, ResultsError> {
        self.look(move |sql| {
            let mut listed = Vec::new();
            for scope in &scopes {
                let of = values![&repository, scope, &key, &format!("{key}{LAST}"), CACHES_LISTED_MAX];
                listed.extend(all(sql, LIST, of, entry)?);
            }
            listed.truncate(CACHES_LISTED_MAX as usize);
            Ok(listed)
        })
        .await
    }

    /// Entries that nobody used since then.
    pub(in super::super) async fn unused_caches(
        &self,
        since_ms: u64,
        limit: u32,
    ) -> Result<Vec<i64>, ResultsError> {
        self.look(move |sql| all(sql, UNUSED, values![since_ms, limit], |row| row.number(0))).await
    }

    /// The least recently used entries of repositories that have more than this.
    pub(in super::super) async fn surplus_caches(
        &self,
        allowed_bytes: u64,
        limit: u32,
    ) -> Result<Vec<i64>, ResultsError> {
        self.look(move |sql| all(sql, SURPLUS, values![allowed_bytes, limit], |row| row.number(0))).await
    }
}

fn match_keys(
    sql: &mut dyn Sql,
    repository: &str,
    scope: &str,
    version: &str,
    keys: &[String],
) -> Result<Option<CacheEntry>, Fault> {
    for (position, key) in keys.iter().enumerate() {
        if position == 0
            && let Some(row) = first(sql, EXACT, values![repository, scope, version, key])?
        {
            return Ok(Some(entry(&row)?));
        }
        let until = format!("{key}{LAST}");
        if let Some(row) = first(sql, PREFIX, values![repository, scope, version, key, &until])? {
            return Ok(Some(entry(&row)?));
        }
    }
    Ok(None)
}
