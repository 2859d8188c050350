//! The driver's loop and its batches.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use slipway_kit::clock::Clock;
use slipway_scheduler::command::Submit;
use slipway_scheduler::fleet::Fleet;
use slipway_scheduler::limits::FINISHED_RUNS_MAX;
use slipway_scheduler::{Command, Event, Rejection, Rules, RunId, State, Timestamp, Uptime, decide};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::credentials::CredentialTable;
use super::effects::{self, Effect, Planning, RunEnded};
use super::leases::LeaseTable;
use super::ledger::Ledger;
use super::payload::{DeliveryEvent, Payload};
use super::recover::Recovered;
use super::request::{Look, Piece, Request, Stretch, View};
use super::session::Sessions;
use super::watchers::Watchers;
use super::{BATCH_GRANTS, BATCH_REQUESTS, DriverError, DriverParts, MAX_SLEEP_MS};
use crate::access::AccessTable;
use crate::audit::{AuditEntry, Origin};
use crate::history::{Committed, Tap};
use crate::house::HouseEvent;
use crate::journal::{BEAT_EVERY, Entry, Journal, JournalError, Snapshot};
use crate::metrics::Metrics;

/// How many runs one batch retires at most.
const BATCH_RETIRED: usize = 16;

/// What is done after the batch is durable, in this order.
#[derive(Default)]
pub(super) struct Later {
    pub(super) effects: Vec<(Effect, Option<u64>)>,
    answers: Vec<Box<dyn FnOnce() + Send>>,
    queries: Vec<Look>,
    stop: Option<oneshot::Sender<()>>,
    /// What became of the fleet, to be published.
    pub(super) house: Vec<HouseEvent>,
}

/// What the driver publishes for those who check without asking it.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    pub(super) leases: Arc<LeaseTable>,
    pub(super) credentials: Arc<CredentialTable>,
    pub(super) access: Arc<AccessTable>,
}

pub(super) struct Core {
    pub(super) state: State,
    pub(super) fleet: Fleet,
    pub(super) ledger: Ledger,
    pub(super) sessions: Sessions,
    pub(super) later: Later,
    /// The wall clock and the steady one, as of the batch's beginning: lease times count from before the check that
    /// this leader's epoch stands.
    pub(super) now: Timestamp,
    pub(super) uptime: Uptime,
    epoch: u64,
    pub(super) journal: Box<dyn Journal>,
    /// Events of this batch.
    entries: Vec<Entry>,
    /// An event that could not be written as JSON.
    unwritable: Option<String>,
    /// Position of the newest snapshot, kept or being packed.
    pub(super) snapshot: u64,
    /// A snapshot that is being packed on a thread of its own.
    pub(super) packing: Option<JoinHandle<io::Result<Snapshot>>>,
    /// When this leader last showed the journal that it lives.
    beat_at: Uptime,
    clock: Arc<dyn Clock>,
    pub(super) rules: Rules,
    pub(super) tables: Tables,
    watchers: Arc<Watchers>,
    planner: mpsc::UnboundedSender<Planning>,
    ended: mpsc::UnboundedSender<RunEnded>,
    pub(super) metrics: Arc<Metrics>,
    tap: Option<Tap>,
    kill: CancellationToken,
}

