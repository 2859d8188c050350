//! What GitHub is told of runs, over its API as its own description has it, whatever goes wrong on the way.

use serde_json::{Value, json};
use slipway_coordinator::github::api::setup;
use slipway_coordinator::options::{GithubIdentity, GithubOptions, GithubToken};
use slipway_proto::v1;

use crate::events::{Forge, workflow};
use crate::fake_agent::{FIRST, FakeAgent, hello, line, step};
use crate::github_answers::delivery;
use crate::github_double::{APP, Double, Trouble};

/// A workflow of so many jobs.
fn jobs(name: &str, count: usize) -> String {
    let job = |n| format!("  job-{n}:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo {n}\n");
    let jobs: String = (0..count).map(job).collect();
    format!("name: {name}\non: push\njobs:\n{jobs}")
}

pub(crate) async fn forge(double: &Double, workflows: &[(&str, String)]) -> Forge {
    Forge::with(workflows, double.host(), |options| {
        options.github = Some(double.options());
        options.public_url = Some("https://ci.example.com".to_owned());
    })
    .await
}

pub(crate) async fn push(forge: &Forge) -> String {
    let head = forge.git(&["rev-parse", "HEAD"]);
    forge.push("main", &"0".repeat(40), &head).await;
    head
}

pub(crate) fn names(wanted: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut names: Vec<_> =
        wanted.iter().map(|(name, end)| ((*name).to_owned(), (*end).to_owned())).collect();
    names.sort();
    names
}

