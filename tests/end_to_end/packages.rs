//! The Debian packages on a machine with systemd: installed, set up, upgraded under a running job, and purged.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use slipway_tests::{Outcome, RUNNER_IMAGE, docker, wait_until};

/// Lines of the job that is upgraded under: they take some seconds.
const LINES: u32 = 60;

/// A machine with systemd that has this machine's container engine, and the folder of one agent at the same place as here: that is where
/// the engine finds what jobs mount.
struct Machine {
    container: String,
    /// The instance of `slipway-agent@.service`.
    agent: String,
}

impl Machine {
    fn start() -> Self {
        let agent = format!("test-{}", std::process::id());
        let state = format!("/var/lib/slipway-agent-{agent}");
        let shared = format!("{state}:{state}");
        let arguments = "run --detach --cap-add SYS_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
             --cgroupns host --volume /sys/fs/cgroup:/sys/fs/cgroup:rw --volume /var/run/docker.sock:/var/run/docker.sock \
             --tmpfs /run --tmpfs /run/lock --tmpfs /tmp";
        let mut arguments: Vec<&str> = arguments.split_whitespace().collect();
        arguments.extend(["--volume", &shared, "slipway/systemd:test"]);
        let container = docker(&arguments);
        let machine = Self { container, agent };
        wait_until("systemd is up", || {
            let said = machine.run("systemctl is-system-running");
            matches!(said.stdout.trim(), "running" | "degraded").then_some(())
        });
        machine
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("docker");
        command.args(["exec", &self.container, "bash", "-c", script]).stdin(Stdio::null());
        command
    }

    fn run(&self, script: &str) -> Outcome {
        Outcome::of(&mut self.command(script))
    }

    /// What it prints, where it has to succeed.
    fn must(&self, script: &str) -> String {
        let outcome = self.run(script);
        assert_eq!(outcome.code, 0, "{script}\n{}{}", outcome.stdout, outcome.stderr);
        outcome.stdout.trim().to_owned()
    }

    /// `slipway` as the coordinator's administrator.
    fn slipway(&self, arguments: &str) -> String {
        self.must(&format!("{AS_ADMIN} slipway {arguments}"))
    }

    fn property(&self, unit: &str, name: &str) -> String {
        self.must(&format!("systemctl show --value --property {name} {unit}"))
    }

    /// Installs packages, by the beginning of their names.
    fn install(&self, packages: &[&str]) {
        let folder = PathBuf::from(std::env::var_os("SLIPWAY_PACKAGES").unwrap_or_else(|| {
            panic!("SLIPWAY_PACKAGES is not set: run the tests with nextest, or scripts/prepare-packages.sh first")
        }));
        let mut names = String::new();
        for package in packages {
            let found = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
            let is = |path: &PathBuf| {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                name.starts_with(&format!("{package}_")) && name.ends_with(".deb")
            };
            let path = found.into_iter().find(is).unwrap_or_else(|| panic!("{package} was not packaged"));
            docker(&["cp", path.to_str().unwrap(), &format!("{}:/root/{package}.deb", self.container)]);
            names += &format!(" /root/{package}.deb");
        }
        self.must(&format!("dpkg --install{names}"));
    }

    /// Follows a run of the workflow in `/root/code`.
    fn follow(&self) -> Child {
        let script = format!("cd /root/code && {AS_ADMIN} slipway run --server http://127.0.0.1:8080");
        self.command(&script).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.run(&format!("systemctl stop slipway-agent@{}", self.agent));
        let _ = self.run(&format!("rm -rf /var/lib/slipway-agent-{}/*", self.agent));
        let _ = Command::new("docker").args(["rm", "--force", "--volumes", &self.container]).output();
        let _ = std::fs::remove_dir(format!("/var/lib/slipway-agent-{}", self.agent));
    }
}

const AS_ADMIN: &str =
    "SLIPWAY_SERVER=http://127.0.0.1:8080 SLIPWAY_TOKEN=$(cat /var/lib/slipway/admin.token)";

const WORKFLOW: &str = "
on: push
jobs:
  count:
    runs-on: ubuntu-latest
    steps:
      - run: for n in $(seq 1 LINES); do echo \"line $n\"; sleep 0.2; done
";

