//! Runs leased jobs: from a specification to a report.
//!
//! Invariant: a job's state is in its journal before anything outside depends on it, so that every point of this
//! module is one at which the agent may be killed: the next process finds the journal and goes on from there. A job is
//! reported before it is cleaned up, and only what is reported counts.
//!
//! Deliberately absent: what a step means ([`crate::steps`]), who holds a lease ([`crate::session`]).

mod action;
mod ahead;
pub mod attempt;
mod code;
mod container;
pub mod course;
mod disk;
mod errand;
mod exec;
pub(crate) mod finish;
pub mod folder;
mod hint;
pub(crate) mod inside;
mod job_engine;
mod job_wide;
mod keeper;
mod lanes;
mod matcher_files;
mod prepare;
mod program;
mod reports;
mod results;
mod sandbox;
pub mod saved;
mod scope;
pub(crate) mod services;
mod shared_work;
mod step;
mod things;
mod vessel;
mod warm;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Mutex, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::actions::ActionStore;
use crate::checkout::kept::Kept;
use crate::coordinator::Coordinator;
use crate::disk::DiskState;
use crate::disk::images::Images;
use crate::docker::Engine;
use crate::docker::network::NetworkPool;
use crate::docker::passwd::ImageFacts;
use crate::externals::Externals;
use crate::init::Programs;
use crate::metadata::MetadataGuard;
use crate::options::Options;
use crate::session::{Assignment, JobLink, StartJob};
use crate::tier::Tier;
pub(crate) use warm::Warm;

/// What all jobs of an agent share.
#[derive(Debug)]
pub struct Machine {
    /// The container engine.
    pub engine: Engine,
    /// Networks for jobs.
    pub networks: NetworkPool,
    /// The agent's settings.
    pub options: Options,
    /// The coordinator.
    pub coordinator: Coordinator,
    /// The installed programs for the inside of containers.
    pub programs: Programs,
    /// Actions of other repositories.
    pub actions: ActionStore,
    /// Node for JavaScript actions.
    pub externals: Externals,
    /// The agent's own part of the cache for build tools.
    pub tier: Tier,
    /// What its disk has to say.
    pub disk: watch::Receiver<DiskState>,
    /// The images that it brought here.
    pub kept_images: Arc<Images>,
    /// Keeps jobs from the cloud's metadata addresses.
    pub metadata: MetadataGuard,
    /// What it keeps of repositories.
    pub checkouts: Arc<Kept>,
    /// Containers that wait for jobs.
    pub(crate) warm: Warm,
    /// What is known of images, by id: looking into one costs a container.
    images: Mutex<HashMap<String, ImageFacts>>,
    /// Bounds clean-ups.
    cleaners: Semaphore,
}

impl Machine {
    /// Puts the shared parts together.
    #[must_use]
    pub fn new(
        engine: Engine,
        networks: NetworkPool,
        options: Options,
        coordinator: Coordinator,
        programs: Programs,
        tier: Tier,
        disk: watch::Receiver<DiskState>,
    ) -> Self {
        let cleaners = Semaphore::new(crate::limits::CLEANERS);
        let actions = ActionStore::new(options.actions_source.clone(), options.actions_dir.clone());
        let externals = Externals::new(options.externals.clone(), options.architecture);
        let images = Mutex::default();
        let warm = Warm::new(options.warm);
        let checkouts = Arc::new(Kept::open(&options.data_dir, options.ready_checkouts));
        let kept_images = Images::open(&options.data_dir);
        let metadata = MetadataGuard::new(
            options.subnets,
            options.isolation.metadata,
            options.accept_untrusted,
            programs.init.clone(),
        );
        Self {
            engine,
            networks,
            options,
            coordinator,
            programs,
            actions,
            externals,
            tier,
            disk,
            kept_images,
            checkouts,
            warm,
            images,
            metadata,
            cleaners,
        }
    }

    /// The folder that holds the jobs' folders.
    #[must_use]
    pub fn jobs_dir(&self) -> PathBuf {
        jobs_dir(&self.options.data_dir)
    }

    /// The folder that holds those of containers that wait for a job.
    pub(crate) fn sandboxes_dir(&self) -> PathBuf {
        self.options.data_dir.join("sandboxes")
    }

    /// `linux/…` when containers must be of another architecture than this machine.
    #[must_use]
    pub fn platform(&self) -> Option<&'static str> {
        self.options.emulated.then(|| self.options.architecture.platform())
    }
}

/// The folder that holds the jobs' folders, in an agent's data directory.
#[must_use]
pub fn jobs_dir(data_dir: &std::path::Path) -> PathBuf {
    data_dir.join("jobs")
}

/// Starts jobs as tasks.
#[derive(Debug, Clone)]
pub struct Runner {
    /// What they share.
    pub machine: Arc<Machine>,
    /// The running ones, until they are cleaned up.
    pub tasks: TaskTracker,
    /// Ends them where they are; another process goes on.
    pub leave: CancellationToken,
}

impl Runner {
    /// Runs a job as a task.
    pub fn spawn(&self, begin: attempt::Begin, link: JobLink) {
        let running = attempt::run(Arc::clone(&self.machine), begin, link);
        let leave = self.leave.clone();
        self.tasks.spawn(async move { leave.run_until_cancelled(running).await });
    }
}

impl StartJob for Runner {
    fn start(&self, assignment: Assignment, link: JobLink) {
        self.spawn(attempt::Begin::New(assignment), link);
    }
}

/// The wall clock in milliseconds.
fn unix_ms() -> u64 {
    use slipway_kit::clock::Clock as _;
    slipway_kit::clock::SystemClock.unix_ms()
}
