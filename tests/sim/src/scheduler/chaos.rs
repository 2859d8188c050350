//! What befalls the world.

use slipway_scheduler::Command;
use slipway_scheduler::command::{Cancel, DecideGates};

use super::world::{Action, World};
use crate::broken::Broken;
use crate::fault::Fault;
use crate::random::Random;
use crate::workload::{ENVIRONMENTS, PEOPLE};

impl World {
    /// A moment at which things may go wrong.
    pub(crate) fn chaos(&mut self) -> Result<(), Broken> {
        if self.healed {
            return Ok(());
        }
        let next_ms = self.random.between(100, 1_000);
        self.schedule(next_ms, Action::Chaos);
        let at = self.random.below(self.agents.len() as u64) as usize;
        if let Some(random) = self.strike(Fault::AgentCrash) {
            self.crash_agent(at, false, random);
        }
        if let Some(random) = self.strike(Fault::HostLost) {
            self.crash_agent(at, true, random);
        }
        if !self.agents[at].cut
            && let Some(mut random) = self.strike(Fault::Partition)
        {
            self.agents[at].cut = true;
            let until_ms = if random.chance(100) { 700_000 } else { random.between(500, 60_000) };
            self.schedule(until_ms, Action::Reconnect(at));
        }
        if self.strike(Fault::Drain).is_some() {
            let id = self.agents[at].profile.id;
            self.coordinator.fleet.set_draining(id, true);
        }
        if self.coordinator.up
            && let Some(random) = self.strike(Fault::CoordinatorCrash)
        {
            self.crash_coordinator(random);
        }
        if let Some(mut random) = self.strike(Fault::ClockJump) {
            self.offset_ms = random.below(20_000_000);
        }
        if let Some(random) = self.strike(Fault::Cancel) {
            self.cancel_some_run(random)?;
        }
        if let Some(random) = self.strike(Fault::Review) {
            self.review(random)?;
        }
        if self.deliveries > 0
            && let Some(mut random) = self.strike(Fault::DeliveryRepeated)
        {
            let delivery = random.below(self.deliveries);
            self.submit(Some(delivery))?;
        }
        if self.coordinator.up
            && let Some(random) = self.strike(Fault::Nonsense)
        {
            self.nonsense(random)?;
        }
        if self.random.chance(3) && self.coordinator.up {
            self.snapshot();
        }
        Ok(())
    }

    /// The coordinator dies; another takes over at once or later.
    pub(crate) fn crash_coordinator(&mut self, mut random: Random) {
        self.coordinator.up = false;
        let until_ms = if random.chance(500) { 0 } else { random.between(100, 90_000) };
        self.schedule(until_ms, Action::TakeOver);
    }

    fn crash_agent(&mut self, at: usize, host: bool, mut random: Random) {
        if !self.agents[at].up {
            return;
        }
        self.agents[at].go_down();
        if host {
            self.lose_host(at);
        }
        let until_ms = random.between(100, 90_000);
        self.schedule(until_ms, Action::AgentReturns(at));
    }

    fn cancel_some_run(&mut self, mut random: Random) -> Result<(), Broken> {
        let open: Vec<_> =
            self.coordinator.state.runs().filter(|run| run.end().is_none()).map(|run| run.id()).collect();
        if !self.coordinator.up || open.is_empty() {
            return Ok(());
        }
        let run = open[random.below(open.len() as u64) as usize];
        let cancel = Cancel { run, actor: String::new(), reason: String::new() };
        let _refused = self.execute(Command::Cancel(cancel))?;
        self.settle()
    }

    /// Somebody decides about an environment: mostly one that something waits for, and mostly somebody who may.
    fn review(&mut self, mut random: Random) -> Result<(), Broken> {
        let state = &self.coordinator.state;
        let waiting: Vec<_> = state
            .runs()
            .flat_map(|run| state.awaiting_review(run.id()).map(move |(_, gate)| (run.id(), gate)))
            .collect();
        let runs: Vec<_> = state.runs().map(|run| run.id()).collect();
        if !self.coordinator.up || runs.is_empty() {
            return Ok(());
        }
        let (run, environment) = match waiting.get(random.below(waiting.len().max(1) as u64) as usize) {
            Some((run, gate)) if random.chance(700) => (*run, gate.environment.clone()),
            _ => {
                let run = runs[random.below(runs.len() as u64) as usize];
                (run, ENVIRONMENTS[random.below(ENVIRONMENTS.len() as u64) as usize].to_owned())
            }
        };
        let actor = PEOPLE[random.below(PEOPLE.len() as u64) as usize].to_owned();
        let (approve, comment) = (random.chance(700), String::new());
        let _refused =
            self.execute(Command::DecideGates(DecideGates { run, environment, approve, actor, comment }))?;
        self.settle()
    }

    /// From now on nothing goes wrong any more.
    pub(crate) fn heal(&mut self) {
        self.healed = true;
        self.troubles.heal();
        for at in 0..self.agents.len() {
            self.agents[at].up = true;
            self.agents[at].cut = false;
            let id = self.agents[at].profile.id;
            self.coordinator.fleet.set_draining(id, false);
        }
        if !self.coordinator.up {
            self.schedule(0, Action::TakeOver);
        }
    }
}
