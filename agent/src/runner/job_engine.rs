//! A job's own Docker engine: a container beside the job's, in its network, with its folders at their places.
//!
//! The agent makes the socket, which is mounted in the job's container as a file, and hands it to the init of the engine's container.
//! That one starts the engine when somebody connects and gives it the socket: until then a job pays for a container in which nothing
//! runs, afterwards nobody stands between client and engine, and no end of an agent is noticed by either. Init ends the engine, too, when
//! the job has to stop.
//!
//! Deliberately absent: a way to start the engine again. One that has ended (for memory, say) has lost what it kept there.

use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::Machine;
use super::attempt::{Attempt, End};
use super::folder::JobFolder;
use super::keeper::Standing;
use super::shared_work;
use super::vessel::{Connected, Vessel};
use crate::docker::DEFAULT_HOST;
use crate::docker::container::{Limits, init_place};
use crate::docker::folders::Folder;
use crate::docker::job_engine::{JobEnginePlan, NOBODYS_ID, PROGRAM, SOCKET, STORAGE, words};
use crate::docker::leftovers::engine_name;
use crate::docker::passwd::ContainerUser;
use crate::failure::{Cause, Failure};
use crate::init::{Body, Carried, Start, bind_socket};
use crate::lease::Lease;
use crate::limits::JOB_ENGINE_WORDS_BYTES;
use crate::options::job_engine::Kind;
use crate::records::log::JobLog;
use crate::steps::annotations::Level;

/// The only process of an engine's init.
const PROCESS: u32 = 1;

/// What every process of a job has where there is an engine.
pub(super) const VARIABLE: (&str, &str) = ("DOCKER_HOST", DEFAULT_HOST);

/// Where the engine of a job has its files: spool and init as in a job's own folder, and socket and storage.
pub(super) fn place(folder: &JobFolder) -> JobFolder {
    JobFolder::new(folder.engine())
}

fn socket_folder(place: &JobFolder) -> PathBuf {
    place.root().join("socket")
}

/// What people call the socket.
const SOCKETS: [&str; 2] = [SOCKET, "/run/docker.sock"];

const SOCKET_FILE: &str = "docker.sock";

/// What a job's containers have at [`SOCKET`]; none: nothing.
pub(super) fn socket(machine: &Machine, folder: &JobFolder) -> Option<Folder> {
    match machine.options.job_engine.kind {
        Kind::None => None,
        Kind::Private => Some(Folder::fixed(socket_folder(&place(folder)).join(SOCKET_FILE), SOCKET)),
        Kind::Machine => Some(Folder::fixed(PathBuf::from(machine_socket(machine)), SOCKET)),
    }
}

fn machine_socket(machine: &Machine) -> &str {
    machine.options.docker_host.trim_start_matches("unix://")
}

/// The group that may use the machine's engine, where jobs have that one.
pub(super) fn group(machine: &Machine) -> Result<Option<String>, Failure> {
    use std::os::unix::fs::MetadataExt as _;
    if machine.options.job_engine.kind != Kind::Machine {
        return Ok(None);
    }
    let found = std::fs::metadata(machine_socket(machine));
    let found = found.map_err(|error| Failure::io("cannot look at the engine's socket", &error))?;
    Ok(Some(found.gid().to_string()))
}

/// An engine that is about to be made: its socket is there.
pub(super) struct Announced {
    socket: OwnedFd,
}

/// Makes the socket of a job's engine, where jobs have one of their own.
pub(super) fn announce(machine: &Machine, folder: &JobFolder) -> Result<Option<Announced>, Failure> {
    if machine.options.job_engine.kind != Kind::Private {
        return Ok(None);
    }
    let place = place(folder);
    place.create()?;
    let bound = bind_socket(&socket_folder(&place), SOCKET_FILE);
    let socket = bound.map_err(|error| Failure::new(Cause::Internal, error.to_string()))?.into_std();
    let socket =
        socket.map_err(|error| Failure::io("cannot listen for clients of a job's engine", &error))?;
    Ok(Some(Announced { socket: socket.into() }))
}

/// What an engine is made of.
pub(super) struct Making<'a> {
    /// The name of the container beside it.
    pub(super) name: &'a str,
    pub(super) lease: Option<Lease>,
    pub(super) user: &'a ContainerUser,
    pub(super) folder: &'a JobFolder,
    /// The job's folders, as the job has them.
    pub(super) folders: Vec<Folder>,
    pub(super) binds: Vec<String>,
    /// As much as the job's container has.
    pub(super) limits: Limits,
}

