//! The cache of build tools from the inside of jobs' containers: an unmodified moon speaks gRPC on the job's own loopback, with the
//! job's own token.

use std::path::Path;

use serde_json::{Value, json};
use slipway_tests::{Agent, AgentOptions, wait_until};

use crate::events::Forge;

/// As docs/BUILD_TOOLS.md has it: an action is told the job's token, and tells the steps after it.
const TOKEN_ACTION: &str = "name: Cache token\nruns: { using: node24, main: main.js }\n";
const TOKEN_SCRIPT: &str = "require('fs').appendFileSync(\n  process.env.GITHUB_ENV, \
                            `SLIPWAY_CACHE_TOKEN=${process.env.ACTIONS_RUNTIME_TOKEN}\\n`)\n";

const WORKFLOW: &str = "
on: [push, pull_request]
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
        with: { fetch-depth: 0 }
      - uses: tools/moon@v2
      - uses: ./.github/actions/cache-token
      - run: moon run app:build
      - run: |
          cat app/dist/made.txt
          tail -n 1 app/dist/large.txt
          if [ -e built ]; then echo 'it was built'; else echo 'nothing was built'; fi
          echo \"the token is $SLIPWAY_CACHE_TOKEN\"
";

const WORKSPACE: &str = "projects:
  app: 'app'
telemetry: false
vcs:
  defaultBranch: 'main'
remote:
  host: 'grpc://127.0.0.1:28472'
  auth:
    token: 'SLIPWAY_CACHE_TOKEN'
  cache:
    instanceName: 'team/app'
    compression: 'zstd'
";

/// What is built depends on its input alone; whether it was built is seen by a file that is no output.
const TASKS: &str = "tasks:
  build:
    script: 'mkdir -p dist && cat input > dist/made.txt && seq 1 600000 > dist/large.txt && touch ../built'
    inputs: ['input']
    outputs: ['dist/**/*']
";

/// moon's own program, which `scripts/prepare-clients.sh` fetched, as an action that puts it on the path.
fn moon_action(source: &Path) {
    let tools = std::env::var("SLIPWAY_BUILD_TOOLS").expect("scripts/prepare-clients.sh says where they are");
    let scope = Path::new(&tools).join("node_modules/@moonrepo");
    // Its package for this machine's processor and C library.
    let package = std::fs::read_dir(scope).unwrap().map(|entry| entry.unwrap().path());
    let program = package.map(|package| package.join("moon")).find(|program| program.is_file());
    let folder = source.join("tools/moon");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(program.expect("moon has a program"), folder.join("moon")).unwrap();
    let yml = "runs:\n  using: composite\n  steps:\n    - run: echo \"$GITHUB_ACTION_PATH\" >> \"$GITHUB_PATH\"\n      \
               shell: sh\n";
    std::fs::write(folder.join("action.yml"), yml).unwrap();
}

/// A repository whose runs build with moon.
struct Repository {
    forge: Forge,
    _source: tempfile::TempDir,
    _agent: Agent,
}

impl Repository {
    fn new() -> Self {
        let source = tempfile::tempdir().unwrap();
        moon_action(source.path());
        let forge = Forge::new(&[]);
        for (path, text) in [
            (".github/workflows/ci.yml", WORKFLOW),
            (".github/actions/cache-token/action.yml", TOKEN_ACTION),
            (".github/actions/cache-token/main.js", TOKEN_SCRIPT),
            (".moon/workspace.yml", WORKSPACE),
            ("app/moon.yml", TASKS),
        ] {
            forge.checkout.write(path, text);
        }
        let mut options = AgentOptions::named("one");
        let from = format!("file://{}", source.path().display());
        options.arguments = ["--accept-untrusted", "--actions-source", &from].map(str::to_owned).into();
        let agent = Agent::start(&forge.coordinator, options);
        Self { forge, _source: source, _agent: agent }
    }

    /// A commit whose input is this, on the branch that is checked out.
    fn commit(&self, input: &str) -> String {
        self.forge.checkout.write("app/input", &format!("{input}\n"));
        self.forge.checkout.commit(input)
    }

