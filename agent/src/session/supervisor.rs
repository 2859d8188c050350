//! The one task that owns the agent's leases. It connects, renews, starts jobs, watches their time and repeats their
//! reports until they are accepted.
//!
//! Invariant: every lease the agent holds is in `jobs`, from its assignment until its report is accepted or it is
//! lost; what is not there is not worked on.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use slipway_kit::backoff::Backoff;
use slipway_kit::clock::Clock;
use slipway_kit::shutdown::{Shutdown, Stage};
use slipway_proto::v1;
use slipway_proto::v1::agent_message::Message as Out;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use super::guard::{Guard, LeaseTerms};
use super::handover::HandOver;
use super::leases::{Job, Renewal};
use super::messages::{Incoming, out, read};
use super::{JobEvent, JobLink, JobOrders, StartJob};
use crate::coordinator::Coordinator;
use crate::disk::DiskState;
use crate::lease::{Attempt, Lease};
use crate::limits::{CONNECT_TIMEOUT, RECONNECT_FIRST, RECONNECT_MAX, SESSION_QUEUE, SESSION_STEADY};

/// Longest sleep of the lease watch: `CLOCK_BOOTTIME` may jump ahead of timers after a suspension.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// After how many refusals in a row the agent is no member of the fleet.
const REFUSALS_MAX: u32 = 6;

/// The coordinator does not know the agent (any more): there is no use in asking again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this agent is no member of the fleet: {0}")]
pub struct NoMember(String);

/// What an agent says of itself.
#[derive(Debug, Clone)]
pub struct Introduction {
    /// Its id.
    pub agent_id: String,
    /// What people see.
    pub name: String,
    /// `X64` or `ARM64`.
    pub architecture: String,
    /// All labels.
    pub labels: Vec<String>,
    /// Jobs at once.
    pub slots: u32,
    /// Whether it runs code from outside too.
    pub accepts_untrusted: bool,
    /// Its processors and memory, where they count.
    pub sizing: Option<v1::Sizing>,
}

/// How the session stands, for `Handle` and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// Whether the coordinator has welcomed the agent and the stream is up.
    pub connected: bool,
    /// Leases held.
    pub jobs: usize,
}

/// See the module.
pub struct Supervisor<C> {
    coordinator: Coordinator,
    pub(super) clock: C,
    pub(super) introduction: Introduction,
    pub(super) start: Arc<dyn StartJob>,
    pub(super) shutdown: Shutdown,
    pub(super) terms: LeaseTerms,
    pub(super) jobs: BTreeMap<Attempt, Job>,
    events: mpsc::Receiver<JobEvent>,
    /// For new jobs' links.
    events_in: mpsc::Sender<JobEvent>,
    pub(super) draining: bool,
    /// Whether there is room for new jobs.
    disk: watch::Receiver<DiskState>,
    pub(super) hand_over: HandOver,
    /// When something was sent that the coordinator has answered since: what it says now, it said after that.
    pub(super) answered_ms: u64,
    pub(super) renewals: VecDeque<Renewal>,
    pub(super) next_renewal: u64,
    /// It declined a lease since it last renewed.
    pub(super) declined: bool,
    pub(super) status: watch::Sender<Status>,
}

/// The live stream.
pub(super) struct Stream {
    pub(super) outgoing: mpsc::Sender<v1::AgentMessage>,
    incoming: tonic::Streaming<v1::CoordinatorMessage>,
}

impl<C: Clock> Supervisor<C> {
    /// A supervisor without jobs.
    pub fn new(
        coordinator: Coordinator,
        clock: C,
        introduction: Introduction,
        start: Arc<dyn StartJob>,
        shutdown: Shutdown,
        disk: watch::Receiver<DiskState>,
    ) -> Self {
        let (events_in, events) = mpsc::channel(SESSION_QUEUE);
        Self {
            coordinator,
            clock,
            introduction,
            start,
            shutdown,
            terms: LeaseTerms::default(),
            jobs: BTreeMap::new(),
            events,
            events_in,
            draining: false,
            disk,
            hand_over: HandOver::default(),
            answered_ms: 0,
            renewals: VecDeque::new(),
            next_renewal: 1,
            declined: false,
            status: watch::Sender::default(),
        }
    }

    /// How the session stands, now and as it changes.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Why the agent takes no new jobs for now.
    pub(super) fn paused(&self) -> Option<String> {
        self.disk.borrow().paused.clone()
    }

    /// Takes over a job of an earlier process and gives its link.
    pub fn adopt(&mut self, lease: Lease, strict: bool) -> JobLink {
        let guard = Guard::adopted(strict, self.clock.boottime_ms());
        let link = self.insert(lease, guard);
        self.count_jobs();
        link
    }

    pub(super) fn insert(&mut self, lease: Lease, guard: Guard) -> JobLink {
        let orders = JobOrders { stop_boottime_ms: guard.stop_at_ms(&self.terms), ..JobOrders::default() };
        let (orders, receiver) = watch::channel(orders);
        let job = Job {
            lease,
            guard,
            orders,
            step_began: false,
            step_began_sent: None,
            report: None,
            report_sent: None,
        };
        self.jobs.insert(lease.attempt, job);
        JobLink { orders: receiver, events: self.events_in.clone() }
    }

