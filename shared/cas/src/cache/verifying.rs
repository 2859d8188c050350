//! An engine that takes nothing but what its key says: for values that another process made.
//!
//! Bytes are checked against their digest, a list of chunks by reading all of them, an entry for being one. Whoever may store
//! values here can thus lose time for others, never give them wrong bytes, and nothing is told to be present that is not.

use std::sync::Arc;

use crate::cache::blobs::fetch::checked;
use crate::cache::blobs::{BlobCache, CacheError, Compression, codec, manifest};
use crate::cache::engine::{Engine, EngineError, Found, Holding, Later, Page, Put, Stats};
use crate::cache::entries;
use crate::cache::key::{Key, Kind};

/// An engine that checks what it is given.
pub struct Verifying {
    engine: Arc<dyn Engine>,
}

impl Verifying {
    /// Checks what is stored in this one.
    pub fn new(engine: Arc<dyn Engine>) -> Self {
        Self { engine }
    }

    async fn check(&self, put: &Put) -> Result<(), EngineError> {
        let Put { key, value, .. } = put;
        let is_good = match key.kind {
            // Nobody keeps the empty blob: it is always there.
            Kind::Chunk => key.id.size_bytes() > 0 && checked(key.id, value.clone()).await.is_some(),
            Kind::Action | Kind::Named => {
                codec::unpack(value.clone()).is_some_and(|bytes| entries::decode(key, bytes).is_some())
            }
            Kind::Manifest => true,
        };
        if is_good { Ok(()) } else { Err(wrong(key)) }
    }

    /// Stores a list of chunks if they make up its blob.
    async fn put_manifest(&self, put: &Put) -> Result<(), EngineError> {
        let key = &put.key;
        let bytes = codec::unpack(put.value.clone());
        let chunks = bytes.and_then(|bytes| manifest::decode(key.id, &bytes)).ok_or_else(|| wrong(key))?;
        let blobs = BlobCache::new(Arc::clone(&self.engine), key.namespace.clone(), Compression::Off);
        match blobs.splice(key.id, &chunks).await {
            Ok(written) if written.kept => Ok(()),
            Err(CacheError::Unavailable(error)) => Err(error),
            Err(CacheError::Mismatch { .. } | CacheError::BadChunks(_)) => Err(wrong(key)),
            // A chunk went meanwhile.
            Ok(_) | Err(_) => Err(EngineError::unavailable(&key.to_text(), "not all of its chunks are here")),
        }
    }
}

fn wrong(key: &Key) -> EngineError {
    EngineError::Wrong { key: key.to_text() }
}

impl Engine for Verifying {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<Found>> {
        self.engine.get_many(keys)
    }

