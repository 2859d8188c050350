//! A coordinator's process: it starts from the journal, follows, takes over, leads with the real driver, and dies.

use std::sync::Arc;

use slipway_coordinator::driver::message::ToAgent;
use slipway_coordinator::driver::stepped::{Answered, Stepped, Warm};
use slipway_coordinator::driver::{DriverParts, FromAgent, Planning, Standing};
use slipway_coordinator::journal::watermark::Watermark;
use slipway_coordinator::journal::{Address, Journal as _, JournalError};
use slipway_scheduler::command::FinishCall;
use slipway_scheduler::limits::LEASE_MS;
use slipway_scheduler::{Command, Event, JobId, Rules, RunId, State, Uptime};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::disk::locked;
use super::handle::Handle;
use super::host::HostClock;
use super::link::{Down, Up};
use super::logs::Waiting;
use super::world::{Action, World};
use crate::broken::Broken;
use crate::fault::Fault;
use crate::random::Random;
use crate::sabotage::Sabotage;

/// How often a follower looks after the leader.
const FOLLOW_MS: u64 = 500;
/// How often the watermark is written.
const WATERMARK_MS: u64 = 1_000;
/// How long until somebody mends what a coordinator refused to start with.
const MEND_MS: u64 = 3_000;
/// Room of a session's queue, as in the coordinator.
const SESSION_QUEUE: usize = 1_024;

pub(crate) enum Role {
    Down,
    Following(Box<(Handle, Warm)>),
    Leading(Box<Stepped>),
}

pub(crate) struct Site {
    pub(crate) clock: HostClock,
    /// Whether it is of the newer version.
    pub(crate) newer: bool,
    /// Which process of this host.
    pub(crate) process: u64,
    pub(crate) role: Role,
    pub(crate) paused_until: Uptime,
    /// It takes over at its next look, whether the leader lives or not.
    pub(crate) usurps: bool,
    pub(crate) submitted: Vec<(u64, Answered<RunId>)>,
    pub(crate) waiting: Waiting,
    /// What it remembers of the journal in its own data directory.
    watermark: Watermark,
    noted_at: Uptime,
    planner: Option<mpsc::UnboundedReceiver<Planning>>,
    wake_at: Option<Uptime>,
    /// What came while it stood still.
    inbox: Vec<(u64, Up)>,
}

impl Site {
    pub(crate) fn new(clock: HostClock) -> Self {
        Self {
            clock,
            newer: false,
            process: 0,
            role: Role::Down,
            paused_until: Uptime(0),
            usurps: false,
            submitted: Vec::new(),
            waiting: Waiting::new(),
            watermark: Watermark::default(),
            noted_at: Uptime(0),
            planner: None,
            wake_at: None,
            inbox: Vec::new(),
        }
    }

    pub(crate) fn runs(&self, now: Uptime) -> bool {
        !matches!(self.role, Role::Down) && self.paused_until <= now
    }

    pub(crate) fn leads(&self) -> bool {
        matches!(self.role, Role::Leading(_))
    }
}

impl World {
    /// The coordinator that leads and is awake.
    pub(crate) fn leading(&self) -> Option<usize> {
        self.sites.iter().position(|site| site.leads() && site.runs(self.now))
    }

    /// A new process, from the journal and what its host remembers of it.
    pub(crate) fn start(&mut self, at: usize) -> Result<(), Broken> {
        if !matches!(self.sites[at].role, Role::Down) {
            return Ok(());
        }
        self.sites[at].process += 1;
        let mut handle = Handle::new(&self.disk, self.sites[at].newer);
        let papers_over = self.script.sabotage == Some(Sabotage::PaperOverLoss);
        let loss =
            self.sites[at].watermark.loss(&mut handle).map_err(|it| Broken::Journal(it.to_string()))?;
        if let Some(loss) = loss.filter(|_| !papers_over) {
            let (known, found) = (loss.known, loss.found);
            return self.refused(at, &JournalError::Lost { place: String::new(), known, found });
        }
        match Warm::recover(&mut handle) {
            Ok(warm) => {
                self.sites[at].role = Role::Following(Box::new((handle, warm)));
                let process = self.sites[at].process;
                self.schedule(0, Action::Follow(at, process));
                Ok(())
            }
            Err(error) => self.refused(at, &error),
        }
    }

