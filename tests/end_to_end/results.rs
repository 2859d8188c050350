//! The way from a job's container to its caches, through agent and coordinator as processes of their own.
//!
//! Scripts are not told the job's token, as on GitHub; so the test asks for it as an agent does, and hands it in.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use slipway_proto::v1::agents_client::AgentsClient;
use slipway_proto::v1::{AttemptRef, FencingToken, FetchSecretsRequest, Lease};
use slipway_tests::{Agent, AgentOptions, Checkout, Coordinator, copy_client_packages, wait_until};

/// Saves an entry of 200 MiB and restores it, with nothing but `curl`.
const SCRIPT: &str = r#"
          until [ -s /tmp/token ]; do sleep 0.2; done
          url=http://slipway.localhost:28472
          call() {
            curl --fail-with-body --silent --show-error --header "authorization: Bearer $(cat /tmp/token)" \
              --json "$2" "$url/twirp/github.actions.results.api.v1.CacheService/$1"
          }
          status() { curl --silent --output /dev/null --write-out '%{http_code}' "$@"; }
          echo "without a token: $(status --json '{}' $url/twirp/github.actions.results.api.v1.CacheService/CreateCacheEntry)"
          echo "the coordinator's API: $(status $url/api/v1/runs) $(status $url/metrics)"
          env | grep ^ACTIONS_ || echo "scripts are told nothing"
          head -c 200M /dev/urandom > entry
          call CreateCacheEntry '{"key":"k","version":"v"}' > created
          curl --fail-with-body --silent --show-error --upload-file entry "$(jq -r .signed_upload_url created)"
          call FinalizeCacheEntryUpload "{\"key\":\"k\",\"version\":\"v\",\"size_bytes\":\"$(stat -c %s entry)\"}" | jq -c .ok
          call GetCacheEntryDownloadURL '{"key":"k-2","restore_keys":["k"],"version":"v"}' > found
          curl --fail-with-body --silent --show-error --output back "$(jq -r .signed_download_url found)"
          cmp entry back && echo "the entry came back"
          auth="authorization: Bearer $(cat /tmp/token)"
          echo "the build cache: $(status --upload-file entry $url/cache/files/entry) $(status --header "$auth" --upload-file entry $url/cache/files/entry)"
          curl --fail-with-body --silent --show-error --header "$auth" --output again $url/cache/files/entry
          cmp entry again && echo "the build cache gave it back"
          echo "the token is $(cat /tmp/token)"
"#;

/// The container of a job's first attempt, and the sequence of its lease, which its name ends with.
fn container(instance: &str) -> (String, u64) {
    wait_until("the job has a container", || {
        let filter = format!("name=slipway-{instance}-1-");
        let listed = Command::new("docker")
            .args(["ps", "--format", "{{.Names}}", "--filter", &filter])
            .output()
            .unwrap();
        let name = String::from_utf8(listed.stdout).unwrap().trim().to_owned();
        let sequence = name.rsplit('-').next()?.parse().ok()?;
        Some((name, sequence))
    })
}

fn runtime_token(coordinator: &Coordinator, run: &str, instance: &str, sequence: u64) -> String {
    let lease = Lease {
        attempt: Some(AttemptRef { run_id: run.to_owned(), instance_id: instance.to_owned(), attempt: 1 }),
        token: Some(FencingToken { epoch: 1, sequence }),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let endpoint = tonic::transport::Endpoint::from_shared(coordinator.grpc_url()).unwrap();
        let mut client = AgentsClient::new(endpoint.connect().await.unwrap());
        let mut request = tonic::Request::new(FetchSecretsRequest { lease: Some(lease) });
        let authorization = format!("Bearer {}", coordinator.agent_token());
        request.metadata_mut().insert("authorization", authorization.parse().unwrap());
        client.fetch_secrets(request).await.unwrap().into_inner().runtime_token
    })
}

#[test]
fn a_job_saves_and_restores_200_mib_over_its_own_loopback() {
    let coordinator = Coordinator::start();
    let _agent = Agent::start(&coordinator, AgentOptions::named("one"));
    let checkout = Checkout::with_workflow(&format!(
        "on: push\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps:\n      - run: |{SCRIPT}"
    ));
    let mut running = coordinator.run_command(&checkout).stdout(Stdio::null()).spawn().unwrap();
    let run = coordinator.newest_run();
    let instance = wait_until("the job is planned", || {
        let shown = coordinator.show(&run);
        shown["instances"].as_array()?.first()?["instance_id"].as_str().map(str::to_owned)
    });
    let (container, sequence) = container(&instance);
    let token = runtime_token(&coordinator, &run, &instance, sequence);
    let mut handed = Command::new("docker")
        .args(["exec", "--interactive", &container, "sh", "-c", "cat > /tmp/new && mv /tmp/new /tmp/token"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    handed.stdin.take().unwrap().write_all(token.as_bytes()).unwrap();
    assert!(handed.wait().unwrap().success());
    let done = running.wait().unwrap();
    let log = coordinator.logs(&run, "build");
    assert!(done.success(), "{log:#?}");
    for line in [
        "without a token: 401",
        "the coordinator's API: 404 404",
        "scripts are told nothing",
        "true",
        "the entry came back",
        "the build cache: 401 201",
        "the build cache gave it back",
        "the token is ***",
    ] {
        assert!(log.iter().any(|logged| logged == line), "`{line}` is missing: {log:#?}");
    }
}

/// An action that does what one of GitHub's clients does; it prints its answer in one line.
fn client_action(source: &Path, name: &str, mebibytes: u32) {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../coordinator/tests/clients");
    let folder = source.join("clients").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let yml = "name: Client\ndescription: A client\nruns: {using: node24, main: main.mjs}\n";
    std::fs::write(folder.join("action.yml"), yml).unwrap();
    let main = format!(
        "import * as fs from 'node:fs'\nconst folder = process.env.RUNNER_TEMP + '/{name}'\n\
         fs.mkdirSync(folder)\nprocess.argv.push(folder, '{mebibytes}')\nawait import('./{name}.mjs')\n"
    );
    std::fs::write(folder.join("main.mjs"), main).unwrap();
    std::fs::copy(scripts.join(format!("{name}.mjs")), folder.join(format!("{name}.mjs"))).unwrap();
    copy_client_packages(&folder);
}

#[test]
fn github_s_own_clients_round_trip_200_mib_inside_of_actions() {
    let source = tempfile::tempdir().unwrap();
    client_action(source.path(), "cache", 200);
    client_action(source.path(), "artifacts", 200);
    let checkout = Checkout::with_workflow(
        "on: push\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: clients/cache@v1\n      \
         - uses: clients/artifacts@v1\n",
    );
    let from = format!("file://{}", source.path().display());
    let outcome = checkout.run_with(&["--actions-source", &from]);
    outcome.expect(0, "success");
    let log = outcome.log("build");
    let answers: Vec<serde_json::Value> = log
        .iter()
        .filter_map(|line| line.strip_prefix("::answer::"))
        .map(|answer| serde_json::from_str(answer).unwrap())
        .collect();
    let [cache, artifacts] = answers.as_slice() else { panic!("two answers were expected: {log:#?}") };
    for (answer, name) in [
        (cache, "saved"),
        (cache, "hitSame"),
        (cache, "prefixSame"),
        (artifacts, "sameId"),
        (artifacts, "same"),
        (artifacts, "deleted"),
        (artifacts, "newId"),
    ] {
        assert_eq!(answer[name], true, "{name}: {answer:#}");
    }
    assert_eq!((&cache["miss"], &cache["otherPaths"]), (&serde_json::Value::Null, &serde_json::Value::Null));
}
