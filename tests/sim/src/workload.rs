//! Random runs, and what the planner says about their jobs.

use slipway_cas::Digest;
use slipway_scheduler::command::{
    CallDefinition, CallExpansion, Concurrency, Expansion, Gate, InstanceDefinition, JobDefinition, Queueing,
    Resolution, ResolveJob, RunMeta, Standing, Submit, Trust,
};
use slipway_scheduler::fleet::{AgentProfile, Resources, Sizing};
use slipway_scheduler::{AgentId, FleetCause, InstanceId, JobId, LabelSet, Outcome, RunId, State};

use crate::random::Random;

/// How deep calls nest here.
const CALL_LEVELS: usize = 3;

/// Each a share of its own, unless its runs are in another.
const REPOSITORIES: [&str; 3] = ["o/a", "o/b", "o/c"];

/// Mostly none; else a share of several repositories, or a priority.
fn standing(random: &mut Random) -> Standing {
    let share = random.chance(300).then(|| "infra".to_owned());
    let weight = if share.is_some() { 3 } else { 1 };
    let priority = if random.chance(300) { random.below(5) as i8 - 2 } else { 0 };
    Standing { share, weight, priority }
}

/// The environments; the last is nobody's.
pub(crate) const ENVIRONMENTS: [&str; 3] = ["production", "staging", "nowhere"];

/// Who reviews them; nobody may review as the last.
pub(crate) const PEOPLE: [&str; 3] = ["alice", "bob", "eve"];

/// What an instance's environment asks. It depends on the instance alone: the rest of a world is as it would be without.
fn gate_of(instance: InstanceId) -> Option<Box<Gate>> {
    let (high, low) = instance.0.as_u64_pair();
    let mut random = Random::about(high, &[low, Random::name("gate")]);
    random.chance(60).then(|| Box::new(gate(&mut random)))
}

/// Whether an instance needs its turn at an environment, and at which; follows from its id, as its gate does.
fn turn_of(instance: InstanceId) -> Option<Box<str>> {
    let (high, low) = instance.0.as_u64_pair();
    let mut random = Random::about(high, &[low, Random::name("turn")]);
    random.chance(60).then(|| ENVIRONMENTS[random.below(2) as usize].into())
}

/// Everything that an environment may ask for. What nobody decides about ends in minutes: a healed world has to.
fn gate(random: &mut Random) -> Gate {
    let approval = random.chance(700);
    Gate {
        environment: ENVIRONMENTS[random.below(2) as usize].to_owned(),
        approval,
        reviewers: if random.chance(500) {
            vec![PEOPLE[0].to_owned(), PEOPLE[2].to_owned()]
        } else {
            Vec::new()
        },
        barred: vec![PEOPLE[2].to_owned()],
        wait_ms: if random.chance(500) { random.between(1, 60_000) } else { 0 },
        expires_ms: random.between(60_000, 600_000),
    }
}

/// Names and label sets that every seed shares.
pub(crate) struct Workload {
    ids: Vec<JobId>,
    /// Most jobs of a run.
    jobs: u64,
    /// What jobs ask for.
    asked: Vec<LabelSet>,
}

/// Any blob: its bytes play no part here.
fn blob(random: &mut Random) -> Digest {
    Digest::from_parts([random.bits() as u8; 32], random.below(1_000))
}

impl Workload {
    pub(crate) fn new(jobs: u64) -> Self {
        Self {
            jobs,
            ids: ["a", "b", "c", "d", "e", "f", "g"].map(JobId::new).to_vec(),
            asked: vec![
                LabelSet::new(["linux"]),
                LabelSet::new(["linux", "x64"]),
                LabelSet::new(["linux", "arm64"]),
                LabelSet::new(["linux", "x64", "gpu"]),
            ],
        }
    }