    /// A follower takes in what came, and takes over when the leader is dead.
    pub(crate) fn follow(&mut self, at: usize, process: u64) -> Result<(), Broken> {
        let now = self.now;
        if self.sites[at].process != process {
            return Ok(());
        }
        if self.sites[at].paused_until > now {
            self.agenda.put(self.sites[at].paused_until, Action::Follow(at, process));
            return Ok(());
        }
        let site = &mut self.sites[at];
        let Role::Following(parts) = &mut site.role else { return Ok(()) };
        let (handle, warm) = &mut **parts;
        let usurps = std::mem::take(&mut site.usurps);
        let looked = warm.catch_up(handle).and_then(|()| {
            site.watermark.add(handle.head());
            let leader = handle.leader()?;
            if leader.alive && !usurps {
                return Ok(None);
            }
            let won = handle.take_over(leader.epoch, &Address::default())?;
            warm.catch_up(handle)?;
            Ok(won)
        });
        match looked {
            Ok(None) => {
                self.schedule(FOLLOW_MS, Action::Follow(at, process));
                Ok(())
            }
            Ok(Some(epoch)) => self.lead(at, epoch),
            Err(error) => self.refused(at, &error),
        }
    }

    fn lead(&mut self, at: usize, epoch: u64) -> Result<(), Broken> {
        let site = &mut self.sites[at];
        let Role::Following(parts) = std::mem::replace(&mut site.role, Role::Down) else { return Ok(()) };
        let (handle, warm) = *parts;
        self.take_news()?;
        if !self.same_as_truth(warm.state()) {
            return Err(Broken::Replay);
        }
        let site = &mut self.sites[at];
        let (planner, to_plan) = mpsc::unbounded_channel();
        // Whoever seals records and forgets secrets is not part of this world.
        let (ended, _) = mpsc::unbounded_channel();
        let parts = DriverParts {
            standing: Standing::Among { address: Address::default() },
            clock: Arc::new(site.clock.clone()),
            rules: Rules::default(),
            planner,
            ended,
            metrics: Arc::default(),
            kill: CancellationToken::new(),
        };
        site.planner = Some(to_plan);
        site.wake_at = None;
        let hasty = self.script.sabotage == Some(Sabotage::LeaseAtTakeover);
        if hasty {
            site.clock.put_back(LEASE_MS);
        }
        let led = warm.lead(Box::new(handle), parts, epoch);
        self.sites[at].clock.put_back(0);
        self.trace.note(self.now, || format!("coordinator {at} leads under epoch {epoch}"));
        match led {
            Ok(driver) => {
                self.sites[at].role = Role::Leading(Box::new(driver));
                self.after_batch(at)
            }
            Err(error) => self.died(at, &error),
        }
    }

    /// Every coordinator has seen, and noted, all that there is.
    pub(crate) fn all_note(&mut self) -> Result<(), Broken> {
        let head = locked(&self.disk).head();
        for at in 0..self.sites.len() {
            let site = &mut self.sites[at];
            site.watermark.add(head);
            if let Role::Following(parts) = &mut site.role {
                let (handle, warm) = &mut **parts;
                if let Err(error) = warm.catch_up(handle) {
                    self.refused(at, &error)?;
                }
            }
        }
        Ok(())
    }

    /// A leader handles what it was asked, and what is due.
    pub(crate) fn turn(&mut self, at: usize) -> Result<(), Broken> {
        if !self.sites[at].runs(self.now) || !self.sites[at].leads() {
            return Ok(());
        }
        let planned = [Fault::TailTorn, Fault::TailLost, Fault::AppendUnheard, Fault::DiskFull];
        let plan = planned.into_iter().find_map(|fault| Some((fault, self.strike(fault)?)));
        locked(&self.disk).plan = plan;
        let Role::Leading(driver) = &mut self.sites[at].role else { return Ok(()) };
        let ended = driver.turn();
        locked(&self.disk).plan = None;
        match ended {
            Ok(true) => self.after_batch(at),
            Ok(false) => {
                self.after_batch(at)?;
                self.ends(at)?;
                self.schedule(500, Action::Start(at));
                Ok(())
            }
            Err(error) => self.died(at, &error),
        }
    }

