//! The single writer: it owns state, fleet and journal, and everything that changes goes through it.
//!
//! Requests come over one bounded queue and are handled in batches: decide each → append all events to the journal in one
//! transaction → effects (agents, planner, watchers) → answers. Within a batch the state runs ahead of the journal,
//! because later requests are decided on earlier ones; nothing of it is seen before the append returned. If the append
//! fails, the driver stops and the process with it: what was durable is found when it starts again.
//!
//! Deliberately absent: IO other than the journal, evaluation of workflows (the planner), any knowledge of gRPC or HTTP.

mod core;
pub mod credentials;
mod effects;
mod follow;
mod gates;
pub mod holds;
mod house;
pub mod leases;
pub mod ledger;
pub mod message;
pub mod payload;
mod recover;
mod request;
mod role;
mod scale;
mod session;
mod snapshots;
pub mod stepped;
#[cfg(test)]
mod tests;
pub mod watchers;

use std::sync::Arc;

use slipway_kit::clock::Clock;
use slipway_scheduler::command::{Cancel, DecideGates, Submit};
use slipway_scheduler::{AgentId, Command, InstanceId, Rejection, Rules, RunId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use self::core::{Core, Tables};
use crate::access::AccessTable;
use crate::audit::Origin;
use crate::forge::told::ReportEvent;
use crate::history::Tap;
use crate::house::{HouseCommand, HouseError};
use crate::journal::{self, Address, Journal, JournalError, Leader, Snapshot};
use crate::metrics::Metrics;
use credentials::CredentialTable;
pub use effects::{OutputsRequest, PlanNeed, PlanRequest, Planning, RunEnded};
use follow::Follower;
use leases::LeaseTable;
use message::SessionLink;
use payload::DeliveryEvent;
use recover::Recovered;
use request::Request;
pub use request::{AgentHello, FromAgent, Piece, Stretch, View};
pub use role::{Role, Standing};
use watchers::{Changes, Watchers};

/// How many requests may wait. Beyond it senders wait, so that an overload slows them and does not fill memory.
pub const REQUEST_QUEUE: usize = 8_192;

/// How many requests one batch takes at most.
pub const BATCH_REQUESTS: usize = 1_024;

/// How many leases one batch grants at most.
pub const BATCH_GRANTS: usize = 1_024;

/// After how many journal entries a snapshot is made at least, so that start-up replays at most about as many.
pub const SNAPSHOT_EVERY: u64 = 20_000;

/// And after how many for each instance there is: a snapshot of a hundred thousand takes a processor for a second, replaying as many
/// entries a fraction of that.
pub const SNAPSHOT_EVERY_PER_INSTANCE: u64 = 2;

/// But not more, whatever the number of instances: start-up replays about half a million entries in a second.
pub const SNAPSHOT_EVERY_MAX: u64 = 400_000;

/// The longest the driver sleeps, in milliseconds: a clock that jumps (a laptop that was asleep) is noticed by then.
pub const MAX_SLEEP_MS: u64 = 1_000;

/// Why the driver did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// The scheduler refused.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The coordinator stops, or its journal failed; try again at the one that comes after it.
    #[error("the coordinator is stopping")]
    Stopped,
    /// Another coordinator leads, or is about to.
    #[error("this coordinator follows; {}", told(.0))]
    Follows(Address),
    /// The journal cannot be read there.
    #[error("{0}")]
    Journal(String),
    /// An agent cannot be taken in.
    #[error("{0}")]
    Refused(String),
    /// An admin removed the agent.
    #[error(
        "an admin removed this agent; to take it back, start it with a new token from `slipway agents token`"
    )]
    Removed,
    /// An admin's request makes no sense.
    #[error(transparent)]
    House(#[from] HouseError),
}

/// Where the leader is, in words.
fn told(address: &Address) -> String {
    match address.grpc.as_str() {
        "" => "none leads at the moment, try again".to_owned(),
        grpc => format!("the leader is at {grpc}"),
    }
}

