//! The cache of build tools with an unmodified ccache, over HTTP.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::build_cache::{BuildCache, DEBIAN, run, said};

/// A source, and "machines" that compile it: each has a folder of its own for what ccache keeps.
struct Project {
    folder: TempDir,
}

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("program.c"), "int twice(int x) { return 2 * x; }\n").unwrap();
        // An object of 3 MB that does not pack: longer than a value of the cache.
        let mut noise = vec![0; 3 << 20];
        fastrand::Rng::with_seed(1).fill(&mut noise);
        std::fs::write(folder.path().join("noise.bin"), noise).unwrap();
        let large = "__asm__(\".data\\n.incbin \\\"noise.bin\\\"\\n\");\n";
        std::fs::write(folder.path().join("large.c"), large).unwrap();
        Self { folder }
    }

    /// Compiles on this machine; gives the object and what ccache counted.
    async fn compile(&self, machine: &str, source: &str, storage: &str) -> (Vec<u8>, Counts) {
        let machine = self.machine(machine);
        let object = machine.join(source).with_extension("o");
        let ccache = || {
            let mut ccache = Command::new("ccache");
            ccache
                .env("CCACHE_DIR", &machine)
                .env("CCACHE_REMOTE_STORAGE", storage)
                .current_dir(self.folder.path());
            ccache
        };
        let mut build = ccache();
        build.args(["gcc", "-c", "-O1", source, "-o"]).arg(&object);
        let built = run(build, DEBIAN).await;
        assert!(built.status.success(), "{}", said(&built));
        let mut ask = ccache();
        ask.arg("--print-stats");
        let counts = Counts(said(&run(ask, DEBIAN).await));
        (std::fs::read(object).unwrap(), counts)
    }

    fn machine(&self, name: &str) -> PathBuf {
        let machine = self.folder.path().join(name);
        std::fs::create_dir_all(&machine).unwrap();
        machine
    }
}

/// What `ccache --print-stats` says.
struct Counts(String);

impl Counts {
    fn of(&self, name: &str) -> u64 {
        let line = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'));
        line.unwrap_or_else(|| panic!("no {name} in {}", self.0)).trim().parse().unwrap()
    }
}

/// As docs/BUILD_TOOLS.md has it.
fn storage(cache: &BuildCache, layout: &str) -> String {
    let BuildCache { token, .. } = cache;
    match layout {
        "bazel" => format!("http://ccache:{token}@{}/cache/bazel/ccache|layout=bazel", cache.http()),
        layout => format!("http://ccache:{token}@{}/cache/files/{layout}|layout={layout}", cache.http()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_machine_compiles_nothing_again() {
    let cache = BuildCache::start().await;
    let project = Project::new();
    for layout in ["subdirs", "flat", "bazel"] {
        let storage = storage(&cache, layout);
        let (object, counts) = project.compile(&format!("{layout}-first"), "program.c", &storage).await;
        assert_eq!(
            (counts.of("remote_storage_hit"), counts.of("cache_miss")),
            (0, 1),
            "{layout}: {}",
            counts.0
        );
        assert_eq!(counts.of("remote_storage_error"), 0, "{layout}: {}", counts.0);
        let (same, counts) = project.compile(&format!("{layout}-second"), "program.c", &storage).await;
        assert_eq!(counts.of("cache_miss"), 0, "{layout}: {}", counts.0);
        assert!(counts.of("remote_storage_hit") >= 1, "{layout}: {}", counts.0);
        assert_eq!(object, same, "{layout}");
        let refused = storage.replace(&cache.token, "slip_wrong");
        let (_, counts) = project.compile(&format!("{layout}-stranger"), "program.c", &refused).await;
        assert_eq!(
            (counts.of("remote_storage_hit"), counts.of("cache_miss")),
            (0, 1),
            "{layout}: {}",
            counts.0
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_object_is_kept_whatever_the_layout() {
    let cache = BuildCache::start().await;
    let project = Project::new();
    for layout in ["subdirs", "bazel"] {
        let storage = storage(&cache, layout);
        let (object, counts) = project.compile(&format!("{layout}-first"), "large.c", &storage).await;
        assert_eq!(counts.of("remote_storage_error"), 0, "{layout}: {}", counts.0);
        assert!(object.len() > 3 << 20);
        let (same, counts) = project.compile(&format!("{layout}-second"), "large.c", &storage).await;
        assert_eq!((counts.of("cache_miss"), object == same), (0, true), "{layout}: {}", counts.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_redis_fails_no_build() {
    let cache = BuildCache::dead().await;
    let project = Project::new();
    for layout in ["subdirs", "flat", "bazel"] {
        let storage = storage(&cache, layout);
        for machine in ["first", "second"] {
            let machine = format!("{layout}-{machine}");
            let (_, counts) = project.compile(&machine, "program.c", &storage).await;
            // A miss, and no error: ccache leaves a server alone that gives it one.
            let counted = (counts.of("cache_miss"), counts.of("remote_storage_error"));
            assert_eq!(counted, (1, 0), "{machine}: {}", counts.0);
        }
    }
    assert!(!cache.is_up().await);
}
