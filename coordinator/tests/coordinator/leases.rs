//! Who holds a lease, and what becomes of one whose holder is gone.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use slipway_proto::v1::agent_message::Message as Out;
use slipway_proto::v1::coordinator_message::Message as In;
use slipway_proto::v1::{self, FencingToken};

use crate::fake_agent::{FIRST, FakeAgent, SECOND, client, hello};
use crate::fixture::{Fixture, ONE_JOB};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_report_is_accepted_again_and_counts_once() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let run = fixture.submit(ONE_JOB).await;
    let lease = agent.assigned().await.lease.unwrap();
    for _ in 0..3 {
        agent.report(&lease, v1::Result::Success, 0).await;
        assert_eq!(agent.accepted().await, lease);
    }
    // Another end of the same attempt is not the one that counted.
    agent.report(&lease, v1::Result::Failure, 0).await;
    assert!(matches!(agent.hear().await, In::Stop(stop) if stop.lease.as_ref() == Some(&lease)));
    let shown = fixture.finished(&run).await;
    assert_eq!(shown["result"], "success");
    assert_eq!(shown["instances"][0]["attempts"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_runs_out_is_given_to_another_and_the_old_token_is_refused() {
    let fixture = Fixture::start().await;
    let mut first = FakeAgent::connect(fixture.handle(), FIRST).await;
    let run = fixture.submit(ONE_JOB).await;
    let old = first.assigned().await.lease.unwrap();
    let mut second = FakeAgent::connect(fixture.handle(), SECOND).await;
    fixture.clock.advance(31_000);
    let new = second.assigned().await.lease.unwrap();
    assert_eq!(new.attempt.as_ref().unwrap().attempt, 2);
    let order = |lease: &v1::Lease| lease.token.map(|FencingToken { epoch, sequence }| (epoch, sequence));
    assert!(order(&new) > order(&old));

    assert!(matches!(first.hear().await, In::Stop(stop) if stop.lease.as_ref() == Some(&old)));
    first.report(&old, v1::Result::Failure, 0).await;
    assert!(matches!(first.hear().await, In::Stop(stop) if stop.lease.as_ref() == Some(&old)));
    first.say(Out::Renew(v1::Renew { number: 7, leases: vec![old.clone()], lease_ms: 0 })).await;
    assert!(
        matches!(first.hear().await, In::Renewed(renewed) if renewed.number == 7 && renewed.leases.is_empty())
    );
    assert!(first.upload(&old, 1, vec![crate::fake_agent::line("late")]).await.stale);
    assert!(first.durable(&old).await.stale);

    second.report(&new, v1::Result::Success, 0).await;
    second.accepted().await;
    let shown = fixture.finished(&run).await;
    assert_eq!(shown["result"], "success");
    let attempts = &shown["instances"][0]["attempts"];
    assert_eq!((&attempts[0]["outcome"], &attempts[0]["cause"]), (&json!("fleet"), &json!("lease_expired")));
    assert_eq!(attempts[1]["outcome"], "success");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declined_lease_goes_to_another_agent_as_the_same_attempt() {
    let fixture = Fixture::start().await;
    let mut first = FakeAgent::connect(fixture.handle(), FIRST).await;
    let run = fixture.submit(ONE_JOB).await;
    let declined = first.assigned().await.lease.unwrap();
    let following = fixture.events(&run, true);
    let working = async {
        let decline = v1::Decline { lease: Some(declined.clone()), reason: "it is full".to_owned() };
        first.say(Out::Decline(decline)).await;
        let shown = fixture
            .run_until(&run, |shown| shown["instances"][0]["attempts"].as_array().is_some_and(Vec::is_empty))
            .await;
        assert_ne!(shown["state"], "finished");
        let mut second = FakeAgent::connect(fixture.handle(), SECOND).await;
        let lease = second.assigned().await.lease.unwrap();
        assert_eq!(lease.attempt, declined.attempt, "no attempt was counted");
        assert_ne!(lease.token, declined.token);
        assert!(first.durable(&declined).await.stale);
        second.upload(&lease, 1, crate::fake_agent::step("Hello", &["hello"])).await;
        second.report(&lease, v1::Result::Success, 3).await;
        second.accepted().await;
        fixture.finished(&run).await
    };
    let (lines, shown) = tokio::join!(following, working);
    assert_eq!(shown["result"], "success");
    let attempts = shown["instances"][0]["attempts"].as_array().unwrap();
    assert_eq!((attempts.len(), &attempts[0]["outcome"]), (1, &json!("success")));
    assert_eq!(lines.iter().filter(|line| line["type"] == "log").count(), 1, "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_only_lease_was_declined_ends_when_it_is_cancelled() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let run = fixture.submit(ONE_JOB).await;
    let lease = agent.assigned().await.lease.unwrap();
    let working = async {
        agent
            .say(Out::Decline(v1::Decline { lease: Some(lease), reason: "it is draining".to_owned() }))
            .await;
        fixture
            .run_until(&run, |shown| shown["instances"][0]["attempts"].as_array().is_some_and(Vec::is_empty))
            .await;
        fixture.call(Method::POST, &format!("/api/v1/runs/{run}/cancel"), None).await
    };
    // Whoever followed the attempt that never was hears of the end.
    let (lines, cancelled) = tokio::join!(fixture.events(&run, true), working);
    assert_eq!(cancelled.status(), 202);
    assert_eq!(lines.last().map(|line| &line["result"]), Some(&json!("cancelled")), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_lease_lives_on() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let run = fixture.submit(ONE_JOB).await;
    let lease = agent.assigned().await.lease.unwrap();
    for number in 1..=4 {
        fixture.clock.advance(20_000);
        agent.say(Out::Renew(v1::Renew { number, leases: vec![lease.clone()], lease_ms: 0 })).await;
        match agent.hear().await {
            In::Renewed(renewed) => {
                assert_eq!((renewed.number, renewed.leases), (number, vec![lease.clone()]))
            }
            other => panic!("{other:?}"),
        }
    }
    agent.report(&lease, v1::Result::Success, 0).await;
    agent.accepted().await;
    assert_eq!(fixture.finished(&run).await["instances"][0]["attempt"], 1);
}

/// An agent that is about to be upgraded: its lease outlasts the usual time, and the coordinator's own restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_was_made_longer_outlasts_the_agent_and_the_coordinator() {
    let mut fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let run = fixture.submit(ONE_JOB).await;
    let lease = agent.assigned().await.lease.unwrap();
    let mut foreign = lease.clone();
    foreign.attempt.as_mut().unwrap().instance_id = uuid::Uuid::from_u128(7).to_string();
    let leases = vec![lease.clone(), foreign];
    agent.say(Out::Renew(v1::Renew { number: 1, leases, lease_ms: 3_600_000 })).await;
    match agent.hear().await {
        In::Renewed(renewed) => {
            assert_eq!(renewed.leases, vec![lease.clone()], "only what it holds");
            assert_eq!(renewed.lease_ms, 600_000, "there is a bound");
        }
        other => panic!("{other:?}"),
    }
    drop(agent);
    let attempt = async |fixture: &Fixture| {
        let shown = fixture.get(&format!("/api/v1/runs/{run}")).await;
        (shown["instances"][0]["attempt"].clone(), shown["instances"][0]["state"].clone())
    };
    // Another agent would be given what is lost at once.
    let _second = FakeAgent::connect(fixture.handle(), SECOND).await;
    fixture.clock.advance(300_000);
    assert_eq!(attempt(&fixture).await, (json!(1), json!("running")));
    fixture.kill_and_restart().await;
    fixture.clock.advance(300_000);
    assert_eq!(attempt(&fixture).await, (json!(1), json!("running")));
    let back = crate::fake_agent::hello(FIRST, 4, vec![lease.clone()]);
    let mut agent = FakeAgent::connect_with(fixture.handle(), back).await;
    assert_eq!(agent.welcome.kept, vec![lease.clone()]);
    agent.report(&lease, v1::Result::Success, 0).await;
    agent.accepted().await;
    assert_eq!(fixture.finished(&run).await["instances"][0]["attempt"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_failure_says_why_and_is_tried_again() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let run = fixture.submit(ONE_JOB).await;
    for attempt in 1..=2 {
        let lease = agent.assigned().await.lease.unwrap();
        assert_eq!(lease.attempt.as_ref().unwrap().attempt, attempt);
        let failure = v1::FleetFailure { cause: "image_not_found".into(), message: "no image x:1".into() };
        let outcome = Some(v1::report::Outcome::Fleet(failure));
        agent.say(Out::Report(v1::Report { lease: Some(lease), outcome, ..v1::Report::default() })).await;
        agent.accepted().await;
        fixture.clock.advance(60_000);
        agent.say(Out::Renew(v1::Renew::default())).await;
    }
    let shown = fixture.finished(&run).await;
    assert_eq!((&shown["result"], &shown["cause"]), (&json!("failure"), &json!("image_not_found")));
    let events = fixture.events(&run, false).await;
    let job = events.iter().find(|event| event["type"] == "job").unwrap();
    assert_eq!((&job["cause"], &job["message"]), (&json!("image_not_found"), &json!("no image x:1")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_a_run_tells_the_agent_and_waits_for_its_report() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let run = fixture.submit(ONE_JOB).await;
    let lease = agent.assigned().await.lease.unwrap();
    let body = json!({"reason": "no need", "actor": "ada"});
    let answer = fixture.call(Method::POST, &format!("/api/v1/runs/{run}/cancel"), Some(body)).await;
    assert_eq!(answer.status(), 202);
    match agent.hear().await {
        In::Cancel(cancel) => {
            assert_eq!(cancel.lease.as_ref(), Some(&lease));
            assert!(cancel.reason.contains("ada") && cancel.reason.contains("no need"), "{}", cancel.reason);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(fixture.get(&format!("/api/v1/runs/{run}")).await["state"], "running");
    agent.report(&lease, v1::Result::Cancelled, 0).await;
    agent.accepted().await;
    assert_eq!(fixture.finished(&run).await["result"], "cancelled");
    let again = fixture.call(Method::POST, &format!("/api/v1/runs/{run}/cancel"), None).await;
    assert_eq!(again.status(), 409);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_agent_gets_nothing_new_and_show_says_why() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let drain = fixture.call(Method::POST, &format!("/api/v1/agents/{FIRST}/drain"), None).await;
    assert_eq!(drain.status(), 200);
    assert!(matches!(agent.hear().await, In::Drain(drain) if drain.on));
    let run = fixture.submit(ONE_JOB).await;
    let waits =
        fixture.run_until(&run, |shown| shown["instances"][0]["wait"]["reason"] == "agents_draining").await;
    assert!(waits["instances"][0]["waits_for"].as_str().unwrap().contains("draining"));
    assert_eq!(fixture.get("/api/v1/agents").await["agents"][0]["draining"], true);
    fixture.call(Method::POST, &format!("/api/v1/agents/{FIRST}/resume"), None).await;
    assert!(matches!(agent.hear().await, In::Drain(drain) if !drain.on));
    agent.assigned().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_on_a_low_disk_gets_nothing_new_and_all_say_why() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let why = "low disk: 1.2 GiB free of 40 GiB at /data";
    let paused = |reason: &str| Out::Paused(v1::Paused { reason: reason.to_owned() });
    agent.say(paused(&format!("{why}\u{1b}"))).await;
    let heard = async {
        while fixture.get("/api/v1/agents").await["agents"][0]["paused"] != why {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), heard).await.expect("it is heard");
    let run = fixture.submit(ONE_JOB).await;
    let waits =
        fixture.run_until(&run, |shown| shown["instances"][0]["wait"]["reason"] == "agents_paused").await;
    let waits_for = waits["instances"][0]["waits_for"].as_str().unwrap();
    assert!(waits_for.ends_with(why) && waits_for.contains("takes new jobs"), "{waits_for}");
    // Resuming it is no room on its disk.
    fixture.call(Method::POST, &format!("/api/v1/agents/{FIRST}/resume"), None).await;
    assert!(matches!(agent.hear().await, In::Drain(drain) if !drain.on));
    let metrics = fixture.call(Method::GET, "/metrics", None).await.text().await.unwrap();
    assert!(metrics.contains("slipway_agents{state=\"paused\"} 1"), "{metrics}");
    assert_eq!(fixture.get("/api/v1/agents").await["agents"][0]["free_slots"], 0);
    agent.say(paused("")).await;
    agent.assigned().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_that_no_agent_has_waits_and_says_so() {
    let fixture = Fixture::start().await;
    let _agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let run = fixture.submit(&ONE_JOB.replace("ubuntu-latest", "[self-hosted, mainframe]")).await;
    let shown = fixture
        .run_until(&run, |shown| shown["instances"][0]["wait"]["reason"] == "no_agent_with_labels")
        .await;
    assert_eq!(shown["instances"][0]["wait"]["missing"], json!(["mainframe"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_session_replaces_the_older_and_keeps_what_is_held() {
    let fixture = Fixture::start().await;
    let mut old = FakeAgent::connect(fixture.handle(), FIRST).await;
    fixture.submit(ONE_JOB).await;
    let lease = old.assigned().await.lease.unwrap();
    let mut foreign = lease.clone();
    foreign.token.as_mut().unwrap().sequence += 5;
    let new = FakeAgent::connect_with(fixture.handle(), hello(FIRST, 4, vec![lease.clone(), foreign])).await;
    assert_eq!(new.welcome.kept, vec![lease]);
    old.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_token_or_says_nonsense_is_refused() {
    let fixture = Fixture::start().await;
    let handle = fixture.handle();
    for token in ["", "wrong", handle.admin_token.reveal()] {
        let mut client = client(handle.grpc_addr, token).await;
        let status = client.session(tokio_stream::empty()).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unauthenticated);
    }
    let mut client = client(handle.grpc_addr, handle.agent_token.reveal()).await;
    let session = async |client: &mut crate::fake_agent::Client, message: Out| {
        let message = v1::AgentMessage { message: Some(message) };
        let mut answers = client.session(tokio_stream::once(message)).await.unwrap().into_inner();
        answers.message().await.unwrap_err()
    };
    let renew = session(&mut client, Out::Renew(v1::Renew::default())).await;
    assert_eq!(renew.code(), tonic::Code::FailedPrecondition);
    let newer = v1::Hello { protocol: 99, ..hello(FIRST, 1, Vec::new()) };
    let newer = session(&mut client, Out::Hello(newer)).await;
    assert!(newer.message().contains("99"), "{newer}");
    let nobody =
        session(&mut client, Out::Hello(v1::Hello { agent_id: "me".into(), ..hello(FIRST, 1, Vec::new()) }))
            .await;
    assert!(nobody.message().contains("hello.agent_id"), "{nobody}");
    let each = Some(v1::Resources { cpu_millis: 1_000, memory_bytes: 1 << 30 });
    let sizing = Some(v1::Sizing { each, ..v1::Sizing::default() });
    let needy = v1::Hello { sizing, ..hello(FIRST, 1, Vec::new()) };
    let needy = session(&mut client, Out::Hello(needy)).await;
    assert!(needy.message().contains("hello.sizing"), "no job would ever begin there: {needy}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_may_choose_how_soon_a_lost_agent_loses_its_jobs() {
    let fixture = Fixture::start_with(|options| options.scheduling.retry.lease_ms = 8_000).await;
    let mut first = FakeAgent::connect(fixture.handle(), FIRST).await;
    let welcome = &first.welcome;
    assert_eq!((welcome.lease_ms, welcome.margin_ms, welcome.renew_ms), (8_000, 1_333, 1_333));
    fixture.submit(ONE_JOB).await;
    let assign = first.assigned().await;
    assert_eq!(assign.lease_ms, 8_000);
    let mut second = FakeAgent::connect(fixture.handle(), SECOND).await;
    fixture.clock.advance(8_001);
    let attempt = second.assigned().await.lease.unwrap().attempt.unwrap();
    assert_eq!(attempt.attempt, 2);
}
