//! All that a campaign may break: coordinators, agents, the database, disks and the network between them.

mod certificate;
mod database;
mod disk;
mod member;
mod network;
mod shell;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use slipway_tests::{RUNNER_IMAGE, docker, free_port, program};
use tempfile::TempDir;

use certificate::Certificate;
use database::Database;
use disk::Disk;
use member::Member;
use network::Network;

pub(crate) use network::Cut;

use crate::door::Door;

/// How long a lease is. The shortest that agents with several slots renew easily on a busy machine.
pub(crate) const LEASE: Duration = Duration::from_secs(8);

/// How long the fleet may take to recover from anything before the campaign gives up.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often processes are looked after while something is waited for.
const TEND_EVERY: Duration = Duration::from_millis(50);

const COORDINATORS: usize = 3;
const AGENTS: usize = 3;
const SLOTS: u32 = 2;

/// Room for records and blobs of a whole campaign.
const OBJECTS_MEBIBYTES: u32 = 512;
/// Room for an agent's jobs and spools.
const AGENT_MEBIBYTES: u32 = 64;

/// A campaign wants no job to be given up, however often it is hit.
const CONFIGURATION: &str = r"
[retry]
attempts = 50
[retry.agent_lost]
attempts = 50
[retry.lease_expired]
attempts = 50
[retry.init_lost]
attempts = 50
first_wait_s = 1
[retry.container_start]
attempts = 50
[retry.disk_full]
attempts = 50
first_wait_s = 1
[retry.engine_unavailable]
attempts = 50
[retry.internal]
attempts = 50
";

// In the order in which they have to go: processes before what they stand on.
pub(crate) struct Plant {
    pub(crate) coordinators: Vec<Member>,
    pub(crate) agents: Vec<Member>,
    leftovers: Leftovers,
    pub(crate) database: Database,
    pub(crate) network: Network,
    objects: Disk,
    agent_disks: Vec<Disk>,
    door: Door,
    folder: Option<TempDir>,
}

impl Plant {
    /// Starts everything and waits until there is a leader and all agents are connected.
    ///
    /// # Panics
    /// When a part of it does not start, or the engine lacks the jobs' image.
    pub(crate) fn start() -> Self {
        docker(&["image", "inspect", "--format", "{{.Id}}", RUNNER_IMAGE]);
        let folder = tempfile::Builder::new().prefix("slipway-chaos-").tempdir().unwrap();
        let network = Network::of(AGENTS);
        let database = Database::start();
        let certificate = Certificate::write(folder.path(), &network.hub());
        let objects = Disk::mount(folder.path().join("objects"), OBJECTS_MEBIBYTES);
        std::fs::write(folder.path().join("cluster.key"), "5c".repeat(32)).unwrap();
        std::fs::write(folder.path().join("coordinator.toml"), CONFIGURATION).unwrap();
        let mut coordinators = Vec::with_capacity(COORDINATORS);
        let (mut addresses, mut servers) = (Vec::new(), Vec::new());
        for number in 0..COORDINATORS {
            let (http, grpc) =
                (format!("127.0.0.1:{}", free_port()), format!("{}:{}", network.hub(), free_port()));
            let make = coordinator(folder.path(), number, database.url(), &certificate, &http, &grpc);
            addresses.push(http);
            servers.push(format!("https://{grpc}"));
            let log = folder.path().join(format!("coordinator-{number}.log"));
            coordinators.push(Member::start(log, make));
        }
        let first = folder.path().join("coordinator-0");
        let token = slipway_tests::wait_until("the first coordinator has its tokens", || {
            std::fs::read_to_string(first.join("agent.token")).ok()?;
            std::fs::read_to_string(first.join("admin.token")).ok()
        });
        let door = Door::new(addresses, token.trim().to_owned());
        let (mut agents, mut agent_disks, mut identities) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..AGENTS {
            let disk = Disk::mount(folder.path().join(format!("agent-{number}")), AGENT_MEBIBYTES);
            let mut listed = servers.clone();
            listed.rotate_left(number);
            let token_file = first.join("agent.token");
            let make = agent(
                number,
                network.namespace(number),
                disk.path(),
                &listed,
                &token_file,
                &certificate.authority,
            );
            let log = folder.path().join(format!("agent-{number}.log"));
            agents.push(Member::start(log, make));
            identities.push(disk.path().join("agent.id"));
            agent_disks.push(disk);
        }
        let leftovers = Leftovers { identities };
        let folder = Some(folder);
        let mut plant =
            Self { coordinators, agents, leftovers, database, network, objects, agent_disks, door, folder };
        plant.until("all agents are connected", |plant| plant.door.connected_agents() == AGENTS);
        plant
    }

    /// How its clients reach it.
    pub(crate) fn door(&self) -> Door {
        self.door.clone()
    }

