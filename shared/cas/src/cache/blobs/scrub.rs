//! Keeping house: looking at everything an engine can list.

use super::fetch::checked;
use super::{BlobCache, CacheError, codec, manifest};
use crate::cache::engine::{Engine, Found, Page, Value};
use crate::cache::entries;
use crate::cache::key::{Key, Kind};
use crate::cache::limits::READ_AHEAD_CHUNKS;

/// What a scrub looked at and removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Values read and checked.
    pub checked: u64,
    /// Values that were not what was stored; they are removed.
    pub damaged: u64,
    /// Manifests and entries that listed what is not here; they are removed. Where an engine evicts this is usual.
    pub incomplete: u64,
}

/// What a prune found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Values that are old enough, and were removed unless it was a dry run.
    pub values: u64,
    /// Their bytes, as far as the engine knows them.
    pub size_bytes: u64,
    /// Values looked at.
    pub seen: u64,
}

/// What one look at a value says.
enum Look {
    Whole,
    Damaged,
    Incomplete,
    Gone,
}

impl BlobCache {
    /// Reads and checks everything the engine can list, in every namespace. Reading counts as using.
    ///
    /// # Errors
    /// [`CacheError::Unavailable`].
    pub async fn scrub(&self) -> Result<Scrubbed, CacheError> {
        let mut scrubbed = Scrubbed::default();
        let mut from = None;
        loop {
            let Page { keys, next } = self.engine().scan(from).await?;
            let keys: Vec<_> = keys.into_iter().map(|listed| listed.key).collect();
            for part in keys.chunks(READ_AHEAD_CHUNKS) {
                let looks = futures_util::future::join_all(part.iter().map(|key| self.look(key))).await;
                for (key, look) in part.iter().zip(looks) {
                    scrubbed.checked += 1;
                    match look? {
                        Look::Whole => continue,
                        Look::Gone => scrubbed.checked -= 1,
                        Look::Damaged => scrubbed.damaged += 1,
                        Look::Incomplete => scrubbed.incomplete += 1,
                    }
                    self.engine().delete_many(std::slice::from_ref(key)).await?;
                }
            }
            match next {
                Some(next) => from = Some(next),
                None => return Ok(scrubbed),
            }
        }
    }

    async fn look(&self, key: &Key) -> Result<Look, CacheError> {
        let value = match self.engine().get_many(std::slice::from_ref(key)).await?.pop() {
            Some(Found::Value(value)) => value,
            Some(Found::Damaged) => return Ok(Look::Damaged),
            Some(Found::Missing) | None => return Ok(Look::Gone),
        };
        match key.kind {
            Kind::Chunk => {
                Ok(if checked(key.id, value).await.is_some() { Look::Whole } else { Look::Damaged })
            }
            Kind::Manifest | Kind::Action | Kind::Named => self.look_at_list(key, value).await,
        }
    }

    async fn look_at_list(&self, key: &Key, value: Value) -> Result<Look, CacheError> {
        let of = self.of(key.namespace.clone());
        let Some(bytes) = codec::unpack(value) else { return Ok(Look::Damaged) };
        let absent = match key.kind {
            Kind::Manifest => match manifest::decode(key.id, &bytes) {
                Some(chunks) => of.lost_chunks(&chunks).await?,
                None => return Ok(Look::Damaged),
            },
            _ => match entries::decode(key, bytes) {
                Some(entry) => of.absent(&entry.references).await?,
                None => return Ok(Look::Damaged),
            },
        };
        Ok(if absent.is_empty() { Look::Whole } else { Look::Incomplete })
    }
}

/// Removes what was not used for `idle_s` seconds, in every namespace; a dry run only counts. What an engine does not
/// know the age of stays.
///
/// # Errors
/// [`CacheError::Unavailable`].
pub async fn prune(engine: &dyn Engine, idle_s: u64, dry_run: bool) -> Result<Pruned, CacheError> {
    let mut pruned = Pruned::default();
    let mut from = None;
    loop {
        let Page { keys, next } = engine.scan(from).await?;
        pruned.seen += keys.len() as u64;
        let old = keys.into_iter().filter(|listed| listed.idle_s.is_some_and(|idle| idle >= idle_s));
        let old: Vec<_> = old.collect();
        pruned.values += old.len() as u64;
        pruned.size_bytes += old.iter().filter_map(|listed| listed.size_bytes).sum::<u64>();
        if !dry_run && !old.is_empty() {
            let keys: Vec<_> = old.into_iter().map(|listed| listed.key).collect();
            engine.delete_many(&keys).await?;
        }
        match next {
            Some(next) => from = Some(next),
            None => return Ok(pruned),
        }
    }
}
