//! What the scaler decides and sees, checked once more where everything is decided: between its look and its word an agent may have
//! got a job.

use slipway_scheduler::AgentId;

use super::core::Core;
use super::payload::Payload;
use super::request::{Answer, Request};
use super::{Driver, DriverError};
use crate::audit::Origin;
use crate::scaler::ScaleEvent;

impl Driver {
    /// Journals what the scaler decided or saw, and lets the agent drain or go on with it; `false`: it is not so any more. Durable
    /// when this returns.
    ///
    /// # Errors
    /// [`DriverError`].
    pub(crate) async fn scale(&self, event: ScaleEvent) -> Result<bool, DriverError> {
        self.ask(|answer| Request::Scale { event, answer }).await
    }
}

impl Core {
    pub(super) fn scale(&mut self, event: ScaleEvent, answer: Answer<bool>) {
        let so = self.ledger.scaling().admits(&event) && self.is_so(&event);
        if so {
            self.note_scaled(&event);
            let id = self.id_of(event.agent());
            self.take(Payload::Scale(event.clone()));
            if let Some(id) = id {
                self.steer_scaled(id, &event);
            }
        }
        self.answer(answer, Ok(so));
    }

    fn id_of(&self, agent: &str) -> Option<AgentId> {
        self.ledger.scaling().order(agent).and_then(|order| order.id)
    }

    /// Whether the agent is as the scaler saw it.
    fn is_so(&self, event: &ScaleEvent) -> bool {
        let agent = event.agent();
        let seen = self.id_of(agent).map(|id| self.fleet.agent(id));
        match event {
            ScaleEvent::Draining { failure, .. } => seen.flatten().is_some_and(|seen| {
                seen.connected && (failure.is_some() || (seen.leases == 0 && !seen.draining))
            }),
            // One that came although the driver failed is as good as any.
            ScaleEvent::Stopping { failure: Some(_), .. }
                if seen.flatten().is_some_and(|seen| seen.connected) =>
            {
                false
            }
            // One that this leader has not heard of may have leases all the same.
            ScaleEvent::Stopping { .. } => match self.id_of(agent) {
                Some(id) => self.fleet.watched().all(|(_, holder)| holder != id),
                None => self.fleet.agents().all(|seen| !seen.connected || seen.profile.name != agent),
            },
            _ => true,
        }
    }

    fn note_scaled(&mut self, event: &ScaleEvent) {
        let target = match event.failure() {
            None => event.agent().to_owned(),
            Some(why) => format!("{}: {why}", event.agent()),
        };
        let pool = match event {
            ScaleEvent::Asked { pool, .. } => pool.clone(),
            _ => {
                let order = self.ledger.scaling().order(event.agent());
                order.map(|order| order.pool.clone()).unwrap_or_default()
            }
        };
        let origin = Origin { actor: "slipway".to_owned(), source: format!("scaler {pool}") };
        self.audit(origin, event.action(), &Ok::<(), DriverError>(()), |_| target);
    }

    /// What the agent is told. That it drains stands over restarts, as a person's order does.
    fn steer_scaled(&mut self, id: AgentId, event: &ScaleEvent) {
        match event {
            ScaleEvent::Draining { .. } | ScaleEvent::Stopping { .. } => drop(self.drain(id, true)),
            ScaleEvent::Resumed { .. } => drop(self.drain(id, false)),
            // One that could not be stopped is still there, and stays drained.
            ScaleEvent::Stopped { .. } if self.fleet.agent(id).is_some_and(|seen| seen.connected) => {}
            ScaleEvent::Stopped { .. } => {
                // Another agent may come with the same data, and is not to be drained from its beginning.
                self.drain(id, false);
                self.fleet.remove(id);
            }
            ScaleEvent::Asked { .. } | ScaleEvent::Started { .. } | ScaleEvent::Came { .. } => {}
        }
    }
}
