//! What jobs and readers see of trouble that passes: a disk that was full for a while, an agent that was lost.

use std::time::Duration;

use slipway_coordinator::options::Objects;
use slipway_proto::v1;
use slipway_proto::v1::coordinator_message::Message as In;

use crate::fake_agent::{FIRST, FakeAgent, line};
use crate::fixture::{Fixture, ONE_JOB};

/// A job, and others that wait for it. Their specifications have the workflow's `env`, which is too long for the store of small
/// blobs: they become files.
fn one_and_others(others: usize) -> String {
    let long = "b".repeat(100_000);
    let job = "runs-on: ubuntu-latest\n    steps:\n      - run: a\n";
    let mut workflow = format!("on: push\nenv:\n  LONG: {long}\njobs:\n  first:\n    {job}");
    for number in 0..others {
        workflow += &format!("  other{number}:\n    needs: first\n    {job}");
    }
    workflow
}

/// More jobs than are planned at a time.
const MANY: usize = 20;

/// Longer than anything was tried again when giving up was still possible.
const A_WHILE: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_planned_when_blobs_can_be_kept_again() {
    let objects = tempfile::tempdir().unwrap();
    let folder = objects.path().join("objects");
    let fixture =
        Fixture::start_with(|options| options.objects = Some(Objects::Folder(folder.clone()))).await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let run = fixture.submit(&one_and_others(MANY)).await;
    let lease = agent.assigned().await.lease.unwrap();
    // A file where drafts of blobs are made: none can be written, whoever asks.
    let (drafts, aside) = (folder.join("incoming"), objects.path().join("aside"));
    std::fs::rename(&drafts, &aside).unwrap();
    std::fs::write(&drafts, "").unwrap();
    agent.report(&lease, v1::Result::Success, 0).await;
    agent.accepted().await;
    tokio::time::sleep(A_WHILE).await;
    let shown = fixture.get(&format!("/api/v1/runs/{run}")).await;
    for job in &shown["jobs"].as_array().unwrap()[1..] {
        assert_eq!(job["state"], "waiting", "a full disk is no fault of the job: {shown}");
    }
    // Who needs no file does not wait for those that do, however many they are.
    let small = fixture.submit(ONE_JOB).await;
    let lease = agent.assigned().await.lease.unwrap();
    assert_eq!(lease.attempt.as_ref().unwrap().run_id, small);
    agent.report(&lease, v1::Result::Success, 0).await;
    agent.accepted().await;
    std::fs::remove_file(&drafts).unwrap();
    std::fs::rename(&aside, &drafts).unwrap();
    let mut accepted = 0;
    while accepted < MANY {
        match agent.hear().await {
            In::Assign(assign) => agent.report(&assign.lease.unwrap(), v1::Result::Success, 0).await,
            In::Accepted(_) => accepted += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(fixture.finished(&run).await["result"], "success");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lines_of_attempts_come_one_attempt_after_the_other() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let run = fixture.submit(ONE_JOB).await;
    let following = fixture.events(&run, true);
    let working = async {
        for attempt in 1..=3_u64 {
            let lease = agent.assigned().await.lease.unwrap();
            assert_eq!(u64::from(lease.attempt.as_ref().unwrap().attempt), attempt);
            // A record more is reported than there is: the attempt has failed, and there is a next one.
            let said: Vec<_> = (0..5).map(|n| line(&format!("{}", attempt * 10 + n))).collect();
            agent.upload(&lease, 1, said).await;
            agent.report(&lease, v1::Result::Success, if attempt < 3 { 6 } else { 5 }).await;
            agent.accepted().await;
            fixture.clock.advance(15_000);
        }
        fixture.finished(&run).await;
    };
    let (followed, ()) = tokio::join!(following, working);
    let expected: Vec<String> = (1..=3).flat_map(|a| (0..5).map(move |n| (a * 10 + n).to_string())).collect();
    let lines = |events: &[serde_json::Value]| -> Vec<String> {
        let logs = events.iter().filter(|event| event["type"] == "log");
        logs.map(|event| event["line"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(lines(&followed), expected);
    for _ in 0..50 {
        assert_eq!(lines(&fixture.events(&run, false).await), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_leave_to_send_is_refused_before_and_heard_otherwise() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let fixture = Fixture::start().await;
    let token = std::fs::read_to_string(fixture.folder.path().join("data/cache.token")).unwrap();
    let good = format!("authorization: Bearer {}\r\n", token.trim());
    let refused = "HTTP/1.1 401 Unauthorized\r\n";
    for (request, authorization, first) in [
        ("PUT /cache/files/a", "", refused),
        ("POST /api/v1/blobs", "", refused),
        ("PUT /cache/files/a", good.as_str(), "HTTP/1.1 100 Continue\r\n"),
    ] {
        // Which of two comes first is decided anew each time.
        for _ in 0..20 {
            let mut stream = tokio::net::TcpStream::connect(fixture.handle().http_addr).await.unwrap();
            let head = format!(
                "{request} HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\nexpect: 100-continue\r\n{authorization}\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut line = Vec::new();
            while !line.ends_with(b"\n") {
                line.push(stream.read_u8().await.unwrap());
            }
            assert_eq!(String::from_utf8(line).unwrap(), first, "{request}");
        }
    }
}