impl Core {
    /// Leads under an epoch that was just begun, from a state that has all of the journal, and starts again what a crash may
    /// have lost.
    pub(super) fn lead(
        journal: Box<dyn Journal>,
        parts: DriverParts,
        recovered: Recovered,
        epoch: u64,
        tables: Tables,
        watchers: Arc<Watchers>,
    ) -> Result<Self, JournalError> {
        let DriverParts { clock, rules, planner, ended, metrics, tap, kill, .. } = parts;
        let Recovered { state, ledger, snapshot, .. } = recovered;
        let (now, uptime) = (Timestamp(clock.unix_ms()), Uptime(clock.boottime_ms()));
        let fleet = Fleet::recover(&state, uptime, now);
        for (lease, agent) in state.leases() {
            if let Some(lease) = effects::run_lease(&state, lease) {
                tables.leases.begin(lease.run, lease.lease, agent);
            }
        }
        tables.credentials.replace(ledger.house());
        tables.access.replace(ledger.house());
        let unplanned = effects::unplanned(&state);
        let mut core = Self {
            state,
            fleet,
            ledger,
            sessions: Sessions::default(),
            later: Later::default(),
            now,
            uptime,
            epoch,
            journal,
            entries: Vec::new(),
            unwritable: None,
            snapshot,
            packing: None,
            beat_at: uptime,
            clock,
            rules,
            tables,
            watchers,
            planner,
            ended,
            metrics,
            tap,
            kill,
        };
        if let Err(rejection) = core.decide(Command::TakeOver { epoch }) {
            return Err(JournalError::Damaged {
                position: core.journal.end(),
                reason: rejection.to_string(),
            });
        }
        core.later.effects.extend(unplanned.into_iter().map(|effect| (effect, None)));
        core.commit(false)?;
        core.act();
        tracing::info!(
            epoch,
            position = core.journal.end(),
            open_leases = core.state.leased_len(),
            waiting = core.state.waiting_len(),
            "leads"
        );
        Ok(core)
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Handles requests until it is stopped, killed, or the journal fails.
    pub(super) async fn run(&mut self, inbox: &mut mpsc::Receiver<Request>) -> Result<(), JournalError> {
        let mut batch = Vec::with_capacity(BATCH_REQUESTS);
        let kill = self.kill.clone();
        loop {
            let sleep = self.sleep();
            let received = tokio::select! {
                biased;
                () = kill.cancelled() => return Ok(()),
                received = inbox.recv_many(&mut batch, BATCH_REQUESTS) => received,
                () = tokio::time::sleep(sleep) => usize::MAX,
            };
            if received == 0 {
                return Ok(());
            }
            if !self.turn(&mut batch)? {
                return Ok(());
            }
        }
    }

    /// Handles these requests and what became due as one batch: decide, append, act. Says whether to go on.
    pub(super) fn turn(&mut self, batch: &mut Vec<Request>) -> Result<bool, JournalError> {
        self.now = Timestamp(self.clock.unix_ms());
        self.uptime = Uptime(self.clock.boottime_ms());
        let mut renewed = false;
        for request in batch.drain(..) {
            renewed |= self.handle(request);
        }
        self.time_passed();
        self.grant();
        self.commit(renewed)?;
        self.act();
        if let Some(stopped) = self.later.stop.take() {
            self.save_last_snapshot();
            self.sessions.close_all();
            // Whoever asked may not wait for it.
            let _ = stopped.send(());
            return Ok(false);
        }
        self.keep_snapshots();
        Ok(true)
    }

    /// All that is known.
    pub(super) fn view(&self) -> View<'_> {
        View { state: &self.state, fleet: &self.fleet, ledger: &self.ledger, now: self.now }
    }

    pub(super) fn sleep(&self) -> Duration {
        let (now, uptime) = (Timestamp(self.clock.unix_ms()), Uptime(self.clock.boottime_ms()));
        let lease = self.fleet.next_wakeup().map(|at| at.since(uptime));
        // A retry whose time has come waits for an agent, not for the clock.
        let retry = self.state.next_retry().filter(|at| *at > now).map(|at| at.since(now));
        let gate = self.state.next_gate().filter(|at| *at > now).map(|at| at.since(now));
        let sleep_ms =
            lease.into_iter().chain(retry).chain(gate).min().unwrap_or(MAX_SLEEP_MS).min(MAX_SLEEP_MS);
        Duration::from_millis(sleep_ms)
    }

