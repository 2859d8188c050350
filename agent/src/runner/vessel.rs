//! A job's running container, with its init at the other end of a socket.
//!
//! A task of its own keeps the connection ([`super::keeper`]); each lane of the job has a [`Vessel`], its own way of reading what
//! its processes write.

use std::sync::Arc;

use tokio::sync::{OwnedMutexGuard, watch};

use super::Machine;
use super::folder::JobFolder;
use super::keeper::{Keeper, Standing};
use crate::docker::container::ContainerState;
use crate::docker::folders::{Folder, are_mounted};
use crate::docker::memory::oom_kills;
use crate::failure::{Cause, Failure};
use crate::init::{Claim, InitLink, JobSocket, Spool, SpoolReader, limits};
use crate::session::JobOrders;

/// See the module.
pub(super) struct Vessel {
    pub(super) container: String,
    /// Until the container runs: what its keeper will need.
    mooring: Option<(JobSocket, watch::Receiver<JobOrders>)>,
    keeper: Option<Keeper>,
    spool: Spool,
    pub(super) reader: SpoolReader,
    /// What of the spool this lane still needs.
    pub(super) claim: Claim,
    /// A sandbox's orders, until a job takes it: then they are the job's.
    leash: Option<watch::Sender<JobOrders>>,
    /// What its init hears, in the job's own lane.
    orders: Option<watch::Receiver<JobOrders>>,
    /// The job's private engine, in the job's own lane.
    pub(super) engine: Option<Box<Vessel>>,
    /// Held from a process's number to its first sign: init takes numbers only as they rise.
    starting: Option<OwnedMutexGuard<()>>,
}

/// What came of connecting.
pub(super) enum Connected {
    /// Init is there.
    Yes,
    /// The container has ended.
    Ended(ContainerState),
    /// There is no such container.
    Gone,
}

impl Vessel {
    /// Prepares socket and spool of a container that is about to start; `orders` tell its init when to stop.
    pub(super) fn create(folder: &JobFolder, orders: watch::Receiver<JobOrders>) -> Result<Self, Failure> {
        let spool = Spool::create(&folder.spool(), limits::SPOOL_CAPACITY_BYTES);
        Self::with(folder, spool.map_err(|error| internal(&error))?, 0, String::new(), orders)
    }

    /// The same of a sandbox, which has orders of its own until a job takes it.
    pub(super) fn waiting(folder: &JobFolder, orders: JobOrders) -> Result<Self, Failure> {
        let (leash, orders) = watch::channel(orders);
        let vessel = Self::create(folder, orders)?;
        Ok(Self { leash: Some(leash), ..vessel })
    }

    /// From now on its files are here, and its orders are a job's. False: init is not there.
    pub(super) async fn follow(
        &mut self,
        folder: &JobFolder,
        mut orders: watch::Receiver<JobOrders>,
    ) -> bool {
        self.spool.moved_to(&folder.spool());
        let Some(link) = self.link() else { return false };
        // Init knows when the job has to end before it hears of a process.
        let stop_at = orders.borrow_and_update().stop_boottime_ms;
        if let Some(stop_at) = stop_at
            && link.stop_time(stop_at).await.is_err()
        {
            return false;
        }
        // It hears of its own stop time by the same leash.
        if let Some(engine) = &mut self.engine {
            engine.spool.moved_to(&super::job_engine::place(folder).spool());
            let Some(link) = engine.link() else { return false };
            if let Some(stop_at) = stop_at
                && link.stop_time(stop_at).await.is_err()
            {
                return false;
            }
        }
        if let Some(leash) = self.leash.take() {
            tokio::spawn(async move {
                // Until either end is gone: the job, or what keeps the connection.
                loop {
                    let now = orders.borrow_and_update().clone();
                    leash.send_replace(now);
                    tokio::select! {
                        changed = orders.changed() => if changed.is_err() { return },
                        () = leash.closed() => return,
                    }
                }
            });
        }
        true
    }

    /// What its init hears, before the container runs: for another that has to end with it.
    pub(super) fn orders(&self) -> Result<watch::Receiver<JobOrders>, Failure> {
        let gone = || Failure::new(Cause::Internal, "a container's orders are gone");
        self.orders.clone().ok_or_else(gone)
    }

    /// How it stands with its init.
    pub(super) fn standing(&self) -> Option<Standing> {
        self.keeper.as_ref().map(Keeper::standing)
    }

    /// Whether init wrote what this lane has not read.
    pub(super) fn has_unread(&self) -> bool {
        self.reader.offset() < self.spool.written()
    }

    /// Another ear at what keeps its connection.
    pub(super) fn keeper(&self) -> Option<Keeper> {
        self.keeper.clone()
    }