    pub(crate) fn wake(&mut self, at: usize, process: u64) -> Result<(), Broken> {
        let site = &mut self.sites[at];
        if site.process != process || !site.leads() || site.wake_at.is_none_or(|wake| wake > self.now) {
            return Ok(());
        }
        if site.paused_until > self.now {
            let until = site.paused_until;
            site.wake_at = Some(until);
            self.agenda.put(until, Action::Wake(at, process));
            return Ok(());
        }
        site.wake_at = None;
        // What came while it stood still comes with this batch.
        for (link, message) in std::mem::take(&mut self.sites[at].inbox) {
            self.pass_on(at, link, message);
        }
        self.turn(at)
    }

    /// Something came over a connection.
    pub(crate) fn site_hears(&mut self, at: usize, link: u64, message: Up) -> Result<(), Broken> {
        match &self.sites[at].role {
            Role::Leading(_) if self.sites[at].paused_until > self.now => {
                self.sites[at].inbox.push((link, message));
                Ok(())
            }
            Role::Leading(_) => {
                self.pass_on(at, link, message);
                self.turn(at)
            }
            Role::Following(_) | Role::Down => {
                self.send_down(link, Down::Closed);
                Ok(())
            }
        }
    }

    /// Hands a message to the driver, as the gRPC service does.
    fn pass_on(&mut self, at: usize, id: u64, message: Up) {
        let Role::Leading(driver) = &mut self.sites[at].role else { return };
        let Some(link) = self.links.get_mut(&id) else { return };
        let agent = self.agents[link.agent].profile.id;
        match message {
            Up::Hello(hello) => {
                let (outbox, told) = mpsc::channel(SESSION_QUEUE);
                let over = link.over.clone();
                let session = slipway_coordinator::driver::message::SessionLink { agent, outbox, over };
                link.opening = Some(driver.hello(*hello, session));
                link.outbox = Some(told);
            }
            Up::Closed => {
                if let Some(number) = link.number {
                    driver.disconnect(agent, number);
                }
                self.links.remove(&id);
            }
            Up::Said(said) => {
                let Some(number) = link.number else { return };
                if let FromAgent::Report { lease, records, .. } = &*said {
                    let key = (lease.lease.instance, lease.lease.attempt);
                    // A report comes after its records; one that does not ends the session.
                    if driver.leases().is_live(lease) && self.store.count(key) != *records {
                        driver.disconnect(agent, number);
                        self.send_down(id, Down::Closed);
                        return;
                    }
                }
                driver.agent_said(agent, number, *said);
            }
        }
    }

    /// What follows from a batch that went well.
    fn after_batch(&mut self, at: usize) -> Result<(), Broken> {
        self.take_news()?;
        self.tell_agents(at, false)?;
        self.hear_answers(at, false)?;
        self.plan(at)?;
        let Role::Leading(driver) = &self.sites[at].role else { return Ok(()) };
        // One that does not know yet that another leads has seen less.
        let current = driver.view().state.epoch() == locked(&self.disk).epoch;
        if current && !self.same_as_truth(driver.view().state) {
            return Err(Broken::Replay);
        }
        let sleep_ms = driver.sleep_ms().max(1);
        let (now, head) = (self.now, locked(&self.disk).head());
        let wake_at = now.after(self.sites[at].clock.world_ms(sleep_ms));
        let site = &mut self.sites[at];
        if now.since(site.noted_at) >= WATERMARK_MS {
            site.watermark.add(head);
            site.noted_at = now;
        }
        if site.wake_at.is_none_or(|planned| wake_at < planned) {
            site.wake_at = Some(wake_at);
            let process = site.process;
            self.agenda.put(wake_at, Action::Wake(at, process));
        }
        Ok(())
    }

