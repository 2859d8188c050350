//! A container that waits for a job, with its init running: made before the job came, used by one job, never again.
//!
//! It has a network and a folder of its own, laid out as a job's. The job that takes it gets what is in the folder, by renaming: what is
//! mounted stays what it is. Nothing of it is in the job's journal before the container is the job's as any other: a process that dies
//! in between leaves a container that belongs to no prepared job, which the next one removes.
//!
//! Should this agent die and not come back, init ends the container at [`SANDBOX_STOP_MS`].

use std::sync::Arc;

use slipway_kit::clock::{Clock as _, SystemClock};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Machine;
use super::attempt::Attempt;
use super::container::{self, Asked, Making};
use super::finish::remove_folder;
use super::folder::{JobFolder, Layout};
use super::job_engine;
use super::vessel::Vessel;
use crate::docker::container::Limits;
use crate::docker::image::Image;
use crate::docker::leftovers::{container_name, engine_name, sandbox_name};
use crate::docker::passwd::ContainerUser;
use crate::failure::{Cause, Failure};
use crate::init::Carried;
use crate::lease::Lease;
use crate::limits::{SANDBOX_AGE_MAX, SANDBOX_STOP_MS};
use crate::session::JobOrders;
use crate::steps::shell::Semantics;

/// Which jobs a sandbox fits: those without `container:` for this image and user, of this size. All else is the same for all jobs of an agent.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    /// What people call the image.
    pub(super) name: String,
    pub(super) image: Image,
    pub(super) user: ContainerUser,
    pub(super) limits: Limits,
}

impl PartialEq for Recipe {
    fn eq(&self, other: &Self) -> bool {
        (&self.image.id, &self.user, self.limits) == (&other.image.id, &other.user, other.limits)
    }
}

/// See the module.
pub(super) struct Sandbox {
    pub(super) recipe: Recipe,
    folder: JobFolder,
    network: Option<String>,
    vessel: Vessel,
    made: Instant,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("container", &self.vessel.container).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Makes one. Leaves nothing when it fails.
    pub(super) async fn make(machine: &Arc<Machine>, mut recipe: Recipe) -> Result<Self, Failure> {
        let id = uuid::Uuid::new_v4();
        let folder = JobFolder::new(machine.sandboxes_dir().join(id.simple().to_string()));
        // The container itself keeps the image.
        recipe.image.held = None;
        let internal = |error: &dyn std::error::Error| Failure::new(Cause::Internal, error.to_string());
        let laid = || {
            folder.create()?;
            job_engine::share(machine, &folder, &recipe.user)?;
            Layout::new(Semantics::Host, "").create_common(&folder, &recipe.user)?;
            machine.programs.place(Carried::Init, &folder.run()).map_err(|error| internal(&error))?;
            Vessel::waiting(&folder, orders())
        };
        let vessel = match laid() {
            Ok(vessel) => vessel,
            Err(failure) => {
                remove_folder(machine, &folder).await;
                return Err(failure);
            }
        };
        let mut sandbox = Self { recipe, folder, network: None, vessel, made: Instant::now() };
        match sandbox.start(machine, id).await {
            Ok(()) => Ok(sandbox),
            Err(failure) => {
                sandbox.let_go(machine).await;
                Err(failure)
            }
        }
    }

    async fn start(&mut self, machine: &Arc<Machine>, id: uuid::Uuid) -> Result<(), Failure> {
        let network = machine.networks.take().await?;
        let network = self.network.insert(network);
        let making = Making {
            name: sandbox_name(id),
            lease: None,
            image: &self.recipe.image,
            user: &self.recipe.user,
            folder: &self.folder,
            folders: Layout::new(Semantics::Host, "").folders(&self.folder)?,
            network,
            limits: self.recipe.limits,
            asked: Asked::default(),
        };
        // No folder of it is one that a job could have replaced.
        container::start(machine, &mut self.vessel, making, |_| {}).await.map(drop)
    }

