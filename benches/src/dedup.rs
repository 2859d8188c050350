//! How much of successive builds the cache stores once: the target folders of this repository's last commits, one after the other, each file
//! a blob, beside what storing each different file as a whole takes.
//!
//! Builds are incremental, in one folder, as a machine makes them that keeps its folder, and all of it is saved after each of them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use slipway_cas::cache::{BlobCache, Compression, DiskEngine, DiskOptions, Engine, Namespace, Quotas};
use slipway_cas::{Digest, Expected};

use crate::figure::Figure;

/// Room for all of it: nothing is to be evicted.
const ROOM_BYTES: u64 = 1 << 40;

/// Which builds.
#[derive(Debug, Clone)]
pub struct Builds {
    /// So many commits, the newest one last.
    pub count: usize,
    /// What is built of each.
    pub package: String,
}

/// Sums over all builds.
#[derive(Debug, Default)]
struct Sums {
    /// Bytes of all files, each time.
    saved: u64,
    /// Bytes of all different files.
    different: u64,
    seen: HashSet<Digest>,
}

/// Builds and saves.
///
/// # Errors
/// When git or cargo fails; each says why itself.
pub async fn measure(builds: &Builds) -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let (checkout, target) = (folder.path().join("checkout"), folder.path().join("target"));
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    run(Command::new("git").args(["clone", "--quiet", "--no-checkout"]).arg(&repository).arg(&checkout))?;
    let mut sums = [Sums::default(), Sums::default()];
    let caches = [
        cache(&folder.path().join("plain"), Compression::Off)?,
        cache(&folder.path().join("packed"), Compression::WherePaying)?,
    ];
    for commit in commits(&checkout, builds)? {
        run(Command::new("git").current_dir(&checkout).args(["checkout", "--quiet", &commit]))?;
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.current_dir(&checkout).args(["build", "--quiet", "--package", &builds.package, "--target-dir"]);
        run(build.arg(&target))?;
        let mut files = Vec::new();
        list(&target, &mut files)?;
        for file in files {
            let bytes = Bytes::from(std::fs::read(&file)?);
            for ((cache, _), sums) in caches.iter().zip(&mut sums) {
                let digest = Digest::of(&bytes);
                sums.saved += bytes.len() as u64;
                if !sums.seen.insert(digest) {
                    continue;
                }
                sums.different += bytes.len() as u64;
                let written = cache.write(bytes.clone(), Expected::Digest(digest)).await?;
                if !written.kept {
                    bail!("the cache did not keep {}", file.display());
                }
            }
        }
    }
    let mut figures = Vec::new();
    for ((name, (_, engine)), sums) in ["as they are", "packed"].into_iter().zip(&caches).zip(&sums) {
        let stored = engine.stats().await?.stored_bytes.context("a disk knows what it holds")?;
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let figure = |beside, bytes| {
            let metric = format!("{} builds of {}, {name}", builds.count, builds.package);
            Figure::new(metric, "MB", megabytes(stored), beside, megabytes(bytes))
        };
        figures.push(figure("all files of each build", sums.saved));
        figures.push(figure("each different file once", sums.different));
    }
    Ok(figures)
}

fn cache(root: &Path, compression: Compression) -> anyhow::Result<(BlobCache, Arc<dyn Engine>)> {
    let options = DiskOptions { root: root.to_owned(), max_bytes: ROOM_BYTES, quotas: Quotas::default() };
    let engine: Arc<dyn Engine> = Arc::new(DiskEngine::open(&options)?);
    Ok((BlobCache::new(Arc::clone(&engine), Namespace::new("builds")?, compression), engine))
}

/// The last commits that change what is built, the oldest first.
fn commits(checkout: &Path, builds: &Builds) -> anyhow::Result<Vec<String>> {
    let count = format!("-{}", builds.count);
    let mut log = Command::new("git");
    log.current_dir(checkout).args([
        "log",
        "--first-parent",
        "--format=%H",
        &count,
        "--",
        "shared",
        "Cargo.lock",
    ]);
    let log = log.output().context("git could not be started")?;
    let text = String::from_utf8(log.stdout).context("git says something that is no text")?;
    let mut commits: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    if commits.len() < builds.count {
        bail!("the repository has only {} such commits; it needs its whole history", commits.len());
    }
    commits.reverse();
    Ok(commits)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status =
        status.with_context(|| format!("{} could not be started", command.get_program().display()))?;
    match status.success() {
        true => Ok(()),
        false => bail!("{} failed", command.get_program().display()),
    }
}

/// All files below a folder.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => list(&entry.path(), files)?,
            kind if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
    Ok(())
}