    fn same_as_truth(&self, state: &State) -> bool {
        locked(&self.disk).truth.state == *state
    }

    /// What became durable: counted, checked against what really happened.
    pub(crate) fn take_news(&mut self) -> Result<(), Broken> {
        let news = {
            let mut disk = locked(&self.disk);
            if let Some(broken) = disk.truth.broken.take() {
                return Err(broken);
            }
            std::mem::take(&mut disk.truth.news)
        };
        for event in &news {
            self.trace.event(self.now, event);
            match event {
                Event::RunSubmitted { run, .. } => {
                    self.accepted.insert(*run, None);
                }
                Event::RunFinished { run, result, .. } => {
                    let told = self.accepted.insert(*run, Some(*result));
                    if told.flatten().is_some() {
                        return Err(Broken::NotFinal(*run));
                    }
                }
                Event::AttemptFinished { lease, reported: true, records, records_digest, .. } => {
                    let key = (lease.instance, lease.attempt);
                    self.store.check_reported(key, *records, *records_digest)?;
                    self.oracle.check_reported(event)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What agents are told after a batch; `failed`: nothing may be.
    fn tell_agents(&mut self, at: usize, failed: bool) -> Result<(), Broken> {
        let process = self.sites[at].process;
        let ours = |(_, link): &(&u64, &super::link::Link)| link.site == at && link.process == process;
        let ids: Vec<u64> = self.links.iter().filter(ours).map(|(id, _)| *id).collect();
        for id in ids {
            let Some(link) = self.links.get_mut(&id) else { continue };
            let mut told = Vec::new();
            while let Some(Ok(message)) = link.outbox.as_mut().map(mpsc::Receiver::try_recv) {
                told.push(message);
            }
            if let Some(Ok(Ok(number))) = link.opening.as_mut().map(Answered::try_recv) {
                (link.number, link.opening) = (Some(number), None);
            }
            let over = link.over.is_cancelled();
            if failed && !told.is_empty() {
                return Err(Broken::SeenBeforeDurable("a message of a batch that failed"));
            }
            for message in told {
                self.check_seen(&message)?;
                self.send_down(id, Down::Told(Box::new(message)));
            }
            if over {
                self.send_down(id, Down::Closed);
                if let Some(link) = self.links.get_mut(&id) {
                    link.process = u64::MAX;
                }
            }
        }
        Ok(())
    }

    /// Whether what a message says is durable.
    fn check_seen(&self, message: &ToAgent) -> Result<(), Broken> {
        let disk = locked(&self.disk);
        let state = &disk.truth.state;
        let attempt = |lease: &slipway_coordinator::driver::message::RunLease| {
            let attempts = state.instance(lease.lease.instance)?.attempts();
            attempts.iter().find(|attempt| attempt.token == lease.lease.token)
        };
        let seen = |is, what| if is { Ok(()) } else { Err(Broken::SeenBeforeDurable(what)) };
        match message {
            ToAgent::Assign { lease, .. } => seen(attempt(lease).is_some(), "an assignment"),
            ToAgent::BeginStep { lease } => {
                // An ordinary job is let go on without an event.
                let strict = state.instance(lease.lease.instance).is_some_and(|it| it.definition().strict);
                seen(!strict || attempt(lease).is_some_and(|it| it.step_began), "the beginning of a step")
            }
            ToAgent::Accepted { lease } => {
                let ended = attempt(lease).is_none_or(|it| it.end.is_some_and(|end| end.reported));
                seen(ended, "the acknowledgement of a report")
            }
            _ => Ok(()),
        }
    }

    /// What the planner was asked; it answers later.
    fn plan(&mut self, at: usize) -> Result<(), Broken> {
        let mut asked = Vec::new();
        while let Some(Ok(planning)) = self.sites[at].planner.as_mut().map(mpsc::UnboundedReceiver::try_recv)
        {
            asked.push(planning);
        }
        let process = self.sites[at].process;
        for planning in asked {
            let answers = if self.strike(Fault::PlannerTwice).is_some() { 2 } else { 1 };
            for answer in 0..answers {
                let command = match &planning {
                    Planning::Job(request) => {
                        let mut random = self.about_job(request.run, &request.job, answer);
                        let disk = locked(&self.disk);
                        let plan =
                            self.workload.plan(&mut random, &disk.truth.state, request.run, &request.job);
                        let Some(plan) = plan else {
                            return Err(Broken::SeenBeforeDurable("a job that is ready"));
                        };
                        Command::ResolveJob(plan)
                    }
                    Planning::Outputs(request) => {
                        let place = 2 + u64::from(request.place) * 2 + answer;
                        let mut random = self.about_job(request.run, &request.job, place);
                        let outputs = self.workload.outputs(&mut random);
                        let (run, job, call) = (request.run, request.job.clone(), request.place);
                        Command::FinishCall(FinishCall { run, job, call, outputs })
                    }
                };
                let delay_ms = match self.strike(Fault::PlannerLate) {
                    Some(mut random) => random.between(1_000, 60_000),
                    None => self.random.between(1, 50),
                };
                self.schedule(delay_ms, Action::Planned(at, process, Box::new(command)));
            }
        }
        Ok(())
    }

    fn about_job(&self, run: RunId, job: &JobId, answer: u64) -> Random {
        Random::about(self.script.seed, &[run.0.as_u64_pair().0, Random::name(job.as_str()), answer])
    }

    pub(crate) fn planned(&mut self, at: usize, process: u64, command: Command) -> Result<(), Broken> {
        if self.sites[at].process != process {
            return Ok(());
        }
        if self.sites[at].paused_until > self.now {
            self.agenda.put(self.sites[at].paused_until, Action::Planned(at, process, Box::new(command)));
            return Ok(());
        }
        if let Role::Leading(driver) = &mut self.sites[at].role {
            // A second answer, or one from before a cancel, is refused.
            drop(driver.command(command));
        }
        self.turn(at)
    }

    /// A leader's journal failed: nothing of the batch may have been seen.
    fn died(&mut self, at: usize, error: &JournalError) -> Result<(), Broken> {
        self.take_news()?;
        self.tell_agents(at, true)?;
        self.hear_answers(at, true)?;
        if let JournalError::Lost { .. } = error {
            // It writes down how far it saw the journal before it goes.
            let known = locked(&self.disk).aside.as_ref().and_then(|good| Some(good.last()?.mark()));
            if let Some(mark) = known {
                self.sites[at].watermark.add(mark);
            }
        }
        self.refused(at, error)
    }

    /// A process ends: with it go its sessions and what was not durable.
    pub(crate) fn ends(&mut self, at: usize) -> Result<(), Broken> {
        let site = &mut self.sites[at];
        site.role = Role::Down;
        let process = site.process;
        site.process += 1;
        (site.planner, site.wake_at, site.paused_until) = (None, None, Uptime(0));
        site.submitted.clear();
        site.waiting.clear();
        site.inbox.clear();
        let ours = self.links.iter().filter(|(_, link)| link.site == at && link.process == process);
        let ids: Vec<u64> = ours.map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.send_down(id, Down::Closed));
        self.store.check_acknowledged()
    }

    /// A coordinator cannot go on: for a good reason, or something is broken.
    fn refused(&mut self, at: usize, error: &JournalError) -> Result<(), Broken> {
        self.trace.note(self.now, || format!("coordinator {at} stops: {error}"));
        self.ends(at)?;
        let damaged = locked(&self.disk).aside.is_some();
        let mends = match error {
            JournalError::Fenced { .. } | JournalError::Engine { .. } => false,
            JournalError::Unknown { .. } if !self.sites[at].newer => {
                // Somebody puts the newer version there.
                self.sites[at].newer = true;
                false
            }
            JournalError::Lost { .. } | JournalError::Damaged { .. } if damaged => true,
            other => return Err(Broken::Journal(other.to_string())),
        };
        if mends {
            self.schedule(MEND_MS, Action::Mend);
        }
        let again_ms = self.random.between(200, 10_000) + if mends { MEND_MS } else { 0 };
        self.schedule(again_ms, Action::Start(at));
        Ok(())
    }
}
