//! Every payload that GitHub's package of examples has, posted with a signature: each starts what GitHub's documents say, where they say, and
//! nothing else.
//!
//! What a payload names is made true first: its repository is ours, its commits are our newest one, its refs exist.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::events::Forge;

/// A workflow that waits for whatever workflows can wait for, with the usual activity types.
const ALL: &str = "
name: all
on:
  branch_protection_rule:
  check_run:
  check_suite:
  create:
  delete:
  deployment:
  deployment_status:
  discussion:
  discussion_comment:
  fork:
  gollum:
  issue_comment:
  issues:
  label:
  merge_group:
  milestone:
  page_build:
  project:
  project_card:
  project_column:
  public:
  pull_request:
  pull_request_review:
  pull_request_review_comment:
  pull_request_target:
  push:
  registry_package:
  release:
  repository_dispatch:
  status:
  watch:
  workflow_dispatch:
  workflow_run: {workflows: [theirs]}
jobs:
  job: {runs-on: ubuntu-latest, steps: [{run: make}]}
";

/// Where a run is: its event and its ref.
type Start = (String, String);

/// What GitHub's documents say of a payload ("Events that trigger workflows").
fn expected(event: &str, payload: &Value) -> Vec<Start> {
    let text = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let flag = |pointer: &str| payload.pointer(pointer) == Some(&json!(true));
    let at = |git_ref: String| vec![(event.to_owned(), git_ref)];
    let main = || "refs/heads/main".to_owned();
    let full = |prefix: &str, name: &str| match name.starts_with("refs/") {
        true => name.to_owned(),
        false => format!("{prefix}{name}"),
    };
    if !payload["repository"].is_object() {
        return Vec::new();
    }
    match event {
        "push" if flag("/deleted") => Vec::new(),
        "push" => at(text("/ref").to_owned()),
        "create" => at(full(
            &format!("refs/{}s/", if text("/ref_type") == "tag" { "tag" } else { "head" }),
            text("/ref"),
        )),
        "release" if flag("/release/draft") => Vec::new(),
        "release" => at(format!("refs/tags/{}", text("/release/tag_name"))),
        "deployment" | "deployment_status" => match text("/deployment/ref") {
            bare if bare.len() == 40 => at(String::new()),
            named => at(full("refs/heads/", named)),
        },
        "merge_group" => at(text("/merge_group/head_ref").to_owned()),
        "workflow_dispatch" => at(full("refs/heads/", text("/ref"))),
        "pull_request" | "pull_request_review" | "pull_request_review_comment" => {
            let base = full("refs/heads/", text("/pull_request/base/ref"));
            let of_the_usual_types =
                event != "pull_request" || matches!(text("/action"), "opened" | "synchronize" | "reopened");
            let mut starts = Vec::new();
            if of_the_usual_types && payload["pull_request"]["mergeable"] != json!(false) {
                // Nobody made a test merge here.
                let head = format!("refs/pull/{}/head", payload["pull_request"]["number"]);
                starts.extend(at(if flag("/pull_request/merged") { base.clone() } else { head }));
            }
            if event == "pull_request" && of_the_usual_types {
                starts.push(("pull_request_target".to_owned(), base));
            }
            starts
        }
        "check_suite" if text("/action") != "completed" => Vec::new(),
        // Workflows call it `updated`.
        "project_column" if text("/action") == "edited" => Vec::new(),
        "branch_protection_rule"
        | "check_run"
        | "check_suite"
        | "delete"
        | "discussion"
        | "discussion_comment"
        | "fork"
        | "gollum"
        | "issue_comment"
        | "issues"
        | "label"
        | "milestone"
        | "page_build"
        | "project"
        | "project_card"
        | "project_column"
        | "public"
        | "repository_dispatch"
        | "status"
        | "watch"
        | "workflow_run" => at(main()),
        _ => Vec::new(),
    }
}

/// Makes a payload one of our repository.
fn made_ours(value: &mut Value, theirs: &str, commit: &str) {
    match value {
        Value::String(text) if text == theirs => *text = "o/n".to_owned(),
        Value::String(text)
            if text.len() == 40
                && text.bytes().all(|byte| byte.is_ascii_hexdigit())
                && text.bytes().any(|byte| byte != b'0') =>
        {
            *text = commit.to_owned();
        }
        Value::Array(list) => list.iter_mut().for_each(|one| made_ours(one, theirs, commit)),
        Value::Object(object) => object.values_mut().for_each(|one| made_ours(one, theirs, commit)),
        _ => {}
    }
}

impl Forge {
    /// Everything that was started, and what is known of it.
    async fn starts(&self, seen: &mut BTreeSet<String>) -> Vec<Start> {
        let driver = &self.fixture.handle().services().driver;
        let all = driver.query(|view| {
            let meta = |run: &slipway_scheduler::state::Run| {
                (run.id().to_string(), run.meta().event_name.clone(), run.meta().git_ref.clone())
            };
            view.state.runs().map(meta).collect::<Vec<_>>()
        });
        let new = all.await.unwrap().into_iter().filter(|(run, ..)| seen.insert(run.clone()));
        let mut new: Vec<Start> = new.map(|(_, event, git_ref)| (event, git_ref)).collect();
        new.sort();
        new
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_starts_what_githubs_documents_say() {
    let path =
        std::env::var("SLIPWAY_WEBHOOK_EXAMPLES").expect("scripts/prepare-tests.sh says where they are");
    let events: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let forge = Forge::with(&[("all", ALL.to_owned())], "github.com".to_owned(), |_| {}).await;
    let main = forge.git(&["rev-parse", "HEAD"]);
    let (mut seen, mut wrong, mut count, mut runs) = (BTreeSet::new(), Vec::new(), 0, 0);
    for one in events.as_array().unwrap() {
        let event = one["name"].as_str().unwrap();
        for example in one["examples"].as_array().unwrap() {
            let mut payload = example.clone();
            if let Some(theirs) = example.pointer("/repository/full_name").and_then(Value::as_str) {
                made_ours(&mut payload, theirs, &main);
                payload["repository"]["default_branch"] = json!("main");
            }
            match event {
                "workflow_dispatch" => payload["workflow"] = json!(".github/workflows/all.yml"),
                "workflow_run" => payload["workflow"] = json!({"name": "theirs"}),
                _ => {}
            }
            let wanted = expected(event, &payload);
            for (_, git_ref) in wanted.iter().filter(|(_, git_ref)| git_ref.starts_with("refs/")) {
                forge.git(&["update-ref", git_ref, &main]);
            }
            let status = forge.post_payload(event, &format!("example-{count}"), &payload).await;
            assert!((200..300).contains(&status), "{event}: {status}");
            forge.quiet().await;
            count += 1;
            let mut wanted = wanted;
            wanted.sort();
            let started = forge.starts(&mut seen).await;
            runs += started.len();
            if started != wanted {
                wrong.push(format!("{event} {}: {started:?}, expected {wanted:?}", payload["action"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 300 && runs > 150, "{count} payloads, {runs} runs");
}
