//! Webhooks of many kinds, in the form in which GitHub sent them, over a real git server: each starts what waits for it, on
//! the ref that GitHub's rules name.

use serde_json::{Value, json};
use slipway_tests::{
    Agent, AgentOptions, Checkout, Coordinator, GitServer, post_with_curl, signature, wait_until,
};
use tempfile::TempDir;

const SECRET: &str = "a webhook secret of the test";

/// One job that says where it is.
fn workflow(on: &str) -> String {
    format!(
        "on: {on}\njobs:\n  look:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n      - run: |\n          \
         echo \"${{{{ github.event_name }}}} ${{{{ github.event.action }}}} at ${{{{ github.ref }}}} $(git rev-parse HEAD)\"\n"
    )
}

/// The examples of an event in GitHub's package, which `scripts/prepare-tests.sh` fetches.
fn githubs_examples(event: &str) -> Vec<Value> {
    let path =
        std::env::var("SLIPWAY_WEBHOOK_EXAMPLES").expect("scripts/prepare-tests.sh says where they are");
    let examples: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let found = examples.as_array().unwrap().iter().find(|examples| examples["name"] == event).unwrap();
    found["examples"].as_array().unwrap().clone()
}

/// A coordinator that hears of one repository.
pub(crate) struct Forge {
    pub(crate) coordinator: Coordinator,
    pub(crate) checkout: Checkout,
    server: GitServer,
    deliveries: std::cell::Cell<u32>,
    _secret: TempDir,
}

impl Forge {
    pub(crate) fn new(workflows: &[(&str, &str)]) -> Self {
        let secret = tempfile::tempdir().unwrap();
        let secret_file = secret.path().join("webhook.secret");
        std::fs::write(&secret_file, SECRET).unwrap();
        let coordinator = Coordinator::start_with(&["--webhook-secret-file", secret_file.to_str().unwrap()]);
        let checkout = Checkout::new();
        for (name, on) in workflows {
            checkout.write(&format!(".github/workflows/{name}.yml"), &workflow(on));
        }
        checkout.commit("Add the workflows");
        checkout.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
        let server = GitServer::start(checkout.path());
        Self { coordinator, checkout, server, deliveries: 0.into(), _secret: secret }
    }

    /// Delivers one of GitHub's examples, of our repository and changed like this.
    pub(crate) fn deliver(&self, event: &str, mut payload: Value, change: impl FnOnce(&mut Value)) {
        payload["repository"]["full_name"] = json!("octo/site");
        payload["repository"]["clone_url"] = json!(self.server.clone_url(".git"));
        payload["repository"]["default_branch"] = json!("main");
        change(&mut payload);
        let body = serde_json::to_vec(&payload).unwrap();
        let number = self.deliveries.get();
        self.deliveries.set(number + 1);
        let headers = [
            "content-type: application/json".to_owned(),
            format!("x-github-event: {event}"),
            format!("x-github-delivery: 7c5b1b6e-0003-11ee-8000-{number:012}"),
            format!("x-hub-signature-256: {}", signature(SECRET, &body)),
        ];
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        let answer = post_with_curl(&self.coordinator.url("/webhooks/github"), &headers, &body);
        assert_eq!(answer.status, 202, "{event}: {answer:?}");
    }

    /// The first of GitHub's examples of an event with this `action`; empty: of any.
    pub(crate) fn example(event: &str, action: &str) -> Value {
        let mut examples = githubs_examples(event).into_iter();
        examples.find(|example| action.is_empty() || example["action"] == action).unwrap()
    }

    pub(crate) fn runs(&self) -> Vec<Value> {
        self.coordinator.api("/api/v1/runs")["runs"].as_array().unwrap().clone()
    }

    /// The runs of an event, once there are as many and all have succeeded.
    pub(crate) fn succeeded(&self, event: &str, count: usize) -> Vec<Value> {
        wait_until(&format!("{count} runs of {event} have finished"), || {
            let mut runs = self.runs();
            runs.retain(|run| run["event_name"] == event);
            let done = runs.iter().filter(|run| run["state"] == "finished").count();
            for run in runs.iter().filter(|run| run["state"] == "finished") {
                assert_eq!(run["result"], "success", "{run:#}");
            }
            (runs.len() >= count && done >= count).then_some(runs)
        })
    }

    pub(crate) fn log(&self, run: &Value, job: &str) -> Vec<String> {
        self.coordinator.logs(run["run_id"].as_str().unwrap(), job)
    }
}

