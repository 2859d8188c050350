//! What only a disk can do wrong: killed processes, damaged files, two processes in one folder.
#![allow(clippy::panic, clippy::unwrap_used)]

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use slipway_cas::cache::conformance::{key, put};
use slipway_cas::cache::disk::DiskError;
use slipway_cas::cache::engine::{Found, Keep, Put};
use slipway_cas::cache::{
    BlobCache, Compression, DiskEngine, DiskOptions, Engine, Key, Kind, Namespace, Quotas,
};
use slipway_cas::{Digest, Expected};

const MAX_BYTES: u64 = 24 << 20;

fn options(root: &Path) -> DiskOptions {
    DiskOptions { root: root.to_owned(), max_bytes: MAX_BYTES, quotas: Quotas::default() }
}

/// Opens a folder. One that was closed just now may have a thread that still writes which values were used.
fn open(root: &Path) -> DiskEngine {
    const LOOKS: usize = 1_000;
    for _ in 0..LOOKS {
        match DiskEngine::open(&options(root)) {
            Err(DiskError::InUse(_)) => std::thread::sleep(Duration::from_millis(10)),
            opened => return opened.unwrap(),
        }
    }
    panic!("the folder was never given back");
}

fn blobs(engine: &DiskEngine) -> BlobCache {
    BlobCache::new(Arc::new(engine.clone()), Namespace::new("main").unwrap(), Compression::WherePaying)
}

fn noise(seed: u64, length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes.into()
}

fn files(root: &Path) -> Vec<PathBuf> {
    let shards = fs::read_dir(root.join("files")).unwrap().map(|shard| shard.unwrap().path());
    shards.flat_map(|shard| fs::read_dir(shard).unwrap().map(|file| file.unwrap().path())).collect()
}

async fn get(engine: &DiskEngine, key: &Key) -> Found {
    engine.get_many(std::slice::from_ref(key)).await.unwrap().pop().unwrap()
}

/// Where the child of [`a_killed_writer_leaves_nothing_half`] writes.
const CHILD: &str = "SLIPWAY_TEST_CACHE_CHILD";

