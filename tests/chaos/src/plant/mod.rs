//! All that a campaign may break: coordinators, agents, the database, the cache's Redis, disks and the network between them.

mod certificate;
mod database;
mod disk;
mod leftovers;
mod member;
mod network;
mod programs;
mod shell;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use slipway_tests::{RUNNER_IMAGE, RedisServer, docker, free_port};
use tempfile::TempDir;

use certificate::Certificate;
use database::Database;
use disk::Disk;
use leftovers::Leftovers;
use member::Member;
use network::Network;
use programs::CoordinatorPlaces;

pub(crate) use network::Cut;

use crate::door::Door;
use crate::interrupt;
use crate::shape::Shape;

/// How long a lease is. The shortest that agents with several slots renew easily on a busy machine.
pub(crate) const LEASE: Duration = Duration::from_secs(8);

/// How long the fleet may take to recover from anything before the campaign gives up.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often processes are looked after while something is waited for.
const TEND_EVERY: Duration = Duration::from_millis(50);

const AGENTS: usize = 3;
const SLOTS: u32 = 2;

/// Room for records and blobs of a whole campaign.
const OBJECTS_MEBIBYTES: u32 = 512;
/// Room for an agent's jobs and spools.
const AGENT_MEBIBYTES: u32 = 64;

/// Room for the cache in Redis: little, so that it forgets.
const CACHE_MEBIBYTES: u32 = 16;

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
    database: Option<Database>,
    pub(crate) cache: RedisServer,
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
    pub(crate) fn start(shape: Shape) -> Self {
        docker(&["image", "inspect", "--format", "{{.Id}}", RUNNER_IMAGE]);
        let folder = tempfile::Builder::new().prefix("slipway-chaos-").tempdir().unwrap();
        // PostgreSQL's user has to reach its disks below it.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let network = Network::of(AGENTS);
        let database = (shape == Shape::Several).then(|| Database::start(folder.path()));
        let cache = RedisServer::start(CACHE_MEBIBYTES);
        let certificate = Certificate::write(folder.path(), &network.hub());
        let objects = Disk::mount(folder.path().join("objects"), OBJECTS_MEBIBYTES);
        std::fs::write(folder.path().join("cluster.key"), "5c".repeat(32)).unwrap();
        std::fs::write(folder.path().join("coordinator.toml"), CONFIGURATION).unwrap();
        let data = |number: usize| match shape {
            Shape::Several => folder.path().join(format!("coordinator-{number}")),
            // All it has is on the disk that gets full.
            Shape::Single => objects.path().join("coordinator"),
        };
        let mut coordinators = Vec::new();
        let (mut addresses, mut servers) = (Vec::new(), Vec::new());
        for number in 0..shape.coordinators() {
            let (http, grpc) =
                (format!("127.0.0.1:{}", free_port()), format!("{}:{}", network.hub(), free_port()));
            let make = programs::coordinator(&CoordinatorPlaces {
                folder: folder.path(),
                data: data(number),
                journal: database.as_ref().map(Database::url),
                cache: &cache.url(),
                certificate: &certificate,
                http: &http,
                grpc: &grpc,
            });
            addresses.push(http);
            servers.push(format!("https://{grpc}"));
            let log = folder.path().join(format!("coordinator-{number}.log"));
            coordinators.push(Member::start(log, make));
        }
        let first = data(0);
        let token = tokens(&first, &mut coordinators[0]);
        let door = Door::new(addresses, token.trim().to_owned());
        let (mut agents, mut agent_disks, mut identities) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..AGENTS {
            let disk = Disk::mount(folder.path().join(format!("agent-{number}")), AGENT_MEBIBYTES);
            let mut listed = servers.clone();
            listed.rotate_left(number % shape.coordinators());
            let token_file = first.join("agent.token");
            let make = programs::agent(
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
        let mut plant = Self {
            coordinators,
            agents,
            leftovers,
            database,
            cache,
            network,
            objects,
            agent_disks,
            door,
            folder,
        };
        plant.until("all agents are connected", |plant| plant.door.connected_agents() == AGENTS);
        plant
    }

    /// The database that several coordinators share.
    ///
    /// # Panics
    /// When there is but one; blows at the database are not dealt then.
    pub(crate) fn database(&mut self) -> &mut Database {
        self.database.as_mut().expect("several coordinators have a database")
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
            interrupt::check();
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

/// Waits until a coordinator has made its tokens; the administrators'.
fn tokens(data: &Path, coordinator: &mut Member) -> String {
    let began = Instant::now();
    loop {
        interrupt::check();
        let agents = std::fs::read_to_string(data.join("agent.token"));
        if let (Ok(_), Ok(token)) = (agents, std::fs::read_to_string(data.join("admin.token"))) {
            return token;
        }
        assert!(coordinator.runs() && began.elapsed() < PATIENCE, "the first coordinator does not start");
        std::thread::sleep(TEND_EVERY);
    }
}
