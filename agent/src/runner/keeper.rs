//! Keeps the connection to a container's init: makes it again when it breaks, and says when the container has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use super::Machine;
use super::attempt::AbortOnDrop;
use super::vessel::Connected;
use crate::docker::container::ContainerState;
use crate::failure::{Cause, Failure};
use crate::init::{InitError, InitEvents, InitLink, JobSocket, Ready, Spool};
use crate::limits::INIT_CONNECT_TIMEOUT;
use crate::session::JobOrders;

/// How often a container is looked at while its init is not connected.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How it stands with a container's init.
#[derive(Debug, Clone)]
pub(super) enum Standing {
    /// Nobody is there yet, or not any more.
    Away,
    /// Init is connected.
    Up(InitLink),
    /// The container has ended.
    Ended(ContainerState),
    /// There is no such container.
    Gone,
    /// It can't be had.
    Failed(Failure),
}

/// One lane's ear at a container's keeper. The task ends with the last of them.
#[derive(Debug, Clone)]
pub(super) struct Keeper {
    standing: watch::Receiver<Standing>,
    shared: Arc<Shared>,
    _task: Arc<AbortOnDrop<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    highest: AtomicU32,
    pid: AtomicU32,
    starting: Arc<Mutex<()>>,
}

impl Keeper {
    /// Begins to keep the connection to a container that was started. `orders` tell its init when to stop.
    pub(super) fn start(
        machine: Arc<Machine>,
        container: String,
        socket: JobSocket,
        spool: Spool,
        orders: watch::Receiver<JobOrders>,
    ) -> Self {
        let (say, standing) = watch::channel(Standing::Away);
        let shared = Arc::new(Shared::default());
        let keeping = Keeping { machine, container, socket, spool, orders, shared: Arc::clone(&shared) };
        let task = Arc::new(AbortOnDrop(tokio::spawn(keeping.keep(say))));
        Self { standing, shared, _task: task }
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Waits until init is there, or will not be.
    pub(super) async fn settled(&mut self) -> Result<Connected, Failure> {
        let settled = self.standing.wait_for(|standing| !matches!(standing, Standing::Away)).await;
        match settled.map(|standing| standing.clone()) {
            Ok(Standing::Up(_)) => Ok(Connected::Yes),
            Ok(Standing::Ended(state)) => Ok(Connected::Ended(state)),
            Ok(Standing::Gone) => Ok(Connected::Gone),
            Ok(Standing::Failed(failure)) => Err(failure),
            Ok(Standing::Away) | Err(_) => Err(Failure::new(
                Cause::Internal,
                "the connection to a container's init is not kept any more",
            )),
        }
    }

    /// Waits for the next change; without one to come, for ever.
    pub(super) async fn changed(&mut self) {
        if self.standing.changed().await.is_err() {
            std::future::pending().await
        }
    }

    pub(super) fn highest(&self) -> u32 {
        self.shared.highest.load(Ordering::Acquire)
    }

    pub(super) fn note_started(&self, process: u32) {
        self.shared.highest.fetch_max(process, Ordering::AcqRel);
    }

    pub(super) fn pid(&self) -> u32 {
        self.shared.pid.load(Ordering::Acquire)
    }

    /// One start at a time.
    pub(super) async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.shared.starting).lock_owned().await
    }
}

struct Keeping {
    machine: Arc<Machine>,
    container: String,
    socket: JobSocket,
    spool: Spool,
    orders: watch::Receiver<JobOrders>,
    shared: Arc<Shared>,
}

impl Keeping {
    async fn keep(mut self, say: watch::Sender<Standing>) {
        loop {
            let standing = match self.connect().await {
                Ok(Ok((link, mut events))) => {
                    say.send_replace(Standing::Up(link.clone()));
                    tokio::select! {
                        () = lost(&mut events) => {}
                        () = tell_stop_times(link, self.orders.clone()) => lost(&mut events).await,
                    }
                    Standing::Away
                }
                Ok(Err(ended)) => {
                    self.spool.finish();
                    ended
                }
                Err(failure) => Standing::Failed(failure),
            };
            let over = !matches!(standing, Standing::Away);
            say.send_replace(standing);
            if over {
                return;
            }
        }
    }

    /// Waits for init to connect; the inner error is the container's end.
    async fn connect(&mut self) -> Result<Result<(InitLink, InitEvents), Standing>, Failure> {
        let give_up = tokio::time::Instant::now() + INIT_CONNECT_TIMEOUT;
        loop {
            let Some(state) = self.machine.engine.container(&self.container).await? else {
                return Ok(Err(Standing::Gone));
            };
            if !state.running || state.pid == 0 {
                return Ok(Err(Standing::Ended(state)));
            }
            let pid = state.pid;
            let stop_at = self.orders.borrow().stop_boottime_ms;
            let accepting = self.socket.accept(pid, &self.spool, stop_at);
            match tokio::time::timeout(LOOK_EVERY, accepting).await {
                Ok(Ok(connection)) => {
                    let Ready { highest_step, .. } = connection.ready;
                    // What was sent over a connection that broke may not have come through: init knows.
                    self.shared.highest.store(highest_step, Ordering::Release);
                    self.shared.pid.store(pid, Ordering::Release);
                    return Ok(Ok((connection.link, connection.events)));
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
}

/// Keeps init's stop time at what the lease allows, until the connection or the orders end.
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

/// Waits until init's connection has ended. What init says besides is an answer to a repeated start, and the spool says
/// it too.
async fn lost(events: &mut InitEvents) {
    while events.next().await.is_ok() {}
}
