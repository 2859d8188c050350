//! Pull requests of forks by people whom nobody knows: their runs wait as a whole until somebody approves them.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use slipway_coordinator::driver::holds::EXPIRES_MS;
use slipway_coordinator::options::ApproveForks;
use slipway_proto::v1;

use crate::browser::Browser;
use crate::events::{Forge, workflow};
use crate::fake_agent::{FIRST, FakeAgent, hello};
use crate::github_double::{Double, Trouble};

/// A job that runs whatever happens, and one after it.
fn always() -> String {
    let job = |id: &str, rest: &str| {
        format!(
            "  {id}:\n    if: always()\n{rest}    runs-on: ubuntu-latest\n    steps:\n      - run: echo {id}\n"
        )
    };
    format!("name: ci\non: pull_request\njobs:\n{}{}", job("one", ""), job("two", "    needs: one\n"))
}

async fn forge(double: &Double, rule: ApproveForks) -> Forge {
    let files = [("ci", always()), ("target", workflow("target", "pull_request_target"))];
    Forge::with(&files, double.host(), |options| {
        options.github = Some(double.options());
        options.public_url = Some("https://ci.example.com".to_owned());
        options.webhook.approve_forks = rule;
    })
    .await
}

/// Opens a pull request of a fork; gives its head.
async fn open(forge: &Forge, number: u32, association: &str) -> String {
    let base = forge.git(&["rev-parse", "main"]);
    forge.git(&["checkout", "--quiet", "-B", "topic", "main"]);
    let head = forge.commit("topic.txt", &number.to_string(), "Topic");
    forge.git(&["checkout", "--quiet", "main"]);
    forge.git(&["update-ref", &format!("refs/pull/{number}/head"), &head]);
    let pull = json!({
        "number": number, "merged": false, "merge_commit_sha": null, "author_association": association,
        "user": {"login": "mallory"},
        "head": {"ref": "topic", "sha": head, "repo": {"full_name": "fork/n"}},
        "base": {"ref": "main", "sha": base, "repo": {"full_name": "o/n"}},
    });
    forge.deliver("pull_request", json!({"action": "opened", "number": number, "pull_request": pull})).await;
    head
}

/// The newest run of the workflow `ci`, as the API shows it.
async fn newest(forge: &Forge) -> Value {
    let runs = forge.runs().await;
    let run =
        runs.iter().rfind(|run| run["workflow_name"] == "ci").unwrap()["run"].as_str().unwrap().to_owned();
    forge.fixture.get(&format!("/api/v1/runs/{run}")).await
}

async fn decide(forge: &Forge, run: &Value, wanted: Value) -> (StatusCode, Value) {
    let path = format!("/api/v1/runs/{}/approvals", run["run"].as_str().unwrap());
    let answer = forge.fixture.call(Method::POST, &path, Some(wanted)).await;
    (answer.status(), answer.json().await.unwrap())
}

fn end_of<'a>(ends: &'a [(String, String)], name: &str) -> Option<&'a str> {
    ends.iter().find(|(known, _)| known == name).map(|(_, end)| end.as_str())
}

const CHECK: &str = "ci / approval (pull_request)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_run_waits_over_a_death_until_somebody_approves_it() {
    let double = Double::start().await;
    let mut forge = forge(&double, ApproveForks::FirstTime).await;
    let head = open(&forge, 5, "FIRST_TIME_CONTRIBUTOR").await;
    double.until("a check", |known| end_of(&known.ends(), CHECK) == Some("action_required")).await;
    let check = double.known().check(CHECK).unwrap().clone();
    let run = newest(&forge).await;
    let id = run["run"].as_str().unwrap();
    assert_eq!(
        (&check["head_sha"], &check["details_url"]),
        (&json!(head), &json!(format!("https://ci.example.com/runs/{id}")))
    );
    assert!(check["output"]["summary"].as_str().unwrap().contains(&format!("slipway approve {id}")));
    assert_eq!(run["hold"]["awaits_approval"], true);
    assert_eq!(
        (&run["hold"]["author"], &run["hold"]["association"]),
        (&json!("mallory"), &json!("FIRST_TIME_CONTRIBUTOR"))
    );
    assert_eq!(run["jobs"][0]["waits_for"], format!("the run waits for approval: slipway approve {id}"));
    forge.fixture.kill_and_restart().await;

    // The base's own code is not held; of the fork's nothing is planned.
    let mut untrusted = hello(FIRST, 4, Vec::new());
    untrusted.accepts_untrusted = true;
    let mut agent = FakeAgent::connect_with(forge.fixture.handle(), untrusted).await;
    agent.work(v1::Result::Success, &[]).await;
    let shown = newest(&forge).await;
    assert_eq!((&shown["instances"], &shown["state"]), (&json!([]), &json!("waiting")));

    let (status, told) =
        decide(&forge, &run, json!({"decision": "approve", "actor": "eve", "environment": ""})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{told}");
    let wanted = json!({"decision": "approve", "actor": "eve", "comment": "looked at it"});
    let (status, told) = decide(&forge, &run, wanted.clone()).await;
    assert_eq!((status, &told["decision"]), (StatusCode::OK, &json!("approved")), "{told}");
    for _ in 0..2 {
        agent.work(v1::Result::Success, &[]).await;
    }
    assert_eq!(forge.fixture.finished(id).await["result"], "success");
    double.until("the check's end", |known| end_of(&known.ends(), CHECK) == Some("success")).await;
    let shown = newest(&forge).await;
    assert_eq!((&shown["hold"]["decision"], &shown["hold"]["by"]), (&json!("approved"), &json!("eve")));
    let (status, told) = decide(&forge, &run, wanted).await;
    assert_eq!(status, StatusCode::CONFLICT, "{told}");
    double.hold_against_description();
}

