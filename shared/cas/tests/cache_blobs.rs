//! Blobs and entries over engines in memory, some of which lose or spoil what they hold.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use slipway_cas::cache::engine::{Found, Later, Page, Put, Stats, Value};
use slipway_cas::cache::entries::{EntryError, Subject};
use slipway_cas::cache::limits::{CHUNK_MAX_BYTES, CHUNKED_ABOVE_BYTES, PENDING_CHUNKS};
use slipway_cas::cache::{
    BlobCache, CacheError, Compression, Engine, EngineError, Entries, Entry, Key, Kind, MemoryEngine,
    Namespace, Tiered, WriteMode,
};
use slipway_cas::{Digest, Expected};

const ROOMY: u64 = 1 << 30;

fn blobs(engine: Arc<dyn Engine>) -> BlobCache {
    BlobCache::new(engine, Namespace::new("main").unwrap(), Compression::WherePaying)
}

fn noise(seed: u64, length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes.into()
}

/// An engine in memory that can be told to misbehave.
struct Moody {
    memory: MemoryEngine,
    gone: AtomicBool,
    /// Flips a bit of every value read.
    spoils: AtomicBool,
    putting: AtomicUsize,
    most_putting: AtomicUsize,
}

impl Moody {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            memory: MemoryEngine::new(ROOMY),
            gone: AtomicBool::new(false),
            spoils: AtomicBool::new(false),
            putting: AtomicUsize::new(0),
            most_putting: AtomicUsize::new(0),
        })
    }

    fn check(&self) -> Result<(), EngineError> {
        match self.gone.load(Ordering::SeqCst) {
            true => Err(EngineError::unavailable("test", "gone")),
            false => Ok(()),
        }
    }
}

impl Engine for Moody {
    fn get_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<Found>> {
        Box::pin(async move {
            self.check()?;
            let mut found = self.memory.get_many(keys).await?;
            if self.spoils.load(Ordering::SeqCst) {
                for found in &mut found {
                    if let Found::Value(Value { data, .. }) = found {
                        let mut spoilt = data.to_vec();
                        let middle = spoilt.len() / 2;
                        spoilt[middle] ^= 1;
                        *data = spoilt.into();
                    }
                }
            }
            Ok(found)
        })
    }

    fn put_many(&self, puts: Vec<Put>) -> Later<'_, ()> {
        Box::pin(async move {
            self.check()?;
            let now = self.putting.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_putting.fetch_max(now, Ordering::SeqCst);
            // Long enough for a writer without bounds to run ahead.
            tokio::task::yield_now().await;
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            self.putting.fetch_sub(1, Ordering::SeqCst);
            self.memory.put_many(puts).await
        })
    }

    fn have_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, Vec<bool>> {
        Box::pin(async move {
            self.check()?;
            self.memory.have_many(keys).await
        })
    }

    fn delete_many<'a>(&'a self, keys: &'a [Key]) -> Later<'a, u64> {
        self.memory.delete_many(keys)
    }

    fn scan(&self, from: Option<String>) -> Later<'_, Page> {
        self.memory.scan(from)
    }

    fn stats(&self) -> Later<'_, Stats> {
        self.memory.stats()
    }
}

async fn keys(engine: &dyn Engine, kind: Kind) -> Vec<Key> {
    let (mut keys, mut from) = (Vec::new(), None);
    loop {
        let page = engine.scan(from).await.unwrap();
        keys.extend(page.keys.into_iter().map(|listed| listed.key).filter(|key| key.kind == kind));
        from = page.next;
        if from.is_none() {
            return keys;
        }
    }
}