    /// Goes on with the container of an earlier process, whose spool is needed from `offset` on.
    pub(super) fn adopt(
        folder: &JobFolder,
        offset: u64,
        container: String,
        orders: watch::Receiver<JobOrders>,
    ) -> Result<Self, Failure> {
        let spool = Spool::open(&folder.spool(), offset, limits::SPOOL_CAPACITY_BYTES);
        Self::with(folder, spool.map_err(|error| internal(&error))?, offset, container, orders)
    }

    fn with(
        folder: &JobFolder,
        spool: Spool,
        offset: u64,
        container: String,
        orders: watch::Receiver<JobOrders>,
    ) -> Result<Self, Failure> {
        let socket = JobSocket::bind(&folder.run()).map_err(|error| internal(&error))?;
        let (reader, claim) = (spool.reader(offset), spool.claim());
        let mooring = Some((socket, orders.clone()));
        Ok(Self {
            container,
            mooring,
            keeper: None,
            spool,
            reader,
            claim,
            leash: None,
            orders: Some(orders),
            engine: None,
            starting: None,
        })
    }

    /// The same container for another lane; `from`: where what its process wrote begins, if it has one.
    pub(super) fn for_lane(&self, from: Option<u64>) -> Self {
        let claim = self.spool.claim();
        if let Some(offset) = from {
            claim.hold(offset);
        }
        Self {
            container: self.container.clone(),
            mooring: None,
            keeper: self.keeper.clone(),
            spool: self.spool.clone(),
            reader: self.spool.reader(from.unwrap_or_default()),
            claim,
            leash: None,
            orders: None,
            engine: None,
            starting: None,
        }
    }

    /// What was written from `offset` on is needed, and read next.
    pub(super) fn read_from(&mut self, offset: u64) {
        self.claim.hold(offset);
        self.reader = self.spool.reader(offset);
    }

    /// A new process's output begins here.
    pub(super) fn read_on(&mut self) -> u64 {
        let offset = self.spool.written();
        self.read_from(offset);
        offset
    }

    /// Waits for init to connect, or for the container's end; then the spool is complete.
    pub(super) async fn connect(&mut self, machine: &Arc<Machine>) -> Result<Connected, Failure> {
        if let Some((socket, orders)) = self.mooring.take() {
            let spool = self.spool.clone();
            let keeper = Keeper::start(Arc::clone(machine), self.container.clone(), socket, spool, orders);
            self.keeper = Some(keeper);
        }
        match &mut self.keeper {
            Some(keeper) => keeper.settled().await,
            None => Ok(Connected::Gone),
        }
    }

    /// The way to init, while it is there.
    pub(super) fn link(&self) -> Option<InitLink> {
        match self.keeper.as_ref()?.standing() {
            Standing::Up(link) => Some(link),
            _ => None,
        }
    }

    /// Highest process number that init ever started, as far as is known.
    pub(super) fn highest(&self) -> u32 {
        self.keeper.as_ref().map_or(0, Keeper::highest)
    }

    /// This process was handed to init.
    pub(super) fn note_started(&self, process: u32) {
        if let Some(keeper) = &self.keeper {
            keeper.note_started(process);
        }
    }

    /// Waits for its turn to start a process; the turn lasts until [`Self::has_started`].
    pub(super) async fn begin_start(&mut self) {
        self.starting = None;
        if let Some(keeper) = &self.keeper {
            self.starting = Some(keeper.turn().await);
        }
    }

    /// The process has given its first sign.
    pub(super) fn has_started(&mut self) {
        self.starting = None;
    }

    /// Waits until the connection changes.
    pub(super) async fn changed(keeper: &mut Option<Keeper>) {
        match keeper {
            Some(keeper) => keeper.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Whether the container got these folders and no others in their place. Asked before anything runs in it.
    pub(super) fn has(&self, folders: &[Folder]) -> Result<bool, Failure> {
        let Some(pid) = self.keeper.as_ref().map(Keeper::pid) else { return Ok(false) };
        are_mounted(folders, pid)
            .map_err(|error| Failure::io("cannot look at what a container has mounted", &error))
    }

    /// What a loop waits for side by side: frames, and changes of the connection.
    pub(super) fn ears(&mut self) -> (&mut SpoolReader, &mut Option<Keeper>) {
        (&mut self.reader, &mut self.keeper)
    }

    /// Processes of the container that the kernel killed for memory so far.
    pub(super) fn oom_kills(&self) -> u64 {
        self.keeper.as_ref().and_then(|keeper| oom_kills(keeper.pid())).unwrap_or(0)
    }
}

fn internal(error: &dyn std::error::Error) -> Failure {
    Failure::new(Cause::Internal, error.to_string())
}
