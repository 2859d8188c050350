//! The world of one seed: its clock, what is under way in it, and how it goes on until all runs are finished.

use slipway_scheduler::command::{Entrant, LeaseRef};
use slipway_scheduler::{Command, Rejection, RunId, Timestamp, Uptime, explain_wait};

use super::agent::Agent;
use super::coordinator::Coordinator;
use super::message::{ToAgent, ToCoordinator};
use crate::agenda::Agenda;
use crate::broken::Broken;
use crate::fault::Fault;
use crate::oracle::Oracle;
use crate::random::Random;
use crate::report::Counts;
use crate::script::Script;
use crate::trace::{Keep, Trace};
use crate::troubles::Troubles;
use crate::workload::Workload;
use crate::{Failure, Summary};

/// How long a healed world may take to finish every run. The longest that anything legitimately takes is a hung job's time
/// limit and margin, for each of a chain of six jobs and each of their instances in turn.
const HEALED_MS_MAX: u64 = 24 * 3_600_000;
/// After which part of its events a world is healed. What is under way then makes as many again; a world that still comes to
/// too few turns hostile once more.
const HOSTILE_PERCENT: u64 = 60;
/// How long a world stays hostile, however little happens in it: a small one has few events.
const HOSTILE_MS_MAX: u64 = 2 * 3_600_000;
/// Wall-clock time at which a world begins.
const EPOCH_MS: u64 = 1_700_000_000_000;

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Action {
    Up(usize, ToCoordinator),
    Down(usize, ToAgent),
    AgentTick(usize),
    AgentReturns(usize),
    Reconnect(usize),
    JobEnds(usize, LeaseRef),
    StrictStop(usize, LeaseRef),
    /// The planner of this leader's answer.
    Planned(u64, Box<Command>),
    /// Somebody lets a run that is held into its group.
    Release(RunId),
    Wake,
    TakeOver,
    Chaos,
    Submit,
}

pub(crate) struct World {
    pub(crate) script: Script,
    pub(crate) random: Random,
    pub(crate) troubles: Troubles,
    pub(crate) healed: bool,
    /// It was healed too early, and is hostile until it has all its events.
    second_wind: bool,
    pub(crate) now: Uptime,
    /// How far the wall clock is from where it began.
    pub(crate) offset_ms: u64,
    pub(crate) agents: Vec<Agent>,
    pub(crate) coordinator: Coordinator,
    pub(crate) oracle: Oracle,
    pub(crate) workload: Workload,
    pub(crate) trace: Trace,
    pub(crate) counts: Counts,
    pub(crate) deliveries: u64,
    agenda: Agenda<Action>,
}

/// Runs a world to its end.
///
/// # Errors
/// [`Failure`] with the first thing that broke.
pub(crate) fn run(script: &Script, keep: Keep) -> Result<Summary, Box<Failure>> {
    let mut world = World::new(script, keep);
    let ended = world.run();
    world.counts.faults = world.troubles.counts();
    match ended {
        Ok(()) => Ok(Summary { seed: script.seed, counts: world.counts, trace: world.trace.hash() }),
        Err(broken) => Err(Box::new(Failure {
            script: script.clone(),
            events: world.counts.events_total(),
            broken,
            came: world.troubles.came(),
            lines: world.trace.into_lines(),
        })),
    }
}

impl World {
    fn new(script: &Script, keep: Keep) -> Self {
        Self {
            troubles: Troubles::new(script, keep != Keep::Nothing),
            random: Random::new(script.seed),
            healed: false,
            second_wind: false,
            now: Uptime(0),
            offset_ms: 10_000_000,
            agents: Agent::fleet(script.agents),
            coordinator: Coordinator::default(),
            oracle: Oracle::default(),
            workload: Workload::new(script.jobs),
            trace: Trace::new(keep),
            counts: Counts::default(),
            deliveries: 0,
            agenda: Agenda::default(),
            script: script.clone(),
        }
    }

    /// What the wall clock shows.
    pub(crate) fn wall(&self) -> Timestamp {
        Timestamp(EPOCH_MS + self.now.0 + self.offset_ms)
    }

    /// An opportunity for trouble; if it comes, random numbers for its details.
    pub(crate) fn strike(&mut self, fault: Fault) -> Option<Random> {
        let random = self.troubles.strike(fault)?;
        self.trace.note(self.now, || format!("trouble: {}", fault.name()));
        Some(random)
    }

    pub(crate) fn schedule(&mut self, delay_ms: u64, action: Action) {
        self.agenda.put(self.now.after(delay_ms), action);
    }

    pub(crate) fn send_up(&mut self, at: usize, message: ToCoordinator) {
        if self.strike(Fault::MessageLost).is_some() {
            return;
        }
        if self.strike(Fault::MessageRepeated).is_some() {
            let delay_ms = self.delay_ms();
            self.schedule(delay_ms, Action::Up(at, message.clone()));
        }
        let delay_ms = self.delay_ms();
        self.schedule(delay_ms, Action::Up(at, message));
    }

    pub(crate) fn send_down(&mut self, at: usize, message: ToAgent) {
        if !self.coordinator.up || self.strike(Fault::MessageLost).is_some() {
            return;
        }
        if self.strike(Fault::MessageRepeated).is_some() {
            let delay_ms = self.delay_ms();
            self.schedule(delay_ms, Action::Down(at, message.clone()));
        }
        let delay_ms = self.delay_ms();
        self.schedule(delay_ms, Action::Down(at, message));
    }

    fn delay_ms(&mut self) -> u64 {
        match self.strike(Fault::MessageDelayed) {
            Some(mut random) => random.between(100, 60_000),
            None => self.random.between(1, 20),
        }
    }