/// Made by a coordinator that was killed before it wrote down so, and decided before the next one could ask.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_nobody_remembers_is_not_left_to_ask_for_approval() {
    let double = Double::start().await;
    let mut forge = forge(&double, ApproveForks::FirstTime).await;
    let slow = Some(Trouble::Slow(Duration::from_millis(800)));
    double.known().trouble = vec![slow; 4].into();
    open(&forge, 5, "FIRST_TIME_CONTRIBUTOR").await;
    double.until("the requests on their way", |known| known.delayed == 3).await;
    forge.fixture.kill_and_restart_with(|options| options.github = None).await;
    double.known().trouble.clear();
    let wanted = json!({"decision": "approve", "actor": "eve"});
    let (status, told) = decide(&forge, &newest(&forge).await, wanted).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    double.until("the check", |known| end_of(&known.ends(), CHECK) == Some("action_required")).await;
    forge.fixture.kill_and_restart_with(|options| options.github = Some(double.options())).await;
    double.until("its end", |known| end_of(&known.ends(), CHECK) == Some("success")).await;
    double.hold_against_description();
}

/// Decided before there was anything to tell: then there is nothing to tell of the decision.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_decided_before_it_was_told_makes_no_check() {
    let double = Double::start().await;
    let mut forge = forge(&double, ApproveForks::FirstTime).await;
    double.known().down = true;
    open(&forge, 5, "FIRST_TIME_CONTRIBUTOR").await;
    let run = newest(&forge).await;
    let (status, told) = decide(&forge, &run, json!({"decision": "approve", "actor": "eve"})).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    forge.fixture.kill_and_restart().await;
    double.known().down = false;
    let mut untrusted = hello(FIRST, 4, Vec::new());
    untrusted.accepts_untrusted = true;
    let mut agent = FakeAgent::connect_with(forge.fixture.handle(), untrusted).await;
    for _ in 0..3 {
        agent.work(v1::Result::Success, &[]).await;
    }
    double.until("the sum", |known| end_of(&known.ends(), "slipway") == Some("success")).await;
    assert_eq!(end_of(&double.known().ends(), CHECK), None);
    double.hold_against_description();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_rejected_or_cancelled_never_runs_not_even_always_and_a_rerun_is_held_again() {
    let double = Double::start().await;
    let forge = forge(&double, ApproveForks::Outside).await;
    for (number, cancel) in [(6, false), (7, true)] {
        open(&forge, number, "CONTRIBUTOR").await;
        let run = newest(&forge).await;
        let id = run["run"].as_str().unwrap().to_owned();
        if cancel {
            let path = format!("/api/v1/runs/{id}/cancel");
            assert!(forge.fixture.call(Method::POST, &path, Some(json!({}))).await.status().is_success());
        } else {
            assert_eq!(
                decide(&forge, &run, json!({"decision": "reject", "actor": "eve"})).await.0,
                StatusCode::OK
            );
        }
        let ended = forge.fixture.finished(&id).await;
        assert_eq!(ended["result"], "cancelled");
        assert_eq!(ended["instances"], json!([]), "`if: always()` included");
        let answer =
            forge.fixture.call(Method::POST, &format!("/api/v1/runs/{id}/rerun"), Some(json!({}))).await;
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
        assert_eq!(newest(&forge).await["hold"]["awaits_approval"], true);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_file_takes_nobodys_place_in_a_group_before_somebody_approves_it() {
    let double = Double::start().await;
    let ci = "name: ci\non: [push, pull_request]\nconcurrency: {group: one, cancel-in-progress: true}\njobs:\n  a:\n    \
              runs-on: ubuntu-latest\n    steps: [{run: make}]\n";
    let mut forge = Forge::with(&[("ci", ci.to_owned())], double.host(), |options| {
        options.github = Some(double.options());
        options.webhook.approve_forks = ApproveForks::FirstTime;
    })
    .await;
    let first = forge.git(&["rev-parse", "HEAD"]);
    let ours = forge.commit("ours.txt", "1", "Ours");
    forge.push("main", &first, &ours).await;
    let ours = newest(&forge).await["run"].as_str().unwrap().to_owned();
    open(&forge, 12, "NONE").await;
    let run = newest(&forge).await;
    let theirs = run["run"].as_str().unwrap().to_owned();
    let waits = format!("the run waits for approval: slipway approve {theirs}");
    assert_eq!(
        (&run["hold"]["awaits_approval"], &run["jobs"][0]["waits_for"]),
        (&json!(true), &json!(waits))
    );
    forge.fixture.kill_and_restart().await;
    let of_ours = async || forge.fixture.get(&format!("/api/v1/runs/{ours}")).await;
    assert_eq!((&of_ours().await["result"], &of_ours().await["cancelled"]), (&Value::Null, &Value::Null));

    let (status, told) = decide(&forge, &run, json!({"decision": "approve", "actor": "eve"})).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    assert_eq!(forge.fixture.finished(&ours).await["result"], "cancelled", "as its file says, now");
    let mut untrusted = hello(FIRST, 4, Vec::new());
    untrusted.accepts_untrusted = true;
    let mut agent = FakeAgent::connect_with(forge.fixture.handle(), untrusted).await;
    agent.work(v1::Result::Success, &[]).await;
    assert_eq!(forge.fixture.finished(&theirs).await["result"], "success");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_run_is_let_begin_on_its_page() {
    let double = Double::start().await;
    let forge = forge(&double, ApproveForks::FirstTime).await;
    open(&forge, 11, "NONE").await;
    let id = newest(&forge).await["run"].as_str().unwrap().to_owned();
    let browser = Browser::signed_in(forge.fixture.handle()).await;
    let path = format!("/runs/{id}");
    let page = browser.page(&path).await;
    assert!(
        page.contains("Nothing of it runs before somebody has looked") && page.contains("<bdi>mallory</bdi>"),
        "{page}"
    );
    let form =
        format!("form_token={}&actor=eve&comment=fine&decision=approve", browser.form_token(&path).await);
    assert_eq!(browser.post(&format!("{path}/approvals"), &form).await.status(), 303);
    let shown = newest(&forge).await;
    assert_eq!(
        (&shown["hold"]["decision"], &shown["hold"]["awaits_approval"]),
        (&json!("approved"), &json!(false))
    );
    assert!(browser.page(&path).await.contains("approved this run"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_decides_about_ends_after_thirty_days_and_ran_nothing() {
    let double = Double::start().await;
    let mut forge = forge(&double, ApproveForks::FirstTime).await;
    open(&forge, 10, "NONE").await;
    let id = newest(&forge).await["run"].as_str().unwrap().to_owned();
    forge.fixture.clock.advance(EXPIRES_MS - 60_000);
    forge.fixture.kill_and_restart().await;
    assert_eq!(newest(&forge).await["hold"]["awaits_approval"], true, "a minute is left");
    forge.fixture.clock.advance(120_000);
    let ended = forge.fixture.finished(&id).await;
    assert_eq!((&ended["result"], &ended["instances"]), (&json!("cancelled"), &json!([])));
    assert_eq!(ended["cancelled"], "by slipway: nobody approved its start in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_known_does_not_wait_and_nothing_waits_where_nothing_is_to_be_approved() {
    let double = Double::start().await;
    let known = forge(&double, ApproveForks::FirstTime).await;
    open(&known, 8, "CONTRIBUTOR").await;
    let run = newest(&known).await;
    assert_eq!(run["hold"], Value::Null);
    let (status, told) = decide(&known, &run, json!({"decision": "approve", "actor": "eve"})).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{told}");
    let never = forge(&double, ApproveForks::Never).await;
    open(&never, 9, "NONE").await;
    assert_eq!(newest(&never).await["hold"], Value::Null);
}