    /// Handles one request; says whether its answer promises lease time.
    fn handle(&mut self, request: Request) -> bool {
        match request {
            Request::Submit { submit, stranger, origin, answer } => {
                let (again, run) = (submit.meta.run_attempt > 1, submit.run);
                let known = self.state.run(run).is_some();
                let result = self.submit(*submit);
                // Not what a repeated request made before: somebody may have let it begin meanwhile, or it is gone.
                let is_new = !known && self.state.run(run).is_some();
                if let Some(stranger) = stranger.filter(|_| is_new) {
                    self.hold(run, stranger);
                }
                let action = if again { "run.rerun" } else { "run.submit" };
                self.audit(origin, action, &result, |run| run.map_or_else(String::new, ToString::to_string));
                self.answer(answer, result);
            }
            Request::Cancel { cancel, origin, answer } => {
                let run = cancel.run;
                let result = self.decide(Command::Cancel(cancel)).map_err(DriverError::from);
                self.audit(origin, "run.cancel", &result, |_| run.to_string());
                self.answer(answer, result);
            }
            Request::DecideGates { decision, origin, answer } => self.review(decision, origin, answer),
            Request::Command { command, answer } => {
                let result = self.decide(command).map_err(DriverError::from);
                self.answer(answer, result);
            }
            Request::Hello { hello, link, answer } => {
                let result = self.hello(hello, link);
                self.answer(answer, result);
                return true;
            }
            Request::Disconnect { agent, session } => self.disconnect(agent, session),
            Request::FromAgent { agent, session, message } => {
                return self.agent_said(agent, session, message);
            }
            Request::Drain { agent, on, origin, answer } => {
                let known = self.drain(agent, on);
                let action = if on { "agent.drain" } else { "agent.resume" };
                let result = if known { Ok(()) } else { Err("there is no agent of this id") };
                self.audit(origin, action, &result, |_| agent.to_string());
                self.answer(answer, Ok(known));
            }
            Request::House { command, origin, answer } => {
                let result = self.house(command, origin);
                self.answer(answer, result);
            }
            Request::Scale { event, answer } => self.scale(event, answer),
            Request::Read { position, answer } => {
                // Damage far back is no reason to stop: whoever asked tells a person.
                let read =
                    self.journal.read(position).map_err(|error| DriverError::Journal(error.to_string()));
                let piece = read.map(|records| Piece { records, end: self.journal.end() });
                self.answer(answer, piece);
            }
            Request::Stretch { position, most, answer } => {
                let read = Stretch::read(&mut *self.journal, position, most);
                self.answer(answer, read.map_err(|error| DriverError::Journal(error.to_string())));
            }
            Request::Delivery { event, answer } => {
                let news = match &event {
                    DeliveryEvent::Accepted { id, .. } => !self.ledger.knows_delivery(id),
                    DeliveryEvent::Done { id, .. } => self.ledger.pending().any(|(pending, _)| pending == id),
                };
                if news {
                    self.take(Payload::Delivery(event));
                }
                self.answer(answer, Ok(news));
            }
            Request::Report { event, answer } => {
                self.take(Payload::Report(event));
                self.answer(answer, Ok(()));
            }
            Request::Note { origin, action, target, refused, answer } => {
                self.audit(origin, action, &refused.map_or(Ok(()), Err), |_| target);
                self.answer(answer, Ok(()));
            }
            Request::Snapshot { answer } => {
                let read = self.journal.snapshots().map_err(|error| DriverError::Journal(error.to_string()));
                self.answer(answer, read.map(|snapshots| snapshots.into_iter().next()));
            }
            Request::Query(look) => self.later.queries.push(look),
            Request::Stop { answer } => self.later.stop = Some(answer),
        }
        false
    }

    fn submit(&mut self, mut submit: Submit) -> Result<RunId, DriverError> {
        let run = submit.run;
        let meta = &mut submit.meta;
        // A run that repeats another keeps its number.
        if meta.run_number == 0 {
            meta.run_number = self.ledger.next_run_number(&meta.repository, &meta.workflow_file);
        }
        match self.decide(Command::Submit(Box::new(submit))) {
            Ok(()) => Ok(run),
            Err(Rejection::Duplicate { run }) => Ok(run),
            Err(rejection) => Err(rejection.into()),
        }
    }

    /// Journals who asked for something, with what came of it. `target`: the run or agent.
    pub(super) fn audit<T, E: std::fmt::Display>(
        &mut self,
        origin: Origin,
        action: &str,
        result: &Result<T, E>,
        target: impl FnOnce(Option<&T>) -> String,
    ) {
        let refused = result.as_ref().err().map(ToString::to_string);
        let target = target(result.as_ref().ok());
        self.take(Payload::Audit(AuditEntry::new(origin, action, target, refused, self.now)));
    }

