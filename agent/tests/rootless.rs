//! An engine without root's rights, and an agent that is its user: jobs through both.
//!
//! The engine is started here as a user that the machine does not know, in mount namespaces of its own: nothing of the machine's settings
//! is touched. It needs rootlesskit, slirp4netns and uidmap (`scripts/install-deps.sh --for-tests`).
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod fleet;

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fleet::coordinator::{FakeCoordinator, Job};
use fleet::{IMAGE, Place, job, run, text, when};
use slipway_proto::v1::Result::{Cancelled, Failure, Success};
use slipway_workflow::job_spec::{ContainerSpec, JobSpec, ServiceSpec};

/// Who it all runs as.
const USER: u32 = 61_500;

/// How long an engine may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Mounts what makes the machine know the user, for this process and what it starts; `$0` is the engine's folder.
const SCRIPT: &str = r#"
set -e
for file in passwd group; do mount --bind "$0/$file" /etc/$file; done
for file in subuid subgid; do [ -e /etc/$file ] || touch /etc/$file; mount --bind "$0/subids" /etc/$file; done
mount --bind "$0/tun" /dev/net/tun
export HOME="$0/home" XDG_RUNTIME_DIR="$0/home/run"
exec setpriv --reuid 61500 --regid 61500 --clear-groups --inh-caps=-all \
  rootlesskit --net=slirp4netns --mtu=65520 --disable-host-loopback --port-driver=builtin --copy-up=/etc --copy-up=/run \
  sh -c 'rm -rf /run/docker /run/containerd /run/xtables.lock; exec dockerd --rootless --config-file "$HOME/none.json" --data-root "$HOME/data" \
    --exec-root "$HOME/exec" --pidfile "$HOME/pid" --host "unix://$HOME/sock" --userland-proxy-path "$(command -v rootlesskit-docker-proxy)"'
"#;

struct RootlessEngine {
    folder: tempfile::TempDir,
    running: Child,
}

impl RootlessEngine {
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("slipway-rootless-").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| std::fs::write(at(name), text).unwrap();
        write(
            "passwd",
            &format!(
                "root:x:0:0:root:/root:/bin/sh\nbuilder:x:{USER}:{USER}::{}:/bin/sh\n",
                at("home").display()
            ),
        );
        write("group", &format!("root:x:0:\nbuilder:x:{USER}:\n"));
        write("subids", "builder:1500000000:65536\n");
        std::fs::create_dir_all(at("home/run")).unwrap();
        write("home/none.json", "{}");
        let made =
            Command::new("mknod").arg("--mode=666").arg(at("tun")).args(["c", "10", "200"]).status().unwrap();
        assert!(made.success());
        give(folder.path());
        give(&at("home"));
        give(&at("home/run"));
        let log = std::fs::File::create(at("log")).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "slave", "sh", "-c", SCRIPT]).arg(folder.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        let engine = Self { running: command.spawn().unwrap(), folder };
        let begun = Instant::now();
        while !engine.docker(&["version"]).output().unwrap().status.success() {
            let log = std::fs::read_to_string(engine.folder.path().join("log")).unwrap();
            assert!(begun.elapsed() < PATIENCE, "dockerd does not start: {log}");
            std::thread::sleep(Duration::from_millis(100));
        }
        // As it is in a container, with all folders: the image's own archive leaves their modes to whoever unpacks it.
        let made = Command::new("docker").args(["create", IMAGE, "true"]).output().unwrap();
        let made = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        let mut from = Command::new("docker").args(["export", &made]).stdout(Stdio::piped()).spawn().unwrap();
        let import = ["import", "--change", "ENV PATH=/bin", "-", IMAGE];
        let imported = engine.docker(&import).stdin(from.stdout.take().unwrap()).output().unwrap();
        Command::new("docker").args(["rm", &made]).output().unwrap();
        assert!(from.wait().unwrap().success() && imported.status.success(), "{imported:?}");
        engine
    }

    fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("home/sock").display())
    }

    fn docker(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(["--host", &self.host()]).args(arguments);
        command
    }

    fn containers(&self) -> String {
        let listed = self.docker(&["ps", "--all", "--quiet"]).output().unwrap();
        String::from_utf8(listed.stdout).unwrap()
    }
}

impl Drop for RootlessEngine {
    fn drop(&mut self) {
        let group = format!("-{}", self.running.id());
        let _ = Command::new("kill").args(["-TERM", "--", &group]).status();
        let begun = Instant::now();
        while self.running.try_wait().is_ok_and(|ended| ended.is_none())
            && begun.elapsed() < Duration::from_secs(20)
        {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.running.wait();
    }
}

fn give(path: &Path) {
    std::os::unix::fs::chown(path, Some(USER), Some(USER)).unwrap();
}

/// An agent as the engine's user.
struct RootlessAgent(Child, PathBuf);

impl RootlessAgent {
    fn start(place: &Place, program: &Path) -> Self {
        let said = place.folder.path().join("log");
        let log = std::fs::File::options().create(true).append(true).open(&said).unwrap();
        let mut command = Command::new(program);
        command.args(&place.arguments).uid(USER).gid(USER).env("HOME", place.folder.path());
        let running = command.stdin(Stdio::null()).stderr(log.try_clone().unwrap()).stdout(log).spawn();
        Self(running.unwrap(), said)
    }

