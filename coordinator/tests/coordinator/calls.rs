//! Reusable workflows: their jobs are the run's, their outputs the caller's, and a rerun keeps what succeeded in them.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_proto::v1;

use crate::fake_agent::{FIRST, FakeAgent};
use crate::fixture::Fixture;

const CALLER: &str = "on: push
jobs:
  deploy:
    strategy: { max-parallel: 1, fail-fast: false, matrix: { to: [eu, us] } }
    uses: ./.github/workflows/deploy.yml
    with: { to: '${{ matrix.to }}' }
    secrets: { KEY: 'x-${{ secrets.K }}' }
  report:
    needs: deploy
    if: always()
    runs-on: ubuntu-latest
    steps: [{ run: 'echo ${{ needs.deploy.outputs.where }}' }]
";

const CALLEE: &str = "on:
  workflow_call:
    inputs: { to: { type: string, required: true } }
    secrets: { KEY: { required: true } }
    outputs: { where: { value: 'in ${{ jobs.send.outputs.where }}' } }
jobs:
  make:
    runs-on: ubuntu-latest
    steps: [{ run: echo make }]
  send:
    needs: make
    runs-on: ubuntu-latest
    outputs: { where: '${{ steps.a.outputs.b }}' }
    steps: [{ run: 'echo ${{ inputs.to }}' }]
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn called_jobs_run_and_only_those_that_failed_run_again() {
    let fixture = Fixture::start().await;
    let mut submission = Fixture::submission(CALLER);
    submission["called"] = json!({".github/workflows/deploy.yml": CALLEE});
    let first = fixture.submit_value(submission).await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;

    let (name, spec) = agent.work(v1::Result::Success, &[]).await;
    assert_eq!((name.as_str(), &spec["contexts"]["inputs"]), ("deploy (eu) / make", &json!({"to": "eu"})));
    assert_eq!(spec["secret_scopes"][0]["entries"][0]["key"], "KEY", "{spec:#}");
    assert_eq!(spec["workflow_file"], ".github/workflows/deploy.yml");
    let (name, spec) = agent.work(v1::Result::Success, &[("where", "eu")]).await;
    assert_eq!((name.as_str(), spec["job"].as_str().unwrap()), ("deploy (eu) / send", "send"));
    assert_eq!(spec["contexts"]["needs"]["make"]["result"], "success");
    assert_eq!(agent.work(v1::Result::Success, &[]).await.0, "deploy (us) / make");
    assert_eq!(agent.work(v1::Result::Failure, &[("where", "us")]).await.0, "deploy (us) / send");
    let (name, spec) = agent.work(v1::Result::Success, &[]).await;
    let deploy = &spec["contexts"]["needs"]["deploy"];
    assert_eq!((name.as_str(), &deploy["result"]), ("report", &json!("failure")));
    assert_eq!(deploy["outputs"]["where"], "in eu", "the last successful call sets it");

    let ended = fixture.finished(&first).await;
    assert_eq!(ended["result"], "failure");
    let jobs: Vec<&str> =
        ended["jobs"].as_array().unwrap().iter().map(|job| job["job"].as_str().unwrap()).collect();
    assert_eq!(
        jobs,
        ["deploy", "deploy#1/make", "deploy#1/send", "deploy#2/make", "deploy#2/send", "report"]
    );

    let path = format!("/api/v1/runs/{first}/rerun");
    let answer = fixture.call(Method::POST, &path, Some(json!({"failed": true}))).await;
    assert_eq!(answer.status(), 201);
    let second = answer.json::<Value>().await.unwrap()["run"].as_str().unwrap().to_owned();
    assert_eq!(agent.work(v1::Result::Success, &[("where", "us")]).await.0, "deploy (us) / send");
    let (name, spec) = agent.work(v1::Result::Success, &[]).await;
    assert_eq!(
        (name.as_str(), &spec["contexts"]["needs"]["deploy"]["outputs"]["where"]),
        ("report", &json!("in us"))
    );
    assert_eq!(fixture.finished(&second).await["result"], "success");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_one_concurrency_group_run_one_after_the_other() {
    let fixture = Fixture::start().await;
    let text = "on: push
jobs:
  a:
    strategy: { matrix: { v: [1, 2] } }
    concurrency: { group: 'g-${{ strategy.job-total }}', queue: max }
    runs-on: ubuntu-latest
    steps: [{ run: echo }]
";
    let run = fixture.submit(text).await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let first = agent.next_assigned().await;
    let shown = fixture.get(&format!("/api/v1/runs/{run}")).await;
    let waits = shown["instances"][1]["waits_for"].as_str().unwrap_or_default().to_owned();
    assert!(waits.contains("waits for the concurrency group `g-2`") && waits.contains(&run), "{shown:#}");
    let work = v1::WorkOutcome { result: v1::Result::Success.into(), ..v1::WorkOutcome::default() };
    agent.report_work(first.lease.as_ref().unwrap(), work.clone(), 0).await;
    let second = agent.next_assigned().await;
    agent.report_work(second.lease.as_ref().unwrap(), work, 0).await;
    assert_eq!(fixture.finished(&run).await["result"], "success");
}