    pub(super) fn answer<T: Send + 'static>(
        &mut self,
        answer: oneshot::Sender<Result<T, DriverError>>,
        result: Result<T, DriverError>,
    ) {
        self.later.answers.push(Box::new(move || {
            // Whoever asked may have gone.
            let _ = answer.send(result);
        }));
    }

    /// Decides a command and takes its events into this batch; then lets what is about to enter a concurrency group do so.
    pub(super) fn decide(&mut self, command: Command) -> Result<(), Rejection> {
        self.decide_one(command)?;
        while let Some(entry) = self.state.next_entry() {
            let before = self.entries.len();
            if let Err(rejection) = self.decide_one(entry) {
                tracing::warn!(%rejection, "a concurrency group cannot be entered");
                break;
            }
            if self.entries.len() == before {
                break;
            }
        }
        Ok(())
    }

    fn decide_one(&mut self, command: Command) -> Result<(), Rejection> {
        for event in decide(&self.state, command, &self.rules, self.now)? {
            self.take(Payload::Scheduler(event));
        }
        Ok(())
    }

    /// Takes an entry into this batch.
    pub(super) fn take(&mut self, payload: Payload) {
        match serde_json::to_vec(&payload) {
            Ok(bytes) => self.entries.push(Entry { time_ms: self.now.0, payload: bytes }),
            Err(error) => self.unwritable = Some(error.to_string()),
        }
        if let Some(place) = self.ledger.touched(&payload) {
            // Whoever hears of it asks, and is answered after the commit.
            self.watchers.touched(place.clone());
        }
        self.ledger.apply(&payload);
        let Payload::Scheduler(event) = payload else { return };
        self.state.apply(&event);
        self.fleet.observe(&self.state, &event, self.uptime);
        if let Event::Leased { .. } = event {
            self.metrics.leases_granted.add(1);
        }
        let mut effects = Vec::new();
        effects::of(&self.state, &event, &mut effects);
        for effect in effects {
            // A message is for the session that the agent has now: one that comes later hears it with its welcome.
            let session = match &effect {
                Effect::Tell(agent, _) => self.sessions.number(*agent),
                _ => None,
            };
            self.later.effects.push((effect, session));
        }
    }

    fn time_passed(&mut self) {
        for command in self.fleet.due(self.uptime) {
            if let Err(rejection) = self.decide(command) {
                tracing::debug!(%rejection, "a lease ended otherwise");
            }
        }
        self.pass_gates();
        self.end_held();
        let surplus: Vec<RunId> = self.state.retirable(FINISHED_RUNS_MAX).take(BATCH_RETIRED).collect();
        for run in surplus {
            if let Err(rejection) = self.decide(Command::RetireRun { run }) {
                tracing::warn!(%run, %rejection, "a run cannot be retired");
            }
        }
    }

    fn grant(&mut self) {
        for _ in 0..BATCH_GRANTS {
            let Some(grant) = self.fleet.next_grant(&self.state, self.now) else { return };
            let before = self.entries.len();
            if let Err(rejection) = self.decide(Command::Grant(grant)) {
                tracing::warn!(%rejection, "a grant was refused");
                return;
            }
            if self.entries.len() == before {
                return;
            }
        }
    }

    /// Makes this batch durable. A batch that only promises lease time checks that this leader's epoch still stands; one
    /// without anything does so now and then, as the leader's sign of life.
    fn commit(&mut self, renewed: bool) -> Result<(), JournalError> {
        if let Some(reason) = self.unwritable.take() {
            return Err(JournalError::Engine { place: "event".to_owned(), reason });
        }
        let started = Instant::now();
        let silent = u128::from(self.uptime.since(self.beat_at)) >= BEAT_EVERY.as_millis();
        if self.entries.is_empty() && !renewed && !silent {
            return Ok(());
        }
        self.beat_at = self.uptime;
        let before = self.journal.head();
        let end = self.journal.append(self.epoch, &self.entries)?;
        self.metrics.journal_end.set(end);
        if !self.entries.is_empty() {
            self.metrics.journal_batches.add(1);
            self.metrics.journal_records.add(self.entries.len() as u64);
            self.metrics.journal_append.observe(started.elapsed());
            let entries = std::mem::take(&mut self.entries);
            if let Some(tap) = &self.tap {
                tap.offer(Committed { before, after: self.journal.head(), entries });
            }
        }
        Ok(())
    }

    /// Does what follows from this batch.
    fn act(&mut self) {
        for (effect, session) in std::mem::take(&mut self.later.effects) {
            match effect {
                Effect::LeaseBegan(lease, agent) => self.tables.leases.begin(lease.run, lease.lease, agent),
                Effect::LeaseEnded(lease) => self.tables.leases.end(&lease),
                Effect::Tell(agent, message) => {
                    if let Some(cut_off) = self.sessions.tell(agent, session, message) {
                        self.fleet.disconnect(agent, cut_off);
                    }
                }
                Effect::Plan(run, _) if self.ledger.holds().holds(run) => {}
                Effect::Plan(run, job) => {
                    if let Some(request) = effects::plan_request(&self.state, self.ledger.house(), run, &job)
                    {
                        // A planner that is gone goes with the whole coordinator.
                        let _ = self.planner.send(Planning::Job(request));
                    }
                }
                Effect::Outputs(run, job, place) => {
                    if let Some(request) =
                        effects::outputs_request(&self.state, self.ledger.house(), run, &job, place)
                    {
                        // As above.
                        let _ = self.planner.send(Planning::Outputs(request));
                    }
                }
                Effect::Changed(run) => self.watchers.changed(run),
                Effect::Ended(ended) => {
                    if let RunEnded::Retired(run) = ended {
                        self.watchers.retired(run);
                    }
                    // As above.
                    let _ = self.ended.send(ended);
                }
            }
        }
        for event in std::mem::take(&mut self.later.house) {
            self.publish(&event);
        }
        for answer in self.later.answers.drain(..) {
            answer();
        }
        for look in std::mem::take(&mut self.later.queries) {
            look(self.view());
        }
    }
}
