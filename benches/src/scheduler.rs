//! `scheduler`: what a lease costs the pure scheduler, with a thousand to a million waiting jobs, with a thousand shares, and with
//! thousands of label sets that do not fit. Each beside the cost with a thousand waiting jobs of one repository.
//!
//! Measured is all of the single writer's work for one lease but its journal: choosing agent and instance, deciding, applying, and
//! the same for the end of the attempt. The queue is filled up again after every hundred.

use std::time::Instant;

use anyhow::{Context as _, bail};
use slipway_cas::Digest;
use slipway_scheduler::command::{
    Expansion, InstanceDefinition, JobDefinition, LeaseRef, Report, Resolution, ResolveJob, RunMeta,
    Standing, Submit, Trust,
};
use slipway_scheduler::fleet::AgentProfile;
use slipway_scheduler::limits::INSTANCES_PER_JOB_MAX;
use slipway_scheduler::{
    AgentId, Command, Event, Fleet, InstanceId, JobId, LabelSet, Outcome, Rules, RunId, State, Timestamp,
    Uptime, decide,
};

use crate::figure::{Figure, Samples};

/// Leases measured together; few beside the smallest queue's thousand. Then the queue is filled up again, unmeasured.
const LEASES: usize = 100;
/// How many such rounds; the median counts, so that what else the machine does disturbs little.
const ROUNDS: usize = 200;
/// Instances of one run here.
const INSTANCES_PER_RUN: usize = 100;

/// What waits.
#[derive(Debug, Clone, Copy)]
struct Load {
    waiting: usize,
    /// Repositories that it is spread over.
    shares: usize,
    /// More label sets, of one waiting instance each, that no agent has.
    strange_sets: usize,
}

/// Measures.
///
/// # Errors
/// When the scheduler refuses what it should take.
pub fn measure(max_waiting: usize) -> anyhow::Result<Vec<Figure>> {
    let base = Load { waiting: 1_000, shares: 1, strange_sets: 0 };
    let base_us = cost_us(base)?;
    let label = "the same with 1,000 waiting jobs";
    let mut figures = Vec::new();
    let sizes = [1_000, 10_000, 100_000, 1_000_000].into_iter().filter(|waiting| *waiting <= max_waiting);
    for waiting in sizes {
        let us = cost_us(Load { waiting, ..base })?;
        figures.push(Figure::new(format!("scheduler.lease_{waiting}_waiting"), "us", us, label, base_us));
    }
    for (name, load) in [
        ("1000_shares", Load { waiting: 100_000.min(max_waiting), shares: 1_000, ..base }),
        ("10000_strange_label_sets", Load { strange_sets: 10_000, ..base }),
    ] {
        let us = cost_us(load)?;
        figures.push(Figure::new(format!("scheduler.lease_{name}"), "us", us, label, base_us));
    }
    Ok(figures)
}

fn cost_us(load: Load) -> anyhow::Result<f64> {
    let mut hall = Hall::new(load)?;
    let mut rounds = Samples::default();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..LEASES {
            hall.lease_and_end()?;
        }
        rounds.add(start.elapsed());
        hall.refill(load)?;
    }
    Ok(rounds.quantile_ms(0.5) * 1_000.0 / LEASES as f64)
}

/// A scheduler and its fleet.
struct Hall {
    state: State,
    fleet: Fleet,
    rules: Rules,
    now: Timestamp,
    runs: u128,
    instances: u128,
    labels: LabelSet,
}

