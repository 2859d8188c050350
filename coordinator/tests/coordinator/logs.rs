//! Logs after their attempt: compared with the report, sealed, verified, removed when their time is over.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Method;
use slipway_proto::v1;

use crate::browser::{Browser, job_path};
use crate::fake_agent::{FIRST, FakeAgent, digest, line};
use crate::fixture::{Fixture, ONE_JOB};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

fn numbered(from: u64, to: u64) -> Vec<v1::Record> {
    (from..=to).map(|n| line(&n.to_string())).collect()
}

/// Files of the only attempt of a run, once they are `wanted`.
async fn files(fixture: &Fixture, run: &str, wanted: impl Fn(&[PathBuf]) -> bool) -> Vec<PathBuf> {
    let folder = fixture.folder.path().join("data/objects/records").join(run);
    let list = |folder: &PathBuf| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    loop {
        let attempts = list(&folder);
        let files: Vec<_> = attempts
            .iter()
            .flat_map(|path| if path.is_dir() { list(path) } else { vec![path.clone()] })
            .collect();
        if wanted(&files) {
            return files;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is_sealed(files: &[PathBuf]) -> bool {
    matches!(files, [only] if only.ends_with("sealed.zst"))
}

async fn one_job(fixture: &Fixture, lines: u64) -> String {
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let run = fixture.submit(ONE_JOB).await;
    let lease = agent.assigned().await.lease.unwrap();
    agent.upload(&lease, 1, numbered(1, lines)).await;
    agent.report_with(&lease, lines, digest(&numbered(1, lines))).await;
    agent.accepted().await;
    fixture.finished(&run).await;
    run
}

/// Refused, it would come again for ever and end the session of all other jobs with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_of_other_records_fails_its_attempt_and_nothing_else() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let run = fixture.submit(ONE_JOB).await;
    let lease = agent.assigned().await.lease.unwrap();
    agent.upload(&lease, 1, numbered(1, 10)).await;
    agent.report_with(&lease, 10, digest(&numbered(2, 11))).await;
    agent.accepted().await;
    let tried = |shown: &serde_json::Value| !shown["instances"][0]["attempts"][0]["cause"].is_null();
    let shown = fixture.run_until(&run, tried).await;
    let attempt = &shown["instances"][0]["attempts"][0];
    assert_eq!(attempt["cause"], "internal", "{shown}");
    let message = attempt["message"].as_str().unwrap();
    assert!(message.starts_with("the job ended as success, but its log is not the one"), "{message}");
    let counted = digest(&numbered(1, 10));
    let counted = format!("{}/{}", counted.sha256, counted.size_bytes);
    assert_eq!(attempt["records_digest"], counted.as_str(), "what is durable stays told");
    let verified = fixture.get(&format!("/api/v1/runs/{run}/records")).await;
    assert_eq!(verified["complete"], true, "{verified}");
}

/// The coordinator did not see the first records come: it counts them from storage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_is_compared_over_a_restart_and_shown() {
    let mut fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let run = fixture.submit(ONE_JOB).await;
    let lease = agent.assigned().await.lease.unwrap();
    agent.upload(&lease, 1, numbered(1, 300)).await;
    fixture.kill_and_restart().await;
    let hello = crate::fake_agent::hello(FIRST, 4, vec![lease.clone()]);
    let mut agent = FakeAgent::connect_with(fixture.handle(), hello).await;
    agent.upload(&lease, 301, numbered(301, 500)).await;
    let counted = digest(&numbered(1, 500));
    agent.report_with(&lease, 500, counted.clone()).await;
    agent.accepted().await;
    fixture.finished(&run).await;
    files(&fixture, &run, is_sealed).await;
    fixture.stop_and_restart().await;
    let text = format!("{}/{}", counted.sha256, counted.size_bytes);
    let shown = fixture.get(&format!("/api/v1/runs/{run}")).await;
    assert_eq!(shown["instances"][0]["attempts"][0]["records_digest"], text.as_str(), "{shown}");
    let verified = fixture.get(&format!("/api/v1/runs/{run}/records")).await;
    assert_eq!(verified["complete"], true, "{verified}");
    assert_eq!(verified["attempts"][0]["digest"], text.as_str());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_or_is_missing_shows() {
    let fixture = Fixture::start().await;
    let run = one_job(&fixture, 2_000).await;
    let [sealed] = &files(&fixture, &run, is_sealed).await[..] else { unreachable!() };
    let good = std::fs::read(sealed).unwrap();
    let path = format!("/api/v1/runs/{run}/records");
    assert_eq!(fixture.get(&path).await["complete"], true);
    let mut changed = good.clone();
    let middle = changed.len() / 3;
    changed[middle] ^= 4;
    std::fs::write(sealed, changed).unwrap();
    let verified = fixture.get(&path).await;
    assert_eq!(
        (&verified["complete"], &verified["attempts"][0]["state"]),
        (&false.into(), &"damaged".into())
    );
    let problem = verified["attempts"][0]["problem"].as_str().unwrap();
    assert!(problem.contains("sealed.zst"), "{problem}");
    std::fs::remove_file(sealed).unwrap();
    let verified = fixture.get(&path).await;
    assert_eq!(verified["complete"], false);
    assert!(verified["attempts"][0]["problem"].as_str().unwrap().contains("2000"), "{verified}");
    // Reading breaks off rather than pass for the whole.
    let logs = fixture.call(Method::GET, &format!("/api/v1/runs/{run}/logs"), None).await;
    assert!(logs.text().await.is_err());
}

/// A kill between the attempt's end and its sealing: the chunks are found at the next start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_sealed_is_sealed_at_the_start() {
    let mut fixture = Fixture::start().await;
    let run = one_job(&fixture, 50).await;
    let [sealed] = &files(&fixture, &run, is_sealed).await[..] else { unreachable!() };
    // As it was before: one chunk, unpacked again.
    let chunk = zstd::stream::decode_all(&std::fs::read(sealed).unwrap()[..]).unwrap();
    std::fs::write(sealed.with_file_name("00000000000000000001.rec"), chunk).unwrap();
    std::fs::remove_file(sealed).unwrap();
    fixture.kill_and_restart().await;
    files(&fixture, &run, is_sealed).await;
    let logs = fixture.call(Method::GET, &format!("/api/v1/runs/{run}/logs?job=build"), None).await;
    assert!(logs.text().await.unwrap().lines().eq((1..=50).map(|n| n.to_string())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_go_when_their_time_is_over_and_that_is_said() {
    let mut fixture = Fixture::start_with(|options| options.keep_logs_days = 3).await;
    let run = one_job(&fixture, 20).await;
    files(&fixture, &run, is_sealed).await;
    fixture.clock.advance(2 * DAY_MS);
    fixture.stop_and_restart().await;
    let logs = format!("/api/v1/runs/{run}/logs?job=build");
    assert_eq!(fixture.call(Method::GET, &logs, None).await.text().await.unwrap().lines().count(), 20);
    fixture.clock.advance(2 * DAY_MS);
    fixture.stop_and_restart().await;
    files(&fixture, &run, |files| matches!(files, [only] if only.ends_with("removed"))).await;
    let answer = fixture.call(Method::GET, &logs, None).await;
    assert_eq!(answer.status(), 410);
    let message = answer.text().await.unwrap();
    assert!(message.contains("--keep-logs") && message.contains(&run), "{message}");
    let verified = fixture.get(&format!("/api/v1/runs/{run}/records")).await;
    assert_eq!(
        (&verified["complete"], &verified["attempts"][0]["state"]),
        (&false.into(), &"removed".into())
    );
    let browser = Browser::signed_in(fixture.handle()).await;
    let job = job_path(&fixture, &run).await;
    assert!(browser.page(&job).await.contains("logs of this run were removed"));
    assert_eq!(browser.get(&format!("{job}/log.txt")).await.status(), 410);
    assert_eq!(browser.get(&format!("/runs/{run}")).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_read_from_any_line_on() {
    let fixture = Fixture::start().await;
    let run = one_job(&fixture, 1_000).await;
    let log = async |query: &str| {
        let path = format!("/api/v1/runs/{run}/logs?{query}");
        fixture.call(reqwest::Method::GET, &path, None).await.text().await.unwrap()
    };
    let whole = log("job=build").await;
    assert_eq!(whole.lines().count(), 1_000);
    for from in [0, 1, 2, 500, 1_000, 1_001, 5_000] {
        let expected: String = whole.split_inclusive('\n').skip(usize::saturating_sub(from, 1)).collect();
        assert_eq!(log(&format!("job=build&from={from}")).await, expected, "from {from}");
    }
    // Each instance by itself, and the end always.
    let path = format!("/api/v1/runs/{run}/events?from=999&job=BUILD");
    let events = fixture.call(reqwest::Method::GET, &path, None).await.text().await.unwrap();
    let kinds: Vec<&str> = events.lines().map(|line| line.split('"').nth(3).unwrap()).collect();
    assert_eq!(kinds, ["log", "log", "job", "run"], "{events}");
    let path = format!("/api/v1/runs/{run}/events?job=other");
    let events = fixture.call(reqwest::Method::GET, &path, None).await.text().await.unwrap();
    assert_eq!(events.lines().count(), 1, "{events}");
    let wrong = fixture.call(reqwest::Method::GET, &format!("/api/v1/runs/{run}/logs?from=x"), None).await;
    assert_eq!(wrong.status(), 400);
}

/// Readers that read nothing, more than the kernel keeps for them by far: the agent's records are acknowledged all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_hold_nobody_up() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let run = fixture.submit(ONE_JOB).await;
    let lease = agent.assigned().await.lease.unwrap();
    let long = |from: u64, to: u64| -> Vec<v1::Record> {
        (from..=to).map(|n| line(&format!("{n} {}", "x".repeat(10_000)))).collect()
    };
    agent.upload(&lease, 1, long(1, 10)).await;
    let follow = format!("/api/v1/runs/{run}/events?follow=true");
    let mut idle = Vec::new();
    for _ in 0..12 {
        let answer = fixture.call(Method::GET, &follow, None).await;
        assert_eq!(answer.status(), 200);
        idle.push(answer);
    }
    for first in (11..=2_010).step_by(200) {
        agent.upload(&lease, first, long(first, first + 199)).await;
    }
    agent.report(&lease, v1::Result::Success, 2_010).await;
    agent.accepted().await;
    // Whoever reads at last misses nothing, though it was sealed meanwhile.
    files(&fixture, &run, is_sealed).await;
    let text = idle.swap_remove(0).text().await.unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("\"type\":\"log\"")).count(), 2_010);
    drop(idle);
}