#[test]
fn githubs_own_payloads_start_what_waits_for_them() {
    let forge = Forge::new(&[
        ("issues", "{ issues: { types: [opened] } }"),
        ("release", "{ release: { types: [published] } }"),
        ("custom", "{ repository_dispatch: { types: [on-demand-test] } }"),
        ("pull", "{ pull_request: { paths: [topic.txt] } }"),
        ("untouched", "{ pull_request: { paths: [nothing.txt] } }"),
        ("status", "status"),
        ("after", "{ workflow_run: { workflows: [.github/workflows/issues.yml], types: [completed] } }"),
    ]);
    let _agent = Agent::start(&forge.coordinator, AgentOptions::named("one"));
    let main = forge.checkout.git(&["rev-parse", "HEAD"]);
    forge.checkout.git(&["tag", "v1"]);
    forge.checkout.git(&["checkout", "--quiet", "-b", "topic"]);
    forge.checkout.write("topic.txt", "new\n");
    let head = forge.checkout.commit("Topic");
    forge.checkout.git(&["checkout", "--quiet", "main"]);
    forge.checkout.git(&["merge", "--quiet", "--no-ff", "--message=Merge", "topic"]);
    let merge = forge.checkout.git(&["rev-parse", "HEAD"]);
    forge.checkout.git(&["update-ref", "refs/pull/2/merge", "HEAD"]);
    forge.checkout.git(&["reset", "--quiet", "--hard", &main]);

    forge.deliver("issues", Forge::example("issues", "opened"), |_| {});
    let issue = forge.succeeded("issues", 1).remove(0);
    let printed = |run: &Value, line: String| {
        let log = forge.log(run, "look");
        assert!(log.contains(&line), "`{line}` is missing: {log:#?}");
    };
    printed(&issue, format!("issues opened at refs/heads/main {main}"));
    let after = forge.succeeded("workflow_run", 1).remove(0);
    printed(&after, format!("workflow_run completed at refs/heads/main {main}"));

    forge.deliver("release", Forge::example("release", "published"), |payload| {
        payload["release"]["tag_name"] = json!("v1");
        payload["release"]["draft"] = json!(false);
    });
    forge.deliver("repository_dispatch", Forge::example("repository_dispatch", ""), |_| {});
    forge.deliver("status", Forge::example("status", ""), |_| {});
    forge.deliver("pull_request", Forge::example("pull_request", "opened"), |payload| {
        payload["number"] = json!(2);
        let pull = &mut payload["pull_request"];
        pull["number"] = json!(2);
        pull["head"]["sha"] = json!(head);
        pull["base"]["sha"] = json!(main);
        pull["base"]["ref"] = json!("main");
        pull["head"]["repo"]["full_name"] = json!("octo/site");
    });
    printed(&forge.succeeded("release", 1)[0], format!("release published at refs/tags/v1 {main}"));
    let custom = forge.succeeded("repository_dispatch", 1).remove(0);
    printed(&custom, format!("repository_dispatch on-demand-test at refs/heads/main {main}"));
    printed(&forge.succeeded("status", 1)[0], format!("status  at refs/heads/main {main}"));
    let pulls = forge.succeeded("pull_request", 1);
    assert_eq!(pulls.len(), 1, "the other path filter is not met: {pulls:#?}");
    printed(&pulls[0], format!("pull_request opened at refs/pull/2/merge {merge}"));
}

#[test]
fn a_dispatch_from_the_command_line_runs_with_typed_inputs() {
    let forge = Forge::new(&[]);
    let _agent = Agent::start(&forge.coordinator, AgentOptions::named("one"));
    forge.checkout.write(
        ".github/workflows/tool.yml",
        "on:\n  workflow_dispatch:\n    inputs:\n      dry: { type: boolean, default: true }\n      level: { required: true }\n\
         jobs:\n  tell:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo \"${{ inputs.level }} ${{ inputs.dry == false }} \
         ${{ github.event.inputs.level }}\"\n",
    );
    let main = forge.checkout.commit("Add a tool");
    forge.deliver("watch", Forge::example("watch", "started"), |_| {});
    wait_until("the repository is known", || {
        let refused = forge.coordinator.plain(&["dispatch", "nothing"]);
        (refused.code == 2 && refused.stderr.contains("tool.yml")).then_some(())
    });
    let started = forge.coordinator.plain(&[
        "dispatch",
        "tool",
        "--input",
        "level=7",
        "--input",
        "dry=false",
        "--json",
    ]);
    assert_eq!(started.code, 0, "{started:#?}");
    let run = forge.succeeded("workflow_dispatch", 1).remove(0);
    assert_eq!(serde_json::from_str::<Value>(&started.stdout).unwrap()["run"], run["run_id"]);
    assert_eq!(run["sha"], json!(main));
    assert!(forge.log(&run, "tell").contains(&"7 true 7".to_owned()));
    let missing = forge.coordinator.plain(&["dispatch", "tool"]);
    assert_eq!(missing.code, 2, "{missing:#?}");
    assert!(missing.stderr.contains("`level` is required"), "{missing:#?}");
}
