//! What admins decide about the fleet, and what follows for agents' sessions.

use slipway_scheduler::command::{Expire, LeaseRef};
use slipway_scheduler::{AgentId, Command, FleetCause};

use super::DriverError;
use super::core::Core;
use super::message::ToAgent;
use super::payload::Payload;
use crate::audit::Origin;
use crate::house::{HouseCommand, HouseError, HouseEvent};

impl Core {
    /// Decides a request and journals it with who asked. One with a token that is not good is not in the audit trail: anybody
    /// could fill the journal with those.
    pub(super) fn house(&mut self, command: HouseCommand, origin: Origin) -> Result<(), DriverError> {
        let (action, target) = (command.action(), command.target());
        let decided = self.decide_house(command);
        if decided == Err(HouseError::Token) {
            self.metrics.unauthorized.add(1);
            return Err(HouseError::Token.into());
        }
        self.audit(origin, action, &decided, |_| target);
        decided.map_err(DriverError::from)
    }

    fn decide_house(&mut self, command: HouseCommand) -> Result<(), HouseError> {
        if let HouseCommand::RemoveAgent { agent } = command
            && self.fleet.agent(agent).is_none()
            && self.ledger.house().agent(agent).is_none()
        {
            return Err(HouseError::NotFound(format!("there is no agent {agent}")));
        }
        let Some(event) = self.ledger.house().decide(command, self.now)? else { return Ok(()) };
        self.take(Payload::House(event.clone()));
        if let HouseEvent::AgentRemoved { agent, .. } = &event {
            self.let_go(*agent);
        }
        self.later.house.push(event);
        Ok(())
    }

    /// A removed agent's ordinary jobs go to others at once: nothing that it says counts any more. Its strict ones wait for their
    /// leases to run out, for it may still be at work on them.
    fn let_go(&mut self, agent: AgentId) {
        let held: Vec<LeaseRef> =
            self.fleet.watched().filter(|(_, holder)| *holder == agent).map(|(lease, _)| lease).collect();
        let strict =
            |lease: &LeaseRef| self.state.leased(lease).is_some_and(|instance| instance.definition().strict);
        let (_, ordinary): (Vec<_>, Vec<_>) = held.into_iter().partition(strict);
        for lease in ordinary {
            let expire = Expire { lease, cause: FleetCause::AgentLost };
            if let Err(rejection) = self.decide(Command::Expire(expire)) {
                tracing::debug!(%agent, %rejection, "a removed agent's lease ended otherwise");
            }
        }
    }

    /// Publishes what is durable by now.
    pub(super) fn publish(&mut self, event: &HouseEvent) {
        match event {
            HouseEvent::AgentEnrolled(enrolled) => {
                self.tables.credentials.insert(enrolled);
                tracing::info!(agent = %enrolled.agent, name = enrolled.name, "an agent enrolled");
            }
            HouseEvent::AgentRemoved { agent, .. } => {
                self.tables.credentials.remove(*agent);
                self.end_session(*agent);
                // One that still has leases is forgotten when they are over and room is needed.
                self.fleet.remove(*agent);
                tracing::info!(%agent, "an agent was removed");
            }
            HouseEvent::AccessTokenMade(token) => self.tables.access.insert(token.clone()),
            HouseEvent::AccessTokenRevoked { id, .. } => self.tables.access.remove(id),
            _ => {}
        }
    }

    /// Whether an agent may have a session; else the reason.
    pub(super) fn check_welcome(&self, agent: AgentId) -> Result<(), DriverError> {
        match self.ledger.house().is_removed(agent) {
            false => Ok(()),
            true => Err(DriverError::Removed),
        }
    }

    /// Tells an agent to stop what it has, and ends its session.
    fn end_session(&mut self, agent: AgentId) {
        let held: Vec<LeaseRef> =
            self.fleet.watched().filter(|(_, holder)| *holder == agent).map(|(lease, _)| lease).collect();
        let reason = "an admin removed this agent";
        for lease in self.run_leases(&held) {
            let stop = ToAgent::Stop { lease, reason: reason.to_owned() };
            if let Some(cut_off) = self.sessions.tell(agent, self.sessions.number(agent), stop) {
                self.fleet.disconnect(agent, cut_off);
            }
        }
        if let Some(fleet_number) = self.sessions.close(agent) {
            self.fleet.disconnect(agent, fleet_number);
        }
    }
}