#[tokio::test]
async fn blobs_of_every_length_come_back_from_every_offset() {
    let memory = MemoryEngine::new(ROOMY);
    let cache = blobs(Arc::new(memory.clone()));
    let edge = usize::try_from(CHUNKED_ABOVE_BYTES).unwrap();
    for length in [0, 1, 4096, edge - 1, edge, edge + 1, 7_654_321] {
        let blob = noise(length as u64, length);
        let digest = Digest::of(&blob);
        let mut writer = cache.writer(length as u64);
        for piece in blob.chunks(16 << 10) {
            writer.write(blob.slice_ref(piece)).await.unwrap();
        }
        let written = writer.finish(Expected::Digest(digest)).await.unwrap();
        assert!(written.kept && written.digest == digest, "{length}");
        assert!(cache.read_all(digest).await.unwrap() == blob, "{length}");
        assert_eq!(cache.missing(&[digest, digest]).await, []);
        for (offset, limit) in
            [(0, 1), (length / 3, 1000), (length / 2, length), (length, 5), (length - length.min(1), 9)]
        {
            let mut reader = cache.read(digest, offset as u64, Some(limit as u64)).await.unwrap();
            let mut part = Vec::new();
            while let Some(piece) = reader.next().await.unwrap() {
                part.extend_from_slice(&piece);
            }
            assert!(part == blob[offset..length.min(offset + limit)], "{offset}+{limit} of {length}");
        }
        let beyond = cache.read(digest, length as u64 + 1, None).await.err().unwrap();
        assert!(matches!(beyond, CacheError::OutOfRange { .. }), "{beyond}");
    }
    assert_eq!(keys(&memory, Kind::Manifest).await.len(), 2, "the two that are longer than one value");
}

#[tokio::test]
async fn nothing_is_visible_of_what_is_not_what_it_was_said_to_be() {
    let memory = MemoryEngine::new(ROOMY);
    let cache = blobs(Arc::new(memory.clone()));
    let (blob, said) = (noise(1, 5 << 20), Digest::of(b"something else"));
    let error = cache.write(blob.clone(), Expected::Digest(said)).await.unwrap_err();
    assert!(matches!(error, CacheError::Mismatch { actual, .. } if actual == Digest::of(&blob)), "{error}");
    assert_eq!(keys(&memory, Kind::Manifest).await, []);
    let small = cache.write("small".into(), Expected::Hash(*said.hash())).await;
    assert!(matches!(small, Err(CacheError::Mismatch { .. })));
    assert_eq!(cache.missing(&[Digest::of(b"small"), said]).await, [Digest::of(b"small"), said]);
    let mut writer = cache.writer(10);
    writer.write(Bytes::from_static(b"0123456789")).await.unwrap();
    let error = writer.write(Bytes::from_static(b"x")).await.unwrap_err();
    assert!(matches!(error, CacheError::TooLong { limit_bytes: 10 }), "{error}");
    let results =
        cache.write_many(vec![(Digest::of(b"a"), "a".into()), (Digest::of(b"b"), "c".into())]).await;
    assert!(results[0].is_ok() && matches!(results[1], Err(CacheError::Mismatch { .. })));
    let read =
        cache.read_many(&[Digest::of(b"b"), Digest::of(b"a"), Digest::of(b""), Digest::of(b"c")]).await;
    assert_eq!(read, [None, Some("a".into()), Some(Bytes::new()), None]);
}

