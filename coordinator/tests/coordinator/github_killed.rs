//! The coordinator's own program, killed with SIGKILL at each point between a webhook and its check's end.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;
use slipway_proto::v1;
use tempfile::TempDir;

use crate::events::{git, workflow, write};
use crate::fake_agent::{FIRST, FakeAgent, hello};
use crate::github_double::{Double, KEY};

const SECRET: &str = "a secret of the test";

/// After how many requests to the double the program is killed, counted from the webhook or the job's end.
const POINTS: usize = 6;

struct Program {
    child: Child,
    http: SocketAddr,
    grpc: SocketAddr,
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    fn start(config: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway-coordinator"));
        command.arg("--config").arg(config).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = |name: &str| {
            let found = line.split_whitespace().find_map(|word| word.strip_prefix(name));
            found.unwrap_or_else(|| panic!("`{line}` has no {name}")).parse().unwrap()
        };
        Self { http: address("http="), grpc: address("grpc="), child }
    }

    async fn deliver(&self, id: &str, body: Vec<u8>) {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(&body);
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let request =
            slipway_tests::http_client().post(format!("http://{}/webhooks/github", self.http)).body(body);
        let request = request.header("x-github-event", "push").header("x-github-delivery", id);
        assert_eq!(request.header("x-hub-signature-256", signature).send().await.unwrap().status(), 202);
    }
}

struct World {
    double: Double,
    folder: TempDir,
    program: Option<Program>,
}

impl World {
    async fn new() -> Self {
        let double = Double::start().await;
        let folder = tempfile::tempdir().unwrap();
        let (repository, at) = (folder.path().join("repository"), |name: &str| folder.path().join(name));
        std::fs::create_dir_all(&repository).unwrap();
        git(&repository, &["init", "--quiet", "--initial-branch=main"]);
        git(&repository, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
        write(
            &repository,
            ".github/workflows/ci.yml",
            &workflow("ci", "push").replace("    runs-on", "    environment: live\n    runs-on"),
        );
        std::fs::write(at("secret"), SECRET).unwrap();
        std::fs::write(at("app.pem"), KEY).unwrap();
        let config = format!(
            "data_dir = {:?}\nhttp = \"127.0.0.1:0\"\ngrpc = \"127.0.0.1:0\"\nwebhook_secret_file = {:?}\n\
             [github]\napp_id = 7\nkey_file = {:?}\napi = \"http://{}/api/v3\"\ntimeout = 1\n\
             [[repository]]\nname = \"o/n\"\nclone_url = \"file://{}\"\n",
            at("data"),
            at("secret"),
            at("app.pem"),
            double.address,
            repository.display()
        );
        std::fs::write(at("slipway.toml"), config).unwrap();
        let mut world = Self { double, folder, program: None };
        world.start();
        world
    }

    fn start(&mut self) {
        self.program = Some(Program::start(&self.folder.path().join("slipway.toml")));
    }

    /// Kills the program as soon as it asked the double so many more times, and starts it again.
    async fn kill_after(&mut self, requests: usize) {
        let wanted = self.double.known().asked() + requests;
        for _ in 0..300 {
            // Where there is not so much to ask it is killed all the same.
            if self.double.known().asked() >= wanted {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // SIGKILL.
        self.program = None;
        self.start();
    }

    fn program(&self) -> &Program {
        self.program.as_ref().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_anywhere_between_webhook_and_check_nothing_is_lost_and_nothing_doubled() {
    let mut world = World::new().await;
    let repository = world.folder.path().join("repository");
    for point in 0..POINTS {
        write(&repository, "code.txt", &point.to_string());
        git(&repository, &["add", "."]);
        git(&repository, &["commit", "--quiet", "--message", "Go on"]);
        let head = git(&repository, &["rev-parse", "HEAD"]);
        let html_url = format!("https://{}/o/n", world.double.host());
        let body = json!({
            "ref": "refs/heads/main", "after": head, "sender": {"login": "ada"},
            "repository": {"full_name": "o/n", "name": "n", "default_branch": "main", "html_url": html_url},
        });
        world.program().deliver(&format!("d-{point}"), serde_json::to_vec(&body).unwrap()).await;
        world.kill_after(point).await;
    }
    let token = std::fs::read_to_string(world.folder.path().join("data/agent.token")).unwrap();
    for point in 0..POINTS {
        let hello = hello(FIRST, 1, Vec::new());
        let mut agent = FakeAgent::connect_at(world.program().grpc, token.trim(), hello).await;
        let assign = agent.next_assigned().await;
        let lease = assign.lease.unwrap();
        agent.report(&lease, v1::Result::Success, 0).await;
        loop {
            if let v1::coordinator_message::Message::Accepted(accepted) = agent.hear().await
                && accepted.lease.as_ref() == Some(&lease)
            {
                break;
            }
        }
        world.kill_after(point).await;
    }
    // Those that a killed agent's session left are done as well.
    let hello = hello(FIRST, 8, Vec::new());
    let mut agent = FakeAgent::connect_at(world.program().grpc, token.trim(), hello).await;
    let worker = tokio::spawn(async move {
        loop {
            agent.work(v1::Result::Success, &[]).await;
        }
    });
    world
        .double
        .until("every end", |known| {
            known.checks.len() == 2 * POINTS
                && known.ends().iter().all(|(_, end)| end == "success")
                && known.deploying().iter().all(|said| said.last() == Some(&"success"))
        })
        .await;
    worker.abort();
    let known = world.double.known();
    let mut ids: Vec<(&str, &str)> = known
        .checks
        .values()
        .map(|check| (check["head_sha"].as_str().unwrap(), check["external_id"].as_str().unwrap()))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 2 * POINTS, "one for each job and one for each commit");
    let deployments: std::collections::BTreeSet<String> =
        known.deployments.values().map(|made| made["payload"]["slipway"].to_string()).collect();
    assert_eq!((deployments.len(), known.deployments.len()), (POINTS, POINTS), "one for each job");
    for said in known.deploying() {
        assert!(said.windows(2).all(|pair| pair[0] != pair[1]), "none is said twice: {said:?}");
    }
    drop(known);
    world.double.hold_against_description();
}
