//! The scaler with a program as its driver, agents that a test makes come, and a clock that it puts forward.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use slipway_coordinator::options::{ScalerDriver, ScalerOptions};
use slipway_coordinator::scaler::limits::{RETRY_FIRST_MS, SETTLE_MS};
use slipway_kit::clock::Clock as _;
use slipway_proto::v1;
use slipway_proto::v1::agent_message::Message as Out;
use slipway_proto::v1::coordinator_message::Message as In;

use crate::browser::Browser;
use crate::fake_agent::{FIRST, FakeAgent, SECOND, hello};
use crate::fixture::Fixture;

/// Writes down what it is told, and then does this.
fn program(folder: &std::path::Path, then: &str) -> Vec<String> {
    let calls = folder.join("calls").display().to_string();
    let script = format!(
        "printf '%s\\n' \"$SLIPWAY_ACTION $SLIPWAY_AGENT $SLIPWAY_POOL $SLIPWAY_ARCH $SLIPWAY_COUNT\" >> \"$0\"\n{then}"
    );
    vec!["/bin/sh".to_owned(), "-c".to_owned(), script, calls]
}

/// A coordinator with a scaler for the pool `x64`.
struct Scaled {
    fixture: Fixture,
    folder: tempfile::TempDir,
}

impl Scaled {
    async fn start(min: u32, max: u32, up: &str, down: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (up, down) = (program(folder.path(), up), program(folder.path(), down));
        let fixture = Fixture::start_with(move |options| {
            options.scalers = vec![ScalerOptions {
                pool: "x64".into(),
                driver: ScalerDriver::Command { up, down },
                cooldown: Duration::ZERO,
                quiet: Duration::from_secs(60),
                at_once: 5,
                start_limit: Duration::from_secs(300),
                timeout: Duration::from_secs(60),
            }];
        });
        let scaled = Self { fixture: fixture.await, folder };
        let rule = json!({"min": min, "max": max});
        let set = scaled.fixture.call(Method::PUT, "/api/v1/pools/x64", Some(rule)).await;
        assert_eq!(set.status(), 200);
        scaled.fixture.clock.advance(SETTLE_MS);
        scaled
    }

    fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn until_calls(&self, wanted: &[&str]) {
        for _ in 0..3_000 {
            if self.calls() == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?} instead of {wanted:?}; {:#}", self.calls(), self.pool().await);
    }

    async fn pool(&self) -> Value {
        let pools = self.fixture.get("/api/v1/pools").await;
        let pools = pools["pools"].as_array().unwrap();
        pools.iter().find(|pool| pool["name"] == "x64").cloned().unwrap_or(Value::Null)
    }

    async fn until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..3_000 {
            let pool = self.pool().await;
            if wanted(&pool) {
                return pool;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it never came so far: {:#}; {:?}", self.pool().await, self.calls());
    }

    /// The same while time passes.
    async fn until_after(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..3_000 {
            let pool = self.pool().await;
            if wanted(&pool) {
                return pool;
            }
            self.fixture.clock.advance(5_000);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it never came so far: {:#}; {:?}", self.pool().await, self.calls());
    }

    async fn comes(&self, id: &str, name: &str) -> FakeAgent {
        let hello = v1::Hello { name: name.to_owned(), ..hello(id, 1, Vec::new()) };
        FakeAgent::connect_with(self.fixture.handle(), hello).await
    }

    /// The actions in the audit trail that the scaler took, the oldest first.
    async fn audited(&self) -> Vec<String> {
        let page = self.fixture.get("/api/v1/audit?limit=200").await;
        let entries = page["entries"].as_array().unwrap().iter();
        let entries = entries.filter(|entry| entry["source"] == "scaler x64");
        let entries = entries.map(|entry| {
            assert_eq!((&entry["actor"], &entry["effect"]), (&json!("slipway"), &json!("done")));
            format!("{} {}", entry["action"].as_str().unwrap(), entry["target"].as_str().unwrap())
        });
        let mut entries: Vec<String> = entries.collect();
        entries.sort_unstable();
        entries
    }
}

const TWO: &str = "on: push\njobs:\n  j:\n    runs-on: ubuntu-latest\n    strategy:\n      matrix:\n        n: [1, 2]\n    steps:\n      - run: echo\n";

async fn drained(agent: &mut FakeAgent) {
    loop {
        if let In::Drain(drain) = agent.hear().await {
            assert!(drain.on);
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_wait_call_for_agents_and_those_that_are_idle_are_drained_and_stopped() {
    let scaled = Scaled::start(0, 3, "", "").await;
    let run = scaled.fixture.submit(TWO).await;
    // The programs run side by side.
    let both = |calls: &[String], wanted: [&str; 2]| {
        let mut calls = calls.to_vec();
        calls.sort_unstable();
        calls == wanted
    };
    scaled.until(|_| both(&scaled.calls(), ["up x64-1 x64 X64 2", "up x64-2 x64 X64 2"])).await;
    let waits = scaled.until(|pool| pool["scaler"]["agents"][1]["state"] == "started").await;
    let scaler = &waits["scaler"];
    assert_eq!(
        (&waits["ready"], &waits["desired"], &scaler["on_their_way"]),
        (&json!(0), &json!(2), &json!(2))
    );
    assert_eq!((&scaler["driver"], &waits["predicted_wait_ms"]), (&json!("command"), &Value::Null));
    let page = scaled.fixture.call(Method::GET, "/metrics", None).await.text().await.unwrap();
    let on_their_way = "slipway_scaler_agents{pool=\"x64\",state=\"on_their_way\"} 2";
    assert!(page.contains(on_their_way), "{page}");
    let mut first = scaled.comes(FIRST, "x64-1").await;
    let mut second = scaled.comes(SECOND, "x64-2").await;
    for agent in [&mut first, &mut second] {
        let lease = agent.assigned().await.lease.unwrap();
        agent.report(&lease, v1::Result::Success, 0).await;
    }
    scaled.fixture.finished(&run).await;
    scaled.until(|pool| pool["scaler"]["there"] == 2 && pool["predicted_wait_ms"] == 0).await;
    assert_eq!(scaled.calls().len(), 2, "nothing was asked for twice");

    let stopping = scaled.until_after(|pool| pool["scaler"]["stopping"] == 2).await;
    assert_eq!(stopping["ready"], 0);
    drained(&mut first).await;
    drained(&mut second).await;
    let down = ["down x64-1 x64 X64 0", "down x64-2 x64 X64 0"];
    scaled.until(|_| scaled.calls().get(2..).is_some_and(|calls| both(calls, down))).await;
    drop((first, second));
    scaled.until(|pool| pool["scaler"]["agents"] == json!([])).await;
    let each = |agent: &str| {
        ["ask", "started", "came", "drain", "stop", "stopped"].map(|word| format!("scaler.{word} {agent}"))
    };
    let mut expected: Vec<String> = each("x64-1").into_iter().chain(each("x64-2")).collect();
    expected.sort_unstable();
    assert_eq!(scaled.audited().await, expected);
    // Whoever comes back with this id is not drained from its beginning.
    assert_eq!(scaled.pool().await["draining"], 0);
    scaled.comes(FIRST, "somebody").await;
    scaled.until(|pool| pool["ready"] == 1 || pool["gone"] == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_agent_stays_and_one_that_nobody_asked_for_is_left_alone() {
    let scaled = Scaled::start(1, 3, "", "").await;
    scaled.until_calls(&["up x64-1 x64 X64 1"]).await;
    let mut agent = scaled.comes(FIRST, "x64-1").await;
    scaled.until(|pool| pool["scaler"]["there"] == 1).await;
    let run = scaled.fixture.submit(crate::fixture::ONE_JOB).await;
    let lease = agent.assigned().await.lease.unwrap();
    let mut other = scaled.comes(SECOND, "by-hand").await;
    let rule = json!({"min": 0, "max": 3});
    scaled.fixture.call(Method::PUT, "/api/v1/pools/x64", Some(rule)).await;
    // More are there than wanted, for ever so long, and yet none may go. Not so far at a time that a lease ends.
    for number in 1..=8 {
        let renew = v1::Renew { number, leases: vec![lease.clone()], lease_ms: 0 };
        agent.say(Out::Renew(renew)).await;
        while !matches!(agent.hear().await, In::Renewed(renewed) if renewed.number == number) {}
        scaled.fixture.clock.advance(20_000);
        let now_ms = scaled.fixture.clock.unix_ms();
        scaled.until(|pool| pool["scaler"]["looked_ms"].as_u64() >= Some(now_ms)).await;
    }
    let pool = scaled.pool().await;
    assert_eq!(
        (&pool["ready"], &pool["draining"], &pool["scaler"]["there"]),
        (&json!(2), &json!(0), &json!(1))
    );
    agent.report(&lease, v1::Result::Success, 0).await;
    scaled.fixture.finished(&run).await;
    scaled.until_after(|pool| pool["scaler"]["stopping"] == 1).await;
    drained(&mut agent).await;
    scaled.until_calls(&["up x64-1 x64 X64 1", "down x64-1 x64 X64 0"]).await;
    scaled.fixture.submit(crate::fixture::ONE_JOB).await;
    other.assigned().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_that_fails_is_shown_cleaned_up_after_and_tried_again_later() {
    let scaled = Scaled::start(1, 3, "echo 'no quota' >&2; exit 7", "").await;
    scaled.until_calls(&["up x64-1 x64 X64 1", "down x64-1 x64 X64 1"]).await;
    let failed = scaled.until(|pool| pool["scaler"]["agents"] == json!([])).await;
    let scaler = &failed["scaler"];
    assert_eq!(
        (&failed["ready"], &scaler["on_their_way"], &scaler["failures"]),
        (&json!(0), &json!(0), &json!(1))
    );
    let why = scaler["failure"].as_str().unwrap();
    assert!(why.starts_with("x64-1: ") && why.ends_with("no quota"), "{why}");
    assert!(scaler["next_try_ms"].as_u64().is_some(), "{scaler}");
    let page = Browser::signed_in(scaled.fixture.handle()).await.page("/fleet").await;
    for part in ["command: steady", "no quota", "next try at"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let metrics = scaled.fixture.call(Method::GET, "/metrics", None).await.text().await.unwrap();
    assert!(metrics.contains("slipway_scaler_failures{pool=\"x64\"} 1"), "{metrics}");
    scaled.fixture.clock.advance(RETRY_FIRST_MS);
    let calls = ["up x64-1", "down x64-1", "up x64-2", "down x64-2"].map(|call| format!("{call} x64 X64 1"));
    scaled.until_calls(&calls.each_ref().map(String::as_str)).await;
    scaled.until(|pool| pool["scaler"]["failures"] == 2).await;
    // Twice as long now.
    scaled.fixture.clock.advance(RETRY_FIRST_MS);
    let held = scaled.until(|pool| pool["scaler"]["agents"] == json!([])).await;
    assert!(held["scaler"]["next_try_ms"].as_u64().is_some(), "{held:#}");
    assert_eq!(scaled.calls().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_never_comes_counts_only_until_its_time_is_over() {
    let scaled = Scaled::start(1, 1, "", "").await;
    scaled.until_calls(&["up x64-1 x64 X64 1"]).await;
    scaled.until(|pool| pool["scaler"]["agents"][0]["state"] == "started").await;
    scaled.fixture.clock.advance(300_000);
    scaled.until(|pool| pool["scaler"]["failures"] == 1).await;
    let pool = scaled.until(|pool| pool["scaler"]["agents"] == json!([])).await;
    assert_eq!(pool["scaler"]["failure"], "x64-1: it did not come within 300 s");
    scaled.fixture.clock.advance(RETRY_FIRST_MS);
    let calls = ["up x64-1", "down x64-1", "up x64-2"].map(|call| format!("{call} x64 X64 1"));
    scaled.until_calls(&calls.each_ref().map(String::as_str)).await;
    // The one before is late; it is nobody's, and the other is waited for.
    let _late = scaled.comes(FIRST, "x64-1").await;
    scaled.until(|pool| pool["ready"] == 1).await;
    let _second = scaled.comes(SECOND, "x64-2").await;
    let pool = scaled.until(|pool| pool["scaler"]["there"] == 1).await;
    assert_eq!((&pool["scaler"]["failures"], &pool["scaler"]["failure"]), (&json!(0), &Value::Null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_with_other_labels_than_the_pools_is_let_go_again() {
    let scaled = Scaled::start(1, 2, "", "").await;
    scaled.until_calls(&["up x64-1 x64 X64 1"]).await;
    let hello = v1::Hello {
        name: "x64-1".to_owned(),
        architecture: "ARM64".to_owned(),
        labels: vec!["self-hosted".to_owned(), "linux".to_owned(), "arm64".to_owned()],
        ..hello(FIRST, 1, Vec::new())
    };
    let mut stray = FakeAgent::connect_with(scaled.fixture.handle(), hello).await;
    drained(&mut stray).await;
    let pool = scaled.until(|pool| pool["scaler"]["failures"] == 1).await;
    assert!(pool["scaler"]["failure"].as_str().unwrap().contains("labels or architecture"), "{pool:#}");
    scaled.until(|_| scaled.calls().iter().any(|call| call.starts_with("down x64-1 "))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_killed_between_the_decision_and_the_arrival_asks_for_nothing_twice() {
    // The program is not done before the test says so.
    let wait = "while [ ! -e \"$0.go\" ]; do sleep 0.05; done";
    let mut scaled = Scaled::start(2, 5, wait, "").await;
    let both = ["up x64-1 x64 X64 2", "up x64-2 x64 X64 2"];
    scaled.until(|_| scaled.calls().len() == 2).await;
    scaled.fixture.kill_and_restart().await;
    std::fs::write(scaled.file("calls.go"), "").unwrap();
    // Nobody knows what came of the calls: they are repeated, for the same agents, if these do not come by themselves.
    scaled.fixture.clock.advance(SETTLE_MS);
    scaled.until(|_| scaled.calls().len() == 4).await;
    let mut calls = scaled.calls();
    calls.sort_unstable();
    assert_eq!(calls, [both[0], both[0], both[1], both[1]]);
    scaled.until(|pool| pool["scaler"]["agents"][1]["state"] == "started").await;
    // Now it is known, and nothing is repeated.
    scaled.fixture.kill_and_restart().await;
    scaled.fixture.clock.advance(SETTLE_MS);
    let _agents = [scaled.comes(FIRST, "x64-1").await, scaled.comes(SECOND, "x64-2").await];
    scaled.until(|pool| pool["scaler"]["there"] == 2).await;
    // Those that are there come back to the next leader before it misses them.
    scaled.fixture.kill_and_restart().await;
    let _agents = [scaled.comes(FIRST, "x64-1").await, scaled.comes(SECOND, "x64-2").await];
    scaled.fixture.clock.advance(SETTLE_MS);
    let pool = scaled.until(|pool| pool["ready"] == 2 && pool["scaler"]["there"] == 2).await;
    assert_eq!(pool["scaler"]["on_their_way"], 0);
    assert_eq!(scaled.calls().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_cannot_be_stopped_is_shown_and_tried_again_after_a_restart_too() {
    let mut scaled = Scaled::start(1, 2, "", "[ -e \"$0.go\" ] || { echo 'still busy' >&2; exit 1; }").await;
    scaled.until_calls(&["up x64-1 x64 X64 1"]).await;
    let mut agent = scaled.comes(FIRST, "x64-1").await;
    scaled.until(|pool| pool["scaler"]["there"] == 1).await;
    let rule = json!({"min": 0, "max": 2});
    scaled.fixture.call(Method::PUT, "/api/v1/pools/x64", Some(rule)).await;
    scaled.until_after(|pool| pool["scaler"]["stopping"] == 1).await;
    drained(&mut agent).await;
    let pool = scaled.until(|pool| pool["scaler"]["agents"][0]["failure"].is_string()).await;
    let why = pool["scaler"]["failure"].as_str().unwrap();
    assert!(why.contains("x64-1 could not be stopped yet") && why.ends_with("still busy"), "{why}");
    scaled.fixture.kill_and_restart().await;
    // It is on its way out, whatever restarts: it gets no job.
    let mut agent = scaled.comes(FIRST, "x64-1").await;
    drained(&mut agent).await;
    std::fs::write(scaled.file("calls.go"), "").unwrap();
    scaled.fixture.clock.advance(RETRY_FIRST_MS);
    drop(agent);
    scaled.until(|pool| pool["scaler"]["agents"] == json!([])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_without_bounds_is_not_scaled_and_says_so() {
    let scaled = Scaled::start(0, 3, "", "").await;
    scaled.fixture.call(Method::DELETE, "/api/v1/pools/x64", None).await;
    scaled.fixture.submit(crate::fixture::ONE_JOB).await;
    let pool = scaled.until(|pool| pool["queued"] == 1 && pool["scaler"]["note"].is_string()).await;
    assert!(pool["scaler"]["note"].as_str().unwrap().contains("slipway pools set x64"), "{pool:#}");
    assert!(scaled.calls().is_empty());
}
