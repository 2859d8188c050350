//! What no run names any more goes, and nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};
use slipway_cas::Digest;
use slipway_proto::v1;
use slipway_scheduler::Command;

use crate::fake_agent::{FIRST, FakeAgent};
use crate::fixture::Fixture;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Two jobs, of which the second is told what the first has found, by a workflow that calls another.
const CALLS: &str = "name: Calls\non: push\njobs:\n  first:\n    runs-on: ubuntu-latest\n    outputs:\n      found: ${{ steps.a.outputs.found }}\n    steps:\n      - id: a\n        run: echo\n  inner:\n    needs: first\n    uses: ./.github/workflows/called.yml\n    with:\n      found: ${{ needs.first.outputs.found }}\n";
const CALLED: &str = "name: Called\non:\n  workflow_call:\n    inputs:\n      found:\n        type: string\njobs:\n  second:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo ${{ inputs.found }}\n";

fn file(blobs: &Path, digest: Digest) -> PathBuf {
    let hash = digest.hash_hex();
    blobs.join("blobs").join(&hash[..2]).join(&hash[2..])
}

async fn upload(fixture: &Fixture, bytes: &[u8]) -> Digest {
    let request =
        fixture.http.post(fixture.url("/api/v1/blobs")).bearer_auth(fixture.handle().admin_token.reveal());
    assert_eq!(request.body(bytes.to_vec()).send().await.unwrap().status(), 201);
    Digest::of(bytes)
}

/// A run of a working tree, with a called workflow; both jobs succeed.
async fn run_to_its_end(fixture: &Fixture, agent: &mut FakeAgent, tree: Digest) -> String {
    let mut submission = Fixture::submission(CALLS);
    submission["called"] = json!({ ".github/workflows/called.yml": CALLED });
    submission["tree"] = json!({"sha256": tree.hash_hex(), "size_bytes": tree.size_bytes()});
    let run = fixture.submit_value(submission).await;
    agent.work(v1::Result::Success, &[("found", "it")]).await;
    agent.work(v1::Result::Success, &[]).await;
    assert_eq!(fixture.finished(&run).await["result"], "success");
    run
}

async fn collected(fixture: &Fixture) -> u64 {
    let metrics = fixture.call(Method::GET, "/metrics", None).await.text().await.unwrap();
    let lines: BTreeMap<&str, &str> = metrics.lines().filter_map(|line| line.split_once(' ')).collect();
    lines["slipway_blobs_collected_total"].parse().unwrap()
}

/// Starts it again so many days later, and waits until blobs were looked for and some removed, if any are to be.
async fn days_later(fixture: &mut Fixture, days: u64, any: bool) -> u64 {
    fixture.clock.advance(days * DAY_MS);
    fixture.stop_and_restart().await;
    for _ in 0..if any { 1_000 } else { 20 } {
        let removed = collected(fixture).await;
        if removed > 0 {
            return removed;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(!any, "nothing was removed");
    0
}

async fn rerun(fixture: &Fixture, run: &str, body: Value) -> String {
    let answer = fixture.call(Method::POST, &format!("/api/v1/runs/{run}/rerun"), Some(body)).await;
    assert_eq!(answer.status(), 201);
    answer.json::<Value>().await.unwrap()["run"].as_str().unwrap().to_owned()
}

async fn what_no_run_names_goes(mut fixture: Fixture, blobs: PathBuf) {
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let [kept, retired, nobodys] = [b"the tree that is kept".as_slice(), b"of a run that goes", b"nobody's"];
    let (kept, retired) = (upload(&fixture, kept).await, upload(&fixture, retired).await);
    let nobodys = upload(&fixture, nobodys).await;
    let run = run_to_its_end(&fixture, &mut agent, kept).await;
    let other = run_to_its_end(&fixture, &mut agent, retired).await;
    let there = |digest| file(&blobs, digest).exists();

    assert_eq!(days_later(&mut fixture, 6, false).await, 0, "it may be on its way");
    assert!(there(kept) && there(retired) && there(nobodys));
    assert_eq!(days_later(&mut fixture, 2, true).await, 1);
    assert!(there(kept) && there(retired) && !there(nobodys));

    let id = uuid::Uuid::parse_str(&other).unwrap();
    let retire = Command::RetireRun { run: slipway_scheduler::RunId(id) };
    fixture.handle().services().driver.command(retire).await.unwrap();
    // Its tree, its context, the outputs and specifications of its jobs and what its call was planned with; event and
    // workflow are those of the other.
    let removed = days_later(&mut fixture, 1, true).await;
    assert!((4..=9).contains(&removed), "{removed}");
    assert!(there(kept) && !there(retired));

    // Of the one that is left everything is there: it runs again, wholly and in part.
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let again = rerun(&fixture, &run, json!({})).await;
    agent.work(v1::Result::Success, &[("found", "more")]).await;
    agent.work(v1::Result::Failure, &[]).await;
    assert_eq!(fixture.finished(&again).await["result"], "failure");
    let failed = rerun(&fixture, &again, json!({"failed": true})).await;
    let lease = agent.next_assigned().await;
    assert!(agent.spec(&lease).await.to_string().contains(&kept.hash_hex()));
    agent.report(&lease.lease.unwrap(), v1::Result::Success, 0).await;
    assert_eq!(fixture.finished(&failed).await["result"], "success");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_run_names_goes_after_a_week() {
    let fixture = Fixture::start().await;
    let blobs = fixture.folder.path().join("data/objects");
    what_no_run_names_goes(fixture, blobs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_for_ever_stays() {
    let mut fixture = Fixture::start_with(|options| options.keep_blobs = None).await;
    let nobodys = upload(&fixture, b"nobody's").await;
    assert_eq!(days_later(&mut fixture, 1_000, false).await, 0);
    assert!(file(&fixture.folder.path().join("data/objects"), nobodys).exists());
}
