#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use proptest::prelude::*;
use slipway_cas::objects::Bucket;
use slipway_cas::objects::object_store::memory::InMemory;
use slipway_cas::objects::object_store::path::Path;
use slipway_cas::objects::object_store::prefix::PrefixStore;
use slipway_cas::objects::object_store::{ObjectStore, ObjectStoreExt as _};

use super::conformance::{check, digest_of, key, line, lines, raw, read_all, read_on, settled};
use super::engine::PartName;
use super::{AttemptKey, Ended, Engine as _, FolderRecords, ObjectRecords, Reader, Records, RecordsError};

fn folder_of(root: &std::path::Path, key: AttemptKey) -> std::path::PathBuf {
    root.join(key.run.to_string()).join(key.folder_name())
}

fn in_folder(root: &std::path::Path) -> Records {
    Records::new(Arc::new(FolderRecords::open(root).unwrap()))
}

fn in_memory(store: &Arc<dyn ObjectStore>) -> ObjectRecords {
    ObjectRecords::new(Bucket::new("memory:", Arc::clone(store)))
}

#[tokio::test]
async fn a_folder_conforms() {
    let root = tempfile::tempdir().unwrap();
    check(|name| Arc::new(FolderRecords::open(root.path().join(name)).unwrap())).await;
}

#[tokio::test]
async fn an_object_store_conforms() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    check(|name| {
        let place = PrefixStore::new(Arc::clone(&store), Path::from(name));
        Arc::new(in_memory(&(Arc::new(place) as Arc<dyn ObjectStore>)))
    })
    .await;
}

/// Whatever a crash leaves of the last frames, what comes back is a prefix, and the stream goes on from there.
#[tokio::test]
async fn a_torn_tail_is_cut_anywhere() {
    let root = tempfile::tempdir().unwrap();
    let (whole, ends) = {
        let log = in_folder(root.path()).attempt(key(1)).await.unwrap();
        let path = folder_of(root.path(), key(1)).join(PartName::Chunk(1).to_string());
        let mut ends = Vec::new();
        for first in [1, 3, 6] {
            let last = first + 1 + first / 3;
            log.append(first, raw(&lines(first..=last))).await.unwrap();
            settled(&log, last).await;
            ends.push(std::fs::metadata(&path).unwrap().len());
        }
        (std::fs::read(&path).unwrap(), ends)
    };
    for length in 0..=whole.len() {
        let root = tempfile::tempdir().unwrap();
        let path = folder_of(root.path(), key(1)).join(PartName::Chunk(1).to_string());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &whole[..length]).unwrap();
        let frames = ends.iter().filter(|end| **end <= length as u64).count();
        let durable = [0, 2, 5, 9][frames];
        let records = in_folder(root.path());
        // A reader of another process leaves it alone.
        assert_eq!(read_all(&records, key(1), 1).await, lines(1..=durable), "cut at {length}");
        assert_eq!(std::fs::read(&path).unwrap(), whole[..length]);
        let log = records.attempt(key(1)).await.unwrap();
        assert_eq!(log.durable(), durable, "cut at {length}");
        log.append(durable + 1, raw(&lines(durable + 1..=durable + 2))).await.unwrap();
        settled(&log, durable + 2).await;
        assert_eq!(read_all(&records, key(1), 1).await, lines(1..=durable + 2));
    }
}

