//! The cache of build tools with an unmodified Turborepo.

use std::process::Command;

use tempfile::TempDir;

use crate::build_cache::{BuildCache, PREPARED, prepared, run, said};

/// A file of 3 MB that does not pack comes out, and a small one.
const BUILD: &str =
    "mkdir dist && echo made > dist/made.txt && cp ../../noise.bin dist && echo built >> ../../built";

/// A repository of one package, on a machine that never built it.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("packages/app")).unwrap();
        let file = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        let workspace = r#"{"name": "ws", "private": true, "packageManager": "npm@10.0.0", "workspaces": ["packages/*"]}"#;
        file("package.json", workspace.as_bytes());
        let lock = r#"{"name": "ws", "lockfileVersion": 3, "requires": true, "packages": {"": {"name": "ws", "workspaces": ["packages/*"]},
            "node_modules/app": {"resolved": "packages/app", "link": true}, "packages/app": {"name": "app", "version": "1.0.0"}}}"#;
        file("package-lock.json", lock.as_bytes());
        file(
            "turbo.json",
            br#"{"tasks": {"build": {"outputs": ["dist/**"]}}, "remoteCache": {"signature": true}}"#,
        );
        let package = serde_json::json!({"name": "app", "version": "1.0.0", "scripts": {"build": BUILD}});
        file("packages/app/package.json", package.to_string().as_bytes());
        let mut noise = vec![0; 3 << 20];
        fastrand::Rng::with_seed(1).fill(&mut noise);
        file("noise.bin", &noise);
        Self { folder }
    }

    async fn build(&self, cache: &BuildCache, token: &str, team: &str, options: &[&str]) -> String {
        let mut turbo = Command::new(prepared("SLIPWAY_BUILD_TOOLS").join("node_modules/.bin/turbo"));
        turbo
            .args(["run", "build"])
            .args(options)
            .env("TURBO_API", cache.url("turbo"))
            .env("TURBO_TOKEN", token)
            .env("TURBO_TEAM", team)
            .env("TURBO_REMOTE_CACHE_SIGNATURE_KEY", "a key of thirty-two bytes or more")
            .env("TURBO_TELEMETRY_DISABLED", "1")
            .env("HOME", self.folder.path())
            .current_dir(self.folder.path());
        let built = run(turbo, PREPARED).await;
        assert!(built.status.success(), "{}", said(&built));
        let made = self.folder.path().join("packages/app/dist");
        assert_eq!(std::fs::read_to_string(made.join("made.txt")).unwrap(), "made\n");
        let noise = |path: std::path::PathBuf| std::fs::read(path).unwrap();
        assert!(noise(made.join("noise.bin")) == noise(self.folder.path().join("noise.bin")));
        said(&built)
    }

    fn has_built(&self) -> bool {
        self.folder.path().join("built").exists()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_machine_builds_nothing_again() {
    let cache = BuildCache::start().await;
    let (first, second, asking, other, stranger) =
        (Machine::new(), Machine::new(), Machine::new(), Machine::new(), Machine::new());
    let told = first.build(&cache, &cache.token, "team", &[]).await;
    assert!(first.has_built() && told.contains("Remote caching enabled"), "{told}");
    // Its artifacts are signed: the tag has come back.
    let told = second.build(&cache, &cache.token, "team", &[]).await;
    assert!(!second.has_built() && told.contains("FULL TURBO"), "{told}");
    let told = asking.build(&cache, &cache.token, "team", &["--preflight"]).await;
    assert!(!asking.has_built(), "{told}");
    let told = other.build(&cache, &cache.token, "other", &[]).await;
    assert!(other.has_built(), "another team's cache is its own: {told}");
    let told = stranger.build(&cache, "slip_wrong", "team", &[]).await;
    assert!(stranger.has_built(), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_redis_fails_no_build() {
    let cache = BuildCache::dead().await;
    let machine = Machine::new();
    let told = machine.build(&cache, &cache.token, "team", &[]).await;
    assert!(machine.has_built() && !told.contains("failed to contact"), "{told}");
    assert!(!cache.is_up().await);
}
