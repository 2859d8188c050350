//! The container in which steps run: what it is made of, and how it comes to run.
//!
//! A job's own and a sandbox that waits for a job are made here alike: what keeps a job apart from the machine cannot differ.

use std::sync::Arc;

use super::folder::JobFolder;
use super::vessel::{Connected, Vessel};
use super::{Machine, job_engine};
use crate::docker::container::{ContainerPlan, Limits, Main, PortMapping, init_place};
use crate::docker::folders::Folder;
use crate::docker::image::Image;
use crate::docker::options::CreateOptions;
use crate::docker::passwd::ContainerUser;
use crate::failure::{Cause, Failure};
use crate::init::limits::MOUNT_PATH;
use crate::lease::Lease;

/// What a container for steps is made of.
pub(super) struct Making<'a> {
    pub(super) name: String,
    /// None: a sandbox.
    pub(super) lease: Option<Lease>,
    pub(super) image: &'a Image,
    pub(super) user: &'a ContainerUser,
    /// Where its init is.
    pub(super) folder: &'a JobFolder,
    /// What else is mounted of the job's.
    pub(super) folders: Vec<Folder>,
    pub(super) network: &'a str,
    pub(super) limits: Limits,
    pub(super) asked: Asked,
}

/// What a workflow asks for; of a job without `container:`, nothing.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) env: Vec<String>,
    /// Volumes, `source:container[:ro]`.
    pub(super) binds: Vec<String>,
    /// Those of them that are no new volume each time.
    pub(super) shared: Vec<String>,
    pub(super) ports: Vec<PortMapping>,
    pub(super) options: CreateOptions,
}

/// Makes the container of a vessel, starts it and waits for its init. `made` hears its id as soon as there is one. False: other folders
/// were mounted than were meant.
pub(super) async fn start(
    machine: &Arc<Machine>,
    vessel: &mut Vessel,
    making: Making<'_>,
    made: impl FnOnce(&str),
) -> Result<bool, Failure> {
    let Making { name, lease, image, user, folder, mut folders, network, limits, asked } = making;
    let announced = job_engine::announce(machine, folder)?;
    let own = folders.clone();
    folders.extend(job_engine::socket(machine, folder));
    let place = init_place();
    folders.push(Folder::fixed(folder.run(), &place).read_only());
    let mut options = CreateOptions { user: None, ..asked.options };
    options.group_add.extend(job_engine::group(machine)?);
    options.group_add.extend(user.groups.iter().map(u32::to_string));
    let plan = ContainerPlan {
        name: name.clone(),
        image: image.id.clone(),
        platform: machine.platform().map(str::to_owned),
        lease,
        main: Main::Init(place),
        aliases: Vec::new(),
        user: Some(format!("{}:{}", user.uid, user.gid)),
        env: asked.env,
        folders: folders.clone(),
        binds: machine.externals.bind().into_iter().chain(asked.binds).collect(),
        ports: asked.ports,
        network: network.to_owned(),
        limits,
        no_new_privileges: machine.options.accept_untrusted,
        runtime: machine.options.isolation.runtime.clone(),
        options,
    };
    vessel.container = machine.engine.create_container(plan).await?;
    made(&vessel.container);
    machine.engine.start_container(&vessel.container).await?;
    match vessel.connect(machine).await? {
        Connected::Yes if !vessel.has(&folders)? => Ok(false),
        Connected::Yes => match announced {
            Some(announced) => {
                // What its init listens at is the job's init's alone.
                let folders = own.into_iter().filter(|own| !own.is_at(MOUNT_PATH)).collect();
                let binds = asked.shared;
                let making = job_engine::Making { name: &name, lease, user, folder, folders, binds, limits };
                job_engine::start(machine, vessel, announced, making).await
            }
            None => Ok(true),
        },
        Connected::Ended(state) => Err(Failure::new(
            Cause::ContainerStart,
            format!("the container's init ended at once, with code {}", state.exit_code),
        )),
        Connected::Gone => Err(Failure::new(Cause::ContainerStart, "somebody removed the container at once")),
    }
}
