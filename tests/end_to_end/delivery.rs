//! GitHub's webhook: a signed push becomes a run on the code of the pushed commit; what is not signed does nothing.

use serde_json::{Value, json};
use slipway_tests::{
    Agent, AgentOptions, Checkout, Coordinator, GitServer, HttpAnswer, post_with_curl, signature,
};
use tempfile::TempDir;

const SECRET: &str = "a webhook secret of the test";
const WORKFLOW: &str = r#"
on:
  push: { branches: [master] }
jobs:
  look:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: |
          echo "commit $(git rev-parse HEAD) for ${{ github.event.repository.full_name }}"
          cat pushed.txt
"#;

/// A push to a branch, as GitHub sent one: from the package `@octokit/webhooks-examples`, which
/// `scripts/prepare-tests.sh` fetches.
fn githubs_example_of_a_push() -> Value {
    let path =
        std::env::var("SLIPWAY_WEBHOOK_EXAMPLES").expect("scripts/prepare-tests.sh says where they are");
    let examples: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let push = examples.as_array().unwrap().iter().find(|event| event["name"] == "push").unwrap();
    let to_branch = |example: &&Value| example["ref"].as_str().unwrap().starts_with("refs/heads/");
    push["examples"].as_array().unwrap().iter().find(to_branch).unwrap().clone()
}

struct Forge {
    coordinator: Coordinator,
    payload: Vec<u8>,
    commit: String,
    _secret: TempDir,
    _checkout: Checkout,
    _agent: Agent,
}

impl Forge {
    fn new() -> Self {
        let secret = tempfile::tempdir().unwrap();
        let secret_file = secret.path().join("webhook.secret");
        std::fs::write(&secret_file, SECRET).unwrap();
        let coordinator = Coordinator::start_with(&["--webhook-secret-file", secret_file.to_str().unwrap()]);
        let agent = Agent::start(&coordinator, AgentOptions::named("one"));

        let checkout = Checkout::with_workflow(WORKFLOW);
        checkout.write("pushed.txt", "what was pushed\n");
        let commit = checkout.commit("Push this");
        checkout.git(&["branch", "--move", "main", "master"]);
        let server = GitServer::start(checkout.path());

        let mut payload = githubs_example_of_a_push();
        payload["after"] = json!(commit);
        payload["head_commit"]["id"] = json!(commit);
        payload["repository"]["clone_url"] = json!(server.clone_url(".git"));
        // Something newer on the branch: the run is to have the commit that was pushed.
        checkout.write("pushed.txt", "something newer\n");
        checkout.commit("Go on");
        let payload = serde_json::to_vec(&payload).unwrap();
        Self { coordinator, payload, commit, _secret: secret, _checkout: checkout, _agent: agent }
    }

    fn deliver(&self, event: &str, delivery: &str, signature: Option<&str>) -> HttpAnswer {
        let mut headers = vec![
            "content-type: application/json".to_owned(),
            format!("x-github-event: {event}"),
            format!("x-github-delivery: {delivery}"),
        ];
        headers.extend(signature.map(|signature| format!("x-hub-signature-256: {signature}")));
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        post_with_curl(&self.coordinator.url("/webhooks/github"), &headers, &self.payload)
    }

    fn runs(&self) -> usize {
        let outcome = self.coordinator.plain(&["runs", "--json"]);
        serde_json::from_str::<Value>(&outcome.stdout).unwrap().as_array().unwrap().len()
    }
}

#[test]
fn a_signed_push_makes_one_run_of_the_pushed_commit() {
    let forge = Forge::new();
    let signed = signature(SECRET, &forge.payload);
    let answer = forge.deliver("push", "7c5b1b6e-0001-11ee-8000-000000000001", Some(&signed));
    assert!((200..300).contains(&answer.status), "{answer:?}");
    let run = forge.coordinator.newest_run();
    let shown = forge.coordinator.finished(&run);
    assert_eq!(shown["result"], "success", "{shown}");
    let log = forge.coordinator.logs(&run, "look");
    let printed =
        |line: &str| assert!(log.iter().any(|logged| logged == line), "`{line}` is missing: {log:#?}");
    printed(&format!("commit {} for Codertocat/Hello-World", forge.commit));
    printed("what was pushed");

    let again = forge.deliver("push", "7c5b1b6e-0001-11ee-8000-000000000001", Some(&signed));
    assert!((200..300).contains(&again.status), "a delivery seen before is accepted: {again:?}");
    let ping = forge.deliver("ping", "7c5b1b6e-0001-11ee-8000-000000000002", Some(&signed));
    assert!((200..300).contains(&ping.status), "{ping:?}");
    assert_eq!(forge.runs(), 1, "and neither makes a run");
}

#[test]
fn what_is_not_signed_is_refused() {
    let forge = Forge::new();
    let wrong = signature("another secret", &forge.payload);
    for (number, signature) in
        [None, Some(wrong.as_str()), Some("sha256="), Some("sha1=00")].into_iter().enumerate()
    {
        let answer =
            forge.deliver("push", &format!("7c5b1b6e-0002-11ee-8000-00000000000{number}"), signature);
        assert!([401, 403].contains(&answer.status), "{signature:?}: {answer:?}");
    }
    assert_eq!(forge.runs(), 0);
}

#[test]
fn a_body_that_is_too_large_is_refused() {
    let forge = Forge::new();
    // GitHub's own limit is 25 MB.
    let body = vec![b' '; 26 << 20];
    let signed = format!("x-hub-signature-256: {}", signature(SECRET, &body));
    let headers = ["content-type: application/json", "x-github-event: push", "x-github-delivery: 1", &signed];
    let answer = post_with_curl(&forge.coordinator.url("/webhooks/github"), &headers, &body);
    assert_eq!(answer.status, 413, "{answer:?}");
    assert_eq!(forge.runs(), 0);
}
