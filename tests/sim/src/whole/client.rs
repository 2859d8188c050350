//! Whoever submits runs, until an answer comes, and whoever steers them.

use slipway_coordinator::audit::Origin;
use slipway_coordinator::driver::holds::Stranger;
use slipway_coordinator::driver::stepped::Answered;
use slipway_scheduler::command::{Cancel, DecideGates, ExtendLease};
use slipway_scheduler::limits::LEASE_MS;
use slipway_scheduler::state::Run;
use slipway_scheduler::{Command, RunId};

use super::disk::locked;
use super::site::Role;
use super::world::{Action, World};
use crate::broken::Broken;
use crate::fault::Fault;
use crate::random::Random;
use crate::workload::PEOPLE;

/// How long a client waits for an answer before it asks again.
const PATIENCE_MS: u64 = 5_000;
/// Finished runs that stay in the state.
const KEEP_RUNS: usize = 2;

impl World {
    /// A new delivery, from time to time.
    pub(crate) fn deliver(&mut self) {
        if self.healed {
            return;
        }
        let next_ms = self.random.between(100, 20_000);
        self.schedule(next_ms, Action::Deliver);
        let delivery = self.answers.len() as u64;
        if delivery < self.script.runs {
            self.answers.push(None);
            self.ask(delivery, 0);
        }
    }

    /// A client asks some coordinator, and looks later whether there was an answer.
    pub(crate) fn ask(&mut self, delivery: u64, attempt: u64) {
        self.schedule(PATIENCE_MS, Action::AskAgain(delivery, attempt + 1));
        if self.strike(Fault::RequestLost).is_some() {
            return;
        }
        if let Some(mut random) = self.strike(Fault::RequestRepeated) {
            self.schedule(random.between(10, 60_000), Action::Ask(delivery, attempt));
        }
        let transit_ms = self.random.between(1, 20);
        self.schedule(transit_ms, Action::Ask(delivery, attempt));
    }

    pub(crate) fn ask_again(&mut self, delivery: u64, attempt: u64) {
        if self.answers[delivery as usize].is_none() {
            self.ask(delivery, attempt);
        }
    }

    pub(crate) fn asked(&mut self, delivery: u64, attempt: u64) -> Result<(), Broken> {
        let Some(site) = self.leading() else { return Ok(()) };
        // Each attempt makes a run of its own; only the delivery's name says that it is the same.
        let mut random = Random::about(self.script.seed, &[1, delivery, attempt]);
        let mut submit = self.workload.submit(&mut random, Some(delivery.to_string()));
        // Of one without a group nobody could tell here that it is held.
        submit.held &= submit.concurrency.is_some();
        let stranger = submit.held.then(Stranger::default);
        if let Role::Leading(driver) = &mut self.sites[site].role {
            let answer = driver.submit_held(submit, stranger, Origin::default());
            self.sites[site].submitted.push((delivery, answer));
        }
        self.turn(site)
    }

    /// What clients were told after a batch; `failed`: nothing may have been.
    pub(crate) fn hear_answers(&mut self, site: usize, failed: bool) -> Result<(), Broken> {
        let waiting: Vec<(u64, Answered<RunId>)> = std::mem::take(&mut self.sites[site].submitted);
        for (delivery, mut answer) in waiting {
            let Ok(answer) = answer.try_recv() else { continue };
            if failed {
                return Err(Broken::SeenBeforeDurable("an answer"));
            }
            let run = answer.map_err(|error| Broken::Stopped(error.to_string()))?;
            if !self.accepted.contains_key(&run) {
                return Err(Broken::SeenBeforeDurable("a run"));
            }
            if self.strike(Fault::AnswerLost).is_some() {
                continue;
            }
            match &mut self.answers[delivery as usize] {
                Some(before) if *before != run => return Err(Broken::RunLost(*before)),
                told => *told = Some(run),
            }
        }
        Ok(())
    }

    pub(crate) fn cancel_some_run(&mut self, mut random: Random) -> Result<(), Broken> {
        let open: Vec<RunId> = {
            let disk = locked(&self.disk);
            disk.truth.state.runs().filter(|run| run.end().is_none()).map(|run| run.id()).collect()
        };
        let Some(site) = self.leading().filter(|_| !open.is_empty()) else { return Ok(()) };
        let run = open[random.below(open.len() as u64) as usize];
        if let Role::Leading(driver) = &mut self.sites[site].role {
            let cancel = Cancel { run, actor: String::new(), reason: String::new() };
            drop(driver.cancel(cancel, Origin::default()));
        }
        self.turn(site)
    }

    /// Somebody decides about a run that is held, as often as it takes.
    pub(crate) fn let_in(&mut self, run: RunId) -> Result<(), Broken> {
        let held = locked(&self.disk).truth.state.run(run).is_some_and(Run::is_held);
        if !held {
            return Ok(());
        }
        self.schedule(PATIENCE_MS, Action::LetIn(run));
        let Some(site) = self.leading() else { return Ok(()) };
        let approve = self.random.chance(800);
        if let Role::Leading(driver) = &mut self.sites[site].role {
            let (actor, environment, comment) = (PEOPLE[0].to_owned(), String::new(), String::new());
            let decision = DecideGates { run, environment, approve, actor, comment };
            drop(driver.decide_gates(decision, Origin::default()));
        }
        self.turn(site)
    }

    /// Somebody decides about an environment that something waits for.
    pub(crate) fn review(&mut self, mut random: Random) -> Result<(), Broken> {
        let waiting: Vec<(RunId, String)> = {
            let disk = locked(&self.disk);
            let state = &disk.truth.state;
            let gates = |run: RunId| state.awaiting_review(run).map(move |(_, gate)| (run, gate));
            let waiting = state.runs().flat_map(|run| gates(run.id()));
            waiting.map(|(run, gate)| (run, gate.environment.clone())).collect()
        };
        let Some(site) = self.leading().filter(|_| !waiting.is_empty()) else { return Ok(()) };
        let (run, environment) = waiting[random.below(waiting.len() as u64) as usize].clone();
        let actor = PEOPLE[random.below(PEOPLE.len() as u64) as usize].to_owned();
        let (approve, comment) = (random.chance(700), String::new());
        if let Role::Leading(driver) = &mut self.sites[site].role {
            let decision = DecideGates { run, environment, approve, actor, comment };
            drop(driver.decide_gates(decision, Origin::default()));
        }
        self.turn(site)
    }

    /// Old runs leave, and a lease becomes longer.
    pub(crate) fn keep_house(&mut self) -> Result<(), Broken> {
        let Some(site) = self.leading() else { return Ok(()) };
        let (old, lease) = {
            let disk = locked(&self.disk);
            let state = &disk.truth.state;
            (state.retirable(KEEP_RUNS).collect::<Vec<_>>(), state.leases().next())
        };
        let extends = self.random.chance(50);
        let Role::Leading(driver) = &mut self.sites[site].role else { return Ok(()) };
        for run in old {
            drop(driver.command(Command::RetireRun { run }));
        }
        if let Some((lease, _)) = lease.filter(|_| extends) {
            drop(driver.command(Command::ExtendLease(ExtendLease { lease, lease_ms: 2 * LEASE_MS })));
        }
        self.turn(site)
    }
}
