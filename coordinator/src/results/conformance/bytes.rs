//! The suite of the bytes.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes as Piece;
use futures_util::TryStreamExt as _;
use sha2::{Digest as _, Sha256};
use slipway_cas::objects::Bucket;
use slipway_cas::objects::object_store::ObjectStoreExt as _;
use slipway_cas::objects::object_store::path::Path;

use super::super::bytes::{Bytes, BytesPlace, Incoming};
use super::super::error::ResultsError;
use super::super::index::{Named, Part};
use super::super::limits::{OBJECT_BYTES, OBJECT_READ_BYTES, READ_BYTES, WRITE_BYTES};

/// Where bytes are.
#[derive(Debug, Clone)]
pub enum BytesAt {
    /// In this folder.
    Folder(PathBuf),
    /// In this bucket; in the folder is what was there before it.
    Bucket(Bucket, PathBuf),
}

impl BytesAt {
    fn open(&self) -> Bytes {
        let place = match self {
            Self::Folder(folder) => BytesPlace { folder: folder.clone(), bucket: None },
            Self::Bucket(bucket, folder) => {
                BytesPlace { folder: folder.clone(), bucket: Some(bucket.clone()) }
            }
        };
        Bytes::open(place).unwrap()
    }

    /// Files or objects there are, by their names.
    async fn names(&self) -> Vec<String> {
        let mut names = match self {
            Self::Folder(folder) => {
                let uploads = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
                let parts = uploads.flat_map(|upload| std::fs::read_dir(upload).unwrap());
                parts.map(|part| part.unwrap().path().display().to_string()).collect::<Vec<_>>()
            }
            Self::Bucket(bucket, _) => {
                let listed = bucket.store().list(Some(&Path::from("results")));
                listed.map_ok(|object| object.location.to_string()).try_collect().await.unwrap()
            }
        };
        names.sort();
        names
    }

    /// Waits until there are so many.
    async fn becomes(&self, count: usize) {
        for _ in 0..1_000 {
            if self.names().await.len() == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?} instead of {count}", self.names().await);
    }

    /// Changes one bit of what has this name.
    async fn damage(&self, name: &str) {
        match self {
            Self::Folder(_) => {
                let mut bytes = std::fs::read(name).unwrap();
                bytes[0] ^= 1;
                std::fs::write(name, bytes).unwrap();
            }
            Self::Bucket(bucket, _) => {
                let path = Path::from(name);
                let mut bytes = bucket.store().get(&path).await.unwrap().bytes().await.unwrap().to_vec();
                bytes[0] ^= 1;
                bucket.store().put(&path, bytes.into()).await.unwrap();
            }
        }
    }
}

/// Runs every check, each in a place of its own.
///
/// # Panics
/// When the engine breaks the contract.
pub async fn check_bytes(mut place: impl FnMut() -> BytesAt) {
    any_size_and_range_comes_back(&place()).await;
    parts_come_one_after_the_other(&place()).await;
    what_is_not_named_goes(&place()).await;
    what_is_too_large_is_refused(&place()).await;
    what_is_removed_is_gone(&place()).await;
    what_nobody_names_goes_when_it_is_old(&place()).await;
    damage_is_noticed(&place()).await;
}

/// Bytes that repeat nowhere soon.
fn noise(length: usize, seed: u64) -> Piece {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33).to_le_bytes()
    };
    (0..length.div_ceil(4)).flat_map(|_| <[u8; 4]>::try_from(&next()[..4]).unwrap()).take(length).collect()
}

async fn send(incoming: &mut Incoming, mut bytes: Piece) -> Result<(), ResultsError> {
    // Pieces as a network gives them, and some larger ones.
    for length in [1, 16_384, 65_537, 3 << 20].into_iter().cycle() {
        if bytes.is_empty() {
            return Ok(());
        }
        incoming.write(bytes.split_to(length.min(bytes.len()))).await?;
    }
    Ok(())
}

async fn write(bytes: &Bytes, id: i64, content: &Piece) -> Part {
    let mut incoming = bytes.begin(id, content.len() as u64).await.unwrap();
    send(&mut incoming, content.clone()).await.unwrap();
    let kept = incoming.finish().await.unwrap();
    let part = kept.part.clone();
    kept.keep();
    assert_eq!((part.size_bytes, part.crc32), (content.len() as u64, crc32fast::hash(content)));
    assert!(bytes.is_here(&part.file));
    part
}

async fn read(
    bytes: &Bytes,
    id: i64,
    parts: &[Part],
    from: usize,
    until: usize,
) -> Result<Vec<u8>, ResultsError> {
    let pieces: Vec<Piece> = bytes.read(id, parts.to_vec(), from as u64, until as u64).try_collect().await?;
    Ok(pieces.concat())
}

async fn any_size_and_range_comes_back(place: &BytesAt) {
    let bytes = place.open();
    let edges = [READ_BYTES, WRITE_BYTES, OBJECT_READ_BYTES as usize, OBJECT_BYTES, 2 * OBJECT_BYTES];
    let mut sizes: Vec<usize> = edges.iter().flat_map(|edge| [edge - 1, *edge, edge + 1]).collect();
    sizes.extend([0, 1, 2 * OBJECT_BYTES + OBJECT_BYTES / 2]);
    for (id, size) in (1..).zip(sizes) {
        let content = noise(size, id as u64);
        let part = write(&bytes, id, &content).await;
        let parts = [part];
        assert!(read(&bytes, id, &parts, 0, size).await.unwrap() == content, "{size} bytes");
        for (from, until) in [
            (0, size.min(1)),
            (size / 2, size),
            (size / 3, size / 3 * 2),
            (size.saturating_sub(1), size),
            (size.min(OBJECT_BYTES).saturating_sub(2), size.min(OBJECT_BYTES + 2)),
        ] {
            let read = read(&bytes, id, &parts, from, until).await.unwrap();
            assert!(read == content[from..until], "{from}..{until} of {size}");
        }
        let hash: [u8; 32] = Sha256::digest(&content).into();
        assert_eq!(bytes.sha256(id, parts.to_vec()).await.unwrap(), hash);
        bytes.remove(vec![id]).await;
    }
    assert!(place.names().await.is_empty());
}

