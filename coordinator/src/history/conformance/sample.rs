//! A journal as a busy coordinator leaves it: the real scheduler, asked at random.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use slipway_cas::Digest;
use slipway_scheduler::command::{
    AgentView, Cancel, Concurrency, Expansion, Expire, Grant, InstanceDefinition, JobDefinition, LeaseRef,
    Report, Resolution, ResolveJob, RunMeta, Standing, Submit, Trust,
};
use slipway_scheduler::state::Phase;
use slipway_scheduler::{
    AgentId, Command, Event, FleetCause, InstanceId, JobId, LabelSet, Outcome, Rules, RunId, State,
    Timestamp, decide,
};

use crate::audit::{AuditEntry, Origin};
use crate::driver::payload::{AttemptNote, Payload};
use crate::journal::memory::MemoryJournal;
use crate::journal::{Address, Entry, Journal as _, lead};

/// Agents of the sample.
pub(super) const AGENTS: u128 = 3;

/// The sample's only clock begins here: 2026-01-01.
const FIRST_MS: u64 = 1_767_225_600_000;

/// A coordinator's journal, and what is needed to go on with it.
pub(super) struct Sample {
    pub(super) journal: MemoryJournal,
    epoch: u64,
    state: State,
    now: Timestamp,
    random: u64,
    next_id: u128,
    entries: Vec<Entry>,
    ready: BTreeSet<(RunId, JobId)>,
}

impl Sample {
    pub(super) fn new(seed: u64) -> Self {
        let mut journal = MemoryJournal::new();
        let epoch = lead(&mut journal, &Address::default()).unwrap();
        let mut sample = Self {
            journal,
            epoch,
            state: State::new(),
            now: Timestamp(FIRST_MS),
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            next_id: u128::from(seed) << 64,
            entries: Vec::new(),
            ready: BTreeSet::new(),
        };
        sample.command(Command::TakeOver { epoch });
        sample
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        // Xorshift: what matters is only that it is the same each time.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % end
    }

    /// Another coordinator's journal that begins with this one's records up to a position, and goes on by itself.
    pub(super) fn fork(&mut self, position: u64, seed: u64) -> Self {
        let mut fork = Self::new(seed);
        let (mut records, mut from) = (Vec::new(), 0);
        while from < self.journal.end() {
            records.extend(self.journal.read(from).unwrap());
            from = records.last().unwrap().position;
        }
        records.truncate(usize::try_from(position).unwrap());
        (fork.state, fork.journal) = (State::new(), MemoryJournal::new());
        fork.entries.clear();
        fork.journal.import(&records, self.epoch).unwrap();
        fork.epoch = lead(&mut fork.journal, &Address::default()).unwrap();
        for record in &records {
            if let Payload::Scheduler(event) = serde_json::from_slice(&record.payload).unwrap() {
                fork.apply(&event);
            }
            fork.now = Timestamp(record.time_ms);
        }
        fork.command(Command::TakeOver { epoch: fork.epoch });
        fork
    }

    /// Something happens, and is journaled.
    pub(super) fn go_on(&mut self, steps: usize) {
        for _ in 0..steps {
            self.now = Timestamp(self.now.0 + 1 + self.below(400_000));
            self.something();
            if self.below(3) == 0 {
                self.commit();
            }
        }
        self.commit();
    }

    fn commit(&mut self) {
        let entries = std::mem::take(&mut self.entries);
        self.journal.append(self.epoch, &entries).unwrap();
    }

    fn id(&mut self) -> u128 {
        self.next_id += 1;
        self.next_id
    }

    fn pick<T>(&mut self, mut of: Vec<T>) -> Option<T> {
        if of.is_empty() {
            return None;
        }
        let at = self.below(of.len() as u64) as usize;
        Some(of.swap_remove(at))
    }

    fn take(&mut self, payload: Payload) {
        let bytes = serde_json::to_vec(&payload).unwrap();
        self.entries.push(Entry { time_ms: self.now.0, payload: bytes });
        if let Payload::Scheduler(event) = payload {
            self.apply(&event);
        }
    }

    fn apply(&mut self, event: &Event) {
        self.state.apply(event);
        match event {
            Event::JobReady { run, job } => drop(self.ready.insert((*run, job.clone()))),
            Event::RunRetired { run } => self.ready.retain(|(ready, _)| ready != run),
            _ => {}
        }
    }

    /// What the scheduler refuses does not happen.
    fn command(&mut self, command: Command) -> bool {
        let Ok(events) = decide(&self.state, command, &Rules::default(), self.now) else { return false };
        events.into_iter().for_each(|event| self.take(Payload::Scheduler(event)));
        while let Some(entry) = self.state.next_entry() {
            let events = decide(&self.state, entry, &Rules::default(), self.now).unwrap();
            events.into_iter().for_each(|event| self.take(Payload::Scheduler(event)));
        }
        true
    }

    fn something(&mut self) {
        match self.below(20) {
            0..=2 => self.submit(),
            3..=6 => self.resolve(),
            7..=11 => self.grant(),
            12..=17 => self.end(),
            18 => {
                let run = self.state.runs().map(slipway_scheduler::state::Run::id).collect();
                let Some(run) = self.pick(run) else { return };
                let (actor, reason) = ("eve".to_owned(), "not wanted".to_owned());
                self.command(Command::Cancel(Cancel { run, actor, reason }));
            }
            _ => {
                let over = self.state.runs().filter(|run| run.end().is_some());
                let over: Vec<RunId> = over.map(slipway_scheduler::state::Run::id).collect();
                if let Some(run) = self.pick(over).filter(|_| self.state.runs().count() > 5) {
                    self.command(Command::RetireRun { run });
                }
            }
        }
    }