#[tokio::test]
async fn damage_is_told_with_its_place_and_not_shown() {
    let root = tempfile::tempdir().unwrap();
    let records = in_folder(root.path());
    let log = records.attempt(key(1)).await.unwrap();
    log.append(1, raw(&lines(1..=5))).await.unwrap();
    settled(&log, 5).await;
    let path = folder_of(root.path(), key(1)).join(PartName::Chunk(1).to_string());
    let good = std::fs::read(&path).unwrap();
    let mut bytes = good.clone();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = Reader::new(log, 1).next().await.unwrap_err();
    assert!(matches!(&error, RecordsError::Damaged { offset: 8, .. }), "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    let ended = Ended { reported: Some((5, None)) };
    assert!(records.verify(key(1), Some(ended)).await.unwrap().problem.unwrap().contains("byte 8"));
    assert!(records.seal(key(1), ended).await.is_err(), "what is damaged is not sealed");

    std::fs::write(&path, good).unwrap();
    records.seal(key(1), ended).await.unwrap();
    let path = path.with_file_name(PartName::Sealed.to_string());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let mut reader = records.reader(key(1), 1, true).await.unwrap();
    let error = reader.next().await.unwrap_err();
    assert!(error.to_string().contains("sealed.zst"), "{error}");
    assert!(records.verify(key(1), Some(ended)).await.unwrap().problem.unwrap().contains("sealed.zst"));
}

#[tokio::test]
async fn a_lost_chunk_in_the_middle_is_missing() {
    let root = tempfile::tempdir().unwrap();
    let records = in_folder(root.path());
    let log = records.attempt(key(1)).await.unwrap();
    for first in 1..=30 {
        log.append(first, raw(&[line(vec![first as u8; 1_000_000])])).await.unwrap();
    }
    settled(&log, 30).await;
    let parts = records.engine.parts(key(1)).await.unwrap();
    let PartName::Chunk(gone) = parts[1].name else { unreachable!() };
    std::fs::remove_file(folder_of(root.path(), key(1)).join(parts[1].name.to_string())).unwrap();
    for mut reader in [records.stored(key(1), 1).await.unwrap(), Reader::new(log, 1)] {
        let error = loop {
            match reader.next().await {
                Ok(records) => assert!(!records.is_empty()),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, RecordsError::Missing { record, .. } if record == gone), "{error}");
    }
}

/// A leader that was replaced writes on: whatever it writes, the log is one row of the agent's records.
#[tokio::test]
async fn a_stale_writer_changes_nothing() {
    for ahead in [3, 5, 9] {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let (stale, new) =
            (Records::new(Arc::new(in_memory(&store))), Records::new(Arc::new(in_memory(&store))));
        let old = stale.attempt(key(1)).await.unwrap();
        old.append(1, raw(&lines(1..=2))).await.unwrap();
        settled(&old, 2).await;
        // It takes some more, which it writes only after the new one has opened the attempt.
        let log = new.attempt(key(1)).await.unwrap();
        old.append(3, raw(&lines(3..=ahead))).await.unwrap();
        settled(&old, ahead).await;
        // The new one gets the same from the agent, cut otherwise.
        log.append(3, raw(&lines(3..=4))).await.unwrap();
        log.append(5, raw(&lines(5..=7))).await.unwrap();
        settled(&log, 7).await;
        let next = log.written() + 1;
        assert_eq!(next, 8.max(ahead + 1));
        log.append(next, raw(&lines(next..=12))).await.unwrap();
        settled(&log, 12).await;
        assert_eq!(new.digest(&log).await.unwrap(), digest_of(&lines(1..=12)));
        // The stale one goes on with a chunk that the new one has written already.
        old.append(ahead + 1, raw(&lines(ahead + 1..=ahead + 2))).await.unwrap();
        settled(&old, ahead + 2).await;
        assert_eq!(read_all(&new, key(1), 1).await, lines(1..=12), "{ahead}");
        let ended = Ended { reported: Some((12, Some(digest_of(&lines(1..=12))))) };
        new.seal(key(1), ended).await.unwrap();
        // And even after it was sealed.
        let late = old.written() + 1;
        old.append(late, raw(&lines(late..=late + 1))).await.unwrap();
        settled(&old, late + 1).await;
        assert_eq!(read_all(&new, key(1), 1).await, lines(1..=12));
        new.seal(key(1), ended).await.unwrap();
        let parts = in_memory(&store).parts(key(1)).await.unwrap();
        assert_eq!(parts.len(), 1, "what it left goes with the next sweep");
    }
}

#[tokio::test]
async fn an_answer_that_was_lost_is_no_other_writer() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let engine = in_memory(&store);
    let frame = super::chunk::encode(1, &raw(&lines(1..=4)).into()).unwrap();
    let mut first = engine.open(key(1)).await.unwrap().appender;
    for _ in 0..2 {
        assert_eq!(first.append(std::slice::from_ref(&frame)).await.unwrap(), 4);
    }
}

#[tokio::test]
async fn a_damaged_object_is_told() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let records = Records::new(Arc::new(in_memory(&store)));
    let log = records.attempt(key(1)).await.unwrap();
    log.append(1, raw(&lines(1..=5))).await.unwrap();
    settled(&log, 5).await;
    let path = Path::from(format!("records/{}/{}/{}", key(1).run, key(1).folder_name(), PartName::Chunk(1)));
    let mut bytes = store.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
    bytes[40] ^= 1;
    store.put(&path, bytes.into()).await.unwrap();
    let error = Reader::new(log, 1).next().await.unwrap_err();
    assert!(matches!(&error, RecordsError::Damaged { offset: 8, .. }), "{error}");
    let error = Records::new(Arc::new(in_memory(&store))).attempt(key(1)).await.unwrap_err();
    assert!(error.to_string().contains("00000000000000000001.rec"), "{error}");
}

/// What one attempt may keep in memory is bounded: its sender waits, and no record is lost.
#[tokio::test]
async fn a_slow_store_makes_the_sender_wait() {
    use slipway_cas::objects::object_store::throttle::{ThrottleConfig, ThrottledStore};
    let wait_put_per_call = std::time::Duration::from_millis(20);
    let config = ThrottleConfig { wait_put_per_call, ..ThrottleConfig::default() };
    let store: Arc<dyn ObjectStore> = Arc::new(ThrottledStore::new(InMemory::new(), config));
    let records = Records::new(Arc::new(in_memory(&store)));
    let log = records.attempt(key(1)).await.unwrap();
    let big = raw(&[line(vec![1; 900 << 10])]).remove(0);
    let limit = (super::limits::PENDING_MAX_BYTES + super::limits::MAX_BATCH_BYTES) as u64;
    for first in 1..=60 {
        log.append(first, vec![big.clone()]).await.unwrap();
        let waiting = log.written() - log.durable();
        assert!(waiting * (900 << 10) <= limit, "{waiting} records wait");
    }
    settled(&log, 60).await;
    assert_eq!(read_on(&mut Reader::new(log, 1)).await.len(), 60);
}

