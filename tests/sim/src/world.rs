//! The world of one seed: its clock, what is under way in it, and how it goes on until all runs are finished.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use slipway_scheduler::command::LeaseRef;
use slipway_scheduler::{Command, Rejection, Timestamp, Uptime, explain_wait, invariant};

use crate::agent::Agent;
use crate::config::{Config, Fault, Odds};
use crate::coordinator::Coordinator;
use crate::message::{ToAgent, ToCoordinator};
use crate::oracle::{Broken, Oracle};
use crate::random::Random;
use crate::report::EventCounts;
use crate::trace::Trace;
use crate::workload::Workload;

/// How long a healed world may take to finish every run. The longest that anything legitimately takes is a hung job's time
/// limit and margin, for each of a chain of six jobs and each of their instances in turn.
const HEALED_MS_MAX: u64 = 24 * 3_600_000;
/// Wall-clock time at which a world begins.
const EPOCH_MS: u64 = 1_700_000_000_000;

/// What a seed came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// The seed.
    pub seed: u64,
    /// Events that the scheduler decided, by kind.
    pub events: EventCounts,
    /// How often each kind of trouble came.
    pub faults: [u64; Fault::COUNT],
    /// Hash of the whole trace.
    pub trace: u64,
}

/// A seed that broke something.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// After how many events.
    pub events: u64,
    /// What.
    pub broken: Broken,
    /// The end of the trace, where it was kept.
    pub tail: Vec<String>,
}

/// Something that will happen.
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
    Wake,
    TakeOver,
    Chaos,
    Submit,
}

struct Scheduled {
    at: Uptime,
    order: u64,
    action: Action,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    // The heap gives the greatest first; the soonest is to be it.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) random: Random,
    pub(crate) odds: Odds,
    pub(crate) healed: bool,
    pub(crate) now: Uptime,
    /// How far the wall clock is from where it began.
    pub(crate) offset_ms: u64,
    pub(crate) agents: Vec<Agent>,
    pub(crate) coordinator: Coordinator,
    pub(crate) oracle: Oracle,
    pub(crate) workload: Workload,
    pub(crate) trace: Trace,
    pub(crate) events: EventCounts,
    pub(crate) deliveries: u64,
    faults: [u64; Fault::COUNT],
    agenda: BinaryHeap<Scheduled>,
    order: u64,
}

/// Runs the world of this seed to its end.
///
/// # Errors
/// [`Failure`] with the first thing that broke; with `keep_trace` it shows what came before.
pub fn run_seed(seed: u64, config: Config, keep_trace: bool) -> Result<Summary, Box<Failure>> {
    let mut world = World::new(seed, config, keep_trace);
    match world.run() {
        Ok(()) => Ok(Summary { seed, events: world.events, faults: world.faults, trace: world.trace.hash() }),
        Err(broken) => Err(Box::new(Failure {
            seed,
            events: world.events.total(),
            broken,
            tail: world.trace.into_tail(),
        })),
    }
}

impl World {
    fn new(seed: u64, config: Config, keep_trace: bool) -> Self {
        let mut random = Random::new(seed);
        Self {
            config,
            odds: Odds::draw(&mut random),
            random,
            healed: false,
            now: Uptime(0),
            offset_ms: 10_000_000,
            agents: Agent::fleet(),
            coordinator: Coordinator::default(),
            oracle: Oracle::default(),
            workload: Workload::new(),
            trace: Trace::new(keep_trace),
            events: EventCounts::default(),
            deliveries: 0,
            faults: [0; Fault::COUNT],
            agenda: BinaryHeap::with_capacity(256),
            order: 0,
        }
    }

    /// What the wall clock shows.
    pub(crate) fn wall(&self) -> Timestamp {
        Timestamp(EPOCH_MS + self.now.0 + self.offset_ms)
    }

    pub(crate) fn count(&mut self, fault: Fault) {
        self.faults[fault as usize] += 1;
        self.trace.note(self.now, || format!("{fault:?}"));
    }

    pub(crate) fn schedule(&mut self, delay_ms: u64, action: Action) {
        self.order += 1;
        self.agenda.push(Scheduled { at: self.now.after(delay_ms), order: self.order, action });
    }

    pub(crate) fn send_up(&mut self, at: usize, message: ToCoordinator) {
        if self.is_lost() {
            return;
        }
        if self.is_repeated() {
            let delay_ms = self.delay_ms();
            self.schedule(delay_ms, Action::Up(at, message.clone()));
        }
        let delay_ms = self.delay_ms();
        self.schedule(delay_ms, Action::Up(at, message));
    }

    pub(crate) fn send_down(&mut self, at: usize, message: ToAgent) {
        if !self.coordinator.up || self.is_lost() {
            return;
        }
        if self.is_repeated() {
            let delay_ms = self.delay_ms();
            self.schedule(delay_ms, Action::Down(at, message.clone()));
        }
        let delay_ms = self.delay_ms();
        self.schedule(delay_ms, Action::Down(at, message));
    }

    fn is_lost(&mut self) -> bool {
        let lost = self.random.chance(self.odds.lost);
        if lost {
            self.count(Fault::MessageLost);
        }
        lost
    }

    fn is_repeated(&mut self) -> bool {
        let repeated = self.random.chance(self.odds.repeated);
        if repeated {
            self.count(Fault::MessageRepeated);
        }
        repeated
    }

    fn delay_ms(&mut self) -> u64 {
        if self.random.chance(self.odds.delayed) {
            self.count(Fault::MessageDelayed);
            self.random.between(100, 60_000)
        } else {
            self.random.between(1, 20)
        }
    }

    fn run(&mut self) -> Result<(), Broken> {
        self.take_over()?;
        for at in 0..self.agents.len() {
            let delay_ms = self.random.below(1_000);
            self.schedule(delay_ms, Action::AgentTick(at));
        }
        self.schedule(0, Action::Submit);
        self.schedule(500, Action::Chaos);
        let mut healed_at = Uptime(u64::MAX);
        while let Some(Scheduled { at, action, .. }) = self.agenda.pop() {
            self.now = at;
            self.act(action)?;
            if !self.healed && self.events.total() >= self.config.events_min {
                self.heal();
                healed_at = self.now;
            }
            if self.healed && self.is_done() {
                return self.check_end();
            }
            if self.now.since(healed_at) > HEALED_MS_MAX {
                return Err(self.unfinished());
            }
        }
        Err(self.unfinished())
    }

    fn act(&mut self, action: Action) -> Result<(), Broken> {
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
        let submit = self.workload.submit(&mut self.random, Some(delivery.to_string()));
        let answer = self.execute(Command::Submit(Box::new(submit)))?;
        match (again, answer) {
            (None, Ok(_)) => self.deliveries += 1,
            (Some(_), Err(Rejection::Duplicate { .. })) => {}
            _ => return Err(Broken::Leftover),
        }
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
        let state = &self.coordinator.state;
        invariant::check(state)?;
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
