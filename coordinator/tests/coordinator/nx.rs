//! The cache of build tools with an unmodified Nx.

use std::process::Command;

use tempfile::TempDir;

use crate::build_cache::{BuildCache, PREPARED, prepared, run, said};

const BUILD: &str = "mkdir dist && echo made > dist/made.txt && echo built >> ../built";

/// A repository of one project, on a machine that never built it.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("app")).unwrap();
        let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        file("package.json", r#"{"name": "ws", "private": true}"#);
        file(
            "nx.json",
            r#"{"targetDefaults": {"build": {"cache": true, "outputs": ["{projectRoot}/dist"]}}, "analytics": false}"#,
        );
        let options = serde_json::json!({"command": BUILD, "cwd": "app"});
        let build = serde_json::json!({"executor": "nx:run-commands", "options": options});
        file(
            "app/project.json",
            &serde_json::json!({"name": "app", "targets": {"build": build}}).to_string(),
        );
        let packages = prepared("SLIPWAY_BUILD_TOOLS").join("node_modules");
        std::os::unix::fs::symlink(packages, folder.path().join("node_modules")).unwrap();
        Self { folder }
    }

    async fn build(&self, cache: &BuildCache, token: &str) -> (bool, String) {
        let mut nx = Command::new(self.folder.path().join("node_modules/.bin/nx"));
        nx.args(["run", "app:build"])
            .env("NX_SELF_HOSTED_REMOTE_CACHE_SERVER", cache.url("nx"))
            .env("NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN", token)
            .env("NX_DAEMON", "false")
            .env("NX_NO_CLOUD", "true")
            .env("NX_TUI", "false")
            .env("CI", "true")
            .env("HOME", self.folder.path())
            .current_dir(self.folder.path());
        let built = run(nx, PREPARED).await;
        (built.status.success(), said(&built))
    }

    fn has_built(&self) -> bool {
        self.folder.path().join("built").exists()
    }

    fn made(&self) -> Option<String> {
        std::fs::read_to_string(self.folder.path().join("app/dist/made.txt")).ok()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_machine_builds_nothing_again() {
    let cache = BuildCache::start().await;
    let (first, second, stranger) = (Machine::new(), Machine::new(), Machine::new());
    let (went_well, told) = first.build(&cache, &cache.token).await;
    assert!(went_well && first.has_built(), "{told}");
    let (went_well, told) = second.build(&cache, &cache.token).await;
    assert!(went_well && !second.has_built() && told.contains("remote cache"), "{told}");
    assert_eq!(second.made().as_deref(), Some("made\n"));
    // Nx fails a build whose token is refused, and says what it was told.
    let (went_well, told) = stranger.build(&cache, "slip_wrong").await;
    assert!(!went_well && told.contains("cache.token"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_redis_fails_no_build() {
    let cache = BuildCache::dead().await;
    let machine = Machine::new();
    let (went_well, told) = machine.build(&cache, &cache.token).await;
    assert!(went_well && machine.has_built(), "{told}");
    assert_eq!(machine.made().as_deref(), Some("made\n"));
    assert!(!cache.is_up().await);
}