/// A data directory of before: chunks as they are, and the same names.
#[tokio::test]
async fn chunks_of_format_1_are_read() {
    let root = tempfile::tempdir().unwrap();
    let path = folder_of(root.path(), key(1)).join("00000000000000000001.rec");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    // Two frames, as the first release wrote them: `line 1` and `line 2`, each 14 bytes with its length.
    let chunk = "534c495052454331\
                 0100000000000000010000000f000000\
                 CRC1\
                 0e08071001\
                 1a080a066c696e652031\
                 0200000000000000010000000f000000\
                 CRC2\
                 0e08071001\
                 1a080a066c696e652032";
    let crc = |first: &str, records: &str| {
        let bytes = hex::decode(format!("{first}{records}")).unwrap();
        hex::encode(crc32fast::hash(&bytes).to_le_bytes())
    };
    let chunk = chunk
        .replace("CRC1", &crc("010000000000000001000000", "0e080710011a080a066c696e652031"))
        .replace("CRC2", &crc("020000000000000001000000", "0e080710011a080a066c696e652032"));
    std::fs::write(&path, hex::decode(chunk).unwrap()).unwrap();
    let records = in_folder(root.path());
    assert_eq!(read_all(&records, key(1), 1).await, lines(1..=2));
    assert_eq!(records.attempt(key(1)).await.unwrap().durable(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Any overlapping, repeated batches give each record once, in order.
    #[test]
    fn overlapping_uploads_make_one_stream(starts in proptest::collection::vec((0_u64..8, 1_u64..12), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let root = tempfile::tempdir().unwrap();
            let records = in_folder(root.path());
            let log = records.attempt(key(1)).await.unwrap();
            let mut written = 0;
            for (back, count) in starts {
                let first = (written + 1_u64).saturating_sub(back).max(1);
                log.append(first, raw(&lines(first..=first + count - 1))).await.unwrap();
                written = written.max(first + count - 1);
            }
            settled(&log, written).await;
            prop_assert_eq!(read_all(&records, key(1), 1).await, lines(1..=written));
            Ok(())
        })?;
    }
}

/// A leader that was replaced goes on writing for a moment, and is killed in the middle of it.
#[tokio::test]
async fn a_stale_writer_in_a_shared_folder_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let shared = || Records::new(Arc::new(FolderRecords::open_shared(root.path()).unwrap()));
    let (first, second) = (shared(), shared());
    let stale = first.attempt(key(1)).await.unwrap();
    stale.append(1, raw(&lines(1..=10))).await.unwrap();
    settled(&stale, 10).await;
    let log = second.attempt(key(1)).await.unwrap();
    assert_eq!(log.durable(), 10);
    log.append(11, raw(&lines(11..=20))).await.unwrap();
    settled(&log, 20).await;
    stale.append(11, raw(&lines(11..=25))).await.unwrap();
    settled(&stale, 25).await;
    // Whoever reads between may see some of it: what it wrote is what the agent sent.
    let between = read_all(&shared(), key(1), 1).await;
    assert!(between.len() >= 20, "{}", between.len());
    assert_eq!(between, lines(1..=between.len() as u64));
    let old = folder_of(root.path(), key(1)).join(PartName::Chunk(1).to_string());
    let file = std::fs::File::options().write(true).open(&old).unwrap();
    file.set_len(file.metadata().unwrap().len() - 3).unwrap();
    log.append(21, raw(&lines(21..=30))).await.unwrap();
    settled(&log, 30).await;
    let third = shared();
    for from in [1, 5, 10, 11, 15, 20, 21, 30] {
        for records in [&second, &third] {
            assert_eq!(read_all(records, key(1), from).await, lines(from..=30), "from {from}");
        }
    }
}

#[tokio::test]
async fn a_chunk_that_another_began_and_left_empty_is_put_aside() {
    let root = tempfile::tempdir().unwrap();
    let folder = folder_of(root.path(), key(1));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(PartName::Chunk(1).to_string()), "SLIP").unwrap();
    let records = Records::new(Arc::new(FolderRecords::open_shared(root.path()).unwrap()));
    let log = records.attempt(key(1)).await.unwrap();
    log.append(1, raw(&lines(1..=3))).await.unwrap();
    settled(&log, 3).await;
    assert_eq!(read_all(&records, key(1), 1).await, lines(1..=3));
}