/// Not a test by itself: the process that is killed. Without its variable it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_writes_until_it_is_killed() {
    let Some(root) = std::env::var_os(CHILD) else { return };
    // A test that fails must not leave it behind, writing for ever.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(1);
    });
    let cache = blobs(&open(Path::new(&root)));
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..4u64 {
        let cache = cache.clone();
        tasks.spawn(async move {
            for n in 0.. {
                let length = [100, 20_000, 300_000, 5 << 20][usize::try_from(n % 4).unwrap()];
                cache.write(noise(writer * 1_000_000 + n, length), Expected::Anything).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_writer_leaves_nothing_half() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child_that_writes_until_it_is_killed", "--exact"])
            .env(CHILD, folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Killed in the middle of whatever it does once it has written something new.
        let index = folder.path().join("index.sqlite-wal");
        let mut busy = 0;
        for _ in 0..6000 {
            let written = fs::metadata(&index).map_or(0, |metadata| metadata.len());
            busy += usize::from(
                written > 0
                    && fs::read_dir(folder.path().join("incoming"))
                        .is_ok_and(|mut files| files.next().is_some()),
            );
            if busy > 2 + 5 * round {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert!(busy > 0, "it never wrote");
        child.kill().unwrap();
        child.wait().unwrap();

        let engine = open(folder.path());
        assert_eq!(
            fs::read_dir(folder.path().join("incoming")).unwrap().count(),
            0,
            "temporary space, round {round}"
        );
        assert_eq!(engine.sweep().await.unwrap(), 0, "files that nothing refers to, round {round}");
        let scrubbed = blobs(&engine).scrub().await.unwrap();
        assert!(scrubbed.checked > 0 && scrubbed.damaged == 0, "{scrubbed:?}, round {round}");
        let stats = engine.stats().await.unwrap();
        assert!(stats.stored_bytes.unwrap() <= MAX_BYTES, "{stats:?}");
        let held: u64 = files(folder.path()).iter().map(|file| fs::metadata(file).unwrap().len()).sum();
        assert!(held <= stats.stored_bytes.unwrap(), "{held} bytes in files, {stats:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_keeps_what_was_there_and_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let keys: Vec<_> = (0..40).map(|n| key(Kind::Chunk, "main", &n.to_string())).collect();
    {
        let engine = open(folder.path());
        for key in &keys {
            engine.put_many(vec![put(key, vec![1; 500_000])]).await.unwrap();
        }
        // The first ones are the latest used now; that is written when the engine is closed.
        assert_eq!(engine.have_many(&keys[..10]).await.unwrap(), [true; 10]);
    }
    let engine = open(folder.path());
    let stats = engine.stats().await.unwrap();
    assert_eq!(stats.values, Some(40));
    let more: Vec<_> =
        (100..130).map(|n| put(&key(Kind::Chunk, "main", &n.to_string()), vec![2; 500_000])).collect();
    engine.put_many(more).await.unwrap();
    assert_eq!(engine.have_many(&keys[..10]).await.unwrap(), [true; 10]);
    assert_eq!(engine.have_many(&keys[10..20]).await.unwrap(), [false; 10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn flipped_bits_are_misses_wherever_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let (large, gone) = (key(Kind::Action, "main", "large"), key(Kind::Action, "main", "gone"));
    engine.put_many(vec![put(&large, vec![1; 100_000])]).await.unwrap();
    let path = files(folder.path()).pop().unwrap();
    engine.put_many(vec![put(&gone, vec![2; 100_000])]).await.unwrap();
    for length in [100_000, 99_999, 100_001] {
        let mut bytes = vec![1; length];
        bytes[5] ^= u8::from(length == 100_000);
        fs::write(&path, bytes).unwrap();
        if length == 100_000 {
            assert_eq!(get(&engine, &large).await, Found::Damaged);
            assert_eq!(get(&engine, &large).await, Found::Missing, "removed");
            assert!(!path.exists());
        }
    }
    for path in files(folder.path()) {
        fs::remove_file(path).unwrap();
    }
    assert_eq!(get(&engine, &gone).await, Found::Damaged, "its file was removed by hand");
    assert_eq!(engine.stats().await.unwrap().damaged, 2);
    assert_eq!(engine.stats().await.unwrap().stored_bytes, Some(0));

    // A small one is in the index.
    let small = key(Kind::Action, "main", "small");
    engine.put_many(vec![put(&small, "some small value")]).await.unwrap();
    drop(engine);
    let index = rusqlite::Connection::open(folder.path().join("index.sqlite")).unwrap();
    index.execute("UPDATE packed SET data = CAST('some smell value' AS BLOB)", []).unwrap();
    drop(index);
    assert_eq!(get(&open(folder.path()), &small).await, Found::Damaged);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_index_is_emptied() {
    let folder = tempfile::tempdir().unwrap();
    let cache = blobs(&open(folder.path()));
    let digest = cache.write(noise(1, 5 << 20), Expected::Anything).await.unwrap().digest;
    drop(cache);
    fs::write(folder.path().join("index.sqlite"), vec![b'x'; 100_000]).unwrap();
    let engine = open(folder.path());
    let cache = blobs(&engine);
    assert_eq!(engine.stats().await.unwrap().values, Some(0));
    assert_eq!(cache.missing(&[digest]).await, [digest]);
    assert!(files(folder.path()).is_empty());
    assert!(cache.write(noise(1, 5 << 20), Expected::Digest(digest)).await.unwrap().kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_has_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    let first = DiskEngine::open(&options).unwrap();
    assert!(matches!(DiskEngine::open(&options).err().unwrap(), DiskError::InUse(_)));
    drop(first);
    assert!(DiskEngine::open(&options).is_ok());
    let small = DiskOptions { max_bytes: 10, ..options };
    assert!(matches!(DiskEngine::open(&small).err().unwrap(), DiskError::TooSmall));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_temporary_goes_unless_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let keys = ["used", "asked for", "forgotten"].map(|about| key(Kind::Chunk, "main", about));
    for key in &keys {
        engine.put_many(vec![Put { keep: Keep::Temporary, ..put(key, vec![1; 50_000]) }]).await.unwrap();
    }
    assert!(matches!(get(&engine, &keys[0]).await, Found::Value(_)));
    assert_eq!(engine.have_many(&keys[1..2]).await.unwrap(), [true]);
    drop(engine);
    // An hour later: their time is over in the index, as far as it still has one.
    let index = rusqlite::Connection::open(folder.path().join("index.sqlite")).unwrap();
    assert_eq!(index.execute("UPDATE value SET expires = 1 WHERE expires IS NOT NULL", []).unwrap(), 1);
    drop(index);
    let engine = open(folder.path());
    engine.put_many(vec![put(&key(Kind::Chunk, "main", "next"), "x")]).await.unwrap();
    assert_eq!(engine.have_many(&keys).await.unwrap(), [true, true, false]);
    assert_eq!(files(folder.path()).len(), 2);
    assert_eq!(Digest::of(b"used"), keys[0].id);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_called_present_is_temporary_no_more_before_the_index_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let keys = ["used", "asked for", "forgotten"].map(|about| key(Kind::Chunk, "main", about));
    for key in &keys {
        engine.put_many(vec![Put { keep: Keep::Temporary, ..put(key, vec![1; 50_000]) }]).await.unwrap();
    }
    assert!(matches!(get(&engine, &keys[0]).await, Found::Value(_)));
    assert_eq!(engine.have_many(&keys[1..2]).await.unwrap(), [true]);
    // An hour later in the same process, which keeps uses in memory until they are many.
    let index = rusqlite::Connection::open(folder.path().join("index.sqlite")).unwrap();
    assert_eq!(index.execute("UPDATE value SET expires = 1 WHERE expires IS NOT NULL", []).unwrap(), 3);
    engine.put_many(vec![put(&key(Kind::Chunk, "main", "next"), "x")]).await.unwrap();
    assert_eq!(engine.have_many(&keys).await.unwrap(), [true, true, false]);
    assert!(matches!(get(&engine, &keys[1]).await, Found::Value(_)));
}

/// What an owner has, in bytes.
async fn owned(engine: &DiskEngine, owner: &str) -> u64 {
    let owners = engine.owners().await.unwrap();
    owners.iter().find(|holding| holding.owner == owner).map_or(0, |holding| holding.size_bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_over_its_quota_makes_room_among_its_own() {
    const QUOTA: u64 = 2 << 20;
    let folder = tempfile::tempdir().unwrap();
    let quotas = Quotas::default().with("r-", QUOTA);
    let engine = DiskEngine::open(&DiskOptions { quotas, ..options(folder.path()) }).unwrap();
    let of = |namespace: &str, numbers: std::ops::Range<u32>| -> Vec<Key> {
        numbers.map(|number| key(Kind::Chunk, namespace, &number.to_string())).collect()
    };
    let fill = async |keys: &[Key]| {
        for key in keys {
            engine.put_many(vec![put(key, vec![1; 100_000])]).await.unwrap();
        }
    };
    // Older than all that follows, and of others: of a repository within its quota, and of somebody without one.
    let (other, free) = (of("r-other.b", 0..15), of("shared", 0..30));
    fill(&other).await;
    fill(&free).await;
    let first = of("r-one.b", 0..15);
    fill(&first).await;
    assert_eq!(engine.have_many(&first[..5]).await.unwrap(), [true; 5], "used once more");
    // The same owner in another namespace.
    let second = of("r-one.e", 0..10);
    fill(&second).await;
    assert!(owned(&engine, "r-one").await <= QUOTA);
    assert_eq!(engine.have_many(&first[..5]).await.unwrap(), [true; 5], "the least recently used go first");
    assert_eq!(engine.have_many(&first[5..8]).await.unwrap(), [false; 3]);
    assert_eq!(engine.have_many(&second).await.unwrap(), [true; 10]);
    // Nobody else lost anything.
    assert_eq!(engine.have_many(&other).await.unwrap(), [true; 15]);
    assert_eq!(engine.have_many(&free).await.unwrap(), [true; 30]);
    assert!(owned(&engine, "shared").await > QUOTA);
    assert!(engine.stats().await.unwrap().evicted >= 5);

    // What each has is known after a start too, and goes when its values do.
    let before = engine.owners().await.unwrap();
    drop(engine);
    let engine = open(folder.path());
    assert_eq!(engine.owners().await.unwrap(), before);
    assert_eq!(
        before.iter().map(|holding| holding.owner.as_str()).collect::<Vec<_>>(),
        ["shared", "r-one", "r-other"]
    );
    assert_eq!(engine.delete_many(&other).await.unwrap(), 15);
    assert_eq!(owned(&engine, "r-other").await, 0);
    let total: u64 = engine.owners().await.unwrap().iter().map(|holding| holding.size_bytes).sum();
    assert_eq!(engine.stats().await.unwrap().stored_bytes, Some(total));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_values_are_known_after_a_start_whatever_happens_meanwhile() {
    const VALUES: u32 = 25_000;
    let folder = tempfile::tempdir().unwrap();
    let keys: Vec<_> = (0..VALUES).map(|n| key(Kind::Chunk, "main", &n.to_string())).collect();
    {
        let engine = open(folder.path());
        for part in keys.chunks(2000) {
            engine.put_many(part.iter().map(|key| put(key, "x")).collect()).await.unwrap();
        }
    }
    let engine = open(folder.path());
    // Whether or not all have been read by now: what goes is gone, and what comes is there.
    let absent = key(Kind::Chunk, "main", "never");
    assert_eq!(engine.delete_many(&keys[..100]).await.unwrap(), 100);
    engine.put_many(vec![put(&keys[0], "y")]).await.unwrap();
    for _ in 0..20 {
        let asked: Vec<_> = keys[..1000].iter().chain([&absent]).cloned().collect();
        let there = engine.have_many(&asked).await.unwrap();
        assert!(there[0] && there[100..1000].iter().all(|there| *there));
        assert!(!there[1..100].iter().any(|there| *there) && !there[1000]);
        tokio::task::yield_now().await;
    }
    assert_eq!(engine.have_many(&keys[100..]).await.unwrap().len(), VALUES as usize - 100);
}