/// Makes its container beside the one of the vessel, and has its init wait for a client. False: other folders were mounted than were meant.
pub(super) async fn start(
    machine: &Arc<Machine>,
    vessel: &mut Vessel,
    announced: Announced,
    making: Making<'_>,
) -> Result<bool, Failure> {
    let place = place(making.folder);
    let internal = |error: &dyn std::error::Error| Failure::new(Cause::Internal, error.to_string());
    machine.programs.place(Carried::Init, &place.run()).map_err(|error| internal(&error))?;
    let storage = place.root().join("storage");
    std::fs::DirBuilder::new()
        .mode(0o711)
        .create(&storage)
        .map_err(|error| Failure::io("cannot make the storage of a job's engine", &error))?;
    let user = outside(making.user);
    let init = init_place();
    let mut folders = making.folders;
    folders.push(Folder::fixed(place.run(), &init).read_only());
    folders.push(Folder::fixed(storage, STORAGE));
    folders.extend(socket(machine, making.folder));
    let plan = JobEnginePlan {
        name: engine_name(making.name),
        image: machine.options.job_engine.image.clone(),
        lease: making.lease,
        init,
        folders: folders.clone(),
        binds: making.binds,
        beside: vessel.container.clone(),
        limits: making.limits,
        runtime: machine.options.isolation.runtime.clone(),
    };
    let mut engine = Vessel::create(&place, vessel.orders()?)?;
    engine.container = machine.engine.create_job_engine(plan).await?;
    // Whatever happens now, it is known.
    let engine = vessel.engine.insert(Box::new(engine));
    machine.engine.start_container(&engine.container).await?;
    let ended = || Failure::new(Cause::ContainerStart, "the init of a job's engine ended at once");
    if !matches!(engine.connect(machine).await?, Connected::Yes) {
        return Err(ended());
    }
    if !engine.has(&folders)? {
        return Ok(false);
    }
    let argv = [PROGRAM.to_owned(), user.uid.to_string(), user.gid.to_string()];
    let start = Start {
        step: PROCESS,
        argv: argv.map(String::into_bytes).to_vec(),
        env: vec![b"PATH=/usr/sbin:/usr/bin:/sbin:/bin".to_vec()],
        cwd: b"/".to_vec(),
    };
    let link = engine.link().ok_or_else(ended)?;
    link.start_asked(start, announced.socket).await.map_err(|error| internal(&error))?;
    Ok(true)
}

/// Who the engine's root is outside of it: the job's user, so that both may change the job's files; never root.
fn outside(user: &ContainerUser) -> ContainerUser {
    let never_root = |id| if id == 0 { NOBODYS_ID } else { id };
    ContainerUser { uid: never_root(user.uid), gid: never_root(user.gid), ..user.clone() }
}

/// Before anything is in a job's work folder: lets the engine's root at it where the job's own user is root.
pub(super) fn share(machine: &Machine, folder: &JobFolder, user: &ContainerUser) -> Result<(), Failure> {
    if machine.options.job_engine.kind != Kind::Private || user.uid != 0 {
        return Ok(());
    }
    shared_work::make(&folder.work(), NOBODYS_ID)
        .map_err(|error| Failure::io("cannot share a job's work folder with its engine", &error))
}

/// Whether one of `volumes` asks for what a job's container has anyway where jobs have an engine.
pub(super) fn is_socket(machine: &Machine, volume: &str) -> bool {
    let mut parts = volume.trim().split(':');
    let is_socket = |part: Option<&str>| part.is_some_and(|part| SOCKETS.contains(&part));
    machine.options.job_engine.kind != Kind::None && is_socket(parts.next()) && is_socket(parts.next())
}

impl Attempt {
    /// What an action's own container has at the socket's place, if the job has an engine.
    pub(super) fn engine_socket(&self) -> Option<Folder> {
        let made = self.saved.prepared.as_ref().is_some_and(|prepared| prepared.engine.is_some());
        let has_one = made || self.machine.options.job_engine.kind == Kind::Machine;
        socket(&self.machine, &self.folder).filter(|_| has_one)
    }

    /// Goes on with the engine that an earlier process made.
    pub(super) async fn adopt_engine(&self, vessel: &mut Vessel) -> Result<(), Failure> {
        let made = self.saved.prepared.as_ref().and_then(|prepared| prepared.engine.clone());
        if let Some(container) = made {
            let mut engine = Vessel::adopt(&place(&self.folder), 0, container, self.link.orders.clone())?;
            // One that has ended is told of at the job's end.
            engine.connect(&self.machine).await?;
            vessel.engine = Some(Box::new(engine));
        }
        Ok(())
    }

    /// Says in the log that the job's engine has ended, if it has: a person may look for the fault in what asked it.
    pub(super) async fn tell_of_engine(log: &mut JobLog, vessel: &mut Vessel) -> Result<(), End> {
        let Some(engine) = &mut vessel.engine else { return Ok(()) };
        let (mut said, mut ended) = (Vec::new(), None);
        while engine.has_unread() {
            // What can't be read was not said.
            let Ok(Some(spooled)) = engine.reader.next_frame().await else { break };
            match spooled.frame.body {
                Body::Output { bytes, .. } if said.len() < JOB_ENGINE_WORDS_BYTES => {
                    said.extend_from_slice(&bytes)
                }
                Body::SpawnFailed { message, .. } => ended = Some(message),
                Body::Exited(_) => ended = Some(words(&said)),
                _ => {}
            }
        }
        if let Some(Standing::Ended(state)) = engine.standing() {
            let why = if state.oom_killed {
                "it took more memory than --job-memory allows"
            } else {
                "its container ended"
            };
            ended.get_or_insert_with(|| why.to_owned());
        }
        if let Some(why) = ended {
            let why = if why.is_empty() { "it did not say why".to_owned() } else { why };
            log.remark(Level::Warning, &format!("The job's Docker engine has ended before the job: {why}"));
        }
        Ok(())
    }
}