    /// Runs until the shutdown's `Now`, until the jobs are handed over after its `HandOver`, or until everything is done
    /// after its `Drain`. Jobs that still run are left as they are.
    ///
    /// # Errors
    /// [`NoMember`] when the coordinator refuses the agent again and again and no job is left.
    pub async fn run(mut self) -> Result<(), NoMember> {
        let mut refused = 0;
        let mut backoff = Backoff::new(RECONNECT_FIRST, RECONNECT_MAX);
        loop {
            let hello_ms = self.clock.boottime_ms();
            let connecting = connect(self.coordinator.clone(), self.hello());
            let mut connecting = std::pin::pin!(connecting);
            let connected = loop {
                tokio::select! {
                    result = &mut connecting => break Some(result),
                    over = self.offline_turn() => if over { break None },
                }
            };
            let why = match connected {
                None => return Ok(()),
                Some(Err(refusal)) => {
                    let status = refusal.status.as_deref();
                    match status.filter(|status| status.code() == tonic::Code::Unauthenticated) {
                        Some(status) => {
                            refused += 1;
                            if refused >= REFUSALS_MAX && self.jobs.is_empty() {
                                return Err(NoMember(status.message().to_owned()));
                            }
                            self.coordinator.turn(Some(status));
                        }
                        None => {
                            refused = 0;
                            match status.map(tonic::Status::code) {
                                // The connection may be one that showed no certificate, or one that ended since.
                                Some(tonic::Code::PermissionDenied) => self.coordinator.reconnect(),
                                _ => self.coordinator.turn(status),
                            }
                        }
                    }
                    refusal.why
                }
                Some(Ok((stream, welcome))) => match self.welcome(welcome, hello_ms) {
                    Ok(()) => {
                        tracing::info!("connected to the coordinator");
                        refused = 0;
                        self.set_connected(true);
                        let began = Instant::now();
                        let ended = self.serve(stream).await;
                        self.set_connected(false);
                        self.hand_over.disconnected();
                        // One that ends as it begins would otherwise be begun again without a pause.
                        if began.elapsed() >= SESSION_STEADY {
                            backoff.reset();
                        }
                        match ended {
                            // Where the leader was is where it is asked for first.
                            Err(why) => why,
                            Ok(()) => return Ok(()),
                        }
                    }
                    Err(why) => why,
                },
            };
            // Who holds leases comes back in time to renew them.
            let longest =
                if self.jobs.is_empty() { RECONNECT_MAX } else { Duration::from_millis(self.terms.renew_ms) };
            let wait = backoff.next_wait().min(longest);
            tracing::warn!(why, again_in_ms = wait.as_millis() as u64, "no session with the coordinator");
            let until = tokio::time::sleep(wait);
            let mut until = std::pin::pin!(until);
            loop {
                tokio::select! {
                    () = &mut until => break,
                    over = self.offline_turn() => if over { return Ok(()) },
                }
            }
        }
    }

    /// One thing that happens without a connection. True when the supervisor is done.
    async fn offline_turn(&mut self) -> bool {
        if self.over() {
            return true;
        }
        let next = next_stage(self.shutdown.stage());
        tokio::select! {
            event = self.events.recv() => if let Some(event) = event { self.job_said(event); },
            () = self.shutdown.reached(next) => {}
            () = tokio::time::sleep(WATCH_EVERY) => {}
        }
        self.watch_leases();
        false
    }

    /// Whether there is nothing left to do.
    fn over(&mut self) -> bool {
        match self.shutdown.stage() {
            Stage::Running => false,
            Stage::Drain => {
                self.draining = true;
                self.jobs.is_empty()
            }
            Stage::HandOver => {
                self.draining = true;
                self.jobs.is_empty() || self.hand_over.is_over()
            }
            Stage::Now => true,
        }
    }

    fn hello(&self) -> v1::AgentMessage {
        let about = self.introduction.clone();
        out(Out::Hello(v1::Hello {
            agent_id: about.agent_id,
            name: about.name,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: slipway_proto::PROTOCOL_VERSION,
            architecture: about.architecture,
            labels: about.labels,
            slots: about.slots,
            accepts_untrusted: about.accepts_untrusted,
            sizing: about.sizing,
            held: self.jobs.values().map(|job| job.lease.to_wire()).collect(),
            draining: self.draining || self.shutdown.stage() >= Stage::Drain,
        }))
    }

    fn welcome(&mut self, message: v1::CoordinatorMessage, hello_ms: u64) -> Result<(), String> {
        let Ok(Some(Incoming::Welcome { terms, kept })) = read(message) else {
            return Err("the coordinator's first message is not a Welcome".to_owned());
        };
        self.terms = terms;
        self.answered_ms = hello_ms;
        self.renewals.clear();
        for job in self.jobs.values_mut() {
            (job.step_began_sent, job.report_sent) = (None, None);
            if kept.contains(&job.lease) {
                job.guard.renewed(hello_ms, terms.lease_ms);
            } else {
                job.stop("the coordinator has given the job's lease up");
            }
        }
        self.tell_stop_times();
        Ok(())
    }

