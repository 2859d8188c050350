//! The cache in the coordinator's folder, beside plain copies of the same bytes on the same file system.

use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use slipway_coordinator::options::CachePlace;

use super::client::Blob;
use super::door::Door;
use super::median;
use super::streams::{FRAME_BYTES, ROUNDS, Shape, Way, fresh, transfer, warm_up};
use crate::figure::Figure;

/// Lengths of the blobs, in MiB.
const MEBIBYTES: [usize; 3] = [1, 4, 64];

/// What the cache may hold, in bytes.
const MAX_BYTES: u64 = 8 << 30;

pub(super) async fn measure() -> anyhow::Result<Vec<Figure>> {
    let door = Door::open(CachePlace::Disk { max_bytes: MAX_BYTES }).await?;
    warm_up(&door.client).await?;
    let mut figures = Vec::new();
    for mebibytes in MEBIBYTES {
        let shape = Shape { mebibytes, streams: 1, frame: FRAME_BYTES };
        let mut rates = [const { Vec::new() }; 4];
        for round in 0..ROUNDS {
            let blobs = fresh(shape, round);
            let folder = tempfile::tempdir()?;
            for (number, blob) in blobs.iter().enumerate() {
                fs::write(folder.path().join(number.to_string()), &blob.bytes)?;
            }
            let [write, synced, read, plain] = &mut rates;
            write.push(transfer(&door.client, &blobs, shape, Way::Write).await?);
            door.client.clone().ensure_kept(&blobs).await?;
            synced.push(copy(folder.path(), &blobs, true)?);
            read.push(transfer(&door.client, &blobs, shape, Way::Read).await?);
            plain.push(copy(folder.path(), &blobs, false)?);
        }
        let [write, synced, read, plain] = rates.map(median);
        let name = |way: &str| format!("build_cache.disk_{way}_{mebibytes}MiB");
        figures.push(Figure::new(name("write"), "MB_per_s", write, "a copy of the file with fsync", synced));
        figures.push(Figure::new(name("read"), "MB_per_s", read, "a copy of the file", plain));
    }
    door.close().await;
    Ok(figures)
}

/// Copies the blobs' files; MB/s. The copies are removed afterwards.
fn copy(folder: &Path, blobs: &[Blob], sync: bool) -> anyhow::Result<f64> {
    let begin = Instant::now();
    for number in 0..blobs.len() {
        let to = folder.join(format!("{number}.copy"));
        fs::copy(folder.join(number.to_string()), &to)?;
        if sync {
            File::open(&to)?.sync_all()?;
        }
    }
    let took = begin.elapsed().as_secs_f64();
    for number in 0..blobs.len() {
        fs::remove_file(folder.join(format!("{number}.copy")))?;
    }
    let bytes: usize = blobs.iter().map(|blob| blob.bytes.len()).sum();
    Ok(bytes as f64 / 1e6 / took)
}