    fn submit(&mut self) {
        let (run, blob) = (RunId::from_u128(self.id()), Digest::of(b""));
        let job = |id: &str, needs: &[&str]| JobDefinition {
            id: JobId::new(id),
            needs: needs.iter().map(|need| JobId::new(need)).collect(),
            strict: false,
        };
        let repository = format!("o/repository-{}", self.below(3));
        let jobs = match self.below(3) {
            0 => vec![job("build", &[])],
            1 => vec![job("build", &[]), job("test", &["build"])],
            _ => vec![job("build", &[]), job("lint", &[]), job("test", &["build", "lint"])],
        };
        let submit = Submit {
            run,
            meta: RunMeta {
                repository,
                forge: "github.com".to_owned(),
                workflow_file: ".github/workflows/ci.yml".to_owned(),
                workflow_name: "CI 'quoted' \0 and odd".to_owned(),
                event_name: "push".to_owned(),
                git_ref: "refs/heads/main".to_owned(),
                sha: "a".repeat(40),
                actor: "ada".to_owned(),
                trust: if self.below(4) == 0 { Trust::Untrusted } else { Trust::Trusted },
                traceparent: None,
                run_number: self.below(1_000) + 1,
                run_attempt: 1,
            },
            workflow: blob,
            event: blob,
            context: blob,
            jobs,
            idempotency_key: None,
            held: false,
            concurrency: None,
            carried: Vec::new(),
            standing: Standing::default(),
        };
        self.command(Command::Submit(Box::new(submit)));
        let origin = Origin { actor: "ada".to_owned(), source: "http 192.0.2.7".to_owned() };
        let entry = AuditEntry::new(origin, "run.submit", run.to_string(), None, self.now);
        self.take(Payload::Audit(entry));
    }

    fn resolve(&mut self) {
        let ready = self.ready.iter().cloned().collect();
        let Some((run, job)) = self.pick(ready) else { return };
        self.ready.remove(&(run, job.clone()));
        let Some(state) = self.state.run(run) else { return };
        let Some(found) = state.job(job.as_str()) else { return };
        let cancelled = state.is_cancelled_for(found);
        let resolution = match self.below(10) {
            0 => Resolution::Skip { reason: "its `if` is false".to_owned() },
            1 => Resolution::Invalid { message: "ci.yml:7: no such context".to_owned() },
            _ => self.instances(&job),
        };
        self.command(Command::ResolveJob(ResolveJob { run, job, cancelled, resolution }));
    }

    fn instances(&mut self, job: &JobId) -> Resolution {
        let count = 1 + self.below(3) as u32;
        let instances = (0..count).map(|index| InstanceDefinition {
            id: InstanceId::from_u128(self.id()),
            index,
            name: format!("{job} ({index})"),
            labels: LabelSet::new(["self-hosted", "linux"]),
            strict: false,
            restart_allowed: false,
            timeout_ms: 3_600_000,
            continue_on_error: self.below(5) == 0,
            spec: Digest::of(b"spec"),
            concurrency: (self.below(5) == 0).then(|| Concurrency {
                group: "deploy".to_owned(),
                cancel_in_progress: false,
                queue: slipway_scheduler::command::Queueing::Max,
            }),
            gate: None,
            turn: None,
            deploys_to: None,
        });
        let instances = instances.collect();
        let max_parallel = (self.below(3) == 0).then_some(1);
        Resolution::Instances(Expansion { instances, fail_fast: self.below(2) == 0, max_parallel })
    }

    fn grant(&mut self) {
        let jobs = self.state.runs().flat_map(slipway_scheduler::state::Run::jobs);
        let instances = jobs.flat_map(|job| self.state.instances_of(job));
        let waiting = instances.filter(|instance| matches!(instance.phase(), Phase::Waiting { .. }));
        let waiting = waiting.map(slipway_scheduler::state::Instance::id).collect();
        let Some(instance) = self.pick(waiting) else { return };
        let agent = AgentView {
            id: AgentId::from_u128(1 + u128::from(self.below(AGENTS as u64))),
            labels: LabelSet::new(["self-hosted", "linux"]),
            accepts_untrusted: true,
        };
        self.command(Command::Grant(Grant { agent, instance }));
    }

    fn end(&mut self) {
        let leases: Vec<LeaseRef> = self.state.leases().map(|(lease, _)| lease).collect();
        let Some(lease) = self.pick(leases) else { return };
        let run = self.state.instance(lease.instance).unwrap().run();
        let outcome = match self.below(12) {
            0 => {
                self.command(Command::Decline(lease));
                return;
            }
            1 => {
                let cause = FleetCause::AgentLost;
                self.command(Command::Expire(Expire { lease, cause }));
                return;
            }
            2 => Outcome::Fleet { cause: FleetCause::ImagePull },
            3 | 4 => Outcome::Failure { outputs: None },
            5 => Outcome::TimedOut,
            _ => Outcome::Success { outputs: None },
        };
        let (records, records_digest) = (1 + self.below(50), Some(Digest::of(b"records")));
        if self.command(Command::Report(Report { lease, outcome, records, records_digest })) {
            let message = "as it said".to_owned();
            let LeaseRef { instance, attempt, .. } = lease;
            self.take(Payload::AttemptNote(AttemptNote { run, instance, attempt, message }));
        }
    }
}
