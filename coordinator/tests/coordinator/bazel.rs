//! The cache of build tools with an unmodified Bazel, over gRPC: Debian's, which speaks ByteStream for every blob.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use slipway_coordinator::options::CachePlace;

use crate::fixture::Fixture;

/// How long one build may take; a Bazel that hangs fails its test then.
const BUILD_TIMEOUT: Duration = Duration::from_secs(120);

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

    /// Builds as on a machine that never did; gives what Bazel said.
    async fn build(&self, grpc: std::net::SocketAddr, token: &str, instance: &str) -> Output {
        let root = self.folder.path().join("out");
        // Bazel makes its outputs read-only, folders included.
        let _ = Command::new("chmod").args(["-R", "u+w"]).arg(&root).stderr(Stdio::null()).status();
        let _ = std::fs::remove_dir_all(&root);
        // The system's configuration stays: Debian's says where the rest of Bazel is.
        let mut bazel = tokio::process::Command::new("bazel");
        bazel
            .arg(format!("--output_user_root={}", root.display()))
            .args(["--batch", "--nohome_rc", "build", "//:made", "--color=no", "--spawn_strategy=local"])
            .arg(format!("--remote_cache=grpc://{grpc}"))
            .arg(format!("--remote_header=authorization=Bearer {token}"))
            .arg(format!("--remote_instance_name={instance}"))
            .current_dir(self.folder.path().join("ws"))
            .kill_on_drop(true);
        let built = tokio::time::timeout(BUILD_TIMEOUT, bazel.output()).await;
        built.expect("a build ends").expect("`bazel` is installed: scripts/install-deps.sh --for-tests")
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

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn token(data_dir: &Path) -> String {
    std::fs::read_to_string(data_dir.join("cache.token")).unwrap().trim().to_owned()
}

const LARGE_BYTES: u64 = 4_088_895;

#[tokio::test(flavor = "multi_thread")]
async fn a_second_machine_builds_nothing_again() {
    let fixture = Fixture::start().await;
    let grpc = fixture.handle().grpc_addr;
    let token = token(&fixture.folder.path().join("data"));
    let (first, second) = (Project::new(), Project::new());
    let built = first.build(grpc, &token, "team/app").await;
    assert!(built.status.success(), "{}", said(&built));
    assert!(!said(&built).contains("remote cache hit"), "{}", said(&built));
    let again = second.build(grpc, &token, "team/app").await;
    assert!(again.status.success() && said(&again).contains("1 remote cache hit"), "{}", said(&again));
    assert_eq!(second.made(), ("hello\n".to_owned(), LARGE_BYTES));
    // Another instance is another cache.
    let other = second.build(grpc, &token, "team/other").await;
    assert!(other.status.success() && !said(&other).contains("remote cache hit"), "{}", said(&other));
    let refused = second.build(grpc, "slip_wrong", "team/app").await;
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
    let url = format!("redis://127.0.0.1:{port}");
    let fixture = Fixture::start_with(|options| options.cache = CachePlace::Redis(url.as_str().into())).await;
    let grpc = fixture.handle().grpc_addr;
    let token = token(&fixture.folder.path().join("data"));
    let project = Project::new();
    let built = project.build(grpc, &token, "").await;
    assert!(built.status.success(), "{}", said(&built));
    let hit = project.build(grpc, &token, "").await;
    assert!(said(&hit).contains("1 remote cache hit"), "{}", said(&hit));
    redis.kill().await.unwrap();
    let without = project.build(grpc, &token, "").await;
    assert!(without.status.success() && !said(&without).contains("remote cache hit"), "{}", said(&without));
    assert_eq!(project.made(), ("hello\n".to_owned(), LARGE_BYTES));
    let metrics = fixture.call(reqwest::Method::GET, "/metrics", None).await.text().await.unwrap();
    assert!(metrics.contains("\nslipway_cache_up 0\n"), "{metrics}");
}