    /// The job's log of the run of this event on this commit.
    fn log(&self, event: &str, commit: &str) -> Vec<String> {
        let run = wait_until("the run has finished", || {
            let of_it = |run: &Value| {
                run["event_name"] == event && run["sha"] == commit && run["state"] == "finished"
            };
            self.forge.runs().into_iter().find(of_it)
        });
        let log = self.forge.log(&run, "build");
        assert_eq!(run["result"], "success", "{log:#?}");
        assert!(log.iter().any(|line| line == "the token is ***"), "{log:#?}");
        assert!(log.iter().any(|line| line == "600000"), "all of the outputs are there: {log:#?}");
        log
    }

    /// Pushes a commit of `main` and gives its job's log.
    fn push(&self, commit: &str) -> Vec<String> {
        self.forge.deliver("push", Forge::example("push", ""), |payload| {
            payload["ref"] = json!("refs/heads/main");
            payload["after"] = json!(commit);
            payload["deleted"] = json!(false);
            payload["head_commit"]["id"] = json!(commit);
        });
        self.log("push", commit)
    }

    /// Opens a fork's pull request (again) whose input is this, and gives its job's log.
    fn pull_request(&self, number: u32, input: &str) -> Vec<String> {
        let git = |arguments: &[&str]| self.forge.checkout.git(arguments);
        let base = git(&["rev-parse", "main"]);
        git(&["checkout", "--quiet", "-B", "topic"]);
        let head = self.commit(input);
        git(&["checkout", "--quiet", "main"]);
        git(&["merge", "--quiet", "--no-ff", "--message=Merge", "topic"]);
        let merge = git(&["rev-parse", "HEAD"]);
        git(&["update-ref", &format!("refs/pull/{number}/merge"), &merge]);
        git(&["reset", "--quiet", "--hard", &base]);
        self.forge.deliver("pull_request", Forge::example("pull_request", "opened"), |payload| {
            payload["number"] = json!(number);
            let pull = &mut payload["pull_request"];
            pull["number"] = json!(number);
            pull["head"]["sha"] = json!(head);
            pull["head"]["repo"]["full_name"] = json!("somebody/site");
            pull["base"]["sha"] = json!(base);
            pull["base"]["ref"] = json!("main");
        });
        self.log("pull_request", &merge)
    }
}

#[track_caller]
fn assert_built(log: &[String], input: &str) {
    for line in [input, "it was built"] {
        assert!(log.iter().any(|logged| logged == line), "`{line}` is missing: {log:#?}");
    }
}

#[track_caller]
fn assert_hit(log: &[String], input: &str) {
    for line in [input, "nothing was built"] {
        assert!(log.iter().any(|logged| logged == line), "`{line}` is missing: {log:#?}");
    }
    assert!(log.iter().any(|line| line.contains("cached from remote")), "{log:#?}");
}

#[test]
fn moon_finds_over_grpc_what_another_job_built_and_a_fork_leaves_its_base_nothing() {
    let repository = Repository::new();
    let first = repository.commit("one");
    assert_built(&repository.push(&first), "one");
    // Another commit with the same input, in a container that never built.
    let second = repository.commit("one");
    assert_hit(&repository.push(&second), "one");

    // A fork's pull request has what its base has, and what it builds for itself.
    assert_hit(&repository.pull_request(7, "one"), "one");
    assert_built(&repository.pull_request(7, "from outside"), "from outside");
    assert_hit(&repository.pull_request(7, "from outside"), "from outside");
    // Neither another one nor, once it is merged, the base finds that.
    assert_built(&repository.pull_request(8, "from outside"), "from outside");
    let merged = repository.commit("from outside");
    assert_built(&repository.push(&merged), "from outside");

    let told = repository.forge.coordinator.api("/api/v1/cache")["build_tools"]["clients"].clone();
    let by_grpc = |client: &&Value| client["door"] == "grpc" && client["hits"].as_u64() > Some(0);
    let repository = told.as_array().unwrap().iter().find(by_grpc).map(|client| &client["repository"]);
    assert!(repository.is_some_and(|name| name.as_str().unwrap().ends_with("octo/site")), "{told:#}");
}
