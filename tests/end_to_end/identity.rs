//! Identity tokens from the inside of a job's container: GitHub's own toolkit and a plain script ask, through agent and coordinator as
//! processes of their own.

use std::path::Path;

use slipway_tests::{Agent, AgentOptions, Checkout, Coordinator, copy_client_packages};

const ACTION: &str = "name: Identity\ndescription: Asks for a token\nruns: {using: node24, main: main.mjs}\n";

/// What `aws-actions/configure-aws-credentials` and its like do.
const CLIENT: &str = "import * as core from '@actions/core'
const token = await core.getIDToken('sts.example.com')
const claims = JSON.parse(Buffer.from(token.split('.')[1], 'base64url'))
console.log(`claims ${claims.aud} ${claims.sub} ${claims.environment} ${claims.runner_environment}`)
console.log(`the token is ${token}`)
";

/// Scripts ask as GitHub's documentation shows it.
const WORKFLOW: &str = r#"on: push
permissions: { id-token: write }
jobs:
  may:
    runs-on: ubuntu-latest
    environment: production
    steps:
      - uses: clients/all/identity@v1
      - run: |
          token=$(curl --fail-with-body --silent --show-error \
            --header "authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" \
            "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=script" | jq -r .value)
          claims=$(echo "$token" | cut -d . -f 2 | tr _- /+)
          while [ $((${#claims} % 4)) -ne 0 ]; do claims="$claims="; done
          echo "$claims" | base64 -d | jq -r '"claims of a script: " + .aud + " " + .runner_environment'
          echo "asked with $ACTIONS_ID_TOKEN_REQUEST_TOKEN"
          env | grep -c ^ACTIONS_
  must-not:
    runs-on: ubuntu-latest
    permissions: { contents: read }
    steps:
      - run: env | grep ^ACTIONS_ || echo "nothing to ask with"
      - uses: clients/all/identity@v1
"#;

fn client_action(source: &Path) {
    let folder = source.join("clients/all/identity");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("action.yml"), ACTION).unwrap();
    std::fs::write(folder.join("main.mjs"), CLIENT).unwrap();
    copy_client_packages(&source.join("clients/all"));
}

#[test]
fn a_job_that_may_gets_a_token_by_githubs_toolkit_and_by_a_script_and_another_gets_none() {
    let source = tempfile::tempdir().unwrap();
    client_action(source.path());
    let from = format!("file://{}", source.path().display());
    let coordinator = Coordinator::start();
    let mut options = AgentOptions::named("one");
    options.arguments = ["--actions-source", &from].map(str::to_owned).into();
    let _agent = Agent::start(&coordinator, options);
    let checkout = Checkout::with_workflow(WORKFLOW);
    let outcome = coordinator.run(&checkout);
    assert_eq!(outcome.code, 1, "{outcome:#?}");
    let (may, must_not) = (outcome.log("may"), outcome.log("must-not"));
    let logged = |log: &[String], text: &str| {
        assert!(log.iter().any(|line| line.contains(text)), "`{text}` is missing: {log:#?}");
    };
    logged(&may, "claims sts.example.com repo:");
    logged(&may, ":environment:production production self-hosted");
    logged(&may, "the token is ***");
    logged(&may, "claims of a script: script self-hosted");
    logged(&may, "asked with ***");
    assert!(may.iter().any(|line| line == "2"), "scripts are told of nothing else: {may:#?}");
    logged(&must_not, "nothing to ask with");
    logged(&must_not, "Unable to get ACTIONS_ID_TOKEN_REQUEST_URL env variable");
}
