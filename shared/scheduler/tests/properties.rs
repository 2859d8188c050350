//! Whatever is asked, in whatever order: the invariants hold, refusals have no effect, and the journal is the truth.
#![allow(clippy::unwrap_used, clippy::panic)]

mod scene;

use proptest::collection::vec;
use proptest::prelude::*;
use scene::{FAILURE, SUCCESS, Scene, call, expansion, fleet_failure, instances, submit, view};
use slipway_scheduler::command::{
    CallDefinition, CallExpansion, Cancel, Concurrency, DecideGates, Entrant, Expansion, Expire, ExtendLease,
    FinishCall, Gate, Grant, LeaseRef, Queueing, Report, Resolution, ResolveJob, Standing,
};
use slipway_scheduler::state::{CallPhase, Job, Stage};
use slipway_scheduler::{
    Command, FencingToken, FleetCause, InstanceId, JobId, Outcome, RunId, State, policy,
};

const RUNS: u128 = 3;
const JOBS: [&str; 4] = ["a", "b: a", "c: a", "d: b c"];

fn run_id() -> impl Strategy<Value = RunId> {
    (0..RUNS).prop_map(RunId::from_u128)
}

/// Any lease at all, most of them of nothing.
fn any_lease() -> impl Strategy<Value = LeaseRef> {
    (0u128..40, 1u32..3, 0u64..4, 0u64..30).prop_map(|(instance, attempt, epoch, sequence)| LeaseRef {
        instance: InstanceId::from_u128(instance),
        attempt,
        token: FencingToken { epoch, sequence },
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        3 => Just(SUCCESS),
        2 => Just(FAILURE),
        1 => Just(Outcome::Cancelled),
        1 => Just(Outcome::TimedOut),
        3 => (0..FleetCause::ALL.len()).prop_map(|at| fleet_failure(FleetCause::ALL[at])),
    ]
}

/// A command, with its lease still to be chosen: `pick` names one of the live ones.
#[derive(Debug, Clone)]
enum Step {
    Plain(Command),
    /// Grants what has its turn, or any instance at all.
    Grant {
        agent: u128,
        any: Option<usize>,
    },
    /// Resolves some ready job, with calls.
    Call {
        pick: usize,
        count: u8,
        fail_fast: bool,
        max_parallel: Option<u32>,
        has_outputs: bool,
        group: Option<u8>,
        cancel_in_progress: bool,
    },
    /// Answers for some call that is done.
    Answer {
        pick: usize,
        fails: bool,
    },
    /// Resolves some ready job, with new instances.
    Plan {
        pick: usize,
        count: u8,
        fail_fast: bool,
        max_parallel: Option<u32>,
        skip: bool,
        strict: bool,
        group: Option<u8>,
        cancel_in_progress: bool,
        gate: Option<Gate>,
        turn: bool,
    },
    /// Looks after what waits for an environment, whether its time has come or not.
    PassGate {
        pick: usize,
    },
    Report {
        pick: usize,
        outcome: Outcome,
    },
    Expire {
        pick: usize,
    },
    Decline {
        pick: usize,
    },
    Begin {
        pick: usize,
    },
    TimeOut {
        pick: usize,
    },
    Pass {
        milliseconds: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let jobs = ["a", "b", "c", "d", "x"];
    let matrix = || (any::<usize>(), 1u8..5, any::<bool>(), proptest::option::of(1u32..3));
    let group = || (proptest::option::weighted(0.3, 0u8..2), any::<bool>());
    let gate = || proptest::option::weighted(0.3, gate());
    let plan = (matrix(), any::<bool>(), any::<bool>(), group(), gate(), proptest::bool::weighted(0.3));
    let call = (matrix(), any::<bool>(), group());
    prop_oneof![
        2 => (run_id(), proptest::option::weighted(0.3, 0u8..2), any::<bool>(), any::<bool>(), standing()).prop_map(|(run, group, cancels, held, standing)| {
            let mut new = submit(run, &JOBS);
            (new.standing, new.held) = (standing, held);
            new.concurrency = concurrency(group, cancels);
            Step::Plain(Command::Submit(Box::new(new)))
        }),
        8 => plan.prop_map(|((pick, count, fail_fast, max_parallel), skip, strict, (group, cancel_in_progress), gate, turn)| {
            let skip = skip && count == 1;
            Step::Plan { pick, count, fail_fast, max_parallel, skip, strict, group, cancel_in_progress, gate, turn }
        }),
        4 => (run_id(), 0u8..3, any::<bool>(), 0u8..3).prop_map(|(run, environment, approve, actor)| {
            let (environment, actor) = (format!("e{environment}"), format!("p{actor}"));
            Step::Plain(Command::DecideGates(DecideGates { run, environment, approve, actor, comment: String::new() }))
        }),
        2 => run_id().prop_map(|run| Step::Plain(Command::EnterGroup(Entrant::Run(run)))),
        4 => any::<usize>().prop_map(|pick| Step::PassGate { pick }),
        4 => call.prop_map(|((pick, count, fail_fast, max_parallel), has_outputs, (group, cancel_in_progress))| {
            Step::Call { pick, count, fail_fast, max_parallel, has_outputs, group, cancel_in_progress }
        }),
        6 => (any::<usize>(), any::<bool>()).prop_map(|(pick, fails)| Step::Answer { pick, fails }),
        16 => (1u128..4, proptest::option::weighted(0.2, any::<usize>())).prop_map(|(agent, any)| {
            Step::Grant { agent, any }
        }),
        8 => (any::<usize>(), outcome()).prop_map(|(pick, outcome)| Step::Report { pick, outcome }),
        2 => any::<usize>().prop_map(|pick| Step::Expire { pick }),
        2 => any::<usize>().prop_map(|pick| Step::Decline { pick }),
        2 => any::<usize>().prop_map(|pick| Step::Begin { pick }),
        1 => any::<usize>().prop_map(|pick| Step::TimeOut { pick }),
        1 => run_id().prop_map(|run| {
            Step::Plain(Command::Cancel(Cancel { run, actor: "me".into(), reason: "why".into() }))
        }),
        1 => run_id().prop_map(|run| Step::Plain(Command::RetireRun { run })),
        1 => (0u64..6).prop_map(|epoch| Step::Plain(Command::TakeOver { epoch })),
        1 => (any_lease(), outcome()).prop_map(|(lease, outcome)| {
            Step::Plain(Command::Report(Report { lease, outcome, records: 0, records_digest: None }))
        }),
        1 => any_lease().prop_map(|lease| Step::Plain(Command::Expire(Expire { lease, cause: FleetCause::Internal }))),
        1 => (any_lease(), 0u64..100_000).prop_map(|(lease, lease_ms)| {
            Step::Plain(Command::ExtendLease(ExtendLease { lease, lease_ms }))
        }),
        1 => (run_id(), 0..jobs.len(), any::<bool>()).prop_map(move |(run, job, cancelled)| {
            let resolution = instances(&[1]);
            Step::Plain(Command::ResolveJob(ResolveJob { run, job: jobs[job].into(), cancelled, resolution }))
        }),
        2 => (0u64..150_000).prop_map(|milliseconds| Step::Pass { milliseconds }),
    ]
}

/// Everything that an environment may ask for.
fn gate() -> impl Strategy<Value = Gate> {
    (0u8..2, any::<bool>(), proptest::option::of(0u8..3), 0u64..60_000, 0u64..200_000).prop_map(
        |(environment, approval, reviewer, wait_ms, expires_ms)| Gate {
            environment: format!("e{environment}"),
            approval,
            reviewers: reviewer.iter().map(|number| format!("P{number}")).collect(),
            barred: vec!["p2".to_owned()],
            wait_ms,
            expires_ms,
        },
    )
}

/// A few shares and priorities, and sometimes none.
fn standing() -> impl Strategy<Value = Standing> {
    let share = proptest::option::of(0u8..2);
    (share, 1u32..4, -2i8..3).prop_map(|(share, weight, priority)| Standing {
        share: share.map(|number| format!("share {number}")),
        weight,
        priority,
    })
}

fn concurrency(group: Option<u8>, cancel_in_progress: bool) -> Option<Concurrency> {
    let queue = if cancel_in_progress { Queueing::Single } else { Queueing::Max };
    group.map(|group| Concurrency { group: format!("g{group}"), cancel_in_progress, queue })
}

/// A job that is ready.
fn ready(scene: &Scene, pick: usize) -> Option<(RunId, bool, JobId)> {
    let ready: Vec<_> = scene
        .state
        .runs()
        .flat_map(|run| run.jobs().iter().map(move |job| (run, job)))
        .filter(|(_, job)| job.stage() == Stage::Ready)
        .map(|(run, job)| (run.id(), run.is_cancelled_for(job), job.id().clone()))
        .collect();
    ready.get(pick % ready.len().max(1)).cloned()
}

fn command(scene: &mut Scene, step: Step, next_id: &mut u128) -> Option<Command> {
    let live: Vec<_> = scene.state.leases().map(|(lease, _)| lease).collect();
    let chosen = |pick: usize| (!live.is_empty()).then(|| live[pick % live.len()]);
    Some(match step {
        Step::Plain(command) => command,
        Step::Pass { milliseconds } => {
            scene.pass(milliseconds);
            return None;
        }
        Step::Report { pick, outcome } => {
            Command::Report(Report { lease: chosen(pick)?, outcome, records: 1, records_digest: None })
        }
        Step::Expire { pick } => {
            Command::Expire(Expire { lease: chosen(pick)?, cause: FleetCause::AgentLost })
        }
        Step::Grant { agent, any } => {
            let agent = view(agent, &["linux"]);
            let known: Vec<_> =
                scene.state.runs().flat_map(|run| run.jobs()).flat_map(Job::instances).collect();
            let any = any.and_then(|pick| known.get(pick % known.len().max(1)).map(|id| **id));
            let instance = any.or_else(|| scene.state.work_for(&agent, scene.now))?;
            Command::Grant(Grant { agent, instance })
        }
        Step::Decline { pick } => Command::Decline(chosen(pick)?),
        Step::Begin { pick } => Command::StepBegan(chosen(pick)?),
        Step::TimeOut { pick } => Command::TimeOutInstance(chosen(pick)?),
        Step::Answer { pick, fails } => {
            let done: Vec<_> = scene
                .state
                .runs()
                .flat_map(|run| run.jobs().iter().map(move |job| (run.id(), job)))
                .flat_map(|(run, job)| (0u32..).zip(job.calls()).map(move |(at, call)| (run, job, at, call)))
                .filter(|(_, _, _, call)| matches!(call.phase(), CallPhase::Done { .. }))
                .map(|(run, job, at, _)| (run, job.id().clone(), at))
                .collect();
            let (run, job, call) = done.get(pick % done.len().max(1))?.clone();
            let outputs = if fails { Err("line 1".to_owned()) } else { Ok(None) };
            Command::FinishCall(FinishCall { run, job, call, outputs })
        }
        Step::Call { pick, count, fail_fast, max_parallel, has_outputs, group, cancel_in_progress } => {
            let (run, cancelled, job) = ready(scene, pick)?;
            let made = (1..=count).map(|at| {
                let id = if count == 1 { job.to_string() } else { format!("{job}#{at}") };
                let jobs: &[&str] = if at % 2 == 0 { &["x", "y: x"] } else { &["x"] };
                CallDefinition {
                    has_outputs,
                    concurrency: concurrency(group, cancel_in_progress),
                    ..call(&id, jobs)
                }
            });
            let resolution =
                Resolution::Calls(CallExpansion { calls: made.collect(), fail_fast, max_parallel });
            Command::ResolveJob(ResolveJob { run, job, cancelled, resolution })
        }
        Step::PassGate { pick } => {
            let all = scene.state.runs().flat_map(|run| run.jobs()).flat_map(Job::instances);
            let gated: Vec<_> = all
                .filter(|id| scene.state.instance(**id).is_some_and(|it| it.gate_due().is_some()))
                .collect();
            Command::PassGate { instance: **gated.get(pick % gated.len().max(1))? }
        }
        Step::Plan {
            pick,
            count,
            fail_fast,
            max_parallel,
            skip,
            strict,
            group,
            cancel_in_progress,
            gate,
            turn,
        } => {
            let (run, cancelled, job) = ready(scene, pick)?;
            let numbers: Vec<_> = (0..u128::from(count)).map(|at| *next_id + at).collect();
            *next_id += 10;
            let mut matrix = Expansion { fail_fast, max_parallel, ..expansion(&numbers) };
            for instance in &mut matrix.instances {
                instance.strict = strict;
                instance.concurrency = concurrency(group, cancel_in_progress);
                instance.gate = gate.clone().map(Box::new);
                instance.turn = turn.then(|| "production".into());
            }
            let resolution =
                if skip { Resolution::Skip { reason: "no".into() } } else { Resolution::Instances(matrix) };
            Command::ResolveJob(ResolveJob { run, job, cancelled, resolution })
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_commands_keep_the_invariants(steps in vec(step(), 1..120)) {
        let mut scene = Scene::new();
        let mut next_id = 100;
        for step in steps {
            let before = scene.state.clone();
            if let Some(command) = command(&mut scene, step, &mut next_id) {
                // The scene checks every invariant after every event.
                if scene.attempt(command).map_or(true, |events| events.is_empty()) {
                    prop_assert_eq!(&scene.state, &before);
                }
            }
        }
        let mut replayed = State::new();
        for event in &scene.journal {
            replayed.apply(event);
        }
        prop_assert_eq!(&replayed, &scene.state);
        let snapshot = serde_json::to_string(&scene.state).unwrap();
        prop_assert_eq!(&serde_json::from_str::<State>(&snapshot).unwrap(), &scene.state);
    }

    #[test]
    fn merging_is_the_worst_of_the_parts(parts in vec(0usize..4, 0..10)) {
        use slipway_scheduler::JobResult::{Cancelled, Failure, Skipped, Success};
        let worst_last = [Skipped, Success, Cancelled, Failure];
        let expected = parts.iter().max().map_or(Success, |at| worst_last[*at]);
        prop_assert_eq!(policy::merge(parts.iter().map(|at| worst_last[*at])), expected);
    }

    /// An event that fits nothing must not bring `apply` down: a journal may be damaged.
    #[test]
    fn apply_never_fails(order in vec(any::<usize>(), 1..60)) {
        let mut scene = Scene::with(&JOBS);
        scene.expand("a", &[1, 2]);
        let leases = scene.grant(1, 2);
        scene.report(leases[0], fleet_failure(FleetCause::DiskFull));
        scene.report(leases[1], FAILURE);
        scene.cancel();
        let mut state = State::new();
        for at in order {
            state.apply(&scene.journal[at % scene.journal.len()]);
        }
    }
}
