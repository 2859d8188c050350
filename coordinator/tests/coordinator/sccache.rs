//! The cache of build tools with an unmodified sccache, over WebDAV.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::build_cache::{BuildCache, PREPARED, prepared, run, said};

/// A "machine": sccache's server with a socket of its own. The server ends with it.
struct Machine {
    folder: TempDir,
    endpoint: String,
    token: String,
}

impl Machine {
    fn new(cache: &BuildCache, token: &str) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), endpoint: cache.url("files"), token: token.to_owned() }
    }

    fn sccache(&self) -> Command {
        let mut sccache = Command::new(prepared("SLIPWAY_SCCACHE"));
        sccache
            .env("SCCACHE_WEBDAV_ENDPOINT", &self.endpoint)
            .env("SCCACHE_WEBDAV_KEY_PREFIX", "sccache")
            .env("SCCACHE_WEBDAV_TOKEN", &self.token)
            .env("SCCACHE_SERVER_UDS", self.folder.path().join("socket"))
            .env("SCCACHE_DIR", self.folder.path().join("unused"))
            // Whatever becomes of this test, its server does not stay.
            .env("SCCACHE_IDLE_TIMEOUT", "60");
        sccache
    }

    /// Compiles a Rust library and a C file; gives what came out and what was counted.
    async fn compile(&self, source: &Path) -> (Vec<u8>, Value) {
        let out = self.folder.path();
        let mut rust = self.sccache();
        rust.args(["rustc", "--crate-name", "twice", "--crate-type", "rlib", "--emit", "link,dep-info"])
            .arg("--out-dir")
            .arg(out)
            .arg("twice.rs");
        let mut c = self.sccache();
        c.args(["gcc", "-c", "-O1", "twice.c", "-o"]).arg(out.join("twice.o"));
        // Where a Rust crate is compiled is part of its key.
        for build in [&mut rust, &mut c] {
            build.current_dir(source);
        }
        for build in [rust, c] {
            let built = run(build, PREPARED).await;
            assert!(built.status.success(), "{}", said(&built));
        }
        let mut ask = self.sccache();
        ask.args(["--show-stats", "--stats-format", "json"]);
        let told = run(ask, PREPARED).await;
        let stats: Value = serde_json::from_slice(&told.stdout).unwrap_or_else(|_| panic!("{}", said(&told)));
        let object = |name: &str| std::fs::read(out.join(name)).unwrap();
        ([object("libtwice.rlib"), object("twice.o")].concat(), stats["stats"].clone())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.sccache().arg("--stop-server").output();
    }
}

fn sources() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("twice.rs"), "pub fn twice(x: i32) -> i32 { 2 * x }\n").unwrap();
    std::fs::write(folder.path().join("twice.c"), "int twice(int x) { return 2 * x; }\n").unwrap();
    let path = folder.path().to_owned();
    (folder, path)
}

/// Of one of these the total over languages.
fn total(stats: &Value, name: &str) -> u64 {
    stats[name]["counts"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_machine_compiles_nothing_again() {
    let cache = BuildCache::start().await;
    let (_folder, source) = sources();
    let (made, stats) = Machine::new(&cache, &cache.token).compile(&source).await;
    assert_eq!((total(&stats, "cache_hits"), total(&stats, "cache_misses")), (0, 2), "{stats:#}");
    let (same, stats) = Machine::new(&cache, &cache.token).compile(&source).await;
    assert_eq!((total(&stats, "cache_hits"), total(&stats, "cache_misses")), (2, 0), "{stats:#}");
    assert_eq!(total(&stats, "cache_errors"), 0, "{stats:#}");
    assert!(made == same, "another machine got something else");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_redis_fails_no_build() {
    let cache = BuildCache::dead().await;
    let (_folder, source) = sources();
    let machine = Machine::new(&cache, &cache.token);
    for misses in [2, 4] {
        let (_, stats) = machine.compile(&source).await;
        assert_eq!((total(&stats, "cache_hits"), total(&stats, "cache_misses")), (0, misses), "{stats:#}");
        assert_eq!(
            (total(&stats, "cache_errors"), &stats["cache_write_errors"]),
            (0, &0.into()),
            "{stats:#}"
        );
    }
    assert!(!cache.is_up().await);
}
