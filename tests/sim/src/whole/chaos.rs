//! What befalls the control plane.

use slipway_coordinator::audit::Origin;
use slipway_scheduler::Uptime;

use super::disk::locked;
use super::link::Down;
use super::site::Role;
use super::world::{Action, World};
use crate::broken::Broken;
use crate::fault::Fault;

impl World {
    /// A moment at which things may go wrong.
    pub(crate) fn chaos(&mut self) -> Result<(), Broken> {
        if self.healed {
            return Ok(());
        }
        let next_ms = self.random.between(100, 1_000);
        self.schedule(next_ms, Action::Chaos);
        self.agents_trouble();
        self.coordinators_trouble()?;
        self.journals_trouble()?;
        if let Some(random) = self.strike(Fault::Cancel) {
            self.cancel_some_run(random)?;
        }
        if let Some(random) = self.strike(Fault::Review) {
            self.review(random)?;
        }
        if self.strike(Fault::Drain).is_some()
            && let Some(site) = self.leading()
        {
            let agent = self.agents[self.random.below(self.agents.len() as u64) as usize].profile.id;
            let on = self.random.chance(500);
            if let Role::Leading(driver) = &mut self.sites[site].role {
                drop(driver.drain(agent, on, Origin::default()));
            }
            self.turn(site)?;
        }
        if !self.answers.is_empty()
            && let Some(mut random) = self.strike(Fault::DeliveryRepeated)
        {
            let delivery = random.below(self.answers.len() as u64);
            self.schedule(random.between(1, 1_000), Action::Ask(delivery, random.below(1_000) + 1_000));
        }
        self.keep_house()
    }

    fn agents_trouble(&mut self) {
        let now = self.now;
        let at = self.random.below(self.agents.len() as u64) as usize;
        for fault in [Fault::AgentCrash, Fault::HostLost] {
            if self.agents[at].up
                && let Some(mut random) = self.strike(fault)
            {
                if let Some(link) = self.agents[at].die() {
                    self.cut_link(link);
                }
                if fault == Fault::HostLost {
                    let leases: Vec<_> = self.agents[at].jobs.values().map(|job| job.lease).collect();
                    leases.into_iter().for_each(|lease| self.stop_job(at, lease));
                }
                self.schedule(random.between(100, 90_000), Action::AgentReturns(at));
            }
        }
        if let Some(mut random) = self.strike(Fault::AgentPaused) {
            self.agents[at].paused_until = now.after(random.between(1_000, 90_000));
        }
        for (fault, up, down) in
            [(Fault::Partition, true, true), (Fault::CutUp, true, false), (Fault::CutDown, false, true)]
        {
            let Some(mut random) = self.strike(fault) else { continue };
            let until = now.after(if random.chance(100) { 700_000 } else { random.between(500, 60_000) });
            if up {
                self.agents[at].cut_up_until = until;
            }
            if down {
                self.agents[at].cut_down_until = until;
            }
        }
        if let Some(mut random) = self.strike(Fault::ConnectionLost)
            && let Some(id) = self.agents[at].welcomed()
            && let Some(link) = self.links.get_mut(&id)
        {
            // In one direction it may take long until somebody notices.
            link.up_broken = random.chance(700);
            link.down_broken = !link.up_broken || random.chance(500);
        }
        if let Some(mut random) = self.strike(Fault::ClockJump) {
            let skew_ms = random.below(20_000_000) as i64 - 10_000_000;
            match random.chance(500) {
                true => self.agents[at].clock.jump(skew_ms),
                false => self.sites[at % 3].clock.jump(skew_ms),
            }
        }
    }

    fn cut_link(&mut self, id: u64) {
        if let Some(link) = self.links.get_mut(&id) {
            link.down_broken = true;
        }
        self.send_up(id, super::link::Up::Closed);
    }

    fn coordinators_trouble(&mut self) -> Result<(), Broken> {
        let Some(leader) = self.leading() else { return Ok(()) };
        if let Some(mut random) = self.strike(Fault::LeaderPaused) {
            let length_ms = random.between(1_000, 90_000);
            self.sites[leader].paused_until = self.now.after(length_ms);
            return Ok(());
        }
        if self.strike(Fault::Usurped).is_some() {
            for site in &mut self.sites {
                site.usurps = true;
            }
        }
        if self.strike(Fault::PlannedRestart).is_some() {
            if let Role::Leading(driver) = &mut self.sites[leader].role {
                driver.stop();
            }
            return self.turn(leader);
        }
        if let Some(mut random) = self.strike(Fault::MixedVersions) {
            let at = random.below(self.sites.len() as u64) as usize;
            if !self.sites[at].newer {
                self.sites[at].newer = true;
                self.kill(at, random.between(100, 20_000))?;
            }
        }
        match self.strike(Fault::CoordinatorCrash) {
            Some(mut random) => {
                let at = if random.chance(700) { leader } else { random.below(3) as usize };
                self.kill(at, random.between(100, 90_000))
            }
            None => Ok(()),
        }
    }

