//! Two hundred jobs on three agents, while agents are drained, upgraded, sent away and killed and the coordinator is killed: each job
//! succeeds once, with every line of its log, and nothing of them stays behind.
//!
//! Which blows fall, and after how many jobs, is drawn from a seed; `SLIPWAY_TEST_SEED` deals those of a run that failed again.

use std::process::Stdio;

use serde_json::Value;
use slipway_tests::{
    Agent, AgentOptions, Checkout, Coordinator, Signal, busybox_image, native_architecture, wait_until,
};

use crate::numbered;

const JOBS: usize = 200;
const AGENTS: usize = 3;
const SLOTS: u32 = 5;
/// Lines of one job.
const LINES: usize = 40;

/// What happens to an agent, or to the coordinator. Ended agents come back, some of them late.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// An admin drains it, it dies as such, and later an admin resumes it.
    Drained,
    /// It is told to drain, and then not to wait for that: its jobs go on without it.
    SentAway,
    /// It leaves its jobs to its next process.
    HandsOver,
    /// `kill -9`
    Killed,
    /// `kill -9` of the coordinator.
    CoordinatorKilled,
}

/// Each falls so often.
const BLOWS: [(Blow, usize); 5] = [
    (Blow::Drained, 2),
    (Blow::SentAway, 2),
    (Blow::HandsOver, 2),
    (Blow::Killed, 4),
    (Blow::CoordinatorKilled, 3),
];

/// How many jobs end between two blows.
const PAUSE_JOBS: std::ops::RangeInclusive<usize> = 1..=6;
/// How many end while an agent is away; what it left is not given to others meanwhile.
const AWAY_JOBS: std::ops::RangeInclusive<usize> = 0..=3;

fn workflow() -> String {
    let numbers: Vec<String> = (1..=JOBS).map(|number| number.to_string()).collect();
    let block = LINES / 4;
    format!(
        r#"
on: push
jobs:
  count:
    runs-on: ubuntu-latest
    strategy:
      matrix:
        number: [{}]
    container: {}
    steps:
      - run: |
          echo "job ${{{{ matrix.number }}}}"
          for block in 0 1 2 3; do
            seq $((block * {block} + 1)) $((block * {block} + {block}))
            sleep 0.4
          done
"#,
        numbers.join(", "),
        busybox_image(native_architecture()),
    )
}

fn seed() -> u64 {
    let given = std::env::var("SLIPWAY_TEST_SEED").ok();
    given.map_or_else(|| fastrand::u64(..), |text| text.parse().unwrap())
}

/// The fleet and what is known of the run.
struct Storm {
    coordinator: Coordinator,
    agents: Vec<Agent>,
    run: String,
    random: fastrand::Rng,
}

impl Storm {
    fn ended(&self) -> usize {
        // Straight from the API: a program for each look would be late.
        let shown = self.coordinator.api(&format!("/api/v1/runs/{}", self.run));
        let instances = shown["instances"].as_array().unwrap();
        instances.iter().filter(|instance| instance["state"] == "finished").count()
    }

    /// Waits until so many more jobs have ended; not for the last of them, which an agent that is away may hold.
    fn pass(&self, jobs: usize) {
        let goal = (self.ended() + jobs).min(JOBS - SLOTS as usize);
        wait_until("more jobs have ended", || (self.ended() >= goal).then_some(()));
    }

    fn order(&self, order: &str, agent: usize) {
        let outcome = self.coordinator.plain(&["agents", order, &name(agent)]);
        assert_eq!(outcome.code, 0, "{outcome:#?}");
    }

    /// A new process, once it hears what is said to it.
    fn come_back(&mut self, number: usize) {
        let connected = |agent: &Agent| agent.said().matches("connected to the coordinator").count();
        let agent = &mut self.agents[number];
        let before = connected(agent);
        agent.start_again();
        wait_until("the agent is back", || (connected(agent) > before).then_some(()));
    }

