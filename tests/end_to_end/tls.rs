//! gRPC with TLS between real processes: a job runs with the right certificate; what is wrong with any other is said
//! in one message, and the agent goes on trying.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::Value;
use slipway_tests::{Checkout, Outcome, RUNNER_IMAGE, program, wait_until};
use tempfile::TempDir;

const WORKFLOW: &str =
    "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo over TLS\n";

/// A certificate authority of the test, in a folder that goes with it.
pub(crate) struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Writes a certificate for one name and its key; the flags that give them to a coordinator.
    pub(crate) fn flags(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Vec<String> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = ["server.pem", "server.key"].map(|file| self.folder.path().join(file));
        std::fs::write(&files[0], certificate.pem()).unwrap();
        std::fs::write(&files[1], key.serialize_pem()).unwrap();
        let [certificate, key] = files.map(|file| file.to_str().unwrap().to_owned());
        vec!["--tls-cert".to_owned(), certificate, "--tls-key".to_owned(), key]
    }
}

/// A process that ends with its value; its data and what it says are in its folder.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) folder: TempDir,
}

impl Process {
    fn start(name: &str, arguments: &[String]) -> Self {
        let folder = tempfile::Builder::new().prefix("slipway-tls-").tempdir().unwrap();
        Self::start_in(folder, name, arguments)
    }

    /// The same with what is in this folder.
    pub(crate) fn start_in(folder: TempDir, name: &str, arguments: &[String]) -> Self {
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new(program(name));
        command.arg("--data-dir").arg(folder.path().join("data")).args(arguments);
        command.env_remove("SLIPWAY_SERVER").env_remove("SLIPWAY_TOKEN").env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        Self { child: command.spawn().unwrap(), folder }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A coordinator with ports of its own.
pub(crate) struct Coordinator {
    pub(crate) process: Process,
    http: String,
    pub(crate) grpc_port: String,
}

impl Coordinator {
    pub(crate) fn start(flags: Vec<String>) -> Self {
        let ports = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"].map(str::to_owned);
        let arguments: Vec<_> = ports.into_iter().chain(flags).collect();
        let mut process = Process::start("slipway-coordinator", &arguments);
        let mut ready = String::new();
        BufReader::new(process.child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let value = |key: &str| {
            let word = ready.split_whitespace().find_map(|word| word.strip_prefix(key));
            word.unwrap_or_else(|| panic!("not ready: `{ready}`; {}", process.log())).to_owned()
        };
        let secure = arguments.iter().any(|argument| argument == "--http-tls");
        let (http, grpc) = (value("http="), value("grpc="));
        let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
        let grpc_port = port(&grpc);
        let http = match secure {
            true => format!("https://localhost:{}", port(&http)),
            false => format!("http://{http}"),
        };
        Self { process, http, grpc_port }
    }

    fn agent(&self, scheme: &str, ca_file: Option<&Path>) -> Process {
        let token_file = self.process.folder.path().join("data/agent.token");
        let server = format!("{scheme}://localhost:{}", self.grpc_port);
        let image = format!("ubuntu-latest={RUNNER_IMAGE}");
        let mut arguments = vec!["--server", &server, "--slots", "1", "--image", &image];
        arguments.extend(["--token-file", token_file.to_str().unwrap()]);
        if let Some(file) = ca_file {
            arguments.extend(["--ca-file", file.to_str().unwrap()]);
        }
        Process::start("slipway-agent", &arguments.into_iter().map(str::to_owned).collect::<Vec<_>>())
    }

    pub(crate) fn slipway(&self, checkout: &Checkout, arguments: &[&str]) -> Outcome {
        let token = std::fs::read_to_string(self.process.folder.path().join("data/admin.token")).unwrap();
        let mut command = checkout.slipway(arguments);
        command.env("SLIPWAY_SERVER", &self.http).env("SLIPWAY_TOKEN", token.trim());
        if self.http.starts_with("https:") {
            command.env("SLIPWAY_SERVER_CA", self.process.folder.path().join("data/ca.pem"));
        }
        Outcome::of(&mut command)
    }

    /// The agent says `message` more than once, so it goes on trying, and is never listed.
    fn refuses(&self, mut agent: Process, message: &str) {
        let log = wait_until("the agent has said twice what is wrong", || {
            let log = agent.log();
            (log.matches("no session with the coordinator").count() >= 2).then_some(log)
        });
        for line in log.lines().filter(|line| line.contains("no session with the coordinator")) {
            assert!(line.contains(message), "`{message}` is not in:\n{line}");
        }
        assert_eq!(agent.child.try_wait().unwrap(), None, "the agent goes on trying");
        let agents = self.slipway(&Checkout::new(), &["agents", "--json"]);
        assert_eq!(
            serde_json::from_str::<Value>(&agents.stdout).unwrap(),
            serde_json::json!([]),
            "{agents:#?}"
        );
    }
}

#[test]
fn a_job_runs_over_tls() {
    let authority = Authority::new();
    let coordinator = Coordinator::start(authority.flags("localhost", |_| {}));
    let _agent = coordinator.agent("https", Some(&authority.ca_file()));
    let checkout = Checkout::with_workflow(WORKFLOW);
    let outcome = coordinator.slipway(&checkout, &["run", ".github/workflows/ci.yml", "--json"]);
    assert_eq!(outcome.code, 0, "{outcome:#?}");
    assert!(outcome.log("a").contains(&"over TLS".to_owned()), "{outcome:#?}");
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let coordinator = Coordinator::start(authority.flags("localhost", |_| {}));
    coordinator.refuses(coordinator.agent("https", Some(&other.ca_file())), "is not from a CA of");
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    let coordinator = Coordinator::start(authority.flags("ci.example", |_| {}));
    let agent = coordinator.agent("https", Some(&authority.ca_file()));
    coordinator.refuses(agent, "is not for `localhost`");
}

#[test]
fn an_expired_certificate_is_refused() {
    let authority = Authority::new();
    let coordinator = Coordinator::start(authority.flags("localhost", |params| {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    }));
    coordinator.refuses(coordinator.agent("https", Some(&authority.ca_file())), "has expired");
}

#[test]
fn a_coordinator_without_tls_is_not_spoken_to_over_https() {
    let authority = Authority::new();
    let coordinator = Coordinator::start(Vec::new());
    let agent = coordinator.agent("https", Some(&authority.ca_file()));
    coordinator.refuses(agent, "start the coordinator with --tls-cert");
}

#[test]
fn a_coordinator_with_tls_is_not_spoken_to_over_http() {
    let authority = Authority::new();
    let coordinator = Coordinator::start(authority.flags("localhost", |_| {}));
    coordinator.refuses(coordinator.agent("http", None), "speaks TLS: use https://");
}
