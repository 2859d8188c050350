//! The world of one script: its clock, what is under way in it, and how it goes on until all runs are finished.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use slipway_coordinator::driver::message::RunLease;
use slipway_coordinator::driver::stepped::Warm;
use slipway_coordinator::journal::verify;
use slipway_scheduler::{Command, InstanceId, JobResult, RunId, Uptime, invariant};

use super::agent::Agent;
use super::disk::{Shared, locked};
use super::handle::Handle;
use super::host::HostClock;
use super::link::{Down, Link, Up};
use super::logs::{Store, Upload};
use super::site::Site;
use crate::agenda::Agenda;
use crate::broken::Broken;
use crate::fault::Fault;
use crate::oracle::Oracle;
use crate::random::Random;
use crate::script::Script;
use crate::trace::{Keep, Trace};
use crate::troubles::Troubles;
use crate::workload::{Workload, fleet};
use crate::{Failure, Summary};

/// How many coordinators there are.
const SITES: usize = 3;
/// How long a healed world may take to finish every run.
const HEALED_MS_MAX: u64 = 12 * 3_600_000;
/// How long a world stays hostile, however little happens in it.
const HOSTILE_MS_MAX: u64 = 2 * 3_600_000;

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Action {
    Up(u64, Up),
    Down(u64, Down),
    Upload(Upload),
    Flush(usize, u64, usize, RunLease),
    Acknowledged(usize, RunLease, u64),
    AgentTick(usize),
    AgentReturns(usize),
    JobEnds(usize, RunLease),
    InitStops(usize, RunLease),
    Start(usize),
    Follow(usize, u64),
    Wake(usize, u64),
    Planned(usize, u64, Box<Command>),
    Mend,
    Deliver,
    Ask(u64, u64),
    AskAgain(u64, u64),
    LetIn(RunId),
    Undrain,
    Chaos,
}

pub(crate) struct World {
    pub(crate) script: Script,
    pub(crate) random: Random,
    pub(crate) troubles: Troubles,
    pub(crate) healed: bool,
    pub(crate) now: Uptime,
    /// The same for the hosts' clocks.
    time: Arc<AtomicU64>,
    pub(crate) disk: Shared,
    pub(crate) sites: Vec<Site>,
    pub(crate) agents: Vec<Agent>,
    pub(crate) links: BTreeMap<u64, Link>,
    pub(crate) last_link: u64,
    pub(crate) store: Store,
    pub(crate) oracle: Oracle,
    /// Strict instances of which an execution began.
    pub(crate) begun: BTreeSet<InstanceId>,
    /// Runs that were accepted, with their results.
    pub(crate) accepted: BTreeMap<RunId, Option<JobResult>>,
    /// What clients were told, by delivery.
    pub(crate) answers: Vec<Option<RunId>>,
    pub(crate) workload: Workload,
    pub(crate) trace: Trace,
    pub(crate) agenda: Agenda<Action>,
}

/// Runs a world to its end.
///
/// # Errors
/// [`Failure`] with the first thing that broke.
pub(crate) fn run(script: &Script, keep: Keep) -> Result<Summary, Box<Failure>> {
    let mut world = World::new(script, keep);
    let ended = world.run();
    let mut counts = locked(&world.disk).truth.counts;
    counts.faults = world.troubles.counts();
    match ended {
        Ok(()) => Ok(Summary { seed: script.seed, counts, trace: world.trace.hash() }),
        Err(broken) => Err(Box::new(Failure {
            script: script.clone(),
            events: counts.events_total(),
            broken,
            came: world.troubles.came(),
            lines: world.trace.into_lines(),
        })),
    }
}

