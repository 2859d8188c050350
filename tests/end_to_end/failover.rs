//! Several coordinators on a real PostgreSQL: whatever of it dies, the job that runs does not notice.

use std::process::{Child, Stdio};

use serde_json::Value;
use slipway_tests::postgres::{PostgresServer, signal};
use slipway_tests::{Agent, AgentOptions, Checkout, Cluster, Coordinator, Volume, wait_until};

const LINES: usize = 15_000;

/// Counts its executions in a volume and prints numbered lines over some fifteen seconds.
fn workflow(volume: &str) -> String {
    format!(
        r#"
on: push
jobs:
  count:
    runs-on: ubuntu-latest
    container:
      image: slipway/runner:slim
      volumes: ["{volume}:/volume"]
    steps:
      - run: |
          echo one >> /volume/count
          for block in $(seq 0 149); do
            seq $((block * 100 + 1)) $((block * 100 + 100))
            sleep 0.1
          done
"#
    )
}

/// A job in its middle on two coordinators, watched by a client at the one that follows.
struct Watched {
    cluster: Cluster,
    volume: Volume,
    agent: Option<Agent>,
    client: Child,
    run: String,
    _checkout: Checkout,
}

impl Watched {
    fn in_mid_job(cluster: Cluster) -> Self {
        let volume = Volume::new();
        let checkout = Checkout::with_workflow(&workflow(volume.name()));
        let all: Vec<&Coordinator> = cluster.coordinators.iter().collect();
        // The agent is told of the follower first: it learns from it where the leader is.
        let asked: Vec<&Coordinator> = all.iter().rev().copied().collect();
        let mut options = AgentOptions::named("first");
        options.arguments = vec!["--allow-volume".to_owned(), volume.name().to_owned()];
        let agent = Agent::start_among(&asked, options);
        let mut client = asked[0].run_command(&checkout);
        let client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let run = asked[0].newest_run();
        wait_until("the job is in its middle", || {
            asked[0].logs(&run, "count").iter().any(|line| line == "2000").then_some(())
        });
        Self { cluster, volume, agent: Some(agent), client, run, _checkout: checkout }
    }

    /// The job ended as if nothing had happened: one attempt, one execution, every line once.
    fn expect_undisturbed(&mut self, asked: usize) {
        let coordinator = &self.cluster.coordinators[asked];
        let shown = coordinator.finished(&self.run);
        assert_eq!(shown["result"], "success", "{shown}");
        assert_eq!(shown["instances"][0]["attempt"], 1, "no new attempt was needed: {shown}");
        let log = coordinator.logs(&self.run, "count");
        let numbers: Vec<usize> = log.iter().filter_map(|line| line.parse().ok()).collect();
        let first_wrong = numbers.iter().zip(1..).find(|(found, wanted)| *found != wanted);
        assert_eq!(first_wrong, None, "(found, wanted) of the first line that is wrong");
        assert_eq!(numbers.len(), LINES, "lines");
        assert_eq!(self.client.wait().unwrap().code(), Some(0), "who watched the run sees its end");
        let verified = coordinator.plain(&["audit", "--verify"]);
        assert_eq!(verified.code, 0, "{verified:#?}");
        drop(self.agent.take());
        assert_eq!(self.volume.read("cat /volume/count").lines().count(), 1, "what the containers did");
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

fn server() -> PostgresServer {
    PostgresServer::start()
}

#[test]
fn the_leader_is_killed() {
    let server = server();
    let mut watched = Watched::in_mid_job(Cluster::on(&server, 2));
    watched.cluster.coordinators[0].kill9();
    watched.cluster.wait_until_leads(1);
    watched.expect_undisturbed(1);
    // It comes back as one that follows, and knows what it missed.
    watched.cluster.coordinators[0].start_again();
    let first = &watched.cluster.coordinators[0];
    wait_until("it follows", || (first.ready() == "ready, follows").then_some(()));
    wait_until("it has caught up", || {
        let listed: Value = first.api("/api/v1/runs");
        (listed["runs"][0]["result"] == "success").then_some(())
    });
}

#[test]
fn the_leader_hangs_and_wakes_up_when_another_leads() {
    let server = server();
    let mut watched = Watched::in_mid_job(Cluster::on(&server, 2));
    let pid = watched.cluster.coordinators[0].pid();
    signal("-STOP", &[pid]);
    watched.cluster.wait_until_leads(1);
    signal("-CONT", &[pid]);
    let stale = &mut watched.cluster.coordinators[0];
    assert_eq!(stale.ended(), Some(1), "it stops by itself");
    let said = stale.said();
    assert!(
        said.contains("epoch 2 has taken over") || said.contains("has taken over; it must stop"),
        "{said}"
    );
    watched.expect_undisturbed(1);
}

#[test]
fn the_database_is_killed_and_its_stand_by_promoted() {
    let mut primary = server();
    let stand_by = primary.stand_by("second");
    primary.set("synchronous_standby_names", "second");
    wait_until("the stand-by is synchronous", || {
        let query = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        (primary.sql("postgres", query) == "1").then_some(())
    });
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", primary.port(), stand_by.port());
    let one = format!("127.0.0.1:{}", primary.port());
    let journal = primary.url("sslmode=disable").replacen(&one, &hosts, 1);
    let mut watched = Watched::in_mid_job(Cluster::start(&journal, 2));
    primary.kill();
    stand_by.promote();
    let leader = wait_until("one leads", || {
        watched.cluster.coordinators.iter().position(|coordinator| coordinator.ready() == "ready")
    });
    watched.expect_undisturbed(leader);
}