    /// A coordinator's process dies at once.
    fn kill(&mut self, at: usize, until_ms: u64) -> Result<(), Broken> {
        if matches!(self.sites[at].role, Role::Down) {
            return Ok(());
        }
        self.ends(at)?;
        self.schedule(until_ms, Action::Start(at));
        Ok(())
    }

    fn journals_trouble(&mut self) -> Result<(), Broken> {
        // Whoever leads next has to know what is lost: with nobody who saw it, nobody can tell (docs/POSTGRESQL.md).
        let Some(leader) = self.leading() else { return Ok(()) };
        if locked(&self.disk).aside.is_some() {
            return Ok(());
        }
        if self.strike(Fault::StandbyPromoted).is_some() {
            let mut disk = locked(&self.disk);
            disk.held = false;
            disk.compare();
        }
        if let Some(mut random) = self.strike(Fault::StandbyBehind) {
            self.all_note()?;
            let mut disk = locked(&self.disk);
            let lost = random.between(1, 20).min(disk.records.len() as u64) as usize;
            let good = disk.records.clone();
            let left = good.len() - lost;
            disk.records.truncate(left);
            disk.snapshots.retain(|snapshot| snapshot.position <= left as u64);
            disk.aside = Some(good);
            drop(disk);
            // The leader notices with the next thing that it journals.
            let agent = self.agents[0].profile.id;
            if let Role::Leading(driver) = &mut self.sites[leader].role {
                drop(driver.drain(agent, false, Origin::default()));
            }
            self.turn(leader)?;
        } else if let Some(mut random) = self.strike(Fault::BitRot) {
            let mut disk = locked(&self.disk);
            let good = disk.records.clone();
            let at = random.below(good.len() as u64) as usize;
            let payload = &mut disk.records[at].payload;
            let byte = random.below(payload.len() as u64) as usize;
            payload[byte] ^= 1 << random.below(8);
            disk.snapshots.clear();
            disk.aside = Some(good);
            drop(disk);
            // It shows when somebody reads it.
            self.kill(leader, random.between(100, 5_000))?;
            for at in 0..self.sites.len() {
                self.kill(at, random.between(100, 5_000))?;
            }
        }
        Ok(())
    }

    /// From now on nothing goes wrong any more.
    pub(crate) fn heal(&mut self) {
        self.healed = true;
        self.troubles.heal();
        for at in 0..self.agents.len() {
            let agent = &mut self.agents[at];
            (agent.paused_until, agent.cut_up_until, agent.cut_down_until) =
                (Uptime(0), Uptime(0), Uptime(0));
            if !agent.up {
                agent.come_back();
            }
        }
        for at in 0..self.sites.len() {
            self.sites[at].paused_until = Uptime(0);
            self.schedule(0, Action::Start(at));
        }
        // Whatever is broken is noticed by its other end.
        let broken = self.links.iter().filter(|(_, link)| link.up_broken || link.down_broken);
        let broken: Vec<u64> = broken.map(|(id, _)| *id).collect();
        for id in broken {
            if let Some(link) = self.links.get_mut(&id) {
                link.down_broken = false;
            }
            self.send_down(id, Down::Closed);
        }
        self.schedule(0, Action::Undrain);
    }

    /// Agents that were drained take jobs again.
    pub(crate) fn undrain(&mut self) -> Result<(), Broken> {
        // A person looks whether it helped: one that does not know yet that another leads takes no orders for good.
        let epoch = locked(&self.disk).epoch;
        let leads = |site: &usize| match &self.sites[*site].role {
            Role::Leading(driver) => driver.view().state.epoch() == epoch,
            _ => false,
        };
        let Some(site) = (0..self.sites.len()).find(leads) else {
            self.schedule(1_000, Action::Undrain);
            return Ok(());
        };
        let ids: Vec<_> = self.agents.iter().map(|agent| agent.profile.id).collect();
        if let Role::Leading(driver) = &mut self.sites[site].role {
            ids.into_iter().for_each(|id| drop(driver.drain(id, false, Origin::default())));
        }
        self.turn(site)
    }
}
