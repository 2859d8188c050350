//! The command line and coordinators among each other over HTTPS, as processes with real jobs.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use slipway_tests::postgres::PostgresServer;
use slipway_tests::{Agent, AgentOptions, Checkout, Cluster, Coordinator, Outcome};

use crate::tls::Authority;

const WORKFLOW: &str = r#"on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: cat file.txt; mkdir out; echo built > out/program
      - uses: actions/upload-artifact@v4
        with: { name: dist, path: out }
"#;

/// A job that ends only when somebody ends it.
const ENDLESS: &str =
    "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo begun; sleep 3600\n";

fn agent(coordinator: &Coordinator) -> Agent {
    let mut options = AgentOptions::named("one");
    options.arguments = vec!["--ca-file".to_owned(), coordinator.ca_file().display().to_string()];
    Agent::start(coordinator, options)
}

/// A run of this checkout, followed here, is seen going on, is cancelled here, and ends here.
fn follows_live(coordinator: &Coordinator) {
    let checkout = Checkout::with_workflow(ENDLESS);
    let mut child = coordinator.run_command(&checkout).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains(r#""line":"begun""#)), "its line comes while it goes on");
    let cancelled = coordinator.plain(&["cancel", "latest"]);
    assert_eq!(cancelled.code, 0, "{cancelled:#?}");
    let last = lines.last().unwrap();
    assert!(last.contains(r#""result":"cancelled""#), "{last}");
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_run_its_log_and_what_it_leaves_go_over_https() {
    let flags = ["--tls-name", "127.0.0.1", "--http-tls", "--actions-source", "file:///nonexistent"];
    let coordinator = Coordinator::start_with(&flags);
    let _agent = agent(&coordinator);
    let checkout = Checkout::with_workflow(WORKFLOW);
    // The tree that goes up is larger than what one record of TLS holds.
    checkout.write("file.txt", &"a line that is uploaded\n".repeat(1_000));
    let outcome = coordinator.run(&checkout);
    outcome.expect(0, "success");
    assert_eq!(outcome.log("build").iter().filter(|line| *line == "a line that is uploaded").count(), 1_000);
    let to = tempfile::tempdir().unwrap();
    let arguments = ["artifacts", "download", "latest", "--to", to.path().to_str().unwrap()];
    let downloaded = Outcome::of(&mut coordinator.slipway(&checkout, &arguments));
    assert_eq!(downloaded.code, 0, "{downloaded:#?}");
    assert!(to.path().join("dist.zip").exists());
    follows_live(&coordinator);
}

#[test]
fn a_follower_passes_on_to_the_leader_over_https_and_live() {
    let database = PostgresServer::start();
    let flags = ["--tls-name", "localhost", "--http-tls"];
    let cluster = Cluster::start_with(&database.url("sslmode=disable"), 2, &flags, &[]);
    let [leader, follower] = cluster.coordinators.as_slice() else { panic!("two were started") };
    let _agent = agent(leader);
    let checkout = Checkout::with_workflow(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo by way of a follower\n",
    );
    let outcome = follower.run(&checkout);
    outcome.expect(0, "success");
    assert!(outcome.log("a").contains(&"by way of a follower".to_owned()), "{outcome:#?}");
    follows_live(follower);
    let doctor = follower.plain(&["doctor", "--json"]);
    assert!(doctor.stdout.contains("TLS 1.3, for localhost, 127.0.0.1"), "{doctor:#?}");
}

#[test]
fn coordinators_with_certificate_files_trust_each_other_by_the_machine() {
    let database = PostgresServer::start();
    let authority = Authority::new();
    // With the authority's own name it would look self-signed to curl.
    let named = |params: &mut rcgen::CertificateParams| {
        params.distinguished_name.push(rcgen::DnType::CommonName, "ci-1");
    };
    let flags = [authority.flags("127.0.0.1", named), vec!["--http-tls".to_owned()]].concat();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let ca_file = authority.ca_file();
    let store = [("SSL_CERT_FILE", ca_file.to_str().unwrap())];
    let cluster = Cluster::start_with(&database.url("sslmode=disable"), 2, &flags, &store);
    let listed = cluster.coordinators[1].plain(&["agents", "--json"]);
    assert_eq!((listed.code, listed.stdout.trim()), (0, "[]"), "{listed:#?}");
}
