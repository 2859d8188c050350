//! What the driver is asked.

use slipway_cas::Digest;
use slipway_scheduler::command::{Cancel, DecideGates, LeaseRef, Submit};
use slipway_scheduler::fleet::{AgentProfile, Fleet};
use slipway_scheduler::{AgentId, Command, InstanceId, Outcome, Rejection, RunId, State};
use tokio::sync::oneshot;

use super::DriverError;
use super::holds::Stranger;
use super::ledger::Ledger;
use super::message::{RunLease, SessionLink};
use super::payload::DeliveryEvent;
use crate::audit::Origin;
use crate::forge::told::ReportEvent;
use crate::house::HouseCommand;
use crate::journal::{Hash, Journal, JournalError, Mark, Record, Snapshot};
use crate::scaler::ScaleEvent;

/// The driver's answer to whoever asked.
pub(super) type Answer<T> = oneshot::Sender<Result<T, DriverError>>;

/// All that the driver knows, to be looked at.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The scheduler's state; durable.
    pub state: &'a State,
    /// The agents.
    pub fleet: &'a Fleet,
    /// Run numbers, deliveries, notes.
    pub ledger: &'a Ledger,
    /// Wall-clock time.
    pub now: slipway_scheduler::Timestamp,
}

/// Looks at what the driver knows and answers by itself.
pub(super) type Look = Box<dyn FnOnce(View<'_>) + Send>;

/// A few records of the journal, and how they lie in it.
#[derive(Debug, Clone)]
pub struct Stretch {
    /// The hash of the record that they follow; `None`: the journal does not have that record, and there are none after it.
    pub after: Option<Hash>,
    /// The records, each checked against the one before.
    pub records: Vec<Record>,
    /// Where the journal begins.
    pub anchor: Mark,
    /// Where it ends.
    pub head: Mark,
}

impl Stretch {
    /// Reads at most `most` records after a position.
    ///
    /// # Errors
    /// [`JournalError`].
    pub(crate) fn read(journal: &mut dyn Journal, position: u64, most: usize) -> Result<Self, JournalError> {
        let after = journal.hash(position)?;
        let records = match after {
            Some(_) => journal.read_few(position, most)?,
            None => Vec::new(),
        };
        Ok(Self { after, records, anchor: journal.anchor(), head: journal.head() })
    }
}

/// A piece of the journal.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Its records, each checked against the one before.
    pub records: Vec<Record>,
    /// Where the journal ends.
    pub end: u64,
}

pub(super) enum Request {
    /// A new run; its run number is filled in. One of a stranger is held.
    Submit { submit: Box<Submit>, stranger: Option<Stranger>, origin: Origin, answer: Answer<RunId> },
    /// Any other command whose sender waits for its being durable.
    Command { command: Command, answer: Answer<()> },
    /// Somebody wants a run to end.
    Cancel { cancel: Cancel, origin: Origin, answer: Answer<()> },
    /// Somebody lets what waits for an environment go on, or not; answers with what was decided.
    DecideGates { decision: DecideGates, origin: Origin, answer: Answer<Vec<InstanceId>> },
    /// An agent opened a session.
    Hello { hello: AgentHello, link: SessionLink, answer: Answer<u64> },
    /// A session's stream ended.
    Disconnect { agent: AgentId, session: u64 },
    /// Something came over a session.
    FromAgent { agent: AgentId, session: u64, message: FromAgent },
    /// A person wants an agent to drain or to go on.
    Drain { agent: AgentId, on: bool, origin: Origin, answer: Answer<bool> },
    /// An admin decides something about the fleet, or an agent enrols.
    House { command: HouseCommand, origin: Origin, answer: Answer<()> },
    /// The scaler decided or saw something; answers whether it is so.
    Scale { event: ScaleEvent, answer: Answer<bool> },
    /// Something about a webhook delivery; answers whether it was news.
    Delivery { event: DeliveryEvent, answer: Answer<bool> },
    /// Something that a forge was told, or is to be.
    Report { event: ReportEvent, answer: Answer<()> },
    /// Somebody asked for something that the scheduler knows nothing of.
    Note {
        /// Who.
        origin: Origin,
        /// What.
        action: &'static str,
        /// Of what; may be empty.
        target: String,
        /// Why it is not done.
        refused: Option<String>,
        answer: Answer<()>,
    },
    /// Somebody wants to read the journal after this position.
    Read { position: u64, answer: Answer<Piece> },
    /// The projections want so many records after this position.
    Stretch { position: u64, most: usize, answer: Answer<Stretch> },
    /// Somebody wants the newest snapshot.
    Snapshot { answer: Answer<Option<Snapshot>> },
    /// Somebody wants to look.
    Query(Look),
    /// Save a snapshot and stop.
    Stop { answer: oneshot::Sender<()> },
}