async fn parts_come_one_after_the_other(place: &BytesAt) {
    let bytes = place.open();
    let (mut parts, mut whole) = (Vec::new(), Vec::new());
    for (seed, size) in [(1, 5), (2, 0), (3, OBJECT_BYTES + 5), (4, 1), (5, 3 << 20)] {
        let content = noise(size, seed);
        parts.push(write(&bytes, 1, &content).await);
        whole.extend_from_slice(&content);
    }
    for (from, until) in [(0, whole.len()), (4, 7), (3, whole.len() - 3), (OBJECT_BYTES, OBJECT_BYTES + 12)] {
        assert!(read(&bytes, 1, &parts, from, until).await.unwrap() == whole[from..until], "{from}..{until}");
    }
    // Opened again, as by another coordinator.
    assert!(read(&place.open(), 1, &parts, 0, whole.len()).await.unwrap() == whole);
}

async fn what_is_not_named_goes(place: &BytesAt) {
    let bytes = place.open();
    for (id, size) in [(1, 5), (2, 2 * OBJECT_BYTES + 5)] {
        // The client goes away in the middle.
        let mut incoming = bytes.begin(id, 1 << 30).await.unwrap();
        send(&mut incoming, noise(size, 7)).await.unwrap();
        drop(incoming);
        place.becomes(0).await;
        // All came, and the index would not have it.
        let mut incoming = bytes.begin(id, 1 << 30).await.unwrap();
        send(&mut incoming, noise(size, 7)).await.unwrap();
        drop(incoming.finish().await.unwrap());
        place.becomes(0).await;
    }
}

async fn what_is_too_large_is_refused(place: &BytesAt) {
    let bytes = place.open();
    for limit in [10, OBJECT_BYTES + 10] {
        let mut incoming = bytes.begin(1, limit as u64).await.unwrap();
        let sent = send(&mut incoming, noise(limit + 1, 7)).await;
        let error = match sent {
            Err(error) => {
                drop(incoming);
                error
            }
            Ok(()) => incoming.finish().await.err().unwrap(),
        };
        assert!(matches!(error, ResultsError::TooLarge(_)), "{error}");
        place.becomes(0).await;
        let exact = noise(limit, 7);
        let mut incoming = bytes.begin(1, limit as u64).await.unwrap();
        send(&mut incoming, exact).await.unwrap();
        drop(incoming.finish().await.unwrap());
        place.becomes(0).await;
    }
}

async fn what_is_removed_is_gone(place: &BytesAt) {
    let bytes = place.open();
    let content = noise(OBJECT_BYTES + 1, 7);
    let (one, two) = (write(&bytes, 1, &content).await, write(&bytes, 1, &content).await);
    let other = write(&bytes, 11, &content).await;
    bytes.remove_parts(1, vec![one.file.clone()]).await;
    assert!(read(&bytes, 1, &[one], 0, content.len()).await.is_err());
    assert!(read(&bytes, 1, std::slice::from_ref(&two), 0, content.len()).await.unwrap() == content);
    bytes.remove(vec![1]).await;
    assert!(read(&bytes, 1, &[two], 0, content.len()).await.is_err());
    // Numbers that begin alike are not the same.
    assert!(read(&bytes, 11, &[other], 0, content.len()).await.unwrap() == content);
    // What is not there is no reason to fail.
    bytes.remove(vec![1, 999]).await;
    bytes.remove_parts(999, vec!["none".to_owned()]).await;
}

async fn what_nobody_names_goes_when_it_is_old(place: &BytesAt) {
    const AGE: Duration = Duration::from_secs(3_600);
    let bytes = place.open();
    let content = noise(OBJECT_BYTES + 1, 7);
    let (named_part, lost) = (write(&bytes, 1, &content).await, write(&bytes, 2, &content).await);
    let named = Named::from([(1, [named_part.file.clone()].into())]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let at = |since: Duration| u64::try_from(since.as_millis()).unwrap();
    // Somebody may be about to name it.
    bytes.keep_only(named.clone(), AGE, at(now + AGE / 2)).await.unwrap();
    assert!(read(&bytes, 2, std::slice::from_ref(&lost), 0, content.len()).await.unwrap() == content);
    bytes.keep_only(named.clone(), AGE, at(now + AGE * 2)).await.unwrap();
    assert!(read(&bytes, 2, &[lost], 0, content.len()).await.is_err());
    assert!(read(&bytes, 1, &[named_part], 0, content.len()).await.unwrap() == content);
}

async fn damage_is_noticed(place: &BytesAt) {
    let bytes = place.open();
    let content = noise(OBJECT_BYTES + 1, 7);
    let part = write(&bytes, 1, &content).await;
    for name in place.names().await {
        place.damage(&name).await;
        let error = read(&bytes, 1, std::slice::from_ref(&part), 0, content.len()).await.unwrap_err();
        assert!(matches!(error, ResultsError::Failed(_)), "{error}");
        place.damage(&name).await;
        assert!(read(&bytes, 1, std::slice::from_ref(&part), 0, content.len()).await.unwrap() == content);
    }
}
