//! What a repository asks of commits: told as a check of its own, and where it says so, what breaks it starts nothing.

use serde_json::{Value, json};

use crate::events::{Forge, workflow};
use crate::github_double::{APP, Double, Trouble};

const PUSH: &str = "slipway / commits (push)";
const PULL: &str = "slipway / commits (pull_request)";

async fn forge(double: &Double, settings: &str) -> Forge {
    let files = [
        ("ci", workflow("ci", "[push, pull_request, pull_request_target, pull_request_review, create]")),
        (".slipway.yml", settings.to_owned()),
    ];
    Forge::with(&files, double.host(), |options| {
        options.github = Some(double.options());
        options.public_url = Some("https://ci.example.com".to_owned());
    })
    .await
}

/// The double's comparisons find these messages; all are signed but those that begin with `-`.
fn commits(double: &Double, messages: &[&str]) {
    double.known().commits = messages
        .iter()
        .enumerate()
        .map(|(number, message)| {
            let wrong = message.starts_with('-').then_some("unsigned");
            (format!("{number:040x}"), (*message).to_owned(), 1, wrong)
        })
        .collect();
}

async fn push_topic(forge: &Forge, message: &str) -> String {
    let before = forge.git(&["rev-parse", "HEAD"]);
    forge.git(&["checkout", "--quiet", "-B", "topic"]);
    let after = forge.commit("code.txt", message, message);
    forge.push("topic", &before, &after).await;
    after
}

/// A pull request of this head, as payloads have it.
fn pull(forge: &Forge, head: &str) -> Value {
    let base = forge.git(&["rev-parse", "main"]);
    forge.git(&["update-ref", "refs/pull/5/head", head]);
    json!({
        "number": 5, "merged": false, "merge_commit_sha": null, "author_association": "MEMBER",
        "user": {"login": "ada"}, "head": {"ref": "topic", "sha": head, "repo": {"full_name": "o/n"}},
        "base": {"ref": "main", "sha": base, "repo": {"full_name": "o/n"}},
    })
}

/// Waits for a check of this name with this end.
async fn until(double: &Double, name: &str, wanted: &str) {
    double
        .until(name, |known| {
            known.ends().iter().any(|(check, end)| (check.as_str(), end.as_str()) == (name, wanted))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_are_held_against_the_rules_of_the_default_branch_and_told_in_a_check() {
    let double = Double::start().await;
    commits(&double, &["fix: one", "-Two `things`"]);
    let forge = forge(&double, "commits: { message: '^(fix|feat): ', signed: true }\n").await;
    // A branch may say what it likes.
    forge.git(&["checkout", "--quiet", "-b", "topic"]);
    forge.commit(".slipway.yml", "", "Ask nothing");
    let before = forge.git(&["rev-parse", "HEAD"]);
    let after = push_topic(&forge, "Two").await;
    until(&double, PUSH, "failure").await;
    assert_eq!(forge.runs().await.len(), 1, "it blocks nothing");
    let check = double.known().check(PUSH).unwrap().clone();
    assert_eq!(
        (&check["head_sha"], &check["output"]["title"]),
        (&json!(after), &json!("1 of 2 commits breaks the rules"))
    );
    let summary = check["output"]["summary"].as_str().unwrap();
    for part in ["`^(fix|feat): `", "00000000", "does not match", "is not verified", "unsigned"] {
        assert!(summary.contains(part), "{part} is missing in\n{summary}");
    }
    assert_eq!(double.known().compared.last(), Some(&format!("{before}...{after}")));
    // Another event of the same commit is another check, and the same delivery again asks nothing.
    let head = pull(&forge, &after);
    forge.deliver("pull_request", json!({"action": "opened", "number": 5, "pull_request": head})).await;
    until(&double, PULL, "failure").await;
    let asked = double.known().compared.len();
    forge.deliver("pull_request", json!({"action": "labeled", "number": 5, "pull_request": head})).await;
    assert_eq!(double.known().compared.len(), asked);
    // Somebody corrected what the forge says of a signature, and asks again.
    commits(&double, &["fix: one", "feat: two"]);
    let of_ours =
        json!({"id": 1, "external_id": check["external_id"], "head_sha": after, "app": {"id": APP}});
    forge.deliver("check_run", json!({"action": "rerequested", "check_run": of_ours})).await;
    double.until("a good check", |known| known.check(PUSH).unwrap()["conclusion"] == "success").await;
    assert!(double.known().changed_after_end.is_empty(), "a check that ended stays as it is");
    double.hold_against_description();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_a_blocking_rule_starts_nothing_whatever_brings_it() {
    let double = Double::start().await;
    commits(&double, &["-One"]);
    let forge = forge(&double, "commits: { signed: true, block: true }\n").await;
    let after = push_topic(&forge, "One").await;
    until(&double, PUSH, "failure").await;
    until(&double, "slipway", "failure").await;
    let summary = double.known().check("slipway").unwrap()["output"]["summary"].clone();
    assert!(summary.as_str().unwrap().contains("nothing is started"), "{summary}");
    let head = pull(&forge, &after);
    for (event, action) in
        [("pull_request_review", "submitted"), ("pull_request", "opened"), ("pull_request", "closed")]
    {
        forge.deliver(event, json!({"action": action, "number": 5, "pull_request": head})).await;
    }
    forge.deliver("create", json!({"ref": "topic", "ref_type": "branch"})).await;
    // The base's own code is nobody's proposal.
    let started: Vec<Value> = forge.runs().await;
    let events: Vec<&Value> = started.iter().map(|run| &run["event_name"]).collect();
    assert_eq!(events, ["pull_request_target"]);
    // Signed, it starts.
    commits(&double, &["One"]);
    forge.push("topic", &forge.git(&["rev-parse", "main"]), &after).await;
    assert_eq!(forge.runs().await.len(), 2);
    double.until("a good check", |known| known.check(PUSH).unwrap()["conclusion"] == "success").await;
    double.hold_against_description();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_nobody_could_look_at_is_not_kept_and_one_that_cannot_be_read_lifts_none() {
    let double = Double::start().await;
    commits(&double, &["fix: it"]);
    let mut forge = forge(&double, "commits: { message: '^fix', block: true }\n").await;
    double.known().trouble = [Some(Trouble::Broken), Some(Trouble::Lost), Some(Trouble::Limited)].into();
    push_topic(&forge, "fix: it").await;
    assert_eq!(forge.runs().await.len(), 1, "it is asked for until it is told");
    // What the trouble held up is told first, so that the next check is the newest.
    until(&double, PUSH, "success").await;
    // More than anybody looks at.
    commits(&double, &["fix: it"; 1_001]);
    push_topic(&forge, "fix: more").await;
    double
        .until("a bad check", |known| {
            known.check(PUSH).unwrap()["output"]["title"] == "1001 commits are too many"
        })
        .await;
    assert_eq!(forge.runs().await.len(), 1);
    // A slip in the file, on the default branch: what stood before goes on to count, also over a death.
    commits(&double, &["fix: it"]);
    forge.git(&["checkout", "--quiet", "main"]);
    let before = forge.git(&["rev-parse", "HEAD"]);
    let after = forge.commit(".slipway.yml", "commits: { mesage: '^fix' }\n", "fix: Slip");
    forge.push("main", &before, &after).await;
    assert_eq!(forge.runs().await.len(), 2);
    forge.fixture.kill_and_restart().await;
    commits(&double, &["break: it"]);
    push_topic(&forge, "break: it").await;
    assert_eq!(forge.runs().await.len(), 2);
}