    /// A new run.
    pub(crate) fn submit(&self, random: &mut Random, idempotency_key: Option<String>) -> Submit {
        let count = random.between(1, self.jobs) as usize;
        let dense = random.between(0, 700);
        let jobs = self.ids.iter().take(count).enumerate().map(|(at, id)| JobDefinition {
            id: id.clone(),
            needs: self.ids.iter().take(at).filter(|_| random.chance(dense)).cloned().collect(),
            strict: random.chance(60),
        });
        let jobs = jobs.collect();
        let trust = if random.chance(200) { Trust::Untrusted } else { Trust::Trusted };
        let meta = RunMeta {
            repository: REPOSITORIES[random.below(REPOSITORIES.len() as u64) as usize].to_owned(),
            forge: String::new(),
            workflow_file: String::new(),
            workflow_name: String::new(),
            event_name: String::new(),
            git_ref: String::new(),
            sha: String::new(),
            actor: String::new(),
            trust,
            traceparent: None,
            run_number: 1,
            run_attempt: 1,
        };
        Submit {
            run: RunId::from_u128(random.wide()),
            meta,
            workflow: blob(random),
            event: blob(random),
            context: blob(random),
            jobs,
            idempotency_key,
            carried: Vec::new(),
            concurrency: self.concurrency(random),
            held: random.chance(200),
            standing: standing(random),
        }
    }

    /// A third of the runs share two groups, under every rule there is.
    fn concurrency(&self, random: &mut Random) -> Option<Concurrency> {
        if !random.chance(333) {
            return None;
        }
        let group = if random.chance(500) { "deploy" } else { "Pages" }.to_owned();
        let queue = if random.chance(300) { Queueing::Max } else { Queueing::Single };
        Some(Concurrency { group, cancel_in_progress: random.chance(400), queue })
    }

    /// What the planner finds for a job that is ready, as the state is now.
    pub(crate) fn plan(
        &self,
        random: &mut Random,
        state: &State,
        run: RunId,
        job: &JobId,
    ) -> Option<ResolveJob> {
        let run = state.run(run)?;
        let lineage = run.job(job.as_str())?.lineage();
        let cancelled = run.is_cancelled_for(run.job(job.as_str())?);
        let condition = match random.below(10) {
            0..=6 => lineage.all_succeeded() && !cancelled,
            7 => lineage.failed && !cancelled,
            _ => true,
        };
        let resolution = if !condition {
            Resolution::Skip { reason: String::new() }
        } else if random.chance(20) {
            Resolution::Invalid { message: String::new() }
        } else {
            let found = run.job(job.as_str())?;
            // Who holds a group and waits for another may wait for ever, as on GitHub.
            let alone = run.concurrency().is_none() && run.caller_of(found).is_none();
            if random.chance(250) && run.calls_above(found).count() < CALL_LEVELS {
                Resolution::Calls(self.calls(random, job, alone))
            } else {
                Resolution::Instances(self.expansion(random, alone))
            }
        };
        Some(ResolveJob { run: run.id(), job: job.clone(), cancelled, resolution })
    }

    /// One call, or a matrix of them. `groups`: they may have concurrency groups.
    fn calls(&self, random: &mut Random, job: &JobId, groups: bool) -> CallExpansion {
        let count = if random.chance(500) { 1 } else { random.between(2, 4) };
        let calls = (1..=count).map(|at| {
            let jobs = random.between(1, 3) as usize;
            let dense = random.between(0, 900);
            let jobs = self.ids.iter().take(jobs).enumerate().map(|(at, id)| JobDefinition {
                id: id.clone(),
                needs: self.ids.iter().take(at).filter(|_| random.chance(dense)).cloned().collect(),
                strict: random.chance(60),
            });
            let jobs = jobs.collect();
            CallDefinition {
                id: if count == 1 { job.clone() } else { JobId::from(format!("{job}#{at}")) },
                name: String::new(),
                context: blob(random),
                has_outputs: random.chance(500),
                jobs,
                concurrency: if groups && random.chance(200) { self.concurrency(random) } else { None },
            }
        });
        let calls = calls.collect();
        let max_parallel = random.chance(300).then(|| random.between(1, 3) as u32);
        CallExpansion { calls, fail_fast: random.chance(600), max_parallel }
    }

