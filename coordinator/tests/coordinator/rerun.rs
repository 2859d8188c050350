//! Running again: all of it, or only what failed.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_proto::v1;

use crate::fake_agent::{FIRST, FakeAgent};
use crate::fixture::{Fixture, ONE_JOB};

const THREE: &str = "name: Three
on: push
jobs:
  make:
    runs-on: ubuntu-latest
    outputs: { what: '${{ steps.a.outputs.b }}' }
    steps: [{ run: echo make }]
  test:
    needs: make
    runs-on: ubuntu-latest
    steps: [{ run: 'echo ${{ needs.make.outputs.what }} ${{ github.run_attempt }}' }]
  ship:
    needs: test
    runs-on: ubuntu-latest
    steps: [{ run: echo ship }]
";

async fn rerun(fixture: &Fixture, run: &str, body: Value) -> (u16, Value) {
    let answer = fixture.call(Method::POST, &format!("/api/v1/runs/{run}/rerun"), Some(body)).await;
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_failed_runs_again_with_the_outputs_of_what_did_not() {
    let fixture = Fixture::start().await;
    let first = fixture.submit(THREE).await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    agent.work(v1::Result::Success, &[("what", "cake")]).await;
    let (_, spec) = agent.work(v1::Result::Failure, &[]).await;
    assert_eq!(spec["contexts"]["github"]["run_attempt"], "1", "{spec:#}");
    let ended = fixture.finished(&first).await;
    assert_eq!(ended["result"], "failure");

    // A client may keep what succeeded and start the next attempt itself.
    let carried = fixture.get(&format!("/api/v1/runs/{first}/carried")).await;
    assert_eq!(carried["carried"], json!([{"id": "make", "result": "success", "outputs": {"what": "cake"}}]));
    let mut submission = Fixture::submission(THREE);
    submission["carried"] = carried["carried"].clone();
    submission["run_attempt"] = json!(7);
    let own = fixture.submit_value(submission.clone()).await;
    let (_, spec) = agent.work(v1::Result::Failure, &[]).await;
    assert_eq!(spec["contexts"]["needs"]["make"]["outputs"]["what"], "cake");
    assert_eq!(spec["contexts"]["github"]["run_attempt"], "7");
    fixture.finished(&own).await;
    for (carried, word) in [
        (json!([{"id": "test", "result": "success"}]), "`test`"),
        (json!([{"id": "zzz", "result": "success"}]), "`zzz`"),
        (json!(["make", "test", "ship"].map(|id| json!({"id": id, "result": "success"}))), "nothing is left"),
    ] {
        submission["carried"] = carried;
        let answer = fixture.call(Method::POST, "/api/v1/runs", Some(submission.clone())).await;
        assert_eq!(answer.status(), 422);
        assert!(answer.text().await.unwrap().contains(word), "{word}");
    }

    let (status, body) = rerun(&fixture, &first, json!({"failed": true, "actor": "grace"})).await;
    assert_eq!(status, 201, "{body}");
    let second = body["run"].as_str().unwrap().to_owned();
    assert_ne!(second, first);
    let (_, spec) = agent.work(v1::Result::Success, &[]).await;
    let contexts = &spec["contexts"];
    assert_eq!(contexts["needs"]["make"]["outputs"]["what"], "cake");
    let github = &contexts["github"];
    assert_eq!((&github["run_attempt"], &github["run_number"]), (&json!("2"), &json!("1")));
    assert_eq!((&github["actor"], &github["triggering_actor"]), (&json!("ada"), &json!("grace")));
    agent.work(v1::Result::Success, &[]).await;
    let again = fixture.finished(&second).await;
    assert_eq!((&again["result"], &again["run_attempt"]), (&json!("success"), &json!(2)));
    assert_eq!(again["jobs"][0]["message"], "carried over from an earlier attempt");
    assert_eq!(again["instances"].as_array().unwrap().len(), 2, "the first job did not run again");

    // Everything again, from the newest attempt: the third.
    let (status, body) = rerun(&fixture, &second, json!({"failed": true})).await;
    assert_eq!(status, 409, "{body}");
    assert!(body["error"]["message"].as_str().unwrap().contains("--failed"), "{body}");
    let (_, body) = rerun(&fixture, &second, json!({})).await;
    let third = fixture.get(&format!("/api/v1/runs/{}", body["run"].as_str().unwrap())).await;
    assert_eq!((&third["run_attempt"], &third["run_number"]), (&json!(3), &json!(1)));
    let next = fixture.submit(THREE).await;
    assert_eq!(fixture.get(&format!("/api/v1/runs/{next}")).await["run_number"], 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_run_is_refused_and_secrets_have_to_be_given_again() {
    let fixture = Fixture::start().await;
    let mut submission = Fixture::submission(ONE_JOB);
    submission["secrets"] = json!({"TOKEN": "t", "KEY": "k"});
    let run = fixture.submit_value(submission).await;
    let (status, body) = rerun(&fixture, &run, json!({})).await;
    assert_eq!((status, &body["error"]["code"]), (409, &json!("conflict")), "{body}");
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    agent.work(v1::Result::Failure, &[]).await;
    fixture.finished(&run).await;
    let (status, body) = rerun(&fixture, &run, json!({"secrets": {"TOKEN": "t"}})).await;
    assert_eq!((status, &body["error"]["code"]), (409, &json!("secrets_gone")), "{body}");
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("KEY") && !message.contains("TOKEN"), "{message}");
    let (status, body) = rerun(&fixture, &run, json!({"secrets": {"TOKEN": "t", "KEY": "k"}})).await;
    assert_eq!(status, 201, "{body}");
    let (status, body) = rerun(&fixture, &run, json!({"fialed": true})).await;
    assert_eq!(status, 400, "{body}");
    assert_eq!(rerun(&fixture, "ffffffff", json!({})).await.0, 404);
}
