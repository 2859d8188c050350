//! The cache of build tools with an unmodified Gradle, over HTTP: Debian's 4.4.

use std::process::Command;

use tempfile::TempDir;

use crate::build_cache::{BuildCache, DEBIAN, run, said};

/// As docs/BUILD_TOOLS.md has it, but for the address.
const SETTINGS: &str = r"
rootProject.name = 'app'
buildCache {
    local { enabled = false }
    remote(HttpBuildCache) {
        url = System.env.SLIPWAY_CACHE_URL
        credentials {
            username = 'gradle'
            password = System.env.SLIPWAY_CACHE_TOKEN
        }
        push = true
    }
}
";

const BUILD: &str = r"
@CacheableTask
class Made extends DefaultTask {
    @Input String text = 'hello'
    @OutputFile File file = new File(project.buildDir, 'made.txt')
    @TaskAction void make() { file.text = text }
}
task made(type: Made)
";

/// Builds as on a machine that never did; gives what Gradle said.
async fn build(cache: &BuildCache, token: &str) -> String {
    let machine = TempDir::new().unwrap();
    let file = |name: &str, text: &str| std::fs::write(machine.path().join(name), text).unwrap();
    file("settings.gradle", SETTINGS);
    file("build.gradle", BUILD);
    let mut gradle = Command::new("gradle");
    gradle
        .args(["--no-daemon", "--build-cache", "--console=plain", "made", "--gradle-user-home"])
        .arg(machine.path().join("home"))
        // Its Java is to start fast, not to run for long.
        .env("GRADLE_OPTS", "-XX:TieredStopAtLevel=1")
        .env("SLIPWAY_CACHE_URL", cache.url("files/gradle/"))
        .env("SLIPWAY_CACHE_TOKEN", token)
        .current_dir(machine.path());
    let built = run(gradle, DEBIAN).await;
    assert!(built.status.success(), "{}", said(&built));
    assert_eq!(std::fs::read_to_string(machine.path().join("build/made.txt")).unwrap(), "hello");
    said(&built)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_machine_builds_nothing_again() {
    let cache = BuildCache::start().await;
    let first = build(&cache, &cache.token).await;
    assert!(first.contains("1 actionable task: 1 executed"), "{first}");
    let second = build(&cache, &cache.token).await;
    assert!(second.contains(":made FROM-CACHE"), "{second}");
    let refused = build(&cache, "slip_wrong").await;
    assert!(refused.contains("1 actionable task: 1 executed"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_redis_fails_no_build() {
    let cache = BuildCache::dead().await;
    let without = build(&cache, &cache.token).await;
    // It asked and stored. Gradle tells when it leaves a cache alone for the rest of a build.
    assert!(without.contains("1 executed") && !without.contains("disabled"), "{without}");
    assert!(!cache.is_up().await);
}
