//! Leaving the jobs to this agent's next process, which is about to start: an upgrade.
//!
//! The coordinator is asked to make their leases longer, so that they outlast a start that takes its time. It answers when
//! the journal has that; then the jobs' inits hear of their new stop times, and the agent goes. Without an answer it goes with
//! the leases as they are.

use slipway_kit::clock::Clock;
use slipway_proto::v1::agent_message::Message as Out;
use tokio::time::Instant;

use super::supervisor::{Stream, Supervisor, send};
use crate::limits::{HANDOVER_LEASE_MS, HANDOVER_PATIENCE, HANDOVER_SETTLES};

/// How far it is.
#[derive(Debug, Default)]
pub(super) struct HandOver {
    /// When it goes, whatever was answered; none: nobody asked for it.
    goes_at: Option<Instant>,
    /// The renewal that asked, over the present connection.
    asked: Option<u64>,
    /// The leases are longer, and when the inits have heard of it.
    settled_at: Option<Instant>,
}

impl HandOver {
    /// A connection has ended: what was asked over it is asked again over the next.
    pub(super) fn disconnected(&mut self) {
        self.asked = None;
    }

    /// The renewal of this number was answered.
    pub(super) fn answered(&mut self, number: u64) {
        if self.asked == Some(number) {
            self.settled_at = Some(Instant::now() + HANDOVER_SETTLES);
        }
    }

    /// Whether the agent may go.
    pub(super) fn is_over(&mut self) -> bool {
        let goes_at = *self.goes_at.get_or_insert_with(|| Instant::now() + HANDOVER_PATIENCE);
        Instant::now() >= self.settled_at.unwrap_or(goes_at)
    }
}

impl<C: Clock> Supervisor<C> {
    /// Asks for longer leases, once for each connection.
    pub(super) fn ask_for_longer(&mut self, stream: &Stream) -> Result<(), String> {
        if self.hand_over.asked.is_some() {
            return Ok(());
        }
        let Out::Renew(mut renew) = self.renewal() else { return Ok(()) };
        renew.lease_ms = HANDOVER_LEASE_MS;
        self.hand_over.asked = Some(renew.number);
        tracing::info!(jobs = self.jobs.len(), "leaves its jobs to the next process");
        send(stream, Out::Renew(renew))
    }
}
