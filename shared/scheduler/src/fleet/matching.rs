//! Which agent gets the next lease.

use crate::command::{AgentView, Grant};
use crate::fleet::Fleet;
use crate::limits::AGENT_SCAN_MAX;
use crate::state::State;
use crate::time::Timestamp;

impl Fleet {
    /// The next lease to grant, while an agent is free for which something waits: decide it, apply and observe its events,
    /// and ask again.
    ///
    /// The oldest instance goes first; of the agents that fit it, one that offers least (so that special machines stay
    /// free), and of these the one with most free slots. What a call costs depends on how many different label sets wait
    /// and are offered, not on how many instances or agents there are.
    #[must_use]
    pub fn next_grant(&self, state: &State, now: Timestamp) -> Option<Grant> {
        if state.epoch() == 0 || state.waiting_len() == 0 {
            return None;
        }
        let choices = self.free.iter().filter_map(|(offer, agents)| {
            let free = agents.iter().take(AGENT_SCAN_MAX).map(|(_, id)| *id);
            let mut views = free.map(|id| AgentView {
                id,
                labels: offer.labels.clone(),
                accepts_untrusted: offer.accepts_untrusted,
            });
            let (rank, agent) = views.find_map(|view| Some((state.queues.first_rank(&view, now)?, view)))?;
            Some(((rank, offer.labels.len()), agent))
        });
        let (_, agent) = choices.min_by_key(|(rank, _)| *rank)?;
        Some(Grant { agent, free_slots: 1 })
    }
}