#[test]
fn packages_are_installed_set_up_upgraded_under_a_job_and_purged() {
    let machine = Machine::start();
    machine.install(&["slipway", "slipway-coordinator", "slipway-agent"]);

    // The coordinator serves as soon as it is installed, as a user of its own; an agent waits for its settings.
    let coordinator = "slipway-coordinator.service";
    assert_eq!(machine.property(coordinator, "ActiveState"), "active");
    assert_eq!(machine.property(coordinator, "Type"), "notify");
    assert_eq!(machine.property(coordinator, "WatchdogUSec"), "1min");
    let said = machine.property(coordinator, "StatusText");
    assert!(said.starts_with("serves http=127.0.0.1:8080"), "{said}");
    assert_eq!(machine.must("stat --format %U:%a /var/lib/slipway"), "slipway:700");
    assert_eq!(machine.property("slipway-agent.service", "ActiveState"), "inactive");
    machine.must("test -s /usr/share/man/man1/slipway-agents-drain.1.gz");
    machine.must("bash -c 'source /usr/share/bash-completion/completions/slipway && complete -p slipway'");

    let agent = format!("slipway-agent@{}.service", machine.agent);
    machine.slipway("agents token > /etc/slipway/agent.token");
    machine.must("chmod 0600 /etc/slipway/agent.token");
    let settings = format!(
        "SLIPWAY_SERVER=http://127.0.0.1:7443\\nSLIPWAY_NAME=packaged\\nSLIPWAY_IMAGES=ubuntu-latest={RUNNER_IMAGE}\\n"
    );
    machine.must(&format!("printf '{settings}' > /etc/slipway/agent-{}.env", machine.agent));
    machine.must(&format!("systemctl start {agent}"));
    assert_eq!(machine.property(&agent, "Type"), "notify");
    wait_until("the agent says that it serves", || {
        machine.property(&agent, "StatusText").starts_with("serves the coordinator").then_some(())
    });

    let workflow = WORKFLOW.replace("LINES", &LINES.to_string());
    machine.must(&format!(
        "mkdir -p /root/code/.github/workflows && cd /root/code && git init --quiet \
         && cat > .github/workflows/ci.yml <<'END'\n{workflow}\nEND\n\
         git add . && git -c user.name=t -c user.email=t@example.invalid commit --quiet --message Begin"
    ));
    let followed = machine.follow();
    wait_until("the job is in its middle", || {
        machine.run(&format!("{AS_ADMIN} slipway logs latest")).stdout.contains("line 5").then_some(())
    });
    let (before, serving) = (machine.property(&agent, "MainPID"), machine.property(coordinator, "MainPID"));
    machine.install(&["slipway-coordinator", "slipway-agent"]);
    wait_until("another process is the agent", || {
        let now = machine.property(&agent, "MainPID");
        (now != before && now != "0").then_some(())
    });
    assert_ne!(machine.property(coordinator, "MainPID"), serving, "the coordinator is the new one, too");
    let outcome = Outcome::new(followed.wait_with_output().unwrap());
    assert_eq!(outcome.code, 0, "{}{}", outcome.stdout, outcome.stderr);
    let log = machine.slipway("logs latest");
    let lines: Vec<u32> =
        log.lines().filter_map(|line| line.split("line ").nth(1)?.trim().parse().ok()).collect();
    assert_eq!(lines, (1..=LINES).collect::<Vec<_>>(), "every line once:\n{log}");

    // One that hangs is killed and started anew.
    machine.must(
        "mkdir -p /run/systemd/system/slipway-coordinator.service.d && cd /run/systemd/system/slipway-coordinator.service.d \
         && printf '[Service]\\nWatchdogSec=2\\n' > soon.conf && systemctl daemon-reload && systemctl restart slipway-coordinator",
    );
    let before = machine.property(coordinator, "MainPID");
    machine.must(&format!("kill -STOP {before}"));
    wait_until("the one that hangs is replaced", || {
        let active = machine.property(coordinator, "ActiveState") == "active";
        (active && machine.property(coordinator, "MainPID") != before).then_some(())
    });

    machine.must(&format!("systemctl stop {agent}"));
    machine.must("dpkg --purge slipway slipway-agent slipway-coordinator");
    machine.must("test ! -e /var/lib/slipway && test ! -e /usr/bin/slipway-agent");
    assert_eq!(machine.property(coordinator, "LoadState"), "not-found");
}