impl Hall {
    fn new(load: Load) -> anyhow::Result<Self> {
        let mut hall = Self {
            state: State::new(),
            fleet: Fleet::new(),
            rules: Rules::default(),
            now: Timestamp(1_000_000),
            runs: 0,
            instances: 0,
            labels: LabelSet::new(["self-hosted", "linux", "x64"]),
        };
        hall.command(Command::TakeOver { epoch: 1 })?;
        for number in 0..load.strange_sets {
            let labels = LabelSet::new(["linux".to_owned(), format!("strange-{number}")]);
            hall.submit("strange/one", &labels, 1)?;
        }
        hall.refill(load)?;
        let labels = LabelSet::new(["self-hosted", "linux", "x64", "docker", "host-1"]);
        let id = AgentId::from_u128(1);
        let profile =
            AgentProfile { id, name: String::new(), labels, slots: 1, accepts_untrusted: true, sizing: None };
        hall.fleet.hello(&hall.state, profile, &[], Uptime(0)).context("the fleet is full")?;
        Ok(hall)
    }

    /// As many waiting as there are to be.
    fn refill(&mut self, load: Load) -> anyhow::Result<()> {
        let old: Vec<RunId> = self.state.retirable(0).collect();
        for run in old {
            self.command(Command::RetireRun { run })?;
        }
        let wanted = load.waiting + load.strange_sets;
        let labels = self.labels.clone();
        while self.state.waiting_len() < wanted {
            let repository = format!("owner/{}", self.runs % load.shares as u128);
            let missing = wanted - self.state.waiting_len();
            let each = INSTANCES_PER_RUN.min(load.waiting / load.shares).clamp(1, INSTANCES_PER_JOB_MAX);
            self.submit(&repository, &labels, each.min(missing))?;
        }
        Ok(())
    }

    fn command(&mut self, command: Command) -> anyhow::Result<Vec<Event>> {
        let events = decide(&self.state, command, &self.rules, self.now)?;
        for event in &events {
            self.state.apply(event);
            self.fleet.observe(&self.state, event, Uptime(self.now.0));
        }
        Ok(events)
    }

    fn submit(&mut self, repository: &str, labels: &LabelSet, count: usize) -> anyhow::Result<()> {
        self.runs += 1;
        let run = RunId::from_u128(self.runs);
        let (job, blob) = (JobId::new("a"), Digest::of(b""));
        let meta = RunMeta {
            repository: repository.to_owned(),
            forge: "github.com".to_owned(),
            workflow_file: String::new(),
            workflow_name: String::new(),
            event_name: String::new(),
            git_ref: String::new(),
            sha: String::new(),
            actor: String::new(),
            trust: Trust::Trusted,
            traceparent: None,
            run_number: 1,
            run_attempt: 1,
        };
        self.command(Command::Submit(Box::new(Submit {
            run,
            meta,
            workflow: blob,
            event: blob,
            context: blob,
            jobs: vec![JobDefinition { id: job.clone(), needs: Vec::new(), strict: false }],
            idempotency_key: None,
            held: false,
            concurrency: None,
            carried: Vec::new(),
            standing: Standing::default(),
        })))?;
        let instances = (0..count).map(|index| {
            self.instances += 1;
            InstanceDefinition {
                id: InstanceId::from_u128(self.instances),
                index: index as u32,
                name: String::new(),
                labels: labels.clone(),
                strict: false,
                restart_allowed: false,
                timeout_ms: 60_000,
                continue_on_error: false,
                spec: blob,
                concurrency: None,
                gate: None,
                turn: None,
                deploys_to: None,
            }
        });
        let expansion = Expansion { instances: instances.collect(), fail_fast: false, max_parallel: None };
        let resolution = Resolution::Instances(expansion);
        self.command(Command::ResolveJob(ResolveJob { run, job, cancelled: false, resolution }))?;
        Ok(())
    }

    fn lease_and_end(&mut self) -> anyhow::Result<()> {
        let grant = self.fleet.next_grant(&self.state, self.now).context("nobody gets anything")?;
        let events = self.command(Command::Grant(grant))?;
        let Some(Event::Leased { instance, attempt, token, .. }) = events.first() else {
            bail!("a grant leased nothing");
        };
        let lease = LeaseRef { instance: *instance, attempt: *attempt, token: *token };
        let outcome = Outcome::Success { outputs: None };
        self.command(Command::Report(Report { lease, outcome, records: 0, records_digest: None }))?;
        Ok(())
    }
}