impl World {
    fn new(script: &Script, keep: Keep) -> Self {
        let mut random = Random::new(script.seed);
        let time = Arc::<AtomicU64>::default();
        let sites = (0..SITES).map(|_| Site::new(HostClock::new(&time, &mut random))).collect();
        let agents = fleet(script.agents).into_iter();
        let mut agents: Vec<_> =
            agents.map(|profile| Agent::new(profile, HostClock::new(&time, &mut random))).collect();
        // In every other world they are of the version that renewed as often without leases.
        if script.seed.is_multiple_of(2) {
            agents.iter_mut().for_each(|agent| agent.terms.idle_ms = agent.terms.renew_ms);
        }
        let disk = Shared::default();
        locked(&disk).sabotage = script.sabotage;
        Self {
            troubles: Troubles::new(script, keep != Keep::Nothing),
            random,
            healed: false,
            now: Uptime(0),
            time,
            disk,
            sites,
            agents,
            links: BTreeMap::new(),
            last_link: 0,
            store: Store::default(),
            oracle: Oracle::default(),
            begun: BTreeSet::new(),
            accepted: BTreeMap::new(),
            answers: Vec::new(),
            workload: Workload::new(script.jobs),
            trace: Trace::new(keep),
            agenda: Agenda::default(),
            script: script.clone(),
        }
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

    fn run(&mut self) -> Result<(), Broken> {
        for at in 0..SITES {
            let delay_ms = self.random.below(1_000);
            self.schedule(delay_ms, Action::Start(at));
        }
        for at in 0..self.agents.len() {
            let delay_ms = self.random.below(1_000);
            self.schedule(delay_ms, Action::AgentTick(at));
        }
        self.schedule(2_000, Action::Deliver);
        self.schedule(5_000, Action::Chaos);
        let mut healed_at = Uptime(u64::MAX);
        while let Some((at, action)) = self.agenda.next() {
            self.now = at;
            self.time.store(at.0, Ordering::Relaxed);
            locked(&self.disk).now = at;
            self.act(action)?;
            self.take_news()?;
            if !self.healed && self.is_enough() {
                self.heal();
                healed_at = self.now;
            }
            if self.healed && self.is_done() {
                return self.check_end();
            }
            if self.now.since(healed_at) > HEALED_MS_MAX {
                break;
            }
        }
        Err(self.unfinished())
    }

    fn is_enough(&self) -> bool {
        locked(&self.disk).truth.counts.events_total() >= self.script.events || self.now.0 > HOSTILE_MS_MAX
    }

    fn act(&mut self, action: Action) -> Result<(), Broken> {
        if !matches!(action, Action::AgentTick(_) | Action::Follow(..) | Action::Chaos) {
            self.trace.note(self.now, || format!("{action:?}"));
        }
        match action {
            Action::Up(link, message) => self.arrives_up(link, message),
            Action::Down(link, message) => self.arrives_down(link, message),
            Action::Start(at) => self.start(at),
            Action::Follow(at, process) => self.follow(at, process),
            Action::Wake(at, process) => self.wake(at, process),
            Action::Planned(at, process, command) => self.planned(at, process, *command),
            Action::Ask(delivery, attempt) => self.asked(delivery, attempt),
            Action::LetIn(run) => self.let_in(run),
            Action::Undrain => self.undrain(),
            Action::Chaos => self.chaos(),
            other => {
                self.act_quietly(other);
                Ok(())
            }
        }
    }

    /// What can break nothing at once.
    fn act_quietly(&mut self, action: Action) {
        match action {
            Action::Upload(upload) => self.upload_arrives(upload),
            Action::Flush(site, process, agent, lease) => self.flush(site, process, agent, lease),
            Action::Acknowledged(at, lease, count) => {
                let agent = &mut self.agents[at];
                let job = agent.jobs.get_mut(&lease.lease.instance).filter(|job| job.lease == lease);
                if let Some(job) = job.filter(|_| agent.up && agent.cut_down_until <= self.now) {
                    job.hear_acknowledged(count, self.now);
                }
            }
            Action::AgentTick(at) => self.agent_tick(at),
            Action::AgentReturns(at) if !self.agents[at].up => self.agents[at].come_back(),
            Action::JobEnds(at, lease) => self.job_ends(at, lease),
            Action::InitStops(at, lease) => self.init_stops(at, lease),
            Action::Mend => locked(&self.disk).repair(),
            Action::Deliver => self.deliver(),
            Action::AskAgain(delivery, attempt) => self.ask_again(delivery, attempt),
            _ => {}
        }
    }

    fn is_done(&self) -> bool {
        let disk = locked(&self.disk);
        self.leading().is_some()
            && self.answers.iter().all(Option::is_some)
            && disk.truth.state.runs().all(|run| run.end().is_some())
    }

    fn check_end(&mut self) -> Result<(), Broken> {
        self.store.check_acknowledged()?;
        {
            let disk = locked(&self.disk);
            let state = &disk.truth.state;
            invariant::check(state)?;
            if state.waiting_len() > 0 || state.leased_len() > 0 {
                return Err(Broken::Leftover);
            }
        }
        for run in self.answers.iter().flatten() {
            if self.accepted.get(run).is_none_or(Option::is_none) {
                return Err(Broken::RunLost(*run));
            }
        }
        // From the snapshots, and from the first record, the journal tells the same story.
        for from_snapshot in [true, false] {
            if !from_snapshot {
                locked(&self.disk).snapshots.clear();
            }
            let mut handle = Handle::new(&self.disk, true);
            verify(&mut handle).map_err(|error| Broken::Journal(error.to_string()))?;
            let warm = Warm::recover(&mut handle).map_err(|error| Broken::Journal(error.to_string()))?;
            if *warm.state() != locked(&self.disk).truth.state {
                return Err(Broken::Replay);
            }
        }
        let mut disk = locked(&self.disk);
        disk.compare();
        disk.truth.broken.take().map_or(Ok(()), Err)
    }

    fn unfinished(&self) -> Broken {
        let disk = locked(&self.disk);
        let open = disk.truth.state.runs().find(|run| run.end().is_none());
        open.map_or(Broken::Leftover, |run| Broken::NeverFinished(run.id(), None))
    }
}