    /// Whether a job can have it.
    pub(super) fn is_good(&self) -> bool {
        self.is_up() && self.made.elapsed() < SANDBOX_AGE_MAX
    }

    /// Whether its init is there.
    pub(super) fn is_up(&self) -> bool {
        let engine = self.vessel.engine.as_ref();
        self.vessel.link().is_some() && engine.is_none_or(|engine| engine.link().is_some())
    }

    /// When it is too old.
    pub(super) fn good_until(&self) -> Instant {
        self.made + SANDBOX_AGE_MAX
    }

    /// Ends when its connection changes.
    pub(super) fn lost(&self) -> impl Future<Output = ()> + use<> {
        let mut keeper = self.vessel.keeper();
        async move { Vessel::changed(&mut keeper).await }
    }

    /// Makes it the job's. After an error it is of no use to anybody.
    async fn give(
        &mut self,
        machine: &Machine,
        lease: &Lease,
        folder: &JobFolder,
        orders: watch::Receiver<JobOrders>,
    ) -> Result<(), Failure> {
        let name = container_name(lease);
        machine.engine.rename_container(&self.vessel.container, &name).await?;
        if let Some(engine) = &self.vessel.engine {
            machine.engine.rename_container(&engine.container, &engine_name(&name)).await?;
        }
        folder
            .take_over(&self.folder)
            .map_err(|error| Failure::io("cannot move a sandbox's files to its job", &error))?;
        if self.vessel.follow(folder, orders).await {
            return Ok(());
        }
        Err(Failure::new(Cause::InitLost, "a sandbox's init went away"))
    }

    /// Removes it.
    pub(super) async fn let_go(self, machine: &Machine) {
        let Self { folder, network, vessel, .. } = self;
        let container = vessel.container.clone();
        let engine = vessel.engine.as_ref().map(|engine| engine.container.clone());
        drop(vessel);
        if let Some(engine) = engine
            && let Err(failure) = machine.engine.remove_container(&engine).await
        {
            tracing::warn!(engine, %failure, "a sandbox's engine stays behind; the next start removes it");
        }
        let removed = match container.as_str() {
            "" => Ok(()),
            container => machine.engine.remove_container(container).await,
        };
        match (removed, network) {
            (Ok(()), Some(network)) => machine.networks.give_back(network).await,
            (Ok(()), None) => {}
            (Err(failure), _) => {
                tracing::warn!(container, %failure, "a sandbox stays behind; the next start removes it");
            }
        }
        remove_folder(machine, &folder).await;
    }
}

/// Orders of a sandbox: to end when nobody has taken it for long.
fn orders() -> JobOrders {
    let stop = SystemClock.boottime_ms().saturating_add(SANDBOX_STOP_MS);
    JobOrders { stop_boottime_ms: Some(stop), ..JobOrders::default() }
}

impl Attempt {
    /// The sandbox that waits for such a job, and its network. None: there is none, or it was of no use; a job never fails for that.
    pub(super) async fn take_sandbox(&self, recipe: &Recipe) -> Option<(Vessel, String)> {
        let mut sandbox = self.machine.warm.take(recipe)?;
        let network = sandbox.network.clone()?;
        self.things.set_container(&sandbox.vessel.container);
        self.things.set_network(&network);
        let lease = &self.saved.lease;
        match sandbox.give(&self.machine, lease, &self.folder, self.link.orders.clone()).await {
            Ok(()) => Some((sandbox.vessel, network)),
            Err(failure) => {
                tracing::warn!(attempt = %lease.attempt, %failure, "a sandbox is of no use; the job gets a container of its own");
                // Its name, its files and its network are in the way of the container to come.
                self.things.take_network();
                sandbox.let_go(&self.machine).await;
                self.things.take_container();
                if let Err(failure) = self.folder.start_over() {
                    tracing::warn!(attempt = %lease.attempt, %failure, "what a job took of a sandbox stays in its way");
                }
                None
            }
        }
    }
}