    /// How long after a renewal the next one goes out.
    fn renew_after(&self) -> Duration {
        let (holds, unanswered) = (!self.jobs.is_empty(), !self.renewals.is_empty());
        Duration::from_millis(self.terms.renew_after_ms(holds, self.declined, unanswered))
    }

    /// Serves a connection. `Ok` when the supervisor is done, else why the connection ended.
    async fn serve(&mut self, mut stream: Stream) -> Result<(), String> {
        let mut renewed_at = Instant::now();
        let mut at_once = false;
        let mut told_draining = self.draining;
        // To a new session nothing was said of it.
        let mut told_paused = None;
        loop {
            if self.over() {
                return Ok(());
            }
            if self.draining != told_draining {
                told_draining = self.draining;
                let slots = self.introduction.slots;
                send(&stream, Out::Capacity(v1::Capacity { slots, draining: told_draining }))?;
            }
            let paused = self.paused();
            if paused != told_paused {
                let reason = paused.clone().unwrap_or_default();
                send(&stream, Out::Paused(v1::Paused { reason }))?;
                told_paused = paused;
            }
            self.send_unanswered(&stream)?;
            if self.shutdown.stage() == Stage::HandOver {
                self.ask_for_longer(&stream)?;
            }
            let next = next_stage(self.shutdown.stage());
            let renew_at = if at_once { renewed_at } else { renewed_at + self.renew_after() };
            tokio::select! {
                message = stream.incoming.message() => {
                    let message = message
                        .map_err(|status| told(&status))?
                        .ok_or_else(|| "the coordinator ended the session".to_owned())?;
                    let message = read(message).map_err(|error| error.to_string())?;
                    // A new lease is renewed at once: it was counted from an earlier moment.
                    if let Some(message) = message {
                        at_once |= self.hear(&stream, message)?;
                    }
                }
                // Not before that renewal: a job asks for its first step after it.
                event = self.events.recv(), if !at_once => if let Some(event) = event {
                    self.job_said(event);
                },
                () = tokio::time::sleep_until(renew_at) => {
                    let oldest = self.renewals.front().map(|renewal| renewal.sent_ms);
                    if self.terms.is_silent(oldest, self.clock.boottime_ms()) {
                        return Err("the coordinator does not answer renewals".to_owned());
                    }
                    send(&stream, self.renewal())?;
                    (renewed_at, at_once) = (Instant::now(), false);
                }
                () = self.shutdown.reached(next) => {}
                // Also within which a changed room on the disk is told.
                () = tokio::time::sleep(WATCH_EVERY) => {}
            }
            self.watch_leases();
        }
    }
}

/// The stage to wait for, beyond the present one.
fn next_stage(stage: Stage) -> Stage {
    match stage {
        Stage::Running => Stage::Drain,
        Stage::Drain => Stage::HandOver,
        Stage::HandOver | Stage::Now => Stage::Now,
    }
}

/// Puts a message into the stream's queue; a queue that is full belongs to a connection that is dead.
pub(super) fn send(stream: &Stream, message: Out) -> Result<(), String> {
    stream.outgoing.try_send(out(message)).map_err(|_| "the coordinator does not take messages".to_owned())
}

/// A status's words; the transport's own errors have theirs deeper.
fn told(status: &tonic::Status) -> String {
    let mut text = format!("{}: {}", status.code(), status.message());
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = error.source();
    }
    text
}

/// Why there is no session.
struct Refusal {
    why: String,
    status: Option<Box<tonic::Status>>,
}

impl From<tonic::Status> for Refusal {
    fn from(status: tonic::Status) -> Self {
        Self { why: told(&status), status: Some(Box::new(status)) }
    }
}

impl From<&str> for Refusal {
    fn from(why: &str) -> Self {
        Self { why: why.to_owned(), status: None }
    }
}

async fn connect(
    coordinator: Coordinator,
    hello: v1::AgentMessage,
) -> Result<(Stream, v1::CoordinatorMessage), Refusal> {
    let opening = async {
        let (outgoing, messages) = mpsc::channel(SESSION_QUEUE);
        // The channel is empty and open: this can't fail.
        let _ = outgoing.try_send(hello);
        let answer = coordinator.client().session(ReceiverStream::new(messages)).await;
        let mut incoming = answer.map_err(Refusal::from)?.into_inner();
        match incoming.message().await {
            Ok(Some(first)) => Ok((Stream { outgoing, incoming }, first)),
            Ok(None) => Err("the coordinator ended the session".into()),
            Err(status) => Err(status.into()),
        }
    };
    match tokio::time::timeout(CONNECT_TIMEOUT * 2, opening).await {
        Ok(result) => result,
        Err(_) => Err("the coordinator does not answer".into()),
    }
}