    fn strike(&mut self, blow: Blow) {
        let number = self.random.usize(0..AGENTS);
        let away = self.random.usize(AWAY_JOBS);
        println!("{} jobs have ended: {blow:?}, agent {number}, away for {away} jobs", self.ended());
        if let Blow::Drained = blow {
            self.order("drain", number);
        }
        let agent = &mut self.agents[number];
        match blow {
            Blow::CoordinatorKilled => return self.coordinator.kill9_and_restart(),
            Blow::Drained | Blow::Killed => agent.kill9(),
            Blow::HandsOver => {
                agent.signal(Signal::HUP);
                assert_eq!(agent.ended(), Some(0), "{}", agent.said());
            }
            Blow::SentAway => {
                // Two that are not the same: of those the system might pass on one.
                agent.signal(Signal::TERM);
                agent.signal(Signal::INT);
                assert_eq!(agent.ended(), Some(0), "{}", agent.said());
            }
        }
        self.pass(away);
        self.come_back(number);
        if let Blow::Drained = blow {
            self.pass(away);
            self.order("resume", number);
        }
    }
}

fn name(agent: usize) -> String {
    format!("agent-{agent}")
}

#[test]
fn two_hundred_jobs_end_once_each_whatever_falls() {
    let seed = seed();
    println!("SLIPWAY_TEST_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut blows: Vec<Blow> =
        BLOWS.iter().flat_map(|(blow, times)| std::iter::repeat_n(*blow, *times)).collect();
    random.shuffle(&mut blows);

    let checkout = Checkout::with_workflow(&workflow());
    let coordinator = Coordinator::start();
    let options = |number| AgentOptions { slots: SLOTS, ..AgentOptions::named(&name(number)) };
    let agents = (0..AGENTS).map(|number| Agent::start(&coordinator, options(number))).collect();
    let mut client = coordinator.run_command(&checkout);
    let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let run = coordinator.newest_run();
    let mut storm = Storm { coordinator, agents, run, random };
    for blow in blows {
        let pause = storm.random.usize(PAUSE_JOBS);
        storm.pass(pause);
        storm.strike(blow);
    }

    let shown = storm.coordinator.finished(&storm.run);
    assert_eq!(shown["result"], "success", "{shown}");
    assert_eq!(client.wait().unwrap().code(), Some(0), "who watched the run sees its end");
    expect_each_once(&shown, &storm);
    for agent in &mut storm.agents {
        assert_eq!(agent.stop(), Some(0), "{}", agent.said());
        assert_eq!(agent.in_the_engine(), Vec::<String>::new(), "containers and networks");
        let jobs = std::fs::read_dir(agent.data_dir().join("jobs")).unwrap();
        assert_eq!(jobs.count(), 0, "folders of jobs");
    }
}

fn expect_each_once(shown: &Value, storm: &Storm) {
    let instances = shown["instances"].as_array().unwrap();
    assert_eq!(instances.len(), JOBS);
    for instance in instances {
        assert_eq!(instance["result"], "success", "{instance}");
        let attempts = instance["attempts"].as_array().unwrap();
        let succeeded = attempts.iter().filter(|attempt| attempt["result"] == "success").count();
        assert_eq!(succeeded, 1, "it counts once: {instance}");
    }
    let again = instances.iter().filter(|instance| instance["attempt"] != 1).count();
    println!("{again} jobs had another attempt");
    let logs = numbered::logs(&storm.coordinator, &storm.run);
    assert_eq!(logs.len(), JOBS);
    let mut jobs: Vec<usize> = Vec::with_capacity(JOBS);
    for (instance, lines) in &logs {
        assert_eq!(numbered::count(instance, lines), LINES, "lines of {instance}");
        jobs.push(numbered::said(instance, lines, "job ").parse().unwrap());
    }
    jobs.sort_unstable();
    assert!(jobs.iter().copied().eq(1..=JOBS), "each job ran as itself: {jobs:?}");
}
