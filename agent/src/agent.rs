//! An agent in a process: what `slipway-agent` and `slipway up` start.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use slipway_kit::clock::SystemClock;
use slipway_kit::shutdown::{self, Stage, Trigger};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::configured_images;
use crate::coordinator::{AddressError, Coordinator, Server};
use crate::credential::{self, CredentialError};
use crate::disk::collect::Collector;
use crate::disk::watch::DiskWatch;
use crate::docker::Engine;
use crate::docker::network::NetworkPool;
use crate::failure::Failure;
use crate::identity::{Identity, IdentityError};
use crate::init::{self, InitError};
use crate::options::job_engine::Kind;
use crate::options::{Options, Sizes};
use crate::runner::attempt::{Adopted, Begin};
use crate::runner::folder::JobFolder;
use crate::runner::{Machine, Runner, Warm, finish};
use crate::session::supervisor::{Introduction, NoMember, Status, Supervisor};
use crate::tier::Tier;

/// Why an agent can't start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The data directory can't be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The container engine is not there.
    #[error("{0}")]
    Engine(#[from] Failure),
    /// The coordinator's address or token can't be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// It is no member of the fleet.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The programs for containers can't be put into the data directory.
    #[error("{0}")]
    Init(#[from] InitError),
    /// The jobs folder can't be used.
    #[error("cannot use the jobs folder: {0}")]
    Jobs(#[from] std::io::Error),
}

/// See the module.
#[derive(Debug)]
pub struct Agent;

/// A running agent. Dropping it leaves the agent running.
#[derive(Debug)]
pub struct Handle {
    /// The agent's id.
    pub id: uuid::Uuid,
    trigger: Trigger,
    status: watch::Receiver<Status>,
    supervisor: JoinHandle<Result<(), NoMember>>,
    runner: Runner,
    _identity: Identity,
}

impl Agent {
    /// Starts an agent: connects to the engine, takes over what an earlier process left, and serves the coordinator
    /// in the background, whether or not it can be reached yet.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(options: Options) -> Result<Handle, StartError> {
        let identity = Identity::take(&options.data_dir)?;
        let id = identity.id.to_string();
        // Before a token is used up: an agent without an engine is of no use.
        let engine = Engine::connect(&options.docker_host, &id).await?;
        let member = credential::obtain(
            &options.servers,
            &options.token,
            &options.data_dir,
            identity.id,
            &options.name,
        );
        let member = member.await?;
        let servers: Vec<Server> =
            options.servers.iter().map(|server| server.with_badge(&member.badge)).collect();
        let coordinator = Coordinator::new(&servers, &member.credential)?;
        let installed = init::Programs::install(&options.data_dir)?;
        let networks = NetworkPool::new(engine.clone(), options.subnets, options.slots as usize);
        let introduction = Introduction {
            agent_id: id,
            name: options.name.clone(),
            architecture: options.architecture.label().to_owned(),
            labels: options.all_labels(),
            slots: options.slots,
            accepts_untrusted: options.accept_untrusted,
            sizing: options.sizes.as_ref().map(Sizes::to_wire),
        };
        let tier = Tier::open(&options.data_dir, options.cache_bytes).await;
        let disk = DiskWatch::open(engine.clone(), &options.data_dir, &options.name, options.disk).await;
        let state = disk.state();
        let machine =
            Machine::new(engine, networks, options, coordinator.clone(), installed, tier, disk.state());
        let machine = Arc::new(machine);
        let about = machine.engine.about().await?;
        if let Some(runtime) = &machine.options.isolation.runtime {
            about.has_runtime(runtime)?;
        }
        if about.rootless {
            machine.metadata.note_rootless();
        }
        if machine.options.job_engine.kind == Kind::Private {
            let runtime = machine.options.isolation.runtime.clone();
            machine.engine.probe_job_engine(&machine.options.job_engine.image, runtime).await?;
        }
        let open = about.user_namespaces || about.rootless;
        jobs_folder(&machine.jobs_dir(), open)?;
        jobs_folder(&machine.sandboxes_dir(), open)?;
        let configured = machine.options.all_images();
        configured_images::note(&machine.options.data_dir, &configured);
        let left = leftovers(&machine).await?;

        let (trigger, shutdown) = shutdown::channel();
        let runner = Runner {
            machine: Arc::clone(&machine),
            tasks: TaskTracker::new(),
            leave: CancellationToken::new(),
        };
        if let Some(renewal) = member.renewal {
            let (left, coordinator) = (runner.leave.clone(), coordinator.clone());
            tokio::spawn(left.run_until_cancelled_owned(renewal.keep(coordinator)));
        }
        let start = Arc::new(runner.clone());
        let mut supervisor = Supervisor::new(coordinator, SystemClock, introduction, start, shutdown, state);
        for adopted in left {
            let lease = adopted.saved.lease;
            tracing::info!(attempt = %lease.attempt, "going on with a job of an earlier process");
            let link = supervisor.adopt(lease, adopted.saved.strict);
            runner.spawn(Begin::Adopt(Box::new(adopted)), link);
        }
        let keeping = Warm::keep(Arc::clone(&machine), trigger.watcher());
        let leave = runner.leave.clone();
        runner.tasks.spawn(async move { leave.run_until_cancelled(keeping).await });
        // Nobody waits for what is half made: the next start removes it.
        let keeping = Arc::clone(&machine.checkouts).keep(machine.disk.clone(), trigger.watcher());
        tokio::spawn(runner.leave.clone().run_until_cancelled_owned(keeping));
        let telling = configured_images::tell(machine.engine.clone(), configured);
        tokio::spawn(runner.leave.clone().run_until_cancelled_owned(telling));
        let collector = Collector {
            engine: machine.engine.clone(),
            images: Arc::clone(&machine.kept_images),
            configured: machine.options.all_images(),
            jobs_dir: machine.jobs_dir(),
            limit_bytes: machine.options.disk.images_bytes,
            place: disk.engine_place(),
            marks: machine.options.disk.marks,
            disk: disk.state(),
        };
        tokio::spawn(runner.leave.clone().run_until_cancelled_owned(collector.run()));
        tokio::spawn(runner.leave.clone().run_until_cancelled_owned(disk.run()));
        let status = supervisor.status();
        let supervisor = tokio::spawn(supervisor.run());
        Ok(Handle { id: identity.id, trigger, status, supervisor, runner, _identity: identity })
    }
}

/// Makes the folder of jobs' folders. What jobs leave there may have the rights of root (setuid programs): nobody else of the machine
/// gets to it, unless the engine itself has other users than the machine and so needs the way.
fn jobs_folder(folder: &Path, open: bool) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::set_permissions(folder, Permissions::from_mode(if open { 0o711 } else { 0o700 }))
}

