//! A scheduler on a stage: commands in few words, every invariant checked after each event.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use slipway_cas::Digest;
use slipway_scheduler::command::{
    AgentView, CallDefinition, CallExpansion, Cancel, Expansion, Expire, Grant, InstanceDefinition,
    JobDefinition, LeaseRef, Report, Resolution, ResolveJob, RunMeta, Submit, Trust,
};
use slipway_scheduler::invariant::{self, Monitor};
use slipway_scheduler::{
    AgentId, Command, Event, FleetCause, InstanceId, JobId, JobResult, LabelSet, Outcome, Rejection, Rules,
    RunId, State, Timestamp, decide,
};

pub const RUN: RunId = RunId::from_u128(1);

pub const SUCCESS: Outcome = Outcome::Success { outputs: None };
pub const FAILURE: Outcome = Outcome::Failure { outputs: None };

pub const fn fleet_failure(cause: FleetCause) -> Outcome {
    Outcome::Fleet { cause }
}

pub struct Scene {
    pub state: State,
    pub journal: Vec<Event>,
    pub now: Timestamp,
    pub rules: Rules,
    monitor: Monitor,
}

impl Scene {
    /// A leader of epoch 1 leads.
    pub fn new() -> Self {
        let mut scene = Self {
            state: State::new(),
            journal: Vec::new(),
            now: Timestamp(1_000_000),
            rules: Rules::default(),
            monitor: Monitor::new(),
        };
        scene.run(Command::TakeOver { epoch: 1 });
        scene
    }

    /// A leader, and [`RUN`] with these jobs: `"a"`, or `"b: a c"` for one that needs `a` and `c`.
    pub fn with(jobs: &[&str]) -> Self {
        let mut scene = Self::new();
        scene.run(Command::Submit(Box::new(submit(RUN, jobs))));
        scene
    }

    /// Decides a command, and lets what is about to enter a concurrency group do so, as a driver does.
    pub fn attempt(&mut self, command: Command) -> Result<Vec<Event>, Rejection> {
        let mut events = self.decide(command)?;
        while let Some(entry) = self.state.next_entry() {
            events.extend(self.decide(entry).unwrap());
        }
        Ok(events)
    }

    fn decide(&mut self, command: Command) -> Result<Vec<Event>, Rejection> {
        let events = decide(&self.state, command, &self.rules, self.now)?;
        for event in &events {
            self.monitor.before(&self.state, event).unwrap();
            self.state.apply(event);
            self.monitor.after(&self.state, event).unwrap();
        }
        invariant::check(&self.state).unwrap();
        self.journal.extend(events.iter().cloned());
        Ok(events)
    }

    pub fn run(&mut self, command: Command) -> Vec<Event> {
        let shown = format!("{command:?}");
        self.attempt(command).unwrap_or_else(|rejection| panic!("{shown}: {rejection}"))
    }

    pub fn resolve(&mut self, job: &str, resolution: Resolution) -> Vec<Event> {
        let run = self.state.run(RUN).unwrap();
        let cancelled = run.is_cancelled_for(run.job(job).unwrap());
        self.run(Command::ResolveJob(ResolveJob { run: RUN, job: job.into(), cancelled, resolution }))
    }

    /// The job becomes instances with these numbers.
    pub fn expand(&mut self, job: &str, numbers: &[u128]) -> Vec<Event> {
        self.resolve(job, instances(numbers))
    }

    pub fn skip(&mut self, job: &str) -> Vec<Event> {
        self.resolve(job, Resolution::Skip { reason: "no".into() })
    }

    /// Leases as much as this agent gets, as if nobody had been served before.
    pub fn grant(&mut self, agent: u128, slots: u32) -> Vec<LeaseRef> {
        self.grant_to(&view(agent, &["linux", "x64"]), slots)
    }

    pub fn grant_to(&mut self, agent: &AgentView, slots: u32) -> Vec<LeaseRef> {
        let mut granted = Vec::new();
        while granted.len() < slots as usize
            && let Some(instance) = self.state.work_for(agent, self.now)
        {
            let grant = Grant { agent: agent.clone(), instance };
            granted.extend(leases(&self.run(Command::Grant(grant))));
        }
        granted
    }

    pub fn report(&mut self, lease: LeaseRef, outcome: Outcome) -> Vec<Event> {
        self.run(Command::Report(Report { lease, outcome, records: 7, records_digest: None }))
    }

    pub fn expire(&mut self, lease: LeaseRef, cause: FleetCause) -> Vec<Event> {
        self.run(Command::Expire(Expire { lease, cause }))
    }

    pub fn cancel(&mut self) -> Vec<Event> {
        self.run(Command::Cancel(Cancel { run: RUN, actor: "me".into(), reason: "enough".into() }))
    }