    /// What the planner finds for the outputs of a call.
    pub(crate) fn outputs(&self, random: &mut Random) -> Result<Option<Digest>, String> {
        if random.chance(30) { Err(String::new()) } else { Ok(random.chance(700).then(|| blob(random))) }
    }

    /// `groups`: jobs may have concurrency groups.
    fn expansion(&self, random: &mut Random, groups: bool) -> Expansion {
        let count = if random.chance(500) { 1 } else { random.between(1, 6) };
        let labels = &self.asked;
        let continue_on_error = random.chance(150);
        let strict = random.chance(250);
        let restart_allowed = random.chance(600);
        let instances = (0..count).map(|index| InstanceDefinition {
            id: InstanceId::from_u128(random.wide()),
            index: index as u32,
            name: String::new(),
            labels: labels.get(random.below(labels.len() as u64) as usize).cloned().unwrap_or_default(),
            strict,
            restart_allowed,
            timeout_ms: random.between(30_000, 300_000),
            continue_on_error: continue_on_error || random.chance(50),
            spec: blob(random),
            concurrency: if groups && random.chance(200) { self.concurrency(random) } else { None },
            gate: None,
            turn: None,
            deploys_to: None,
        });
        let mut instances: Vec<InstanceDefinition> = instances.collect();
        for instance in &mut instances {
            instance.gate = gate_of(instance.id);
            instance.turn = turn_of(instance.id);
        }
        let max_parallel = random.chance(300).then(|| random.between(1, 3) as u32);
        Expansion { instances, fail_fast: random.chance(600), max_parallel }
    }
}

/// The first so many agents.
pub(crate) fn fleet(count: usize) -> Vec<AgentProfile> {
    let agent = |at: u128, labels: &[&str], slots, accepts_untrusted| AgentProfile {
        id: AgentId::from_u128(at),
        name: String::new(),
        labels: LabelSet::new(labels),
        slots,
        accepts_untrusted,
        sizing: None,
    };
    // The first fits everything, so that in a healed world no run waits for good.
    let mut fleet = vec![
        agent(1, &["linux", "x64", "arm64", "gpu"], 2, true),
        agent(2, &["linux", "x64"], 4, false),
        agent(3, &["linux", "x64"], 2, true),
        agent(4, &["linux", "arm64"], 3, false),
    ];
    fleet.truncate(count);
    fleet
}

/// Two jobs at a time, but a job for the graphics card alone.
pub(crate) fn sizing() -> Sizing {
    let amount = |cpu_millis| Resources { cpu_millis, memory_bytes: cpu_millis << 20 };
    let sizes = [("gpu".to_owned(), amount(4_000))].into();
    Sizing { total: amount(4_000), each: amount(1_500), sizes }
}

/// How long an attempt takes, and how it ends, if nothing comes between.
pub(crate) fn behaviour(random: &mut Random, failure: Option<Random>) -> (u64, Outcome) {
    let length_ms = match random.below(10) {
        0..=4 => random.between(50, 2_000),
        5..=7 => random.between(1_000, 20_000),
        _ => random.between(10_000, 120_000),
    };
    let outcome = if let Some(mut random) = failure {
        let causes = FleetCause::ALL;
        let cause = causes.get(random.below(causes.len() as u64) as usize).copied();
        Outcome::Fleet { cause: cause.unwrap_or(FleetCause::Internal) }
    } else if random.chance(120) {
        Outcome::Failure { outputs: None }
    } else {
        Outcome::Success { outputs: random.chance(300).then(|| blob(random)) }
    };
    (length_ms, outcome)
}
