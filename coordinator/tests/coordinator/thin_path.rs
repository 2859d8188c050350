//! Submit, plan, journal, lease, records, report, events: the whole way once.

use serde_json::json;
use slipway_proto::v1;

use crate::fake_agent::{FIRST, FakeAgent, step};
use crate::fixture::{Fixture, ONE_JOB};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_job_from_submission_to_the_last_line() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    assert_eq!(agent.welcome.epoch, 1);
    let run = fixture.submit(ONE_JOB).await;
    let assign = agent.assigned().await;
    let lease = assign.lease.clone().unwrap();
    let attempt = lease.attempt.clone().unwrap();
    assert_eq!((attempt.run_id.as_str(), attempt.attempt), (run.as_str(), 1));
    let spec = agent.spec(&assign).await;
    assert_eq!((&spec["job"], &spec["steps"][0]["action"]["kind"]), (&json!("build"), &json!("run")));
    assert_eq!(spec["contexts"]["github"]["run_number"], "1");

    let running = fixture.get(&format!("/api/v1/runs/{run}")).await;
    assert_eq!(
        (&running["state"], &running["instances"][0]["agent"]),
        (&json!("running"), &json!("agent-1111"))
    );
    // Somebody follows from the middle of it, and gets all.
    let (events, ()) = tokio::join!(fixture.events(&run, true), async {
        let ack = agent.upload(&lease, 1, step("Hello", &["hello", "there"])).await;
        assert_eq!((ack.durable, ack.stale), (4, false));
        agent.report(&lease, v1::Result::Success, 4).await;
        assert_eq!(agent.accepted().await, lease);
    });
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["log", "log", "step", "job", "run"], "{events:#?}");
    assert_eq!((&events[1]["line"], &events[1]["step"]), (&json!("there"), &json!("Hello")));
    assert_eq!(events[2]["outcome"], "success");
    assert_eq!(
        (&events[3]["job"], &events[3]["result"], &events[3]["attempt"]),
        (&json!("build"), &json!("success"), &json!(1))
    );
    assert_eq!((&events[4]["run"], &events[4]["result"]), (&json!(run), &json!("success")));
    assert_eq!(fixture.events(&run, false).await, events, "a later reader gets the same");

    let shown = fixture.finished(&run).await;
    assert_eq!(shown["instances"][0]["attempts"][0]["records"], 4);
    let logs = fixture.call(reqwest::Method::GET, &format!("/api/v1/runs/{run}/logs?job=build"), None).await;
    assert_eq!(logs.text().await.unwrap(), "hello\nthere\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outputs_make_a_matrix_and_a_skipped_job_says_so() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let run = fixture
        .submit(
            "on: push\njobs:\n  list:\n    runs-on: ubuntu-latest\n    outputs: { parts: '${{ steps.a.outputs.p }}' }\n    \
             steps: [{ id: a, run: x }]\n  part:\n    needs: list\n    runs-on: ubuntu-latest\n    strategy: { matrix: { \
             p: '${{ fromJSON(needs.list.outputs.parts) }}' } }\n    steps: [{ run: x }]\n  never:\n    needs: part\n    if: \
             failure()\n    runs-on: ubuntu-latest\n    steps: [{ run: x }]\n",
        )
        .await;
    let lease = agent.assigned().await.lease.unwrap();
    let outputs = [("parts".to_owned(), "[1, 2]".to_owned())].into();
    let work = v1::WorkOutcome { result: v1::Result::Success.into(), outputs, ..v1::WorkOutcome::default() };
    agent.report_work(&lease, work, 0).await;
    agent.accepted().await;
    let mut parts = Vec::new();
    for _ in 0..2 {
        let assign = agent.assigned().await;
        parts.push(agent.spec(&assign).await["name"].as_str().unwrap().to_owned());
        agent.report(&assign.lease.unwrap(), v1::Result::Success, 0).await;
    }
    parts.sort();
    assert_eq!(parts, ["part (1)", "part (2)"]);
    let shown = fixture.finished(&run).await;
    assert_eq!(shown["result"], "success");
    let events = fixture.events(&run, false).await;
    let never = events.iter().find(|event| event["job"] == "never").unwrap();
    assert_eq!((&never["type"], &never["result"]), (&json!("job"), &json!("skipped")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_only_the_run_can_tell_is_wrong_fails_with_its_reason() {
    let fixture = Fixture::start().await;
    let run = fixture
        .submit("on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    strategy: { matrix: { v: '${{ fromJSON(github.event.ref) }}' } }\n    steps: [{ run: x }]\n")
        .await;
    let shown = fixture.finished(&run).await;
    assert_eq!(shown["result"], "failure");
    assert!(shown["jobs"][0]["message"].as_str().unwrap().contains("ci.yml:"), "{shown:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_handed_out_under_a_live_lease_only_and_go_with_the_run() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let mut submission = Fixture::submission(ONE_JOB);
    submission["secrets"] = json!({"TOKEN": "hush-hush"});
    let run = fixture.submit_value(submission).await;
    let lease = agent.assigned().await.lease.unwrap();
    let request = v1::FetchSecretsRequest { lease: Some(lease.clone()) };
    let secrets = agent.client.fetch_secrets(request.clone()).await.unwrap().into_inner().secrets;
    assert_eq!(secrets["TOKEN"], "hush-hush");
    let mut other = request.clone();
    other.lease.as_mut().unwrap().token.as_mut().unwrap().sequence += 1;
    assert_eq!(agent.client.fetch_secrets(other).await.unwrap_err().code(), tonic::Code::PermissionDenied);
    // Nothing but its own file holds it.
    let found = std::process::Command::new("grep")
        .args(["-rl", "hush-hush", fixture.folder.path().to_str().unwrap()])
        .output()
        .unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    assert_eq!(found.lines().collect::<Vec<_>>().len(), 1, "{found}");
    assert!(found.contains(&format!("secrets/{run}.json")), "{found}");

    agent.report(&lease, v1::Result::Failure, 0).await;
    agent.accepted().await;
    assert_eq!(fixture.finished(&run).await["result"], "failure");
    assert_eq!(agent.client.fetch_secrets(request).await.unwrap_err().code(), tonic::Code::PermissionDenied);
    let file = fixture.folder.path().join(format!("data/secrets/{run}.json"));
    for _ in 0..500 {
        if !file.exists() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the secrets outlive their run");
}