    /// The job's instances with these numbers run one after the other and end so.
    pub fn finish(&mut self, job: &str, ends: &[(u128, Outcome)]) {
        let numbers: Vec<_> = ends.iter().map(|(number, _)| *number).collect();
        self.expand(job, &numbers);
        for (number, outcome) in ends {
            let lease = self.grant(9, 1)[0];
            assert_eq!(lease.instance, InstanceId::from_u128(*number));
            self.report(lease, *outcome);
        }
    }

    pub fn job_result(&self, job: &str) -> Option<JobResult> {
        self.state.run(RUN).unwrap().job(job).unwrap().result()
    }

    pub fn result(&self, number: u128) -> Option<JobResult> {
        self.state.instance(InstanceId::from_u128(number)).unwrap().result()
    }

    pub fn run_result(&self) -> Option<JobResult> {
        self.state.run(RUN).unwrap().end().map(|end| end.result)
    }

    pub fn pass(&mut self, milliseconds: u64) {
        self.now = self.now.after(milliseconds);
    }
}

pub fn submit(run: RunId, jobs: &[&str]) -> Submit {
    let job = |text: &&str| {
        let (id, needs) = text.split_once(':').unwrap_or((text, ""));
        JobDefinition {
            id: id.into(),
            needs: needs.split_whitespace().map(JobId::from).collect(),
            strict: false,
        }
    };
    Submit {
        run,
        meta: RunMeta {
            repository: "octo/hello".into(),
            forge: "github.com".into(),
            workflow_file: ".github/workflows/ci.yml".into(),
            workflow_name: "CI".into(),
            event_name: "push".into(),
            git_ref: "refs/heads/main".into(),
            sha: "0".repeat(40),
            actor: "octocat".into(),
            trust: Trust::Trusted,
            traceparent: None,
            run_number: 1,
            run_attempt: 1,
        },
        workflow: Digest::of(b"workflow"),
        event: Digest::of(b"event"),
        context: Digest::of(b"context"),
        jobs: jobs.iter().map(job).collect(),
        idempotency_key: None,
        held: false,
        carried: Vec::new(),
        concurrency: None,
        standing: Default::default(),
    }
}

pub fn definition(number: u128) -> InstanceDefinition {
    InstanceDefinition {
        id: InstanceId::from_u128(number),
        index: 0,
        name: format!("instance {number}"),
        labels: LabelSet::new(["linux"]),
        strict: false,
        restart_allowed: false,
        timeout_ms: 60_000,
        continue_on_error: false,
        spec: Digest::of(b"spec"),
        concurrency: None,
        gate: None,
        turn: None,
        deploys_to: None,
    }
}

pub fn expansion(numbers: &[u128]) -> Expansion {
    Expansion {
        instances: numbers.iter().map(|number| definition(*number)).collect(),
        fail_fast: false,
        max_parallel: None,
    }
}

pub fn instances(numbers: &[u128]) -> Resolution {
    Resolution::Instances(expansion(numbers))
}

/// A call `id` of a workflow with these jobs, as [`submit`] takes them.
pub fn call(id: &str, jobs: &[&str]) -> CallDefinition {
    CallDefinition {
        id: id.into(),
        name: format!("call {id}"),
        context: Digest::of(id.as_bytes()),
        has_outputs: false,
        jobs: submit(RUN, jobs).jobs,
        concurrency: None,
    }
}

pub fn calls(calls: Vec<CallDefinition>) -> CallExpansion {
    CallExpansion { calls, fail_fast: false, max_parallel: None }
}

pub fn view(agent: u128, labels: &[&str]) -> AgentView {
    AgentView { id: AgentId::from_u128(agent), labels: LabelSet::new(labels), accepts_untrusted: false }
}

pub fn leases(events: &[Event]) -> Vec<LeaseRef> {
    let lease = |event: &Event| match event {
        Event::Leased { instance, attempt, token, .. } => {
            Some(LeaseRef { instance: *instance, attempt: *attempt, token: *token })
        }
        _ => None,
    };
    events.iter().filter_map(lease).collect()
}

/// The events' kinds, as in the journal.
pub fn kinds(events: &[Event]) -> Vec<String> {
    let kind = |event: &Event| serde_json::to_value(event).unwrap()["type"].as_str().unwrap().to_owned();
    events.iter().map(kind).collect()
}

pub fn ready(events: &[Event]) -> Vec<&str> {
    let job = |event: &'_ Event| match event {
        Event::JobReady { job, .. } => Some(job.as_str().to_owned()),
        _ => None,
    };
    // Leaked on purpose: a few bytes in a test, for comparisons that read well.
    events.iter().filter_map(job).map(|job| &*job.leak()).collect()
}
