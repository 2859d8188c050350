//! The cache of build tools with an unmodified moon, over gRPC: it packs its blobs with zstd and sends them in batches.

use std::process::Command;

use tempfile::TempDir;

use crate::build_cache::{BuildCache, DEBIAN, PREPARED, prepared, run, said};

const TASKS: &str = "tasks:
  build:
    script: 'mkdir dist && echo made > dist/made.txt && seq 1 600000 > dist/large.txt && echo built >> ../built'
    inputs: ['moon.yml']
    outputs: ['dist/**/*']
";

/// A repository of one project, on a machine that never built it.
struct Machine {
    folder: TempDir,
}

impl Machine {
    async fn new(cache: &BuildCache) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in [".moon", "app"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        // As docs/BUILD_TOOLS.md has it, but for the address.
        let remote = format!(
            "remote:\n  host: 'grpc://{}'\n  auth:\n    token: 'SLIPWAY_CACHE_TOKEN'\n  cache:\n    instanceName: 'team/app'\n    \
             compression: 'zstd'\n",
            cache.grpc()
        );
        file(".moon/workspace.yml", &format!("projects:\n  app: 'app'\ntelemetry: false\n{remote}"));
        file("app/moon.yml", TASKS);
        // moon looks for a commit.
        let commit = [
            "-c",
            "user.name=test",
            "-c",
            "user.email=test@localhost",
            "commit",
            "--quiet",
            "--allow-empty",
            "-m",
            "start",
        ];
        for arguments in [&["init", "--quiet"][..], &commit] {
            let mut git = Command::new("git");
            git.args(arguments).current_dir(folder.path());
            let done = run(git, DEBIAN).await;
            assert!(done.status.success(), "{}", said(&done));
        }
        Self { folder }
    }

    async fn build(&self, token: &str) -> String {
        let tools = prepared("SLIPWAY_BUILD_TOOLS");
        let mut moon = Command::new(tools.join("node_modules/.bin/moon"));
        moon.args(["run", "app:build"])
            .env("SLIPWAY_CACHE_TOKEN", token)
            // Its own compiled plugins lie there, which take it seconds; what it keeps of builds is in the repository.
            .env("HOME", tools.join("moon-home"))
            .current_dir(self.folder.path());
        let built = run(moon, PREPARED).await;
        assert!(built.status.success(), "{}", said(&built));
        let made = self.folder.path().join("app/dist");
        assert_eq!(std::fs::read_to_string(made.join("made.txt")).unwrap(), "made\n");
        assert_eq!(std::fs::metadata(made.join("large.txt")).unwrap().len(), 4_088_895);
        said(&built)
    }

    fn has_built(&self) -> bool {
        self.folder.path().join("built").exists()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_machine_builds_nothing_again() {
    let cache = BuildCache::start().await;
    let first = Machine::new(&cache).await;
    let told = first.build(&cache.token).await;
    assert!(first.has_built(), "{told}");
    let second = Machine::new(&cache).await;
    let told = second.build(&cache.token).await;
    assert!(!second.has_built() && told.contains("cached from remote"), "{told}");
    let stranger = Machine::new(&cache).await;
    let told = stranger.build("slip_wrong").await;
    assert!(stranger.has_built(), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_redis_fails_no_build() {
    let cache = BuildCache::dead().await;
    let machine = Machine::new(&cache).await;
    let told = machine.build(&cache.token).await;
    assert!(machine.has_built(), "{told}");
    assert!(!cache.is_up().await);
}
