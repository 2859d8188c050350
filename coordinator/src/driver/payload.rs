//! What the journal's payloads hold: the scheduler's events and the coordinator's own.

use super::holds::HoldEvent;
use crate::audit::AuditEntry;
use crate::forge::told::ReportEvent;
use crate::house::HouseEvent;
use crate::scaler::ScaleEvent;
use serde::{Deserialize, Serialize};
use slipway_cas::Digest;
use slipway_scheduler::{AgentId, Event, InstanceId, RunId, Timestamp};

/// One entry of the journal (docs/JOURNAL.md).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// The scheduler decided.
    Scheduler(Event),
    /// A webhook came or was dealt with.
    Delivery(DeliveryEvent),
    /// An agent said in words how an attempt ended.
    AttemptNote(AttemptNote),
    /// A person ordered an agent to take nothing new, or to take jobs again.
    DrainOrder(DrainOrder),
    /// Somebody asked for something.
    Audit(AuditEntry),
    /// An admin decided something about the fleet, or an agent enrolled.
    House(HouseEvent),
    /// A forge was told something, or is to be.
    Report(ReportEvent),
    /// A run waits as a whole, or somebody decided about it.
    Hold(HoldEvent),
    /// An agent was asked for, or something became of one that was.
    Scale(ScaleEvent),
}

/// A person's order to an agent. It stands until the opposite one, whatever restarts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrainOrder {
    /// The agent.
    pub agent: AgentId,
    /// Whether it is to take nothing new.
    pub on: bool,
    /// When.
    pub at: Timestamp,
}

/// What happens to a webhook delivery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum DeliveryEvent {
    /// It was accepted and is to be dealt with, however often the coordinator restarts meanwhile.
    Accepted {
        /// The forge's id of it.
        id: String,
        /// `push`, `pull_request`, …
        event: String,
        /// Its body.
        body: Digest,
        /// When.
        at: Timestamp,
    },
    /// It was dealt with.
    Done {
        /// The forge's id of it.
        id: String,
        /// What became of it, for people.
        outcome: String,
    },
}

/// An agent's own words about an attempt's end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptNote {
    /// The run.
    pub run: RunId,
    /// The instance.
    pub instance: InstanceId,
    /// From 1.
    pub attempt: u32,
    /// One sentence for a person.
    pub message: String,
}