/// Finds the jobs of an earlier process, and removes what belongs to none.
async fn leftovers(machine: &Machine) -> Result<Vec<Adopted>, StartError> {
    let mut left = Vec::new();
    for entry in std::fs::read_dir(machine.jobs_dir())? {
        let folder = JobFolder::new(entry?.path());
        match Adopted::read(&folder) {
            Ok(Some(adopted)) => left.push(adopted),
            Ok(None) => finish::remove_folder(machine, &folder).await,
            Err(why) => {
                tracing::error!(folder = %folder.root().display(), why, "a job can't be gone on with; it is removed");
                finish::remove_folder(machine, &folder).await;
            }
        }
    }
    // A job that was killed before it was prepared starts its containers anew; until then nothing of it may stand in a
    // network that the pool gives to another.
    let prepared = left.iter().filter(|adopted| adopted.saved.prepared.is_some());
    let names: Vec<String> = prepared.map(|adopted| adopted.saved.lease.attempt.folder_name()).collect();
    for container in machine.engine.own_containers().await? {
        if !names.contains(&container.folder_name) {
            machine.engine.remove_container(&container.id).await?;
        }
    }
    // Sandboxes went with the containers of no job; one that a prepared job took has its files there.
    for entry in std::fs::read_dir(machine.sandboxes_dir())? {
        finish::remove_folder(machine, &JobFolder::new(entry?.path())).await;
    }
    machine.engine.remove_job_volumes(None, &names).await?;
    let used: Vec<String> =
        left.iter().filter_map(|adopted| Some(adopted.saved.prepared.as_ref()?.network.clone())).collect();
    machine.networks.adopt(&used).await?;
    Ok(left)
}

impl Handle {
    /// How the session stands, now and as it changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// What stops it; a program hands it the process's signals ([`shutdown::StopSignals`]).
    #[must_use]
    pub fn trigger(&self) -> Trigger {
        self.trigger.clone()
    }

    /// Waits until the agent has stopped: after `Drain` when its jobs have ended and are cleaned up, after `HandOver` when
    /// their leases are longer, after `Now` at once. Jobs that still run then go on in their containers, and the next agent
    /// with this data directory adopts them.
    ///
    /// # Errors
    /// [`NoMember`] when the coordinator does not know the agent any more; its jobs have ended then.
    pub async fn wait(self) -> Result<(), NoMember> {
        // A panic in the supervisor was logged by the runtime's hook; there is nothing to add.
        let ended = self.supervisor.await.unwrap_or(Ok(()));
        let machine = &self.runner.machine;
        machine.warm.close();
        self.runner.tasks.close();
        let mut now = self.trigger.watcher();
        let cleaned = tokio::select! {
            biased;
            () = now.reached(Stage::HandOver) => false,
            () = self.runner.tasks.wait() => true,
        };
        if cleaned {
            machine.warm.clear(machine).await;
            machine.networks.clear().await;
        }
        self.runner.leave.cancel();
        self.runner.tasks.wait().await;
        ended
    }

    /// Stops for good: kills what runs, removes its containers, networks and folders, and reports nothing. For an agent
    /// whose coordinator ends with it.
    pub async fn discard(self) {
        self.trigger.raise(Stage::Now);
        let _ = self.supervisor.await;
        self.runner.tasks.close();
        self.runner.leave.cancel();
        self.runner.tasks.wait().await;
        let machine = &self.runner.machine;
        match machine.engine.own_containers().await {
            Ok(containers) => {
                for container in containers {
                    if let Err(failure) = machine.engine.remove_container(&container.id).await {
                        tracing::warn!(%failure, "a container stays behind");
                    }
                }
            }
            Err(failure) => tracing::warn!(%failure, "containers stay behind"),
        }
        if let Err(failure) = machine.engine.remove_job_volumes(None, &[]).await {
            tracing::warn!(%failure, "volumes stay behind");
        }
        if let Err(failure) = machine.networks.adopt(&[]).await {
            tracing::warn!(%failure, "networks stay behind");
        }
        machine.networks.clear().await;
        finish::remove_folder(machine, &JobFolder::new(machine.jobs_dir())).await;
        finish::remove_folder(machine, &JobFolder::new(machine.sandboxes_dir())).await;
    }
}