    fn put_many(&self, puts: Vec<Put>) -> Later<'_, ()> {
        Box::pin(async move {
            for put in &puts {
                self.check(put).await?;
            }
            // Chunks before what lists them.
            let (lists, others): (Vec<_>, Vec<_>) =
                puts.into_iter().partition(|put| put.key.kind == Kind::Manifest);
            if !others.is_empty() {
                self.engine.put_many(others).await?;
            }
            for put in lists {
                self.put_manifest(&put).await?;
            }
            Ok(())
        })
    }

    fn have_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<bool>> {
        self.engine.have_many(keys)
    }

    fn delete_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, u64> {
        self.engine.delete_many(keys)
    }

    fn scan(&self, from: Option<String>) -> Later<'_, Page> {
        self.engine.scan(from)
    }

    fn stats(&self) -> Later<'_, Stats> {
        self.engine.stats()
    }

    fn owners(&self) -> Later<'_, Vec<Holding>> {
        self.engine.owners()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::Digest;
    use crate::cache::engine::{Codec, Keep, Value};
    use crate::cache::entries::{Entries, Entry, Subject};
    use crate::cache::key::Namespace;
    use crate::cache::memory::MemoryEngine;

    fn put(kind: Kind, id: Digest, data: impl Into<Bytes>) -> Put {
        let key = Key { kind, namespace: Namespace::new("main").unwrap(), id };
        Put { key, value: codec::plain(data.into()), keep: Keep::Normal }
    }

    fn engines() -> (Arc<dyn Engine>, Verifying) {
        let memory: Arc<dyn Engine> = Arc::new(MemoryEngine::new(64 << 20));
        (Arc::clone(&memory), Verifying::new(memory))
    }

    async fn is_refused(engine: &Verifying, put: Put) {
        let key = put.key.clone();
        let error = engine.put_many(vec![put]).await.unwrap_err();
        assert!(matches!(error, EngineError::Wrong { .. }), "{error}");
        assert_eq!(engine.have_many(&[key]).await.unwrap(), [false]);
    }

    #[tokio::test]
    async fn bytes_are_those_of_their_digest() {
        let (_, engine) = engines();
        let id = Digest::of(b"right");
        is_refused(&engine, put(Kind::Chunk, id, "wrong")).await;
        is_refused(&engine, put(Kind::Chunk, id, "righ")).await;
        is_refused(&engine, put(Kind::Chunk, Digest::EMPTY, "")).await;
        let lying = Value { codec: Codec::Plain, plain_bytes: 6, data: Bytes::from_static(b"right") };
        is_refused(&engine, Put { value: lying, ..put(Kind::Chunk, id, "") }).await;
        engine.put_many(vec![put(Kind::Chunk, id, "right")]).await.unwrap();
        // One that is wrong keeps all others out that come with it.
        let (good, bad) = (put(Kind::Chunk, Digest::of(b"good"), "good"), put(Kind::Chunk, id, "bad"));
        assert!(engine.put_many(vec![good.clone(), bad]).await.is_err());
        assert_eq!(engine.have_many(&[good.key]).await.unwrap(), [false]);
    }

    #[tokio::test]
    async fn a_list_of_chunks_is_taken_only_if_they_make_up_the_blob() {
        let (memory, engine) = engines();
        let parts = [vec![1; 2 << 20], vec![2; 1 << 20]];
        let chunks = [Digest::of(&parts[0]), Digest::of(&parts[1])];
        let whole = Digest::of(&parts.concat());
        let list = |id, chunks: &[Digest]| put(Kind::Manifest, id, manifest::encode(chunks));
        // A chunk is not here: no error of whoever lists it.
        let first = put(Kind::Chunk, chunks[0], parts[0].clone());
        engine.put_many(vec![first]).await.unwrap();
        let error = engine.put_many(vec![list(whole, &chunks)]).await.unwrap_err();
        assert!(matches!(error, EngineError::Unavailable { .. }), "{error}");
        let second = put(Kind::Chunk, chunks[1], parts[1].clone());
        // Chunks of the right lengths that are another blob's.
        engine.put_many(vec![second]).await.unwrap();
        is_refused(&engine, list(Digest::from_parts([9; 32], 3 << 20), &chunks)).await;
        is_refused(&engine, list(whole, &chunks[..1])).await;
        is_refused(&engine, put(Kind::Manifest, whole, "no list")).await;
        engine.put_many(vec![list(whole, &chunks)]).await.unwrap();
        let blobs = BlobCache::new(memory, Namespace::new("main").unwrap(), Compression::Off);
        assert!(blobs.read_all(whole).await.unwrap() == parts.concat());
    }

    #[tokio::test]
    async fn an_entry_is_one_of_its_name() {
        let (_, engine) = engines();
        let place = Namespace::new("main").unwrap();
        let blobs = BlobCache::new(Arc::new(MemoryEngine::new(1 << 20)), place, Compression::Off);
        let entries = Entries::new(blobs.clone());
        let subject = Subject::Name("a".to_owned());
        let entry = Entry { value: Bytes::from_static(b"x"), references: vec![Digest::of(b"y")] };
        assert!(entries.put(&subject, &entry).await.unwrap());
        let [of_a, of_b] = [b"a", b"b"].map(|name| put(Kind::Named, Digest::of(name), "").key);
        let stored = blobs.engine().get_many(std::slice::from_ref(&of_a)).await.unwrap().remove(0).value();
        let stored = stored.unwrap();
        is_refused(&engine, Put { key: of_b, value: stored.clone(), keep: Keep::Normal }).await;
        is_refused(&engine, put(Kind::Action, Digest::of(b"action"), "no entry")).await;
        engine.put_many(vec![Put { key: of_a, value: stored, keep: Keep::Normal }]).await.unwrap();
    }
}