#[tokio::test]
async fn a_lost_chunk_makes_its_blob_missing() {
    let memory = MemoryEngine::new(ROOMY);
    let cache = blobs(Arc::new(memory.clone()));
    let blob = noise(2, 9 << 20);
    let digest = cache.write(blob.clone(), Expected::Anything).await.unwrap().digest;
    let chunks = keys(&memory, Kind::Chunk).await;
    assert!(chunks.len() > 3);
    for chunk in &chunks {
        memory.delete_many(std::slice::from_ref(chunk)).await.unwrap();
        assert_eq!(cache.missing(&[digest, Digest::of(b"")]).await, [digest]);
        assert!(matches!(cache.split(digest).await, Err(CacheError::NotFound(_))));
        let mut reader = cache.read(digest, 0, None).await.unwrap();
        let error = loop {
            match reader.next().await {
                Ok(piece) => assert!(piece.is_some(), "the end, in spite of what is lost"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, CacheError::Gone { chunk: lost, .. } if lost == chunk.id), "{error}");
        assert!(reader.next().await.unwrap().is_none());
        assert!(cache.write(blob.clone(), Expected::Digest(digest)).await.unwrap().kept);
        assert_eq!(cache.missing(&[digest]).await, []);
    }
    let evicted = keys(&memory, Kind::Manifest).await;
    memory.delete_many(&evicted).await.unwrap();
    assert_eq!(cache.missing(&[digest]).await, [digest]);
    assert!(matches!(cache.read(digest, 0, None).await, Err(CacheError::NotFound(_))));
}

#[tokio::test]
async fn spoilt_bytes_are_never_given_out() {
    let moody = Moody::new();
    let cache = blobs(moody.clone());
    let (long, short) = (noise(3, 3 << 20), noise(4, 1000));
    let digests = [
        cache.write(long.clone(), Expected::Anything).await.unwrap().digest,
        cache.write(short.clone(), Expected::Anything).await.unwrap().digest,
    ];
    moody.spoils.store(true, Ordering::SeqCst);
    assert_eq!(cache.read_many(&digests[1..]).await, [None]);
    for digest in digests {
        assert!(cache.read_all(digest).await.unwrap_err().is_miss());
    }
    moody.spoils.store(false, Ordering::SeqCst);
    assert_eq!(cache.missing(&digests).await, digests, "what was found spoilt is removed");
    for blob in [long, short] {
        let digest = cache.write(blob.clone(), Expected::Anything).await.unwrap().digest;
        assert!(cache.read_all(digest).await.unwrap() == blob);
    }
}

#[tokio::test]
async fn a_writer_holds_no_more_than_its_bound() {
    let moody = Moody::new();
    let cache = blobs(moody.clone());
    let mut writer = cache.writer(u64::MAX);
    for n in 0..40 {
        writer.write(noise(n, 1 << 20)).await.unwrap();
    }
    writer.finish(Expected::Anything).await.unwrap();
    let most = moody.most_putting.load(Ordering::SeqCst);
    assert!((2..=PENDING_CHUNKS).contains(&most), "{most} at once");
}

#[tokio::test]
async fn an_engine_that_goes_fails_no_build() {
    let moody = Moody::new();
    let cache = blobs(moody.clone());
    let entries = Entries::new(cache.clone());
    let blob = noise(5, 12 << 20);
    let digest = Digest::of(&blob);
    let mut writer = cache.writer(u64::MAX);
    writer.write(blob.slice(..6 << 20)).await.unwrap();
    moody.gone.store(true, Ordering::SeqCst);
    writer.write(blob.slice(6 << 20..)).await.unwrap();
    let written = writer.finish(Expected::Digest(digest)).await.unwrap();
    assert!(!written.kept);
    assert_eq!(cache.missing(&[digest, Digest::of(b"x")]).await, [digest, Digest::of(b"x")]);
    assert_eq!(cache.read_many(&[digest, Digest::of(b"x")]).await, [None, None]);
    assert!(cache.write_many(vec![(Digest::of(b"x"), "x".into())]).await[0].is_ok());
    assert!(cache.read(Digest::of(b"x"), 0, None).await.err().unwrap().is_miss());
    let (subject, entry) = (Subject::Action(digest), Entry { value: "v".into(), references: vec![] });
    assert!(!entries.put(&subject, &entry).await.unwrap());
    assert!(!entries.put_checked(&subject, &entry).await.unwrap());
    assert_eq!(entries.get_checked(&subject).await, None);
    moody.gone.store(false, Ordering::SeqCst);
    assert_eq!(cache.missing(&[digest]).await, [digest], "half a blob is no blob");
    assert!(cache.write(blob, Expected::Digest(digest)).await.unwrap().kept);
}

#[tokio::test]
async fn chunks_by_themselves_make_a_blob() {
    let cache = blobs(Arc::new(MemoryEngine::new(ROOMY)));
    let blob = noise(6, 8 << 20);
    let digest = Digest::of(&blob);
    let pieces: Vec<_> = blob.chunks(700_000).map(|piece| blob.slice_ref(piece)).collect();
    let chunks: Vec<_> = pieces.iter().map(|piece| Digest::of(piece)).collect();
    let missing = cache.splice(digest, &chunks).await.unwrap_err();
    assert!(matches!(missing, CacheError::NotFound(chunk) if chunk == chunks[0]), "{missing}");
    for piece in pieces {
        cache.write(piece, Expected::Anything).await.unwrap();
    }
    let mut turned = chunks.clone();
    turned.swap(0, 1);
    assert!(matches!(cache.splice(digest, &turned).await, Err(CacheError::Mismatch { .. })));
    assert!(matches!(cache.splice(digest, &chunks[1..]).await, Err(CacheError::BadChunks(_))));
    assert_eq!(cache.missing(&[digest]).await, [digest]);
    assert!(cache.splice(digest, &chunks).await.unwrap().kept);
    assert_eq!(cache.split(digest).await.unwrap(), chunks);
    assert!(cache.read_all(digest).await.unwrap() == blob);
    let short = Digest::of(b"ab");
    cache.write_many(vec![(Digest::of(b"a"), "a".into()), (Digest::of(b"b"), "b".into())]).await;
    assert!(cache.splice(short, &[Digest::of(b"a"), Digest::of(b"b")]).await.unwrap().kept);
    assert_eq!(cache.read_all(short).await.unwrap(), "ab");
}

#[tokio::test]
async fn like_blobs_share_their_chunks() {
    let memory = MemoryEngine::new(ROOMY);
    let cache = blobs(Arc::new(memory.clone()));
    let blob = noise(7, 32 << 20);
    cache.write(blob.clone(), Expected::Anything).await.unwrap();
    let before = keys(&memory, Kind::Chunk).await.len();
    let changed = [&blob[..10 << 20], b"a few bytes more", &blob[10 << 20..]].concat();
    let digest = cache.write(changed.clone().into(), Expected::Anything).await.unwrap().digest;
    let new = keys(&memory, Kind::Chunk).await.len() - before;
    assert!((1..=3).contains(&new), "{new} new chunks of {before}");
    assert!(cache.read_all(digest).await.unwrap() == changed);
}

#[tokio::test]
async fn an_entry_is_there_only_with_all_its_blobs() {
    let memory = MemoryEngine::new(ROOMY);
    let cache = blobs(Arc::new(memory.clone()));
    let entries = Entries::new(cache.clone());
    let (long, short) = (noise(8, 4 << 20), Bytes::from_static(b"short"));
    let references = vec![Digest::of(&long), Digest::of(&short), Digest::of(b"")];
    let entry = Entry { value: "result".into(), references };
    let named = |name: &str| Subject::Name(name.to_owned());
    for subject in [Subject::Action(Digest::of(b"action")), named("linux/cargo-0123")] {
        memory.delete_many(&keys(&memory, Kind::Chunk).await).await.unwrap();
        let error = entries.put_checked(&subject, &entry).await.unwrap_err();
        assert!(matches!(&error, EntryError::Incomplete(lost) if lost.len() == 2), "{error}");
        assert!(entries.put(&subject, &entry).await.unwrap());
        assert_eq!(entries.get(&subject).await.unwrap(), Some(entry.clone()));
        assert_eq!(entries.get_checked(&subject).await, None);
        cache.write(short.clone(), Expected::Anything).await.unwrap();
        assert_eq!(entries.get_checked(&subject).await, None);
        cache.write(long.clone(), Expected::Anything).await.unwrap();
        assert_eq!(entries.get_checked(&subject).await, Some(entry.clone()));
        let chunk = keys(&memory, Kind::Chunk).await.pop().unwrap();
        memory.delete_many(&[chunk]).await.unwrap();
        assert_eq!(entries.get_checked(&subject).await, None, "after an eviction");
        assert!(entries.delete(&subject).await.unwrap() && !entries.delete(&subject).await.unwrap());
    }
    let elsewhere = Entries::new(cache.of(Namespace::new("other").unwrap()));
    entries.put(&named("x"), &Entry { value: "mine".into(), references: vec![] }).await.unwrap();
    assert_eq!(elsewhere.get_checked(&named("x")).await, None);
    let long_name = "x".repeat(5000);
    assert!(matches!(entries.put(&named(&long_name), &entry).await, Err(EntryError::TooLarge)));
    let big = Entry { value: vec![0; CHUNK_MAX_BYTES].into(), references: vec![] };
    assert!(matches!(entries.put(&named("x"), &big).await, Err(EntryError::TooLarge)));
}

#[tokio::test]
async fn a_scrub_finds_what_is_spoilt_or_incomplete() {
    let memory = MemoryEngine::new(ROOMY);
    let cache = blobs(Arc::new(memory.clone()));
    let entries = Entries::new(cache.clone());
    let digest = cache.write(noise(9, 6 << 20), Expected::Anything).await.unwrap().digest;
    let whole = cache.write("whole".into(), Expected::Anything).await.unwrap().digest;
    let entry = Entry { value: "v".into(), references: vec![digest, whole] };
    entries.put(&Subject::Action(digest), &entry).await.unwrap();
    let clean = cache.scrub().await.unwrap();
    assert!(clean.checked > 5 && clean.damaged == 0 && clean.incomplete == 0, "{clean:?}");
    let chunk = keys(&memory, Kind::Chunk).await.into_iter().find(|key| key.id != whole).unwrap();
    let mut value =
        memory.get_many(std::slice::from_ref(&chunk)).await.unwrap().pop().unwrap().value().unwrap();
    value.data = vec![0; value.data.len()].into();
    let put = Put { key: chunk.clone(), value, keep: slipway_cas::cache::engine::Keep::Normal };
    memory.put_many(vec![put]).await.unwrap();
    let first = cache.scrub().await.unwrap();
    assert_eq!(first.damaged, 1);
    // What was looked at before the damage was found is found by the next one.
    let second = cache.scrub().await.unwrap();
    assert_eq!((second.damaged, first.incomplete + second.incomplete), (0, 2), "manifest and entry");
    assert_eq!(cache.missing(&[whole]).await, []);
}

#[tokio::test]
async fn the_fast_tier_hides_no_loss() {
    let (fast, slow) = (MemoryEngine::new(ROOMY), MemoryEngine::new(ROOMY));
    let tiers = Tiered::new(Arc::new(fast.clone()), Arc::new(slow.clone()), WriteMode::Through);
    let cache = blobs(Arc::new(tiers));
    let entries = Entries::new(cache.clone());
    let blob = noise(10, 5 << 20);
    let digest = cache.write(blob.clone(), Expected::Anything).await.unwrap().digest;
    let subject = Subject::Action(digest);
    entries.put(&subject, &Entry { value: "v".into(), references: vec![digest] }).await.unwrap();
    assert_eq!(keys(&fast, Kind::Action).await, [], "what may change is not copied");
    assert!(entries.get_checked(&subject).await.is_some());
    let lost = keys(&slow, Kind::Chunk).await.pop().unwrap();
    slow.delete_many(std::slice::from_ref(&lost)).await.unwrap();
    assert_eq!(cache.missing(&[digest]).await, [digest]);
    assert_eq!(entries.get_checked(&subject).await, None);
    assert!(cache.read_all(digest).await.unwrap() == blob, "though whoever asks here gets it");
    cache.write(blob.clone(), Expected::Digest(digest)).await.unwrap();
    assert_eq!(cache.missing(&[digest]).await, []);

    // An empty fast tier is filled by reading, each value once.
    let all = [keys(&fast, Kind::Chunk).await, keys(&fast, Kind::Manifest).await].concat();
    fast.delete_many(&all).await.unwrap();
    let before = slow.stats().await.unwrap().hits;
    let readers = (0..16).map(|_| cache.read_all(digest));
    for read in futures_util::future::join_all(readers).await {
        assert!(read.unwrap() == blob);
    }
    let chunks = keys(&slow, Kind::Chunk).await.len() as u64;
    assert_eq!(slow.stats().await.unwrap().hits - before, chunks + 1, "single-flight");
    assert_eq!(keys(&fast, Kind::Chunk).await.len() as u64, chunks);
}

#[tokio::test(flavor = "multi_thread")]
async fn random_eviction_under_load_serves_no_wrong_byte_and_no_false_presence() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let memory = MemoryEngine::new(60 << 20);
    let cache = blobs(Arc::new(memory.clone()));
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..6 {
        let (cache, memory) = (cache.clone(), memory.clone());
        let mut random = fastrand::Rng::with_seed(seed.wrapping_add(worker));
        tasks.spawn(async move {
            for _ in 0..40 {
                let n = random.u64(..20);
                let blob = noise(n, usize::try_from(n).unwrap() * 300_000 + 10);
                let digest = Digest::of(&blob);
                match random.u8(..4) {
                    0 => {
                        let all = keys(&memory, Kind::ALL[random.usize(..2)]).await;
                        let some: Vec<_> = all.into_iter().filter(|_| random.u8(..10) == 0).collect();
                        memory.delete_many(&some).await.unwrap();
                    }
                    1 => assert!(cache.write(blob, Expected::Digest(digest)).await.unwrap().digest == digest),
                    _ => match cache.read_all(digest).await {
                        Ok(read) => assert!(read == blob),
                        Err(error) => assert!(error.is_miss(), "{error}"),
                    },
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    // Nothing is evicted any more: what is said to be there can be read, and the rest cannot.
    for n in 0..20 {
        let blob = noise(n, usize::try_from(n).unwrap() * 300_000 + 10);
        let digest = Digest::of(&blob);
        let there = cache.missing(&[digest]).await.is_empty();
        assert_eq!(cache.read_all(digest).await.is_ok(), there, "blob {n}, seed {seed}");
    }
}
