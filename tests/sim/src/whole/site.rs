//! A coordinator's process: it starts from the journal, follows, takes over, leads with the real driver, and dies.

use std::sync::Arc;

use slipway_coordinator::driver::stepped::{Answered, Stepped, Warm};
use slipway_coordinator::driver::{DriverParts, FromAgent, Planning, Standing};
use slipway_coordinator::journal::watermark::Watermark;
use slipway_coordinator::journal::{Address, Journal as _, JournalError};
use slipway_scheduler::limits::LEASE_MS;
use slipway_scheduler::{Rules, RunId, Uptime};
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
use crate::sabotage::Sabotage;

/// How often a follower looks after the leader.
const FOLLOW_MS: u64 = 500;
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
    pub(crate) watermark: Watermark,
    pub(crate) noted_at: Uptime,
    pub(crate) planner: Option<mpsc::UnboundedReceiver<Planning>>,
    pub(crate) wake_at: Option<Uptime>,
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
            tap: None,
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