    /// Where its data and what its processes said are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.as_ref().expect("it is there until the end").path()
    }

    /// The logs of its processes outlive it, for whoever looks into what went wrong.
    pub(crate) fn keep_logs(&mut self) -> PathBuf {
        self.folder.take().expect("it is there until the end").keep()
    }

    /// Time goes by; processes that ended start again.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.tend();
            std::thread::sleep(TEND_EVERY);
        }
    }

    /// The same until something holds.
    ///
    /// # Panics
    /// When it does not within [`PATIENCE`].
    pub(crate) fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain until {what}");
            self.pass(TEND_EVERY);
        }
    }

    fn tend(&mut self) {
        for member in self.coordinators.iter_mut().chain(&mut self.agents) {
            member.tend();
        }
    }

    /// The coordinator that leads.
    pub(crate) fn leader(&mut self) -> usize {
        let mut leader = 0;
        self.until("somebody leads", |plant| match plant.door.leader() {
            Some(number) => {
                leader = number;
                true
            }
            None => false,
        });
        leader
    }

    /// Waits until every process runs, one coordinator leads and the others follow.
    pub(crate) fn whole(&mut self) {
        self.until("every process runs", |plant| {
            plant.coordinators.iter_mut().chain(&mut plant.agents).all(Member::runs)
        });
        self.until("one leads and the others follow", |plant| plant.door.all_ready());
    }

    /// The disk of all coordinators' objects.
    pub(crate) fn objects(&self) -> &Disk {
        &self.objects
    }

    /// An agent's disk.
    pub(crate) fn agent_disk(&self, agent: usize) -> &Disk {
        &self.agent_disks[agent]
    }

    /// The containers that agents have now.
    pub(crate) fn containers(&self) -> Vec<String> {
        self.leftovers.containers(&["ps", "--quiet"])
    }
}

fn coordinator(
    folder: &Path,
    number: usize,
    journal: &str,
    certificate: &Certificate,
    http: &str,
    grpc: &str,
) -> impl Fn() -> Command + use<> {
    let data = folder.join(format!("coordinator-{number}"));
    let text = |path: PathBuf| path.to_str().unwrap().to_owned();
    let arguments: Vec<String> = [
        ("--config", text(folder.join("coordinator.toml"))),
        ("--data-dir", text(data)),
        ("--journal", journal.to_owned()),
        ("--objects", format!("file://{}", text(folder.join("objects/shared")))),
        ("--cluster-key-file", text(folder.join("cluster.key"))),
        ("--lease-seconds", LEASE.as_secs().to_string()),
        ("--http", http.to_owned()),
        ("--grpc", grpc.to_owned()),
        ("--advertise-grpc", format!("https://{grpc}")),
        ("--tls-cert", text(certificate.certificate.clone())),
        ("--tls-key", text(certificate.key.clone())),
    ]
    .into_iter()
    .flat_map(|(flag, value)| [flag.to_owned(), value])
    .collect();
    move || {
        let mut command = Command::new(program("slipway-coordinator"));
        command.args(&arguments).arg("--objects-shared");
        command
    }
}

fn agent(
    number: usize,
    namespace: String,
    disk: &Path,
    servers: &[String],
    token_file: &Path,
    authority: &Path,
) -> impl Fn() -> Command + use<> {
    let (disk, servers) = (disk.to_owned(), servers.join(","));
    let (token_file, authority) = (token_file.to_owned(), authority.to_owned());
    move || {
        // `ip netns exec` becomes the program: the process is the agent's.
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &namespace]).arg(program("slipway-agent"));
        command.arg("--data-dir").arg(&disk).args(["--name", &format!("agent-{number}")]);
        command.args(["--slots", &SLOTS.to_string(), "--server", &servers]);
        command.arg("--token-file").arg(&token_file).arg("--ca-file").arg(&authority);
        command.args(["--image", &format!("ubuntu-latest={RUNNER_IMAGE}")]);
        command
    }
}

/// What agents have from the engine goes at the end: nobody will come back for it.
struct Leftovers {
    identities: Vec<PathBuf>,
}

impl Leftovers {
    fn containers(&self, list: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        for file in &self.identities {
            let Ok(id) = std::fs::read_to_string(file) else { continue };
            let filter = format!("label=slipway.agent={}", id.trim());
            let listed = Command::new("docker").args(list).args(["--filter", &filter]).output().unwrap();
            let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
            found.extend(listed.split_whitespace().map(str::to_owned));
        }
        found
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        let removals: [(&[&str], &[&str]); 2] = [
            (&["ps", "--all", "--quiet"], &["rm", "--force", "--volumes"]),
            (&["network", "ls", "--quiet"], &["network", "rm"]),
        ];
        for (list, remove) in removals {
            let found = self.containers(list);
            if !found.is_empty() {
                let _ = Command::new("docker").args(remove).args(found).output();
            }
        }
    }
}
