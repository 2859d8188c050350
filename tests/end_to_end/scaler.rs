//! A scaler whose programs start and stop real agents: they come when jobs wait, run them, and go; a coordinator that is killed meanwhile
//! asks for nobody twice.

use std::path::{Path, PathBuf};
use std::process::Command;

use slipway_tests::{Checkout, Coordinator, RUNNER_IMAGE, program, remove_agents_containers, wait_until};
use tempfile::TempDir;

/// Starts an agent in the background unless it runs, once the file `go` is there.
const UP: &str = r#"
echo "up $SLIPWAY_AGENT" >> calls
own=$PWD/agents/$SLIPWAY_AGENT
mkdir -p "$own"
while [ ! -e go ]; do sleep 0.1; done
mkdir "$own/claimed" 2>/dev/null || exit 0
echo "started $SLIPWAY_AGENT" >> calls
. ./settings
setsid "$PROGRAM" --server "$SERVER" --token-file "$TOKEN_FILE" --name "$SLIPWAY_AGENT" --slots 1 \
  --data-dir "$own/data" --image "ubuntu-latest=$IMAGE" --default-image "$IMAGE" </dev/null >>"$own/log" 2>&1 &
echo $! > "$own/pid"
"#;

/// Ends it and waits until it is gone; one that is not there is gone.
const DOWN: &str = r#"
echo "down $SLIPWAY_AGENT" >> calls
pid=$(cat "agents/$SLIPWAY_AGENT/pid" 2>/dev/null) || exit 0
kill "$pid" 2>/dev/null
while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
rm -r "agents/$SLIPWAY_AGENT/pid" "agents/$SLIPWAY_AGENT/claimed"
"#;

/// A coordinator with such a scaler, and what its programs leave behind.
struct Scaled {
    coordinator: Coordinator,
    folder: TempDir,
}

impl Scaled {
    fn start(max: u32) -> Self {
        let folder = tempfile::Builder::new().prefix("slipway-scaler-").tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (name, script) in [("up", UP), ("down", DOWN)] {
            let script = format!("#!/bin/sh\ncd '{}' || exit 1\n{script}", folder.path().display());
            std::fs::write(path(name), script).unwrap();
        }
        let config = format!(
            "[[scaler]]\npool = 'x64'\ndriver = 'command'\nup = ['/bin/sh', '{}']\ndown = ['/bin/sh', '{}']\n\
             cooldown_seconds = 1\nquiet_seconds = 1\n",
            path("up").display(),
            path("down").display()
        );
        std::fs::write(path("coordinator.toml"), config).unwrap();
        let coordinator = Coordinator::start_with(&["--config", path("coordinator.toml").to_str().unwrap()]);
        let settings = format!(
            "PROGRAM='{}'\nSERVER='{}'\nTOKEN_FILE='{}'\nIMAGE='{RUNNER_IMAGE}'\n",
            program("slipway-agent").display(),
            coordinator.grpc_url(),
            coordinator.data_dir().join("agent.token").display()
        );
        std::fs::write(path("settings"), settings).unwrap();
        let set = coordinator.plain(&["pools", "set", "x64", "--min", "0", "--max", &max.to_string()]);
        assert_eq!(set.code, 0, "{set:#?}");
        Self { coordinator, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn go(&self) {
        std::fs::write(self.path("go"), "").unwrap();
    }

    /// What the programs were called for, in order.
    fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn called(&self, what: &str) -> usize {
        self.calls().iter().filter(|call| *call == what).count()
    }

    /// Processes that the programs started and that run.
    fn running(&self) -> Vec<String> {
        let pids = agents(self.folder.path()).into_iter();
        let pids = pids.filter_map(|agent| std::fs::read_to_string(agent.join("pid")).ok());
        let pids = pids.map(|pid| pid.trim().to_owned());
        pids.filter(|pid| Path::new("/proc").join(pid).exists()).collect()
    }

    /// What `slipway pools` says of the pool.
    fn pool(&self) -> serde_json::Value {
        let pools = self.coordinator.api("/api/v1/pools");
        let pools = pools["pools"].as_array().unwrap().iter();
        pools.clone().find(|pool| pool["name"] == "x64").cloned().unwrap_or_default()
    }
}

fn agents(folder: &Path) -> Vec<PathBuf> {
    let found = std::fs::read_dir(folder.join("agents"));
    found.into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

impl Drop for Scaled {
    fn drop(&mut self) {
        self.coordinator.kill9();
        for pid in self.running() {
            let _ = Command::new("kill").args(["-9", &pid]).status();
        }
        for agent in agents(self.folder.path()) {
            remove_agents_containers(&agent.join("data"));
        }
    }
}

const TWO: &str = "on: push\njobs:\n  build:\n    runs-on: ubuntu-latest\n    strategy:\n      matrix:\n        n: [1, 2]\n    steps:\n      - run: echo number ${{ matrix.n }}\n";

#[test]
fn agents_come_for_jobs_that_wait_run_them_and_go_when_nobody_needs_them() {
    let scaled = Scaled::start(2);
    scaled.go();
    let outcome = scaled.coordinator.run(&Checkout::with_workflow(TWO));
    assert_eq!(outcome.code, 0, "{outcome:#?}\n{:?}", scaled.calls());
    let table = scaled.coordinator.plain(&["pools"]);
    assert!(table.stdout.contains("SCALER") && table.stdout.contains("command"), "{table:#?}");
    wait_until("the agents are stopped", || {
        let gone = scaled.called("down x64-1") > 0 && scaled.called("down x64-2") > 0;
        (gone && scaled.running().is_empty()).then_some(())
    });
    wait_until("the scaler has forgotten them", || {
        (scaled.pool()["scaler"]["agents"].as_array()?.is_empty()).then_some(())
    });
    let pool = scaled.pool();
    assert_eq!((&pool["ready"], &pool["scaler"]["failures"]), (&0.into(), &0.into()), "{pool:#}");
    for agent in ["x64-1", "x64-2"] {
        let calls = ["up", "started", "down"].map(|what| scaled.called(&format!("{what} {agent}")));
        assert_eq!(calls, [1, 1, 1], "{:?}", scaled.calls());
    }
    let trail = scaled.coordinator.plain(&["audit", "--json"]).stdout;
    for action in ["ask", "started", "came", "drain", "stop", "stopped"] {
        assert!(trail.contains(&format!("scaler.{action}")), "{action}: {trail}");
    }
}

#[test]
fn a_coordinator_that_is_killed_before_the_agent_comes_asks_for_no_other() {
    let mut scaled = Scaled::start(3);
    let checkout = Checkout::with_workflow(&TWO.replace("[1, 2]", "[1]"));
    let mut submitting = scaled.coordinator.run_command(&checkout).spawn().unwrap();
    wait_until("an agent is asked for", || (scaled.called("up x64-1") == 1).then_some(()));
    let run = scaled.coordinator.newest_run();
    scaled.coordinator.kill9_and_restart();
    wait_until("it is asked for again", || (scaled.called("up x64-1") == 2).then_some(()));
    scaled.go();
    let shown = scaled.coordinator.finished(&run);
    assert_eq!(shown["result"], "success", "{shown:#}");
    // It is told of whatever became of the run, or that its coordinator went away.
    let _ = submitting.wait().unwrap();
    let calls = scaled.calls();
    let other = calls.iter().find(|call| !call.ends_with(" x64-1"));
    assert_eq!((other, scaled.called("started x64-1")), (None, 1), "{calls:?}");
}
