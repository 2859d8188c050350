//! Killed or stopped, a coordinator goes on where it was.

use reqwest::Method;
use slipway_coordinator::options::Options;
use slipway_coordinator::{Coordinator, StartError};
use slipway_proto::v1;
use slipway_proto::v1::coordinator_message::Message as In;

use crate::fake_agent::{FIRST, FakeAgent, SECOND, hello};
use crate::fixture::{Fixture, ONE_JOB};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_survives_kills_at_every_stage() {
    let mut fixture = Fixture::start().await;
    let run = fixture.submit(ONE_JOB).await;
    fixture.kill_and_restart().await;

    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let lease = agent.assigned().await.lease.unwrap();
    assert_eq!(lease.attempt.as_ref().unwrap().run_id, run);
    fixture.kill_and_restart().await;

    let mut agent = FakeAgent::connect_with(fixture.handle(), hello(FIRST, 4, vec![lease.clone()])).await;
    // A start that finds the dropped coordinator's cache still open has taken an epoch of its own, and is repeated.
    assert!(agent.welcome.epoch >= 3, "{}", agent.welcome.epoch);
    assert_eq!(agent.welcome.kept, vec![lease.clone()]);
    agent.report(&lease, v1::Result::Success, 0).await;
    agent.accepted().await;
    fixture.kill_and_restart().await;

    // The acknowledgement may have been lost: the report is accepted again and changes nothing.
    let mut agent = FakeAgent::connect_with(fixture.handle(), hello(FIRST, 4, vec![lease.clone()])).await;
    assert!(agent.welcome.kept.is_empty());
    agent.report(&lease, v1::Result::Success, 0).await;
    assert_eq!(agent.accepted().await, lease);
    let shown = fixture.finished(&run).await;
    assert_eq!(
        (shown["result"].as_str(), shown["instances"][0]["attempt"].as_u64()),
        (Some("success"), Some(1))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_in_good_order_it_starts_from_a_snapshot() {
    let mut fixture = Fixture::start().await;
    let mut runs = Vec::new();
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    for _ in 0..5 {
        runs.push(fixture.submit(ONE_JOB).await);
        let lease = agent.assigned().await.lease.unwrap();
        agent.report(&lease, v1::Result::Success, 0).await;
        agent.accepted().await;
    }
    fixture.stop_and_restart().await;
    let listed = fixture.get("/api/v1/runs").await;
    let listed: Vec<_> =
        listed["runs"].as_array().unwrap().iter().map(|run| run["run"].as_str().unwrap()).collect();
    assert_eq!(listed, runs.iter().rev().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(fixture.get("/api/v1/runs?limit=1").await["runs"][0]["run_number"], 5);
    let mut agent = FakeAgent::connect(fixture.handle(), SECOND).await;
    let run = fixture.submit(ONE_JOB).await;
    agent.assigned().await;
    assert_eq!(fixture.get(&format!("/api/v1/runs/{run}")).await["run_number"], 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_to_drain_stands_until_it_is_taken_back() {
    let mut fixture = Fixture::start().await;
    let agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let order = |order: &str| format!("/api/v1/agents/{FIRST}/{order}");
    assert!(fixture.call(Method::POST, &order("drain"), None).await.status().is_success());
    drop(agent);
    // From the journal, then from a snapshot.
    for snapshot in [false, true] {
        match snapshot {
            false => fixture.kill_and_restart().await,
            true => fixture.stop_and_restart().await,
        }
        let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
        assert!(matches!(agent.hear().await, In::Drain(drain) if drain.on));
        let listed = fixture.get("/api/v1/agents").await;
        assert_eq!(listed["agents"][0]["draining"], true, "{listed}");
    }
    let run = fixture.submit(ONE_JOB).await;
    fixture.kill_and_restart().await;
    // It has not come back yet, and hears of it when it does.
    assert!(fixture.call(Method::POST, &order("resume"), None).await.status().is_success());
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    assert_eq!(agent.assigned().await.lease.unwrap().attempt.unwrap().run_id, run);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_lost_its_job_while_away_does_not_hold_it_up() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    fixture.submit(ONE_JOB).await;
    let lease = agent.assigned().await.lease.unwrap();
    agent
        .say(v1::agent_message::Message::Renew(v1::Renew {
            number: 1,
            leases: vec![lease.clone()],
            lease_ms: 0,
        }))
        .await;
    agent.hear().await;
    drop(agent);
    // It comes back without what it had; another agent takes over at once, and not when the lease ends.
    let mut other = FakeAgent::connect(fixture.handle(), SECOND).await;
    let _back = FakeAgent::connect(fixture.handle(), FIRST).await;
    let again = other.assigned().await.lease.unwrap();
    assert_eq!(again.attempt.unwrap().attempt, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_hinders_a_start_is_told_in_one_message() {
    let fixture = Fixture::start().await;
    let told = async |options: Options| match Coordinator::start(options).await {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    };
    let same = told((*fixture.handle().services().options).clone()).await;
    assert!(same.to_string().contains("in use by another process"), "{same}");

    let folder = tempfile::tempdir().unwrap();
    let options = Options { http: fixture.handle().http_addr, ..Options::embedded(folder.path().join("a")) };
    let port = told(options).await;
    assert!(matches!(port, StartError::Listen { flag: "--http", .. }), "{port}");
    assert!(port.to_string().contains(&fixture.handle().http_addr.to_string()), "{port}");

    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let unusable = told(Options::embedded(&file)).await;
    assert!(unusable.to_string().contains("--data-dir"), "{unusable}");

    let open = Options { grpc: "0.0.0.0:0".parse().unwrap(), ..Options::embedded(folder.path().join("b")) };
    let open = told(open).await;
    assert!(open.to_string().contains("--tls-cert"), "{open}");
}
