//! The Debian packages on a machine with systemd: installed, set up, upgraded, and purged.
//!
//! Deliberately absent: jobs. The machine is a container whose processes the engine of the machine around it sees under other numbers, and an
//! agent lets nobody in who is not the init that the engine names.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use slipway_tests::{Outcome, docker, wait_until};

/// A machine with systemd that has this machine's container engine.
struct Machine {
    container: String,
    /// The instance of `slipway-agent@.service`.
    agent: String,
}

impl Machine {
    fn start() -> Self {
        let agent = format!("test-{}", std::process::id());
        let arguments = "run --detach --cap-add SYS_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
             --cgroupns host --volume /sys/fs/cgroup:/sys/fs/cgroup:rw --volume /var/run/docker.sock:/var/run/docker.sock \
             --tmpfs /run --tmpfs /run/lock --tmpfs /tmp";
        let mut arguments: Vec<&str> = arguments.split_whitespace().collect();
        arguments.push("slipway/systemd:test");
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
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "--force", "--volumes", &self.container]).output();
    }
}

const AS_ADMIN: &str =
    "SLIPWAY_SERVER=http://127.0.0.1:8080 SLIPWAY_TOKEN=$(cat /var/lib/slipway/admin.token)";

#[test]
fn packages_are_installed_set_up_upgraded_and_purged() {
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
    let settings = "SLIPWAY_SERVER=http://127.0.0.1:7443\\nSLIPWAY_NAME=packaged\\n";
    machine.must(&format!("printf '{settings}' > /etc/slipway/agent-{}.env", machine.agent));
    machine.must(&format!("systemctl start {agent}"));
    assert_eq!(machine.property(&agent, "Type"), "notify");
    wait_until("the agent says that it serves", || {
        machine.property(&agent, "StatusText").starts_with("serves the coordinator").then_some(())
    });

    let (before, serving) = (machine.property(&agent, "MainPID"), machine.property(coordinator, "MainPID"));
    machine.install(&["slipway-coordinator", "slipway-agent"]);
    wait_until("another process is the agent", || {
        let now = machine.property(&agent, "MainPID");
        (now != before && now != "0").then_some(())
    });
    assert_ne!(machine.property(coordinator, "MainPID"), serving, "the coordinator is the new one, too");
    wait_until("the new agent serves", || {
        machine.property(&agent, "StatusText").starts_with("serves the coordinator").then_some(())
    });
    assert_eq!(machine.slipway("agents --json | grep -c packaged"), "1", "it is the same one");

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

/// A file of the documentation's, as people copy it: the text of the block that begins with its path.
fn documented(path: &str) -> String {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/FLEET.md")).unwrap();
    let mut blocks =
        page.split("```").filter(|block| block.lines().nth(1).is_some_and(|line| line.ends_with(path)));
    let block = blocks.next().unwrap_or_else(|| panic!("docs/FLEET.md has no {path}"));
    block.lines().skip(2).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_scaler_starts_and_stops_template_units_with_the_rights_that_the_documents_give_it() {
    let machine = Machine::start();
    machine.install(&["slipway", "slipway-coordinator", "slipway-agent"]);
    machine.must("install -m 0600 /var/lib/slipway/agent.token /etc/slipway/agent.token");
    for path in
        ["/etc/systemd/system/slipway-agent@.service.d/scaled.conf", "/etc/polkit-1/rules.d/50-slipway.rules"]
    {
        machine.must(&format!("mkdir -p $(dirname {path}) && cat > {path} <<'END'\n{}END", documented(path)));
    }
    // Their networks have names of their own beside those of other tests.
    let instance = |n: u32| format!("{}{n}", std::process::id());
    let [first, second] = [1, 2].map(|n| format!("slipway-agent@{}", instance(n)));
    let config = format!(
        "[[scaler]]\npool = \"x64\"\ndriver = \"systemd\"\nunits = \"slipway-agent@{{n}}.service\"\ninstances = [{}, {}]\n\
         cooldown_seconds = 1\nquiet_seconds = 1\n",
        instance(1),
        instance(2)
    );
    machine.must(&format!(
        "cat > /etc/slipway/coordinator.toml <<'END'\n{config}END\nchmod 0644 /etc/slipway/coordinator.toml\n\
         echo SLIPWAY_CONFIG=/etc/slipway/coordinator.toml >> /etc/slipway/coordinator.env\n\
         systemctl daemon-reload && systemctl mask {first}.service && systemctl restart slipway-coordinator"
    ));
    let pool = || {
        let pools: serde_json::Value = serde_json::from_str(&machine.slipway("pools --json")).unwrap();
        pools.as_array().unwrap().first().cloned().unwrap_or_default()
    };
    machine.slipway("pools set x64 --min 1 --max 1");
    wait_until("a unit that cannot be started is told", || {
        let failure = pool()["scaler"]["failure"].as_str()?.to_owned();
        assert!(failure.starts_with(&first) && failure.contains("masked"), "{failure}");
        Some(())
    });
    wait_until("the next one is there", || (pool()["scaler"]["there"] == 1).then_some(()));
    assert_eq!(machine.property(&format!("{second}.service"), "ActiveState"), "active");
    assert_eq!(machine.slipway(&format!("agents --json | grep -c {second}")), "1");
    machine.slipway("pools set x64 --min 0 --max 1");
    wait_until("it is stopped and forgotten", || {
        (pool()["scaler"]["agents"].as_array()?.is_empty()).then_some(())
    });
    let state = machine.property(&format!("{second}.service"), "ActiveState");
    assert!(state == "inactive" || state == "deactivating", "{state}");
}
