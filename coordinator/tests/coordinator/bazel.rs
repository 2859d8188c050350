//! The cache of build tools with an unmodified Bazel: Debian's, which over gRPC speaks ByteStream for every blob; and over HTTP.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::build_cache::{BuildCache, DEBIAN, run, said};

const RULES: &str = r#"genrule(
    name = "made",
    srcs = ["input.txt"],
    outs = ["made.txt", "large.bin"],
    cmd = "cat $(SRCS) > $(location made.txt); seq 1 600000 > $(location large.bin)",
)
"#;

/// A project of one rule, with a small output and one of 4 MB, and a Bazel that keeps nothing of its own between builds.
struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        std::fs::create_dir(folder.path().join("ws")).unwrap();
        file("ws/WORKSPACE", "");
        file("ws/BUILD", RULES);
        file("ws/input.txt", "hello\n");
        Self { folder }
    }

    /// Builds as on a machine that never did, with what says where the cache is; gives what Bazel said.
    async fn build(&self, remote: &[String]) -> Output {
        let root = self.folder.path().join("out");
        // Bazel makes its outputs read-only, folders included.
        let _ = Command::new("chmod").args(["-R", "u+w"]).arg(&root).stderr(Stdio::null()).status();
        let _ = std::fs::remove_dir_all(&root);
        // The system's configuration stays: Debian's says where the rest of Bazel is.
        let mut bazel = Command::new("bazel");
        bazel
            .arg(format!("--output_user_root={}", root.display()))
            // Its Java is to start fast, not to run for long.
            .arg("--host_jvm_args=-XX:TieredStopAtLevel=1")
            .args(["--batch", "--nohome_rc", "build", "//:made", "--color=no", "--spawn_strategy=local"])
            .args(remote)
            .current_dir(self.folder.path().join("ws"));
        run(bazel, DEBIAN).await
    }

    fn made(&self) -> (String, u64) {
        let file = |name: &str| self.folder.path().join("ws/bazel-bin").join(name);
        (
            std::fs::read_to_string(file("made.txt")).unwrap(),
            std::fs::metadata(file("large.bin")).unwrap().len(),
        )
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ =
            Command::new("chmod").args(["-R", "u+w"]).arg(self.folder.path()).stderr(Stdio::null()).status();
    }
}

/// The cache over gRPC, as docs/BUILD_TOOLS.md has it.
fn grpc(cache: &BuildCache, token: &str, instance: &str) -> Vec<String> {
    vec![
        format!("--remote_cache=grpc://{}", cache.grpc()),
        format!("--remote_header=authorization=Bearer {token}"),
        format!("--remote_instance_name={instance}"),
    ]
}

/// The same over HTTP.
fn http(cache: &BuildCache, token: &str, instance: &str) -> Vec<String> {
    vec![
        format!("--remote_cache={}", cache.url(&format!("bazel/{instance}"))),
        format!("--remote_header=authorization=Bearer {token}"),
    ]
}

/// The same with the token as the password.
fn password(cache: &BuildCache, token: &str, instance: &str) -> Vec<String> {
    vec![format!("--remote_cache=http://bazel:{token}@{}/cache/bazel/{instance}", cache.http())]
}

const LARGE_BYTES: u64 = 4_088_895;

#[tokio::test(flavor = "multi_thread")]
async fn a_second_machine_builds_nothing_again() {
    let cache = BuildCache::start().await;
    let (first, second) = (Project::new(), Project::new());
    let built = first.build(&grpc(&cache, &cache.token, "team/app")).await;
    assert!(built.status.success(), "{}", said(&built));
    assert!(!said(&built).contains("remote cache hit"), "{}", said(&built));
    let again = second.build(&grpc(&cache, &cache.token, "team/app")).await;
    assert!(again.status.success() && said(&again).contains("1 remote cache hit"), "{}", said(&again));
    assert_eq!(second.made(), ("hello\n".to_owned(), LARGE_BYTES));
    // Another instance is another cache.
    let other = second.build(&grpc(&cache, &cache.token, "team/other")).await;
    assert!(other.status.success() && !said(&other).contains("remote cache hit"), "{}", said(&other));
    let refused = second.build(&grpc(&cache, "slip_wrong", "team/app")).await;
    assert!(said(&refused).contains("cache.token"), "{}", said(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_a_second_machine_builds_nothing_again() {
    let cache = BuildCache::start().await;
    let (first, second) = (Project::new(), Project::new());
    let built = first.build(&http(&cache, &cache.token, "team/app")).await;
    assert!(built.status.success() && !said(&built).contains("remote cache hit"), "{}", said(&built));
    let again = second.build(&password(&cache, &cache.token, "team/app")).await;
    assert!(again.status.success() && said(&again).contains("1 remote cache hit"), "{}", said(&again));
    assert_eq!(second.made(), ("hello\n".to_owned(), LARGE_BYTES));
    let refused = second.build(&http(&cache, "slip_wrong", "team/app")).await;
    assert!(said(&refused).contains("cache.token"), "{}", said(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_redis_fails_no_build() {
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut redis = tokio::process::Command::new("redis-server")
        .kill_on_drop(true)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("`redis-server` is installed: scripts/install-deps.sh --for-tests");
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(redis.try_wait().unwrap().is_none(), "it ended at once");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let cache = BuildCache::redis(&format!("redis://127.0.0.1:{port}")).await;
    let project = Project::new();
    let remote = grpc(&cache, &cache.token, "");
    let built = project.build(&remote).await;
    assert!(built.status.success(), "{}", said(&built));
    let hit = project.build(&remote).await;
    assert!(said(&hit).contains("1 remote cache hit"), "{}", said(&hit));
    redis.kill().await.unwrap();
    for remote in [remote, http(&cache, &cache.token, "")] {
        let without = project.build(&remote).await;
        assert!(
            without.status.success() && !said(&without).contains("remote cache hit"),
            "{}",
            said(&without)
        );
        assert_eq!(project.made(), ("hello\n".to_owned(), LARGE_BYTES));
    }
    assert!(!cache.is_up().await);
}