    /// Ends it as its unit does: it finishes and leaves nothing.
    fn end(mut self) {
        Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for RootlessAgent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the agent said: {}", std::fs::read_to_string(&self.1).unwrap_or_default());
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn settings(coordinator: &FakeCoordinator, engine: &RootlessEngine) -> (Place, PathBuf) {
    let mut place = Place::new(coordinator);
    place.arguments.extend(["--docker-host", &engine.host(), "--cache-size", "off"].map(str::to_owned));
    let program = place.folder.path().join("slipway-agent");
    std::fs::copy(env!("CARGO_BIN_EXE_slipway-agent"), &program).unwrap();
    give(place.folder.path());
    (place, program)
}

fn expect_lines(job: &Job, lines: &[&str]) {
    let log = job.lines();
    for line in lines {
        assert!(log.iter().any(|found| found == line), "`{line}` is not in {log:#?}");
    }
}

fn container(spec: &mut JobSpec) -> &mut ContainerSpec {
    spec.container.insert(ContainerSpec {
        image: text(IMAGE),
        env: Vec::new(),
        ports: Vec::new(),
        volumes: Vec::new(),
        options: None,
        credentials: None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_run_in_an_engine_without_root_and_leave_nothing() {
    fleet::want_image();
    let engine = RootlessEngine::start();
    let coordinator = FakeCoordinator::start().await;
    let (place, program) = settings(&coordinator, &engine);
    let mut agent = RootlessAgent::start(&place, &program);

    // As the image's `runner`, who is nobody to the agent.
    let own = job(vec![
        run(
            "first",
            "id -u; mkdir -p made/deep; echo kept > made/deep/file; chmod 700 made; echo NAME=value >> $GITHUB_ENV",
        ),
        run("second", "cat made/deep/file; echo $NAME; echo out=1 >> $GITHUB_OUTPUT"),
        run("fails", "exit 3"),
        run("skipped", "echo never"),
        when("always()", run("always", "echo at the end")),
    ]);
    let instance = coordinator.assign(&own).await;
    let done = coordinator.report(&instance).await;
    assert_eq!(done.result(), Failure, "{:#?}", done.lines());
    expect_lines(&done, &["1001", "kept", "value", "at the end"]);
    assert!(!done.lines().iter().any(|line| line == "never"));

    // As root of a container, beside a service.
    let mut spec = job(vec![run(
        "work",
        "id -u; mkdir made; echo more > made/file; for i in $(seq 300); do timeout 5 wget -q -O - http://web:8080/ && exit 0; sleep 0.1; done; exit 1",
    )]);
    let service = ContainerSpec { ..container(&mut spec).clone() };
    spec.services = vec![ServiceSpec {
        name: "web".to_owned(),
        container: service,
        command: Some(text("-c 'mkdir /w; echo served > /w/index.html; exec httpd -f -p 8080 -h /w'")),
        entrypoint: Some(text("/bin/sh")),
    }];
    let instance = coordinator.assign(&spec).await;
    let done = coordinator.report(&instance).await;
    assert_eq!(done.result(), Success, "{:#?}", done.lines());
    expect_lines(&done, &["0", "served"]);

    // One that is cancelled, whose agent was killed before.
    let instance = coordinator.assign(&job(vec![run("wait", "echo here; sleep 600")])).await;
    coordinator.line(&instance, "here").await;
    drop(agent);
    agent = RootlessAgent::start(&place, &program);
    coordinator.cancel(&instance).await;
    let done = coordinator.report(&instance).await;
    assert_eq!(done.result(), Cancelled, "{:#?}", done.lines());

    agent.end();
    assert_eq!(engine.containers(), "");
    // Nobody keeps jobs of such an engine from the cloud's metadata address.
    let mut outside = settings(&coordinator, &engine).0;
    outside.arguments.push("--accept-untrusted".to_owned());
    let agent = RootlessAgent::start(&outside, &program);
    let instance = coordinator.assign(&job(vec![run("never", "echo never")])).await;
    let refused = format!("{:?}", coordinator.report(&instance).await.report);
    assert!(refused.contains("container_start") && refused.contains("metadata"), "{refused}");
    agent.end();
    let log = std::fs::read_to_string(place.folder.path().join("log")).unwrap();
    assert_eq!(place.jobs(), 0, "{log}");
}