/// What the driver is started with.
pub struct DriverParts {
    /// How this coordinator stands to others.
    pub standing: Standing,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// How fleet failures are retried.
    pub rules: Rules,
    /// Where jobs go that are to be planned.
    pub planner: mpsc::UnboundedSender<Planning>,
    /// Where runs go that ended or were retired.
    pub ended: mpsc::UnboundedSender<RunEnded>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where entries go once they are durable; `None`: no projections are made.
    pub tap: Option<Tap>,
    /// Raised to stop at once, as if killed.
    pub kill: CancellationToken,
}

/// Asks the driver; cheap to clone.
#[derive(Debug, Clone)]
pub struct Driver {
    requests: mpsc::Sender<Request>,
    tables: Tables,
    watchers: Arc<Watchers>,
    role: watch::Receiver<Role>,
}

impl Driver {
    /// Replays the journal and starts the driver's thread; a coordinator that stands alone leads when this returns. The second
    /// value resolves with the journal's error when that made the driver stop.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn start(
        mut journal: Box<dyn Journal>,
        parts: DriverParts,
    ) -> Result<(Self, oneshot::Receiver<JournalError>), JournalError> {
        let (requests, mut inbox) = mpsc::channel(REQUEST_QUEUE);
        let (failed, failure) = oneshot::channel();
        let (tables, watchers) = (Tables::default(), Arc::<Watchers>::default());
        let beginning = match parts.standing.clone() {
            Standing::Alone => {
                let epoch = journal::lead(&mut *journal, &Address::default())?;
                let recovered = recover::recover(&mut *journal)?;
                let (tables, watchers) = (tables.clone(), Arc::clone(&watchers));
                Beginning::Leader(Box::new(Core::lead(journal, parts, recovered, epoch, tables, watchers)?))
            }
            Standing::Among { address } => {
                let recovered = recover::recover(&mut *journal)?;
                Beginning::Follower(Box::new((journal, parts, recovered, address)))
            }
        };
        let role = match &beginning {
            Beginning::Leader(core) => Role::Leading { epoch: core.epoch() },
            Beginning::Follower(_) => Role::Following(Leader::default()),
        };
        let (told, role) = watch::channel(role);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let cannot = |error: std::io::Error| JournalError::Engine {
            place: "driver".to_owned(),
            reason: format!("its thread cannot start: {error}"),
        };
        let runtime = runtime.map_err(cannot)?;
        let shared = (tables.clone(), Arc::clone(&watchers));
        let thread = std::thread::Builder::new().name("driver".to_owned()).spawn(move || {
            let (tables, watchers) = shared;
            let driving = drive(beginning, &mut inbox, told, tables, watchers);
            if let Err(error) = runtime.block_on(driving) {
                tracing::error!(%error, "the journal failed; the coordinator stops");
                // Nobody listens when the coordinator is going down already.
                let _ = failed.send(error);
            }
        });
        thread.map_err(cannot)?;
        Ok((Self { requests, tables, watchers, role }, failure))
    }

    /// Whether this coordinator leads, now and as it changes.
    #[must_use]
    pub fn role(&self) -> watch::Receiver<Role> {
        self.role.clone()
    }

    /// The epoch under which this coordinator leads; 0: it follows.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        match *self.role.borrow() {
            Role::Leading { epoch } => epoch,
            Role::Following(_) => 0,
        }
    }

    /// Waits until this coordinator leads; `false`: it stopped before.
    pub async fn leads(&self) -> bool {
        self.role.clone().wait_for(Role::leads).await.is_ok()
    }

    /// The live leases.
    #[must_use]
    pub fn leases(&self) -> &Arc<LeaseTable> {
        &self.tables.leases
    }

    /// The credentials of enrolled agents.
    #[must_use]
    pub fn credentials(&self) -> &Arc<CredentialTable> {
        &self.tables.credentials
    }

    /// The tokens of people and programs that are good.
    #[must_use]
    pub fn access(&self) -> &Arc<AccessTable> {
        &self.tables.access
    }

    /// Hears of every change of a run.
    #[must_use]
    pub fn watch(&self, run: RunId) -> watch::Receiver<u64> {
        self.watchers.watch(run)
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, DriverError>>) -> Request,
    ) -> Result<T, DriverError> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(request(answer)).await.map_err(|_| DriverError::Stopped)?;
        answered.await.map_err(|_| DriverError::Stopped)?
    }

    /// Starts a run; its id is durable when this returns. A delivery that made a run before answers with that run.
    ///
    /// # Errors
    /// [`DriverError`].
    pub async fn submit(&self, submit: Submit, origin: Origin) -> Result<RunId, DriverError> {
        self.submit_held(submit, None, origin).await
    }

    /// The same for a run that begins only when somebody approves it, if it is of a stranger.
    ///
    /// # Errors
    /// [`DriverError`].
    pub async fn submit_held(
        &self,
        submit: Submit,
        stranger: Option<holds::Stranger>,
        origin: Origin,
    ) -> Result<RunId, DriverError> {
        self.ask(|answer| Request::Submit { submit: Box::new(submit), stranger, origin, answer }).await
    }

    /// Any other command; durable when this returns.
    ///
    /// # Errors
    /// [`DriverError`].
    pub async fn command(&self, command: Command) -> Result<(), DriverError> {
        self.ask(|answer| Request::Command { command, answer }).await
    }

    /// Ends a run because somebody wants it; durable when this returns.
    ///
    /// # Errors
    /// [`DriverError`].
    pub async fn cancel(&self, cancel: Cancel, origin: Origin) -> Result<(), DriverError> {
        self.ask(|answer| Request::Cancel { cancel, origin, answer }).await
    }

    /// Lets what waits for an environment go on, or fail, because somebody says so; durable when this returns. Answers with the
    /// instances.
    ///
    /// # Errors
    /// [`DriverError`].
    pub async fn decide_gates(
        &self,
        decision: DecideGates,
        origin: Origin,
    ) -> Result<Vec<InstanceId>, DriverError> {
        self.ask(|answer| Request::DecideGates { decision, origin, answer }).await
    }

    /// Opens a session; its number is the answer. Welcome and all that follows come over the link.
    ///
    /// # Errors
    /// [`DriverError`].
    pub async fn hello(&self, hello: AgentHello, link: SessionLink) -> Result<u64, DriverError> {
        self.ask(|answer| Request::Hello { hello, link, answer }).await
    }

    /// A session's stream ended.
    pub async fn disconnect(&self, agent: AgentId, session: u64) {
        // A driver that is gone has no sessions.
        let _ = self.requests.send(Request::Disconnect { agent, session }).await;
    }

    /// Passes on what an agent said; whatever answers it comes over the session's link.
    ///
    /// # Errors
    /// [`DriverError::Stopped`].
    pub async fn agent_said(
        &self,
        agent: AgentId,
        session: u64,
        message: FromAgent,
    ) -> Result<(), DriverError> {
        let request = Request::FromAgent { agent, session, message };
        self.requests.send(request).await.map_err(|_| DriverError::Stopped)
    }

    /// Makes an agent take nothing new, or take it again. `false`: there is no such agent.
    ///
    /// # Errors
    /// [`DriverError::Stopped`].
    pub async fn drain(&self, agent: AgentId, on: bool, origin: Origin) -> Result<bool, DriverError> {
        self.ask(|answer| Request::Drain { agent, on, origin, answer }).await
    }

    /// Does what an admin decided about the fleet, or enrols an agent; durable when this returns.
    ///
    /// # Errors
    /// [`DriverError::House`] says why it makes no sense.
    pub async fn house(&self, command: HouseCommand, origin: Origin) -> Result<(), DriverError> {
        self.ask(|answer| Request::House { command, origin, answer }).await
    }

    /// Puts into the audit trail what somebody asked for and the scheduler knows nothing of; `refused`: why it is not done.
    ///
    /// # Errors
    /// [`DriverError`].
    pub async fn note(
        &self,
        origin: Origin,
        action: &'static str,
        refused: Option<String>,
    ) -> Result<(), DriverError> {
        let target = String::new();
        self.ask(|answer| Request::Note { origin, action, target, refused, answer }).await
    }

    /// Puts into the audit trail what somebody did with something.
    ///
    /// # Errors
    /// [`DriverError`].
    pub async fn note_about(
        &self,
        origin: Origin,
        action: &'static str,
        target: String,
    ) -> Result<(), DriverError> {
        self.ask(|answer| Request::Note { origin, action, target, refused: None, answer }).await
    }

    /// A piece of the journal after a position; empty at its end. The driver's thread reads it: ask for a few at a time.
    ///
    /// # Errors
    /// [`DriverError::Journal`] when it is damaged there.
    pub async fn read_journal(&self, position: u64) -> Result<Piece, DriverError> {
        self.ask(|answer| Request::Read { position, answer }).await
    }

    /// At most `most` records after a position, with what shows whether the journal is still the one that the caller knows.
    /// The driver's thread reads them: ask for few.
    ///
    /// # Errors
    /// [`DriverError::Journal`] when it is damaged there.
    pub async fn stretch(&self, position: u64, most: usize) -> Result<Stretch, DriverError> {
        self.ask(|answer| Request::Stretch { position, most, answer }).await
    }

    /// Journals something about a webhook delivery; `false` when it was known.
    ///
    /// # Errors
    /// [`DriverError::Stopped`].
    pub async fn delivery(&self, event: DeliveryEvent) -> Result<bool, DriverError> {
        self.ask(|answer| Request::Delivery { event, answer }).await
    }

    /// Journals what a forge was told, or is to be; durable when this returns.
    ///
    /// # Errors
    /// [`DriverError`].
    pub(crate) async fn report(&self, event: ReportEvent) -> Result<(), DriverError> {
        self.ask(|answer| Request::Report { event, answer }).await
    }

    /// Begins to gather what changes, for [`Driver::changes`].
    pub(crate) fn gather_changes(&self) {
        self.watchers.gather();
    }

    /// The runs and commits that changed since this was asked last.
    pub(crate) fn changes(&self) -> Changes {
        self.watchers.gathered()
    }

    /// Waits until something changed since the last wait ended.
    pub(crate) async fn changed(&self) {
        self.watchers.news().await;
    }

    /// Looks at what the driver knows; everything it shows is durable. Runs on the driver's thread: keep it short.
    ///
    /// # Errors
    /// [`DriverError::Stopped`].
    pub async fn query<T: Send + 'static>(
        &self,
        look: impl FnOnce(View<'_>) -> T + Send + 'static,
    ) -> Result<T, DriverError> {
        self.ask(|answer| {
            Request::Query(Box::new(move |view| {
                // Whoever asked may have gone.
                let _ = answer.send(Ok(look(view)));
            }))
        })
        .await
    }

    /// The newest snapshot of the state; `None`: there is none yet.
    ///
    /// # Errors
    /// [`DriverError::Journal`].
    pub async fn newest_snapshot(&self) -> Result<Option<Snapshot>, DriverError> {
        self.ask(|answer| Request::Snapshot { answer }).await
    }

    /// Saves a snapshot and stops.
    pub async fn stop(&self) {
        let (answer, answered) = oneshot::channel();
        if self.requests.send(Request::Stop { answer }).await.is_ok() {
            // An error means that it stopped by itself meanwhile.
            let _ = answered.await;
        }
    }
}

/// How a driver begins.
enum Beginning {
    Leader(Box<Core>),
    Follower(Box<(Box<dyn Journal>, DriverParts, Recovered, Address)>),
}

/// Follows first, if it has to, and then leads.
async fn drive(
    beginning: Beginning,
    inbox: &mut mpsc::Receiver<Request>,
    told: watch::Sender<Role>,
    tables: Tables,
    watchers: Arc<Watchers>,
) -> Result<(), JournalError> {
    let mut core = match beginning {
        Beginning::Leader(core) => core,
        Beginning::Follower(parts) => {
            let (journal, parts, recovered, address) = *parts;
            let follower = Follower {
                recovered,
                clock: Arc::clone(&parts.clock),
                watchers: Arc::clone(&watchers),
                role: told.clone(),
                kill: parts.kill.clone(),
            };
            let Some(won) = follower.follow(journal, address, inbox).await? else { return Ok(()) };
            let core = Core::lead(won.journal, parts, won.recovered, won.epoch, tables, watchers)?;
            told.send_replace(Role::Leading { epoch: core.epoch() });
            Box::new(core)
        }
    };
    core.run(inbox).await
}
