//! What befalls the world.

use slipway_scheduler::Command;
use slipway_scheduler::command::Cancel;

use crate::config::Fault;
use crate::oracle::Broken;
use crate::world::{Action, World};

impl World {
    /// A moment at which things may go wrong.
    pub(crate) fn chaos(&mut self) -> Result<(), Broken> {
        if self.healed {
            return Ok(());
        }
        let next_ms = self.random.between(100, 1_000);
        self.schedule(next_ms, Action::Chaos);
        let [crash, host, cut, drain, coordinator, clock, cancel, repeat] = self.odds.chaos;
        let at = self.random.below(self.agents.len() as u64) as usize;
        if self.random.chance(crash) {
            self.crash_agent(at, false);
        }
        if self.random.chance(host) {
            self.crash_agent(at, true);
        }
        if self.random.chance(cut) && !self.agents[at].cut {
            self.count(Fault::Partition);
            self.agents[at].cut = true;
            let until_ms = if self.random.chance(100) { 700_000 } else { self.random.between(500, 60_000) };
            self.schedule(until_ms, Action::Reconnect(at));
        }
        if self.random.chance(drain) {
            self.count(Fault::Drain);
            let id = self.agents[at].profile.id;
            self.coordinator.fleet.set_draining(id, true);
        }
        if self.random.chance(coordinator) && self.coordinator.up {
            self.crash_coordinator();
        }
        if self.random.chance(clock) {
            self.count(Fault::ClockJump);
            self.offset_ms = self.random.below(20_000_000);
        }
        if self.random.chance(cancel) {
            self.cancel_some_run()?;
        }
        if self.random.chance(repeat) && self.deliveries > 0 {
            self.count(Fault::DeliveryRepeated);
            let delivery = self.random.below(self.deliveries);
            self.submit(Some(delivery))?;
        }
        if self.random.chance(3) && self.coordinator.up {
            self.snapshot();
        }
        Ok(())
    }

    /// The coordinator dies; another takes over at once or later.
    pub(crate) fn crash_coordinator(&mut self) {
        self.count(Fault::CoordinatorCrash);
        self.coordinator.up = false;
        let until_ms = if self.random.chance(500) { 0 } else { self.random.between(100, 90_000) };
        self.schedule(until_ms, Action::TakeOver);
    }

    fn crash_agent(&mut self, at: usize, host: bool) {
        if !self.agents[at].up {
            return;
        }
        self.count(if host { Fault::HostLost } else { Fault::AgentCrash });
        self.agents[at].go_down();
        if host {
            self.lose_host(at);
        }
        let until_ms = self.random.between(100, 90_000);
        self.schedule(until_ms, Action::AgentReturns(at));
    }

    fn cancel_some_run(&mut self) -> Result<(), Broken> {
        let open: Vec<_> =
            self.coordinator.state.runs().filter(|run| run.end().is_none()).map(|run| run.id()).collect();
        if !self.coordinator.up || open.is_empty() {
            return Ok(());
        }
        self.count(Fault::Cancel);
        let run = open[self.random.below(open.len() as u64) as usize];
        let cancel = Cancel { run, actor: String::new(), reason: String::new() };
        let _refused = self.execute(Command::Cancel(cancel))?;
        self.settle()
    }

    /// From now on nothing goes wrong any more.
    pub(crate) fn heal(&mut self) {
        self.healed = true;
        self.odds = crate::config::Odds::default();
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
