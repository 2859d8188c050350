//! The single writer: it owns state, fleet and journal, and everything that changes goes through it.
//!
//! Requests come over one bounded queue and are handled in batches: decide each → append all events to the journal in one
//! transaction → effects (agents, planner, watchers) → answers. Within a batch the state runs ahead of the journal,
//! because later requests are decided on earlier ones; nothing of it is seen before the append returned. If the append
//! fails, the driver stops and the process with it: what was durable is found when it starts again.
//!
//! Deliberately absent: IO other than the journal, evaluation of workflows (the planner), any knowledge of gRPC or HTTP.

mod core;
mod effects;
pub mod leases;
pub mod ledger;
pub mod message;
pub mod payload;
mod recover;
mod request;
mod session;
#[cfg(test)]
mod tests;
pub mod watchers;

use std::sync::Arc;

use slipway_kit::clock::Clock;
use slipway_scheduler::command::Submit;
use slipway_scheduler::{AgentId, Command, Rejection, Rules, RunId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::journal::{Journal, JournalError};
use crate::metrics::Metrics;
pub use effects::{OutputsRequest, PlanNeed, PlanRequest, Planning, RunEnded};
use leases::LeaseTable;
use message::SessionLink;
use payload::DeliveryEvent;
use request::Request;
pub use request::{AgentHello, FromAgent, View};
use watchers::Watchers;

/// How many requests may wait. Beyond it senders wait, so that an overload slows them and does not fill memory.
pub const REQUEST_QUEUE: usize = 8_192;

/// How many requests one batch takes at most.
pub const BATCH_REQUESTS: usize = 1_024;

/// How many leases one batch grants at most.
pub const BATCH_GRANTS: usize = 1_024;

/// After how many journal entries a snapshot is made, so that start-up replays at most about as many.
pub const SNAPSHOT_EVERY: u64 = 20_000;

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
    /// An agent cannot be taken in.
    #[error("{0}")]
    Refused(String),
}

/// What the driver is started with.
pub struct DriverParts {
    /// Where events are kept.
    pub journal: Box<dyn Journal>,
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
    /// Raised to stop at once, as if killed.
    pub kill: CancellationToken,
}

/// Asks the driver; cheap to clone.
#[derive(Debug, Clone)]
pub struct Driver {
    requests: mpsc::Sender<Request>,
    leases: Arc<LeaseTable>,
    watchers: Arc<Watchers>,
    epoch: u64,
}

impl Driver {
    /// Replays the journal, takes over, and starts the driver's thread. The second value resolves with the journal's error
    /// when that made the driver stop.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn start(parts: DriverParts) -> Result<(Self, oneshot::Receiver<JournalError>), JournalError> {
        let (requests, inbox) = mpsc::channel(REQUEST_QUEUE);
        let (failed, failure) = oneshot::channel();
        let (leases, watchers) = (Arc::<LeaseTable>::default(), Arc::<Watchers>::default());
        let mut core = core::Core::recover(parts, Arc::clone(&leases), Arc::clone(&watchers))?;
        let epoch = core.epoch();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|error| JournalError::Engine {
            place: "driver".to_owned(),
            reason: format!("its thread cannot start: {error}"),
        })?;
        let thread = std::thread::Builder::new().name("driver".to_owned()).spawn(move || {
            if let Err(error) = runtime.block_on(core.run(inbox)) {
                tracing::error!(%error, "the journal failed; the coordinator stops");
                // Nobody listens when the coordinator is going down already.
                let _ = failed.send(error);
            }
        });
        thread.map_err(|error| JournalError::Engine {
            place: "driver".to_owned(),
            reason: format!("its thread cannot start: {error}"),
        })?;
        Ok((Self { requests, leases, watchers, epoch }, failure))
    }

    /// This leader's epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The live leases.
    #[must_use]
    pub fn leases(&self) -> &Arc<LeaseTable> {
        &self.leases
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
    pub async fn submit(&self, submit: Submit) -> Result<RunId, DriverError> {
        self.ask(|answer| Request::Submit { submit: Box::new(submit), answer }).await
    }

    /// Any other command; durable when this returns.
    ///
    /// # Errors
    /// [`DriverError`].
    pub async fn command(&self, command: Command) -> Result<(), DriverError> {
        self.ask(|answer| Request::Command { command, answer }).await
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
    pub async fn drain(&self, agent: AgentId, on: bool) -> Result<bool, DriverError> {
        self.ask(|answer| Request::Drain { agent, on, answer }).await
    }

    /// Journals something about a webhook delivery; `false` when it was known.
    ///
    /// # Errors
    /// [`DriverError::Stopped`].
    pub async fn delivery(&self, event: DeliveryEvent) -> Result<bool, DriverError> {
        self.ask(|answer| Request::Delivery { event, answer }).await
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

    /// Saves a snapshot and stops.
    pub async fn stop(&self) {
        let (answer, answered) = oneshot::channel();
        if self.requests.send(Request::Stop { answer }).await.is_ok() {
            // An error means that it stopped by itself meanwhile.
            let _ = answered.await;
        }
    }
}
