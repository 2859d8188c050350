//! The way from a job's container to its caches, through agent and coordinator as processes of their own.
//!
//! Scripts are not told the job's token, as on GitHub; so the test asks for it as an agent does, and hands it in.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use slipway_proto::v1::agents_client::AgentsClient;
use slipway_proto::v1::{AttemptRef, FencingToken, FetchSecretsRequest, Lease};
use slipway_tests::{Agent, AgentOptions, Checkout, Coordinator, copy_client_packages, get, wait_until};

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

/// Hands a job its own token, into its container; waits until that runs.
fn hand_token(coordinator: &Coordinator, run: &str, job: &str) {
    let instance = wait_until("the job is planned", || {
        let shown = coordinator.show(run);
        let found = shown["instances"].as_array()?.iter().find(|instance| instance["job"] == job)?;
        found["instance_id"].as_str().map(str::to_owned)
    });
    let (container, sequence) = container(&instance);
    let token = runtime_token(coordinator, run, &instance, sequence);
    let mut handed = Command::new("docker")
        .args(["exec", "--interactive", &container, "sh", "-c", "cat > /tmp/new && mv /tmp/new /tmp/token"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    handed.stdin.take().unwrap().write_all(token.as_bytes()).unwrap();
    assert!(handed.wait().unwrap().success());
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
    hand_token(&coordinator, &run, "build");
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

/// Two jobs of one agent, the second of which reads what the first put.
const TWO_JOBS: &str = r#"on: push
jobs:
  first:
    runs-on: ubuntu-latest
    steps:
      - run: |
          until [ -s /tmp/token ]; do sleep 0.2; done
          auth="authorization: Bearer $(cat /tmp/token)"
          head -c 64M /dev/urandom > entry
          curl --fail-with-body --silent --show-error --header "$auth" --upload-file entry http://slipway.localhost:28472/cache/files/entry
          sha256sum < entry
  second:
    needs: first
    runs-on: ubuntu-latest
    steps:
      - run: |
          until [ -s /tmp/token ]; do sleep 0.2; done
          auth="authorization: Bearer $(cat /tmp/token)"
          curl --fail-with-body --silent --show-error --header "$auth" --output entry http://slipway.localhost:28472/cache/files/entry
          sha256sum < entry
"#;

/// Bytes that agents fetched from the coordinator's cache.
fn sent_to_agents(coordinator: &Coordinator) -> u64 {
    let page = get(&coordinator.url("/metrics"), "").body;
    let line = page.lines().find_map(|line| line.strip_prefix("slipway_cache_agents_read_bytes_total "));
    line.unwrap().parse().unwrap()
}

#[test]
fn what_a_job_put_the_next_one_has_from_its_agent_s_disk() {
    let coordinator = Coordinator::start();
    let _agent = Agent::start(&coordinator, AgentOptions::named("one"));
    let checkout = Checkout::with_workflow(TWO_JOBS);
    let mut running = coordinator.run_command(&checkout).stdout(Stdio::null()).spawn().unwrap();
    let run = coordinator.newest_run();
    hand_token(&coordinator, &run, "first");
    hand_token(&coordinator, &run, "second");
    let done = running.wait().unwrap();
    let [first, second] = ["first", "second"].map(|job| coordinator.logs(&run, job));
    assert!(done.success(), "{first:#?} {second:#?}");
    let sum = |log: &[String]| log.iter().find(|line| line.ends_with("  -")).cloned().unwrap();
    assert_eq!(sum(&first), sum(&second));
    let sent = sent_to_agents(&coordinator);
    assert!(sent < 64 << 10, "{sent} bytes of 64 MiB came from the coordinator");
}

#[test]
fn an_agent_killed_while_it_keeps_a_blob_leaves_nothing_half() {
    let coordinator = Coordinator::start();
    let mut agent = Agent::start(&coordinator, AgentOptions::named("one"));
    let script = r#"on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - run: |
          until [ -s /tmp/token ]; do sleep 0.2; done
          auth="authorization: Bearer $(cat /tmp/token)"
          url=http://slipway.localhost:28472/cache/files/entry
          head -c 64M /dev/urandom > entry
          head -c 200K entry > small
          put() { curl --silent --output /dev/null --header "$auth" --upload-file "$1" "$2"; }
          n=0
          while [ ! -e stop ]; do n=$((n + 1)); put entry "$url-$n" || true; [ $n != 1 ] || echo the first is there; done
          while ! put entry "$url-last"; do sleep 0.2; done
          for n in $(seq $n) last; do
            curl --fail --silent --header "$auth" --output back "$url-$n" || { echo "$n is not there"; continue; }
            cmp entry back || echo "$n is another"
          done
          echo looked through
          put small "$url-small"
          curl --fail --silent --header "$auth" --output back "$url-small" && cmp small back && echo the agent is whole
"#;
    let checkout = Checkout::with_workflow(script);
    let mut running = coordinator.run_command(&checkout).stdout(Stdio::null()).spawn().unwrap();
    let run = coordinator.newest_run();
    hand_token(&coordinator, &run, "build");
    let said = |line: &str| coordinator.logs(&run, "build").iter().any(|logged| logged == line);
    wait_until("something is on its way", || said("the first is there").then_some(()));
    for _ in 0..2 {
        agent.kill9();
        agent.start_again();
    }
    let jobs = std::fs::read_dir(agent.data_dir().join("jobs")).unwrap();
    let job = jobs.map(|job| job.unwrap().path()).next().unwrap();
    let workspace = find_file(&job, "entry").parent().unwrap().to_owned();
    std::fs::write(workspace.join("stop"), "").unwrap();
    let done = running.wait().unwrap();
    let log = coordinator.logs(&run, "build");
    assert!(done.success(), "{log:#?}");
    assert!(!log.iter().any(|line| line.ends_with("is another")), "{log:#?}");
    assert!(!log.iter().any(|line| line == "last is not there"), "{log:#?}");
    for line in ["looked through", "the agent is whole"] {
        assert!(log.iter().any(|logged| logged == line), "`{line}` is missing: {log:#?}");
    }
    let left = std::fs::read_dir(agent.data_dir().join("cache/incoming")).unwrap().count();
    assert_eq!(left, 0, "of what was under way nothing is left");
}

/// The file of this name below a folder.
fn find_file(folder: &Path, name: &str) -> std::path::PathBuf {
    let output =
        Command::new("find").arg(folder).args(["-name", name, "-type", "f", "-print", "-quit"]).output();
    String::from_utf8(output.unwrap().stdout).unwrap().trim().into()
}

/// Saves a folder and restores it, with the built-in actions.
const SAVE: &str = r#"on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - run: mkdir data && head -c 40M /dev/urandom > data/a && sha256sum < data/a
      - uses: actions/cache/save@v5
        with: { path: data, key: k }
"#;
const RESTORE: &str = r#"on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/cache/restore@v5
        with: { path: data, key: k, fail-on-cache-miss: true }
      - run: sha256sum < data/a
"#;

#[test]
fn an_entry_that_an_agent_restored_before_comes_from_its_disk() {
    let coordinator = Coordinator::start();
    let _agent = Agent::start(&coordinator, AgentOptions::named("one"));
    let checkout = Checkout::with_workflow(SAVE);
    let sum_of = |workflow: &str| {
        checkout.write(".github/workflows/ci.yml", workflow);
        let outcome = coordinator.run(&checkout);
        outcome.expect(0, "success");
        outcome.log("build").iter().find(|line| line.ends_with("  -")).cloned().unwrap()
    };
    let saved = sum_of(SAVE);
    assert_eq!(sum_of(RESTORE), saved);
    // The coordinator still says that it is there; its bytes it has no more.
    let data = coordinator.data_dir().join("objects/results/data");
    for upload in std::fs::read_dir(&data).unwrap() {
        std::fs::remove_dir_all(upload.unwrap().path()).unwrap();
    }
    assert_eq!(sum_of(RESTORE), saved);
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
