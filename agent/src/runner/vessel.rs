//! A job's running container, with its init at the other end of a socket.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Machine;
use super::folder::JobFolder;
use crate::docker::container::ContainerState;
use crate::docker::memory::oom_kills;
use crate::failure::{Cause, Failure};
use crate::init::{InitError, InitEvents, InitLink, JobSocket, Ready, Spool, SpoolReader, limits};
use crate::limits::INIT_CONNECT_TIMEOUT;
use crate::session::JobOrders;

/// How often a container is looked at while its init is not connected.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A container and the link to its init.
pub(super) struct Vessel {
    pub(super) container: String,
    /// PID 1 as the host sees it.
    pub(super) pid: u32,
    socket: JobSocket,
    pub(super) spool: Spool,
    pub(super) reader: SpoolReader,
    pub(super) link: Option<InitLink>,
    pub(super) events: Option<InitEvents>,
    /// Highest process number that init ever started.
    pub(super) highest: u32,
    stop_times: Option<JoinHandle<()>>,
    orders: watch::Receiver<JobOrders>,
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

    /// Goes on with the container of an earlier process, whose spool was read up to `offset`.
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
        let reader = spool.reader(offset);
        Ok(Self {
            container,
            pid: 0,
            socket,
            spool,
            reader,
            link: None,
            events: None,
            highest: 0,
            stop_times: None,
            orders,
        })
    }

    /// Waits for init to connect, or for the container's end; then the spool is complete.
    pub(super) async fn connect(&mut self, machine: &Machine) -> Result<Connected, Failure> {
        self.disconnect();
        let give_up = tokio::time::Instant::now() + INIT_CONNECT_TIMEOUT;
        loop {
            let Some(state) = machine.engine.container(&self.container).await? else {
                self.spool.finish();
                return Ok(Connected::Gone);
            };
            if !state.running || state.pid == 0 {
                self.spool.finish();
                return Ok(Connected::Ended(state));
            }
            self.pid = state.pid;
            let stop_at = self.orders.borrow().stop_boottime_ms;
            let accepting = self.socket.accept(state.pid, &self.spool, stop_at);
            match tokio::time::timeout(LOOK_EVERY, accepting).await {
                Ok(Ok(connection)) => {
                    let Ready { highest_step, .. } = connection.ready;
                    self.highest = highest_step;
                    self.stop_times =
                        Some(tokio::spawn(tell_stop_times(connection.link.clone(), self.orders.clone())));
                    self.link = Some(connection.link);
                    self.events = Some(connection.events);
                    return Ok(Connected::Yes);
                }
                Ok(Err(InitError::Closed)) => {}
                Ok(Err(error)) => return Err(Failure::new(Cause::InitLost, error.to_string())),
                Err(_) if tokio::time::Instant::now() >= give_up => {
                    let message = "the container runs, but its init does not connect".to_owned();
                    return Err(Failure::new(Cause::InitLost, message));
                }
                Err(_) => {}
            }
        }
    }

    fn disconnect(&mut self) {
        self.link = None;
        self.events = None;
        if let Some(task) = self.stop_times.take() {
            task.abort();
        }
    }

    /// Processes of the container that the kernel killed for memory so far.
    pub(super) fn oom_kills(&self) -> u64 {
        oom_kills(self.pid).unwrap_or(0)
    }
}

impl Drop for Vessel {
    fn drop(&mut self) {
        self.disconnect();
    }
}

fn internal(error: &dyn std::error::Error) -> Failure {
    Failure::new(Cause::Internal, error.to_string())
}

/// Keeps init's stop time at what the lease allows.
async fn tell_stop_times(link: InitLink, mut orders: watch::Receiver<JobOrders>) {
    let mut told = None;
    loop {
        let stop_at = orders.borrow_and_update().stop_boottime_ms;
        if let Some(boottime_ms) = stop_at.filter(|_| stop_at != told) {
            if link.stop_time(boottime_ms).await.is_err() {
                return;
            }
            told = stop_at;
        }
        if orders.changed().await.is_err() {
            return;
        }
    }
}

/// Waits until init's connection has ended.
pub(super) async fn lost(events: &mut Option<InitEvents>) {
    match events {
        // What init says besides is an answer to a repeated start, and the spool says it too.
        Some(events) => while events.next().await.is_ok() {},
        None => std::future::pending().await,
    }
}