    fn run(&mut self) -> Result<(), Broken> {
        self.grant_without_leader()?;
        self.take_over()?;
        for at in 0..self.agents.len() {
            let delay_ms = self.random.below(1_000);
            self.schedule(delay_ms, Action::AgentTick(at));
        }
        self.schedule(0, Action::Submit);
        self.schedule(500, Action::Chaos);
        let mut healed_at = Uptime(u64::MAX);
        while let Some((at, action)) = self.agenda.next() {
            self.now = at;
            self.act(action)?;
            let late = self.now.0 > HOSTILE_MS_MAX;
            let (total, wanted) = (self.counts.events_total(), self.script.events);
            if !self.healed
                && (late || total >= wanted * HOSTILE_PERCENT / 100 && !self.second_wind || total >= wanted)
            {
                self.heal();
                healed_at = self.now;
            }
            if self.healed && self.is_done() {
                if late || total >= wanted {
                    return self.check_end();
                }
                self.turn_hostile();
                healed_at = Uptime(u64::MAX);
            }
            if self.now.since(healed_at) > HEALED_MS_MAX {
                return Err(self.unfinished());
            }
        }
        Err(self.unfinished())
    }

    fn turn_hostile(&mut self) {
        (self.healed, self.second_wind) = (false, true);
        self.troubles.unheal();
        self.schedule(0, Action::Submit);
        self.schedule(500, Action::Chaos);
    }

    fn act(&mut self, action: Action) -> Result<(), Broken> {
        self.trace.note(self.now, || format!("{action:?}"));
        match action {
            Action::Up(at, message) => self.coordinator_hears(at, message)?,
            Action::Down(at, message) => self.agent_hears(at, message)?,
            Action::AgentTick(at) => {
                self.give_up_ordinary(at);
                self.agent_tick(at);
            }
            Action::AgentReturns(at) => self.agents[at].up = true,
            Action::Reconnect(at) => self.agents[at].cut = false,
            Action::JobEnds(at, lease) => self.job_ends(at, &lease),
            Action::StrictStop(at, lease) => self.strict_stop(at, &lease),
            Action::Planned(epoch, plan) => self.planned(epoch, *plan)?,
            Action::Release(run) => self.release(run)?,
            Action::Wake => self.wake()?,
            Action::TakeOver => {
                if !self.coordinator.up {
                    self.take_over()?;
                }
            }
            Action::Chaos => self.chaos()?,
            Action::Submit => {
                if !self.healed {
                    let next_ms = self.random.between(100, 20_000);
                    self.schedule(next_ms, Action::Submit);
                    self.submit(None)?;
                }
            }
        }
        Ok(())
    }

    /// Submits a new run, or delivers again what was delivered before.
    pub(crate) fn submit(&mut self, again: Option<u64>) -> Result<(), Broken> {
        if !self.coordinator.up {
            return Ok(());
        }
        let delivery = again.unwrap_or(self.deliveries);
        if delivery >= self.script.runs {
            return Ok(());
        }
        // Another run of the same delivery, as whoever reads a delivery twice would make it.
        let mut random = Random::about(self.script.seed, &[1, delivery, u64::from(again.is_some())]);
        let submit = self.workload.submit(&mut random, Some(delivery.to_string()));
        let (run, held) = (submit.run, submit.held && submit.concurrency.is_some());
        let answer = self.execute(Command::Submit(Box::new(submit)))?;
        if held && answer.is_ok() {
            let after_ms = self.random.between(0, 30_000);
            self.schedule(after_ms, Action::Release(run));
        }
        match (again, answer) {
            (None, Ok(_)) => self.deliveries += 1,
            (Some(_), Err(Rejection::Duplicate { .. })) => {}
            _ => return Err(Broken::Leftover),
        }
        self.settle()
    }

    /// Lets a run that is held into its group. Somebody is there to say so as often as it takes.
    fn release(&mut self, run: RunId) -> Result<(), Broken> {
        if !self.coordinator.up {
            self.schedule(1_000, Action::Release(run));
            return Ok(());
        }
        // It may have left the state meanwhile.
        let _refused = self.execute(Command::EnterGroup(Entrant::Run(run)))?;
        self.settle()
    }

    fn planned(&mut self, epoch: u64, answer: Command) -> Result<(), Broken> {
        // A planner dies with its leader.
        if !self.coordinator.up || self.coordinator.state.epoch() != epoch {
            return Ok(());
        }
        // A second answer, or one from before a cancel, is refused; that is part of what is tried here.
        let _refused = self.execute(answer)?;
        self.settle()
    }

    fn is_done(&self) -> bool {
        self.coordinator.up && self.coordinator.state.runs().all(|run| run.end().is_some())
    }

    fn check_end(&mut self) -> Result<(), Broken> {
        self.check_whole()?;
        let state = &self.coordinator.state;
        if state.waiting_len() > 0
            || state.leased_len() > 0
            || self.coordinator.fleet.watched().next().is_some()
        {
            return Err(Broken::Leftover);
        }
        // One more leader: the journal alone tells the same story.
        self.take_over()
    }

    fn unfinished(&self) -> Broken {
        let (state, fleet) = (&self.coordinator.state, &self.coordinator.fleet);
        let open = state.runs().find(|run| run.end().is_none());
        let Some(run) = open else { return Broken::Leftover };
        let instances = run.jobs().iter().flat_map(|job| job.instances());
        let reason = instances.filter_map(|id| explain_wait(state, fleet, *id, self.wall())).next();
        Broken::NeverFinished(run.id(), reason)
    }
}
