//! Another runtime than the engine's own: Debian's crun, in an engine of the test's own that has it registered.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use slipway_agent::agent::Agent;
use slipway_agent::options::{Arguments, Options};
use slipway_kit::shutdown::Stage;
use slipway_proto::v1::Result::Success;
use slipway_workflow::job_spec::ServiceSpec;

use super::fleet::coordinator::{FakeCoordinator, TOKEN};
use super::fleet::{IMAGE, Place, job, run, text};
use super::{container, expect_lines, uses};

/// Longest an engine may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// crun takes no machine with both versions of control groups. On such a one this engine sees the first alone, in `$0`, and not even the
/// folder where the second would be.
const ONE_VERSION: &str = r#"
set -e
if grep -q ' cgroup ' /proc/mounts; then
    mkdir "$0"
    mount -t tmpfs none "$0"
    cp -P $(find /sys/fs/cgroup -maxdepth 1 -type l) "$0" 2> /dev/null || true
    for mounted in $(grep ' cgroup ' /proc/mounts | cut -d ' ' -f 2); do
        mkdir "$0/${mounted##*/}"
        mount --bind "$mounted" "$0/${mounted##*/}"
    done
    umount --recursive --lazy /sys/fs/cgroup
    mount --rbind "$0" /sys/fs/cgroup
fi
exec "$@"
"#;

/// `dockerd` with everything in a folder and a network namespace of its own: in the machine's it would take away what another engine has
/// there (`docker0`, its packet filter).
struct OwnEngine {
    namespace: String,
    folder: tempfile::TempDir,
    dockerd: Child,
}

fn ip(arguments: &[&str]) {
    let done = Command::new("ip").args(arguments).output().unwrap();
    assert!(done.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

impl OwnEngine {
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("slipway-engine-").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let namespace = format!("slipway-engine-{}", std::process::id());
        ip(&["netns", "add", &namespace]);
        ip(&["-n", &namespace, "link", "set", "lo", "up"]);
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "slave", "sh", "-c", ONE_VERSION, &at("cgroups")]);
        command.args([
            "nsenter",
            &format!("--net=/run/netns/{namespace}"),
            "dockerd",
            "--storage-driver",
            "vfs",
        ]);
        command.args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("pid")]);
        command.args(["--config-file", &at("none.json"), "--add-runtime", "crun=/usr/bin/crun"]);
        command.args(["--host", &format!("unix://{}", at("sock"))]);
        std::fs::write(folder.path().join("none.json"), "{}").unwrap();
        let dockerd = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let engine = Self { namespace, folder, dockerd };
        let begun = Instant::now();
        while !engine.docker(&["version"]).output().unwrap().status.success() {
            let log = std::fs::read_to_string(engine.folder.path().join("log")).unwrap();
            assert!(begun.elapsed() < PATIENCE, "dockerd does not start: {log}");
            std::thread::sleep(Duration::from_millis(100));
        }
        let mut saved = Command::new("docker").args(["save", IMAGE]).stdout(Stdio::piped()).spawn().unwrap();
        let loaded =
            engine.docker(&["load", "--quiet"]).stdin(saved.stdout.take().unwrap()).output().unwrap();
        assert!(saved.wait().unwrap().success() && loaded.status.success(), "{loaded:?}");
        engine
    }

    fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("sock")
    }

    fn docker(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(["--host", &self.host()]).args(arguments);
        command
    }

    fn says(&self, arguments: &[&str]) -> String {
        let done = self.docker(arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        let pid = self.dockerd.id().to_string();
        let _ = Command::new("kill").arg(&pid).status();
        let _ = self.dockerd.wait();
        let _ = Command::new("ip").args(["netns", "del", &self.namespace]).output();
    }
}

fn options(place: &Place, engine: &OwnEngine, runtime: &str) -> Options {
    let more = [
        "--docker-host",
        &engine.host(),
        "--runtime",
        runtime,
        "--subnets",
        "10.89.0.0/24",
        "--allow-metadata",
    ];
    let arguments = place.arguments.iter().map(String::as_str).filter(|argument| *argument != "10.84.0.0/16");
    let arguments = arguments.filter(|argument| *argument != "--subnets").chain(more);
    let arguments = std::iter::once("slipway-agent").chain(arguments);
    Options::from_arguments(<Arguments as clap::Parser>::parse_from(arguments)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_services_and_actions_run_in_the_runtime_that_an_agent_names() {
    assert!(PathBuf::from("/usr/bin/crun").exists(), "scripts/install-deps.sh installs crun");
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator);
    let engine = OwnEngine::start();
    assert!(!TOKEN.is_empty());

    // Named before a job fails for it.
    let Err(error) = Agent::start(options(&place, &engine, "runsc")).await else {
        panic!("there is no runsc")
    };
    let message = error.to_string();
    assert!(
        message.contains("--runtime runsc") && message.contains("crun") && message.contains("runc"),
        "{message}"
    );

    let handle = Agent::start(options(&place, &engine, "crun")).await.unwrap();
    let service = ServiceSpec {
        name: "web".to_owned(),
        container: container(IMAGE, &[], "").unwrap(),
        command: Some(text("-c 'mkdir /w; echo served > /w/index.html; exec httpd -f -p 8080 -h /w'")),
        entrypoint: Some(text("/bin/sh")),
    };
    let ask = "for i in $(seq 300); do wget -q -O - http://web:8080/ && exit 0; sleep 0.1; done; exit 1";
    let act = uses("act", &format!("docker://{IMAGE}"), &[("args", "/bin/echo acted")]);
    let mut spec = job(vec![run("ask", ask), act]);
    spec.services = vec![service];
    spec.container = container(IMAGE, &[], "");
    let instance = coordinator.assign(&spec).await;
    let asked = coordinator.report(&instance).await;
    assert_eq!(asked.result(), Success, "{:#?}", asked.lines());
    expect_lines(&asked, &["served", "acted"]);
    spec.steps = vec![run("wait", "echo here; sleep 600")];
    let instance = coordinator.assign(&spec).await;
    coordinator.line(&instance, "here").await;
    let ids = engine.says(&["ps", "--quiet", "--filter", "label=slipway.instance"]);
    let ids: Vec<&str> = ids.split_whitespace().collect();
    assert_eq!(ids.len(), 2, "the job's and its service's");
    for id in ids {
        assert_eq!(engine.says(&["inspect", "--format", "{{.HostConfig.Runtime}}", id]), "crun");
    }
    coordinator.cancel(&instance).await;
    coordinator.report(&instance).await;
    handle.trigger().raise(Stage::Drain);
    handle.wait().await.unwrap();
    assert_eq!(engine.says(&["ps", "--all", "--quiet"]), "");
}
