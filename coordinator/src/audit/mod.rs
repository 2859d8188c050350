//! The audit trail: who asked for what, by which door, and what came of it.
//!
//! It is a view of the journal, not a second book: an entry is journaled in the same batch as the events that it led to, so
//! neither is there without the other, and the journal's chain of hashes shows if one was changed or removed. Commands that
//! were refused are in it too. Deliberately absent: requests without the right token (anybody could fill the journal with
//! them; `/metrics` counts those) and everything that Slipway decides by itself, but for keys of
//! identity tokens that take turns and for what the scaler does with agents.

mod trail;

pub(crate) use trail::{Page, newest, page, verify};

use serde::{Deserialize, Serialize};
use slipway_scheduler::Timestamp;

use crate::driver::payload::{DeliveryEvent, Payload};

/// The longest of each of an entry's texts, in characters.
pub const TEXT_MAX: usize = 1_000;

/// Who asks, and by which door.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// A login where one is known; what else the client calls itself.
    pub actor: String,
    /// `http 192.0.2.7`, `grpc 192.0.2.7`, `delivery ID`, `schedule`; empty: the program that embeds the coordinator.
    pub source: String,
}

impl Origin {
    /// Somebody who does not say who, over the API.
    pub(crate) fn of_client(source: String) -> Self {
        Self { actor: "an API client".to_owned(), source }
    }
}

/// One command of somebody's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Who asked.
    pub actor: String,
    /// By which door.
    pub source: String,
    /// `run.submit`, `run.rerun`, `run.cancel`, `run.approve`, `run.reject`, `agent.drain`, `agent.resume`, `backup`, `cache.check`, `cache.prune`, `cache.token`, `history.rebuild`, `agent.token`, `agent.token_revoke`,
    /// `agent.enrol`, `agent.remove`, `pool.set`, `pool.remove`, `secret.set`, `secret.remove`, `secret.read`, `token.make`, `token.revoke`,
    /// `identity.token`, `identity.key`, `identity.key_alone`, `identity.key_remove`, `scaler.ask`, `scaler.started`, `scaler.came`, `scaler.drain`,
    /// `scaler.resume`, `scaler.stop`, `scaler.stopped`.
    pub action: String,
    /// The run or agent.
    pub target: String,
    /// `done`, or `refused: ` and why.
    pub effect: String,
    /// When.
    pub at: Timestamp,
}

impl AuditEntry {
    /// What an entry of the journal says of somebody's command.
    #[must_use]
    pub fn of(payload: &Payload) -> Option<Self> {
        match payload {
            Payload::Audit(entry) => Some(entry.clone()),
            Payload::Delivery(DeliveryEvent::Accepted { id, event, at, .. }) => Some(Self {
                actor: String::new(),
                source: "webhook".to_owned(),
                action: format!("delivery.{event}"),
                target: id.clone(),
                effect: "done".to_owned(),
                at: *at,
            }),
            _ => None,
        }
    }

    /// An entry about a command and what came of it.
    #[must_use]
    pub fn new(origin: Origin, action: &str, target: String, refused: Option<String>, at: Timestamp) -> Self {
        let short = |text: String| text.chars().take(TEXT_MAX).collect();
        Self {
            actor: short(origin.actor),
            source: short(origin.source),
            action: action.to_owned(),
            target: short(target),
            effect: short(refused.map_or("done".to_owned(), |why| format!("refused: {why}"))),
            at,
        }
    }
}
