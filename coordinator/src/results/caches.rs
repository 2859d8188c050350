//! What the two cache protocols have in common.

use super::Results;
use super::address::Permission;
use super::error::ResultsError;
use super::index::{CacheEntry, NewCache};
use super::limits::{CACHE_ENTRY_MAX_BYTES, KEY_MAX_CHARS, KEYS_MAX, VERSION_MAX_BYTES};
use super::scopes::Scope;
use super::token::{Claims, lease_word};

/// What begins the message about a job that may write no entry; the clients look for it.
const WRITE_DENIED: &str = "cache write denied: ";

fn check_key(key: &str) -> Result<(), ResultsError> {
    if key.is_empty() || key.chars().count() > KEY_MAX_CHARS || key.contains([',', '\0']) {
        return Err(ResultsError::Invalid(format!(
            "a cache key has 1 to {KEY_MAX_CHARS} characters and neither comma nor NUL; this one is `{key}`"
        )));
    }
    Ok(())
}

fn check_version(version: &str) -> Result<(), ResultsError> {
    if version.is_empty() || version.len() > VERSION_MAX_BYTES || version.contains('\0') {
        return Err(ResultsError::Invalid(format!(
            "a cache version has 1 to {VERSION_MAX_BYTES} bytes and no NUL"
        )));
    }
    Ok(())
}

impl Results {
    fn new_cache(&self, claims: &Claims, key: &str, version: &str) -> Result<NewCache, ResultsError> {
        check_key(key)?;
        check_version(version)?;
        let scope = claims.writes().ok_or_else(|| {
            ResultsError::Denied(format!(
                "{WRITE_DENIED}code from outside may not write the cache of this ref"
            ))
        })?;
        Ok(NewCache {
            repository: claims.repository.clone(),
            scope,
            version: version.to_owned(),
            key: key.to_owned(),
            lease: lease_word(&claims.lease()),
            limit_bytes: CACHE_ENTRY_MAX_BYTES,
            now_ms: self.now_ms(),
        })
    }

    /// Begins an entry.
    pub(super) async fn create_cache(
        &self,
        claims: &Claims,
        key: &str,
        version: &str,
    ) -> Result<i64, ResultsError> {
        let new = self.new_cache(claims, key, version)?;
        let (id, replaced) = self.0.index.create_cache(new, self.is_live()).await?;
        self.0.bytes.remove(replaced.into_iter().collect()).await;
        Ok(id)
    }

    /// Ends the entry that the job filled under this key.
    pub(super) async fn finish_cache_of_key(
        &self,
        claims: &Claims,
        key: &str,
        version: &str,
        size_bytes: u64,
    ) -> Result<i64, ResultsError> {
        let id = self.0.index.own_cache(self.new_cache(claims, key, version)?).await?;
        self.finish_cache(claims, id, size_bytes).await?;
        Ok(id)
    }

    /// Ends an entry.
    pub(super) async fn finish_cache(
        &self,
        claims: &Claims,
        id: i64,
        size_bytes: u64,
    ) -> Result<(), ResultsError> {
        self.0.index.finish_cache(id, lease_word(&claims.lease()), size_bytes, self.now_ms()).await
    }

    /// Looks an entry up; its address comes with it.
    pub(super) async fn find_cache(
        &self,
        claims: &Claims,
        keys: Vec<String>,
        version: String,
        origin: &str,
    ) -> Result<Option<(CacheEntry, String)>, ResultsError> {
        if keys.is_empty() || keys.len() > KEYS_MAX {
            return Err(ResultsError::Invalid(format!("a look-up has 1 to {KEYS_MAX} keys")));
        }
        keys.iter().try_for_each(|key| check_key(key))?;
        check_version(&version)?;
        let found = self
            .0
            .index
            .find_cache(claims.repository.clone(), readable(claims), version, keys, self.now_ms())
            .await?;
        Ok(found.map(|entry| {
            let address = self.address(origin, entry.id, Permission::Read, &claims.lease());
            (entry, address)
        }))
    }

    /// Entries whose key begins with this.
    pub(super) async fn list_caches(
        &self,
        claims: &Claims,
        key: String,
    ) -> Result<Vec<CacheEntry>, ResultsError> {
        self.0.index.list_caches(claims.repository.clone(), readable(claims), key).await
    }
}

fn readable(claims: &Claims) -> Vec<String> {
    claims.scopes().into_iter().filter(Scope::is_readable).map(|scope| scope.scope).collect()
}