impl Request {
    /// Answers a request that only the leader can handle; gives back one that anybody can.
    pub(super) fn refuse(self, error: &DriverError) -> Option<Self> {
        // Whoever asked may have gone.
        match self {
            Self::Submit { answer, .. } => drop(answer.send(Err(error.clone()))),
            Self::Command { answer, .. } => drop(answer.send(Err(error.clone()))),
            Self::Cancel { answer, .. } => drop(answer.send(Err(error.clone()))),
            Self::DecideGates { answer, .. } => drop(answer.send(Err(error.clone()))),
            Self::Note { answer, .. } => drop(answer.send(Err(error.clone()))),
            Self::Snapshot { answer } => drop(answer.send(Err(error.clone()))),
            Self::Stretch { answer, .. } => drop(answer.send(Err(error.clone()))),
            Self::Read { answer, .. } => drop(answer.send(Err(error.clone()))),
            Self::Hello { answer, .. } => drop(answer.send(Err(error.clone()))),
            Self::House { answer, .. } => drop(answer.send(Err(error.clone()))),
            Self::Drain { answer, .. } => drop(answer.send(Err(error.clone()))),
            Self::Report { answer, .. } => drop(answer.send(Err(error.clone()))),
            Self::Scale { answer, .. } => drop(answer.send(Err(error.clone()))),
            Self::Delivery { answer, .. } => drop(answer.send(Err(error.clone()))),
            // Without sessions there is nothing to end and nobody to hear.
            Self::Disconnect { .. } | Self::FromAgent { .. } => {}
            Self::Query(_) | Self::Stop { .. } => return Some(self),
        }
        None
    }
}

/// Who opens a session, and what it holds.
#[derive(Debug, Clone)]
pub struct AgentHello {
    /// Who.
    pub profile: AgentProfile,
    /// What it still executes.
    pub held: Vec<RunLease>,
    /// Whether it takes nothing new.
    pub draining: bool,
}

/// What an agent says during a session, in core types.
#[derive(Debug, Clone, PartialEq)]
pub enum FromAgent {
    /// It takes no new jobs for now, for this reason, or takes them again.
    Paused(Option<String>),
    /// It holds these leases.
    Renew {
        /// How long the leases are to last from now on; 0: as usual.
        lease_ms: u64,
        /// Echoed.
        number: u64,
        /// The leases.
        leases: Vec<RunLease>,
    },
    /// An attempt is over; its outputs are a blob and its records durable.
    Report {
        /// Under which lease.
        lease: RunLease,
        /// How.
        outcome: Outcome,
        /// How many records it has.
        records: u64,
        /// Their digest, if it counted it.
        records_digest: Option<Digest>,
        /// Why, for people; may be empty.
        message: String,
    },
    /// A job's first step is about to begin.
    StepBegan(RunLease),
    /// It cannot take an assignment.
    Decline {
        /// Which.
        lease: RunLease,
        /// Why, for people.
        reason: String,
    },
    /// What it can take changed.
    Capacity {
        /// Slots in all.
        slots: u32,
        /// Whether it takes nothing new.
        draining: bool,
    },
}

/// Whether this rejection means that the lease is not the sender's any more.
pub(super) fn is_stale(rejection: &Rejection) -> bool {
    matches!(rejection, Rejection::StaleLease { .. } | Rejection::UnknownInstance { .. })
}

/// The attempt's lease as a set's key.
pub(super) fn refs(leases: &[RunLease]) -> Vec<LeaseRef> {
    leases.iter().map(|lease| lease.lease).collect()
}