/// Records of a step that says a lot and fails.
fn failing_step() -> Vec<v1::Record> {
    let record = |record| v1::Record { time_ms: 5_000, step: 0, record: Some(record) };
    let mut records = step("Build | it", &["one", "two"]);
    for number in 1..=120 {
        let annotation = v1::Annotation {
            level: v1::annotation::Level::Warning.into(),
            message: format!("number {number}"),
            file: "/home/runner/work/n/n/src/a.c".to_owned(),
            line: number,
            ..v1::Annotation::default()
        };
        records.push(record(v1::record::Record::Annotation(annotation)));
    }
    let markdown = b"# Said by a step\n".to_vec().into();
    records.push(record(v1::record::Record::Summary(v1::Summary { markdown, ..Default::default() })));
    let case = v1::TestCase {
        class: "suite".to_owned(),
        name: "adds".to_owned(),
        file: "tests/add.c".to_owned(),
        line: 9,
        outcome: v1::test_case::Outcome::Failed.into(),
        message: "1 is not 2".to_owned(),
        ..v1::TestCase::default()
    };
    let tests = Some(v1::TestReport { path: "junit.xml".to_owned(), cases: vec![case] });
    records.push(record(v1::record::Record::Summary(v1::Summary { tests, ..Default::default() })));
    records.push(line("bye"));
    records
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_told_from_its_queue_to_its_end_and_sums_up_in_one_check() {
    let double = Double::start().await;
    let forge = forge(&double, &[("ci", workflow("ci", "push"))]).await;
    let head = push(&forge).await;
    let queued = names(&[("ci / job (push)", "queued"), ("slipway", "in_progress")]);
    double.until("a queued job", |known| known.ends() == queued).await;

    let mut agent = FakeAgent::connect(forge.fixture.handle(), FIRST).await;
    let lease = agent.assigned().await.lease.unwrap();
    agent.keep(&lease);
    let running = names(&[("ci / job (push)", "in_progress"), ("slipway", "in_progress")]);
    double.until("a running job", |known| known.ends() == running).await;
    let records = failing_step();
    agent.upload(&lease, 1, records.clone()).await;
    agent.report(&lease, v1::Result::Failure, records.len() as u64).await;
    let ended = names(&[("ci / job (push)", "failure"), ("slipway", "failure")]);
    double.until("the job's end", |known| known.ends() == ended).await;

    let known = double.known();
    let check = known.check("ci / job (push)").unwrap();
    let run = forge_run(check);
    assert_eq!(check["head_sha"], head);
    assert!(
        check["details_url"]
            .as_str()
            .unwrap()
            .starts_with(&format!("https://ci.example.com/runs/{run}/jobs/"))
    );
    assert_eq!(check["output"]["title"], "1 failing tests");
    let summary = check["output"]["summary"].as_str().unwrap();
    for part in ["Build \\| it", "suite › adds: 1 is not 2", "# Said by a step"] {
        assert!(summary.contains(part), "{part} is missing in\n{summary}");
    }
    let annotations = &known.annotations[&check["id"].as_u64().unwrap()];
    assert_eq!(annotations.len(), 121, "all of them, and none twice");
    assert_eq!(annotations[0]["path"], "src/a.c");
    assert_eq!(annotations[120]["path"], "tests/add.c");
    assert_eq!(check["actions"][0]["identifier"], "rerun");
    assert!(known.changed_after_end.is_empty(), "{:?}", known.changed_after_end);
    drop(known);
    double.hold_against_description();
}

fn forge_run(check: &Value) -> String {
    check["external_id"].as_str().unwrap().split_once('/').unwrap().0.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_github_does_each_check_ends_once_and_is_there_once() {
    let double = Double::start().await;
    let forge = forge(&double, &[("ci", jobs("ci", 6))]).await;
    // Each kind of trouble, many times, at other places of each exchange.
    let kinds = [
        Some(Trouble::Lost),
        Some(Trouble::Broken),
        None,
        Some(Trouble::Limited),
        None,
        Some(Trouble::Stranger),
        Some(Trouble::Exhausted),
        Some(Trouble::Lost),
        None,
        Some(Trouble::Unavailable),
    ];
    double.known().trouble = kinds.into_iter().cycle().take(20).collect();
    push(&forge).await;
    let mut agent = FakeAgent::connect_with(forge.fixture.handle(), hello(FIRST, 8, Vec::new())).await;
    for n in 0..6 {
        let result = if n == 3 { v1::Result::Failure } else { v1::Result::Success };
        agent.work(result, &[]).await;
    }
    double
        .until("every end", |known| {
            known.checks.len() == 7
                && known.ends().iter().all(|(_, end)| end == "success" || end == "failure")
        })
        .await;
    let known = double.known();
    let ends = known.ends();
    assert_eq!(ends.iter().filter(|(_, end)| end == "failure").count(), 2, "a job and the sum: {ends:?}");
    let ids: std::collections::BTreeSet<&str> =
        known.checks.values().map(|check| check["external_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 7, "none is there twice");
    drop(known);
    double.hold_against_description();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_is_killed_on_the_way_tells_nothing_twice() {
    let double = Double::start().await;
    let mut forge = forge(&double, &[("ci", jobs("ci", 2))]).await;
    // The answers of whatever is made first are lost, and the coordinator with them.
    double.known().trouble = [Some(Trouble::Lost); 3].into();
    push(&forge).await;
    double.until("something made", |known| !known.checks.is_empty()).await;
    forge.fixture.kill_and_restart().await;
    double.until("all made", |known| known.checks.len() == 3).await;
    forge.fixture.kill_and_restart().await;
    let mut agent = FakeAgent::connect(forge.fixture.handle(), FIRST).await;
    let lease = agent.assigned().await.lease.unwrap();
    let records = failing_step();
    agent.upload(&lease, 1, records.clone()).await;
    // The batches of annotations: the first gets through and its answer does not.
    double.until("a running job", |known| known.ends().iter().any(|(_, end)| end == "in_progress")).await;
    double.known().trouble = [Some(Trouble::Lost); 2].into();
    agent.report(&lease, v1::Result::Failure, records.len() as u64).await;
    double.until("annotations", |known| known.annotations.values().any(|some| some.len() >= 50)).await;
    forge.fixture.kill_and_restart().await;
    let mut agent = FakeAgent::connect_with(forge.fixture.handle(), hello(FIRST, 4, Vec::new())).await;
    agent.work(v1::Result::Success, &[]).await;
    double
        .until("every end", |known| known.ends().iter().all(|(_, end)| end == "success" || end == "failure"))
        .await;
    forge.fixture.kill_and_restart().await;
    // It tells what it has to tell before this, if anything.
    let head = forge.commit("code.txt", "2", "Go on");
    forge.push("main", &"0".repeat(40), &head).await;
    double.until("the next commit", |known| known.checks.len() == 6).await;
    let known = double.known();
    let failed: Vec<&Value> =
        known.checks.values().filter(|check| check["conclusion"] == "failure").collect();
    assert_eq!(failed.len(), 2, "{:#?}", known.ends());
    assert!(known.annotations.values().all(|some| some.is_empty() || some.len() == 121), "none twice");
    drop(known);
    double.hold_against_description();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sum_ends_also_when_nothing_runs_and_fails_where_a_file_is_not_valid() {
    let double = Double::start().await;
    let skipped = "name: skip\non: push\njobs:\n  job:\n    if: false\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo\n";
    let forge = forge(
        &double,
        &[("docs", workflow("docs", "{ push: { paths: ['docs/**'] } }")), ("skip", skipped.to_owned())],
    )
    .await;
    push(&forge).await;
    let all = names(&[("skip / job (push)", "skipped"), ("slipway", "success")]);
    double.until("the sum", |known| known.ends() == all).await;
    let head = forge.commit(".github/workflows/skip.yml", "on: push\njobs: 7\n", "Break it");
    forge.push("main", &"0".repeat(40), &head).await;
    let failed = |known: &crate::github_double::Known| {
        known.checks.values().any(|check| check["name"] == "slipway" && check["conclusion"] == "failure")
    };
    double.until("its failure", failed).await;
    let known = double.known();
    let sum = known.check("slipway").unwrap();
    assert_eq!(sum["head_sha"], head);
    let summary = sum["output"]["summary"].as_str().unwrap();
    assert!(summary.contains("skip.yml") && summary.contains("is not valid"), "{summary}");
    drop(known);
    double.hold_against_description();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_request_is_told_at_its_head() {
    let double = Double::start().await;
    let forge = forge(&double, &[("ci", workflow("ci", "pull_request"))]).await;
    let base = forge.git(&["rev-parse", "HEAD"]);
    forge.git(&["checkout", "--quiet", "-b", "topic"]);
    let head = forge.commit("code.txt", "2", "Change it");
    forge.git(&["checkout", "--quiet", "main"]);
    forge.git(&["merge", "--quiet", "--no-ff", "--message=Merge", "topic"]);
    forge.git(&["update-ref", "refs/pull/5/merge", "HEAD"]);
    let side = |name: &str, sha: &str| json!({"ref": name, "sha": sha, "repo": {"full_name": "o/n"}});
    let pull = json!({"number": 5, "head": side("topic", &head), "base": side("main", &base), "merged": false,
                      "merge_commit_sha": null, "mergeable": true});
    forge.deliver("pull_request", json!({"action": "opened", "number": 5, "pull_request": pull})).await;
    double.until("the job", |known| known.check("ci / job (pull_request)").is_some()).await;
    assert!(double.known().checks.values().all(|check| check["head_sha"] == head));
    double.hold_against_description();
}

/// A delivery about a check, as GitHub makes it when somebody presses a button.
fn pressed(action: &str, check: &Value, button: Option<&str>) -> Value {
    let mut about = check.clone();
    about["app"] = json!({"id": APP});
    let mut fields = json!({"action": action, "check_run": about});
    if let Some(identifier) = button {
        fields["requested_action"] = json!({"identifier": identifier});
    }
    fields
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buttons_run_again_and_cancel_and_echoes_do_nothing() {
    let double = Double::start().await;
    let forge =
        forge(&double, &[("ci", workflow("ci", "push")), ("echo", workflow("echo", "check_run"))]).await;
    push(&forge).await;
    double.until("the job", |known| known.check("ci / job (push)").is_some()).await;
    let check = double.known().check("ci / job (push)").unwrap().clone();
    // Every check that is made comes back as such a delivery.
    assert_eq!(forge.post("check_run", "echo-1", pressed("created", &check, None)).await, 202);
    forge.deliver("check_run", pressed("requested_action", &check, Some("cancel"))).await;
    let cancelled = names(&[("ci / job (push)", "cancelled"), ("slipway", "cancelled")]);
    double.until("the cancelled job", |known| known.ends() == cancelled).await;

    forge.deliver("check_run", pressed("rerequested", &check, None)).await;
    let count = |known: &crate::github_double::Known, name: &str| {
        known.checks.values().filter(|check| check["name"] == name).count()
    };
    double
        .until("the job again", |known| count(known, "ci / job (push)") == 2 && count(known, "slipway") == 2)
        .await;
    let mut agent = FakeAgent::connect(forge.fixture.handle(), FIRST).await;
    agent.work(v1::Result::Success, &[]).await;
    double
        .until("its end", |known| known.check("slipway").is_some_and(|sum| sum["conclusion"] == "success"))
        .await;

    let sum = double.known().check("slipway").unwrap().clone();
    forge.deliver("check_run", pressed("requested_action", &sum, Some("rerun"))).await;
    let runs = forge.runs().await;
    let about: Vec<_> = runs
        .iter()
        .map(|run| (run["workflow_name"].as_str().unwrap(), run["run_attempt"].as_u64().unwrap()))
        .collect();
    assert_eq!(about, [("ci", 1), ("ci", 2), ("ci", 3)], "the echo started nothing");
    double.hold_against_description();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_tells_statuses() {
    let double = Double::start().await;
    let forge = Forge::with(&[("ci", workflow("ci", "push"))], double.host(), |options| {
        let mut github = double.options();
        github.identity = GithubIdentity::Token(GithubToken::new("a-plain-token"));
        options.github = Some(github);
    })
    .await;
    double.known().trouble = [Some(Trouble::Lost), Some(Trouble::Broken)].into();
    push(&forge).await;
    let mut agent = FakeAgent::connect(forge.fixture.handle(), FIRST).await;
    agent.work(v1::Result::Success, &[]).await;
    let last = |known: &crate::github_double::Known, context: &str| {
        let of = known.statuses.iter().rfind(|told| told["status"]["context"] == context);
        of.map(|told| told["status"]["state"].as_str().unwrap().to_owned())
    };
    double
        .until("both ends", |known| {
            ["ci / job (push)", "slipway"]
                .iter()
                .all(|context| last(known, context).as_deref() == Some("success"))
        })
        .await;
    assert!(double.known().checks.is_empty());
    double.hold_against_description();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_github_is_down_jobs_go_on_and_it_hears_only_their_end() {
    let double = Double::start().await;
    let forge = forge(&double, &[("ci", workflow("ci", "push"))]).await;
    double.known().down = true;
    push(&forge).await;
    let mut agent = FakeAgent::connect(forge.fixture.handle(), FIRST).await;
    agent.work(v1::Result::Success, &[]).await;
    let run = forge.runs().await[0]["run"].as_str().unwrap().to_owned();
    assert_eq!(forge.fixture.finished(&run).await["result"], "success");
    let metrics = forge.fixture.call(reqwest::Method::GET, "/metrics", None).await.text().await.unwrap();
    assert!(metrics.contains("slipway_reports_behind"), "{metrics}");
    double.known().down = false;
    let ended = names(&[("ci / job (push)", "success"), ("slipway", "success")]);
    double.until("the end", |known| known.ends() == ended).await;
    double.hold_against_description();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_github_refuses_is_given_up_and_told_no_more() {
    let double = Double::start().await;
    let mut forge = Forge::with(&[("ci", workflow("ci", "push"))], double.host(), |options| {
        options.github = Some(double.options());
        // Nothing is known of it there.
        options.webhook.repositories[0].name = "o/other".to_owned();
    })
    .await;
    let head = forge.git(&["rev-parse", "HEAD"]);
    let html_url = format!("https://{}/o/other", double.host());
    let repository =
        json!({"full_name": "o/other", "name": "other", "default_branch": "main", "html_url": html_url});
    let fields = json!({"ref": "refs/heads/main", "after": head, "repository": repository});
    forge.deliver("push", fields).await;
    let driver = forge.fixture.handle().services().driver.clone();
    // The sum can be given up before its run is there, which begins it anew; the job's own report comes after that.
    let given_up = async || {
        let told = |view: slipway_coordinator::driver::View<'_>| {
            let told = view.ledger.told();
            let mut runs = view.state.runs().map(|run| told.run(run.id()));
            let job = runs.any(|run| run.is_some_and(|run| run.parts.values().any(|part| part.settled)));
            job && told.unsettled().count() == 0
        };
        driver.query(told).await.unwrap()
    };
    while !given_up().await {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(double.known().checks.is_empty());
    forge.fixture.kill_and_restart().await;
    let driver = &forge.fixture.handle().services().driver;
    assert_eq!(driver.query(|view| view.ledger.told().unsettled().count()).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tokens_own_statuses_start_nothing_also_where_they_have_no_link() {
    let double = Double::start().await;
    let files = [("ci", workflow("ci", "push")), ("after", workflow("after", "status"))];
    let forge = Forge::with(&files, double.host(), |options| {
        let identity = GithubIdentity::Token(GithubToken::new("a-plain-token"));
        options.github = Some(GithubOptions { identity, ..double.options() });
    })
    .await;
    let head = push(&forge).await;
    double.until("the sum's and the job's statuses", |known| known.statuses.len() >= 2).await;
    let runs = forge.runs().await.len();
    let status =
        |context: &str| json!({"sha": head, "context": context, "state": "pending", "target_url": null});
    for (number, context) in ["ci / job (push)", "slipway"].into_iter().enumerate() {
        assert_eq!(forge.post("status", &format!("own-{number}"), status(context)).await, 202);
    }
    let driver = &forge.fixture.handle().services().driver;
    assert!(!driver.query(|view| view.ledger.knows_delivery("own-0")).await.unwrap(), "it is not even kept");
    forge.deliver("status", status("another's / job (push)")).await;
    assert_eq!(forge.runs().await.len(), runs + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_that_never_came_are_asked_for_again() {
    let double = Double::start().await;
    let mut forge = forge(&double, &[("ci", workflow("ci", "push"))]).await;
    push(&forge).await;
    let driver = forge.fixture.handle().services().driver.clone();
    while driver.query(|view| view.ledger.told().looked().is_none()).await.unwrap() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    // The coordinator is away for a while. What failed, came later, came before and is too old is among the tries.
    double.known().deliveries = vec![
        delivery(9, "came-at-last", 200, -5),
        delivery(8, "never-came", 502, -5),
        delivery(7, "came-at-last", 0, -5),
        delivery(6, "d-0", 504, -5),
        delivery(5, "never-came", 0, -4),
        delivery(4, "long-ago", 502, 86_400),
        delivery(3, "longer-ago", 502, 86_401),
    ];
    forge.fixture.kill_and_restart().await;
    double.until("a request", |known| !known.redelivered.is_empty()).await;
    assert_eq!(double.known().redelivered, [8], "the newest try, and nothing else");
    double.hold_against_description();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_deliveries_is_taken_whole_and_sums_up_once() {
    use futures_util::{StreamExt as _, stream};
    const DELIVERIES: usize = 1_000;
    let double = Double::start().await;
    let forge = forge(&double, &[("later", workflow("later", "release"))]).await;
    let head = forge.git(&["rev-parse", "HEAD"]);
    let fields = json!({"ref": "refs/heads/topic", "before": "0".repeat(40), "after": head, "commits": []});
    let ids: Vec<String> = (0..DELIVERIES).map(|number| format!("burst-{number}")).collect();
    let answers = stream::iter(&ids).map(|id| forge.post("push", id, fields.clone())).buffer_unordered(100);
    assert!(answers.all(|status| async move { status == 202 }).await);
    forge.quiet().await;
    let driver = &forge.fixture.handle().services().driver;
    let known = driver.query(move |view| ids.iter().filter(|id| view.ledger.knows_delivery(id)).count());
    assert_eq!(known.await.unwrap(), DELIVERIES, "none is lost");
    double.until("the sum", |known| known.ends() == names(&[("slipway", "success")])).await;
    double.hold_against_description();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_is_made_of_a_code_and_what_it_lacks_is_said() {
    let double = Double::start().await;
    let made = setup::convert(&double.api(), "a-good-code").await.unwrap();
    assert_eq!((made.id, made.webhook_secret.as_str()), (APP, "w"));
    assert!(made.key.starts_with("-----BEGIN RSA PRIVATE KEY") && !format!("{made:?}").contains("BEGIN"));
    let stale = setup::convert(&double.api(), "another").await.unwrap_err();
    assert!(stale.contains("good once"), "{stale}");
    assert!(setup::convert(&double.api(), "two words").await.is_err());

    double.known().app = json!({
        "permissions": {"checks": "write", "contents": "read", "deployments": "write", "metadata": "read"},
        "events": ["push", "pull_request"],
        "hook": {"url": "https://ci.example.com/webhooks/github", "content_type": "json", "secret": "********", "insecure_ssl": "0"},
    });
    let check = async || setup::check(&double.options(), Some("https://ci.example.com/")).await.unwrap();
    assert!(check().await.is_empty(), "{:?}", check().await);
    double.known().app = json!({
        "permissions": {"checks": "read", "metadata": "read"}, "events": ["push"],
        "hook": {"url": "https://elsewhere.example", "content_type": "form", "insecure_ssl": "1"},
    });
    let wrong = check().await.join("\n");
    for part in [
        "`checks` is `read`",
        "`contents` is `no`",
        "`deployments` is `no`",
        "`pull_request` is not chosen",
        "elsewhere",
        "json",
        "no secret",
        "TLS",
    ] {
        assert!(wrong.contains(part), "{part} is missing in\n{wrong}");
    }
    double.hold_against_description();
    let manifest = setup::manifest("Slipway", "https://ci.example.com/", "http://127.0.0.1:9/made");
    assert_eq!(manifest["hook_attributes"]["url"], "https://ci.example.com/webhooks/github");
    assert_eq!(manifest["default_permissions"]["checks"], "write");
    assert_eq!(setup::page("https://api.github.com", None), "https://github.com/settings/apps/new");
    let enterprise = setup::page("https://ghe.example/api/v3", Some("o"));
    assert_eq!(enterprise, "https://ghe.example/organizations/o/settings/apps/new");
}
