//! Submitting a run, and planning its jobs.
#![allow(clippy::unwrap_used, clippy::panic)]

mod scene;

use scene::{RUN, Scene, definition, expansion, instances, kinds, ready, submit};
use slipway_cas::Digest;
use slipway_scheduler::command::{CarriedJob, Expansion, InstanceDefinition, Resolution, ResolveJob, Submit};
use slipway_scheduler::limits::{INSTANCES_PER_JOB_MAX, JOBS_PER_RUN_MAX, MESSAGE_BYTES_MAX, TIMEOUT_MS_MAX};
use slipway_scheduler::{
    Command, InstanceId, InvalidJobs, JobResult, LabelSet, Rejection, Rules, RunId, State, Timestamp, decide,
};

#[test]
fn jobs_without_needs_are_ready_at_once() {
    let mut scene = Scene::new();
    let events = scene.run(Command::Submit(Box::new(submit(RUN, &["a", "b: a", "c"]))));
    assert_eq!(kinds(&events), ["run_submitted", "job_ready", "job_ready"]);
    assert_eq!(ready(&events), ["a", "c"]);
}

#[test]
fn jobs_that_are_no_workflow_are_refused() {
    let cases: [(&[&str], InvalidJobs); 6] = [
        (&[], InvalidJobs::None),
        (&["a", "a"], InvalidJobs::Twice("a".into())),
        (&["a: b"], InvalidJobs::UnknownNeed { job: "a".into(), need: "b".into() }),
        (&["a: a"], InvalidJobs::Cycle("a".into())),
        (&["a", "b: c", "c: b"], InvalidJobs::Cycle("b".into())),
        (&["x: z", "y: x", "z: y"], InvalidJobs::Cycle("x".into())),
    ];
    for (jobs, error) in cases {
        let mut scene = Scene::new();
        let answer = scene.attempt(Command::Submit(Box::new(submit(RUN, jobs))));
        assert_eq!(answer, Err(Rejection::InvalidJobs(error)), "{jobs:?}");
    }
}

#[test]
fn a_need_named_twice_counts_once() {
    let mut scene = Scene::with(&["a", "b: a a"]);
    scene.finish("a", &[(1, scene::SUCCESS)]);
    let ready = scene.journal.iter().filter(|event| kinds(&[(*event).clone()]) == ["job_ready"]).count();
    assert_eq!(ready, 2, "one for each job");
}

#[test]
fn a_delivery_seen_before_does_nothing() {
    let mut scene = Scene::new();
    let mut first = submit(RUN, &["a"]);
    first.idempotency_key = Some("delivery-1".into());
    let again = slipway_scheduler::command::Submit { run: RunId::from_u128(2), ..first.clone() };
    scene.run(Command::Submit(Box::new(first.clone())));
    assert_eq!(scene.attempt(Command::Submit(Box::new(again))), Err(Rejection::Duplicate { run: RUN }));
    assert!(scene.state.run(RunId::from_u128(2)).is_none());
    first.idempotency_key = None;
    assert_eq!(scene.attempt(Command::Submit(Box::new(first))), Err(Rejection::IdInUse { id: RUN.0 }));
}

#[test]
fn too_many_jobs_are_refused() {
    let names: Vec<_> = (0..=JOBS_PER_RUN_MAX).map(|at| format!("j{at}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let answer = Scene::new().attempt(Command::Submit(Box::new(submit(RUN, &names))));
    assert!(matches!(answer, Err(Rejection::Limit { limit, .. }) if limit == JOBS_PER_RUN_MAX as u64));
}

#[test]
fn a_job_is_resolved_once_and_only_when_ready() {
    let mut scene = Scene::with(&["a", "b: a"]);
    let resolve = |job: &str, numbers| {
        Command::ResolveJob(ResolveJob {
            run: RUN,
            job: job.into(),
            cancelled: false,
            resolution: instances(numbers),
        })
    };
    assert_eq!(scene.attempt(resolve("b", &[5])), Err(Rejection::NotReady { job: "b".into() }));
    assert_eq!(scene.attempt(resolve("x", &[5])), Err(Rejection::UnknownJob { run: RUN, job: "x".into() }));
    scene.run(resolve("a", &[1]));
    assert_eq!(scene.attempt(resolve("a", &[2])), Err(Rejection::NotReady { job: "a".into() }));
}

#[test]
fn instances_that_make_no_sense_are_refused() {
    let with = |change: fn(&mut InstanceDefinition)| {
        let mut one = definition(1);
        change(&mut one);
        Expansion { instances: vec![one], ..expansion(&[]) }
    };
    let too_many: Vec<u128> = (0..=INSTANCES_PER_JOB_MAX as u128).collect();
    type Expected = fn(&Rejection) -> bool;
    let cases: [(Expansion, Expected); 7] = [
        (expansion(&[]), |it| matches!(it, Rejection::InvalidInstances { .. })),
        (Expansion { max_parallel: Some(0), ..expansion(&[1]) }, |it| {
            matches!(it, Rejection::InvalidInstances { .. })
        }),
        (with(|it| it.labels = LabelSet::default()), |it| matches!(it, Rejection::InvalidInstances { .. })),
        (with(|it| it.timeout_ms = 0), |it| matches!(it, Rejection::InvalidInstances { .. })),
        (with(|it| it.timeout_ms = TIMEOUT_MS_MAX + 1), |it| {
            matches!(it, Rejection::InvalidInstances { .. })
        }),
        (expansion(&[1, 1]), |it| matches!(it, Rejection::IdInUse { .. })),
        (expansion(&too_many), |it| matches!(it, Rejection::Limit { limit: 256, .. })),
    ];
    for (expansion, expected) in cases {
        let mut scene = Scene::with(&["a"]);
        let shown = format!("{expansion:?}");
        let resolution = Resolution::Instances(expansion);
        let resolve = ResolveJob { run: RUN, job: "a".into(), cancelled: false, resolution };
        let rejection = scene.attempt(Command::ResolveJob(resolve)).unwrap_err();
        assert!(expected(&rejection), "{shown}: {rejection}");
    }
}

#[test]
fn a_job_that_cannot_be_evaluated_fails_with_its_message() {
    let mut scene = Scene::with(&["a", "b: a"]);
    let message = "é".repeat(MESSAGE_BYTES_MAX);
    let events = scene.resolve("a", Resolution::Invalid { message });
    assert_eq!(kinds(&events), ["job_invalid", "job_finished", "job_ready"]);
    let run = scene.state.run(RUN).unwrap();
    let job = run.job("a").unwrap();
    assert_eq!(job.result(), Some(JobResult::Failure));
    assert!(job.message().unwrap().len() <= MESSAGE_BYTES_MAX);
    assert!(run.job("b").unwrap().lineage().failed);
}

#[test]
fn nothing_is_granted_before_a_leader_has_begun() {
    let instance = InstanceId::from_u128(1);
    let grant = slipway_scheduler::command::Grant { agent: scene::view(1, &["linux"]), instance };
    let answer = decide(&State::new(), Command::Grant(grant), &Rules::default(), Timestamp(0));
    assert_eq!(answer, Err(Rejection::NoLeader));
}

fn carry(jobs: &[&str], carried: &[&str]) -> Command {
    let job = |id: &&str| CarriedJob {
        id: (*id).into(),
        result: JobResult::Success,
        outputs: vec![Digest::of(b"outputs")],
        call: None,
    };
    let carried = carried.iter().map(job).collect();
    Command::Submit(Box::new(Submit { carried, ..submit(RUN, jobs) }))
}

#[test]
fn carried_jobs_are_finished_from_the_beginning() {
    let mut scene = Scene::new();
    let events = scene.run(carry(&["a", "b: a", "c: a b", "d"], &["a"]));
    assert_eq!(ready(&events), ["b", "d"]);
    let run = scene.state.run(RUN).unwrap();
    assert_eq!(run.job("a").unwrap().result(), Some(JobResult::Success));
    assert_eq!(run.job("a").unwrap().outputs(), [Digest::of(b"outputs")]);
    assert!(run.job("b").unwrap().lineage().all_succeeded());
    for job in ["b", "d", "c"] {
        scene.resolve(job, Resolution::Skip { reason: "it is enough".into() });
    }
    assert_eq!(scene.run_result(), Some(JobResult::Success));
}

#[test]
fn what_cannot_be_carried_is_refused() {
    for (carried, error) in [
        (&["b"][..], InvalidJobs::Carried("b".into())),
        (&["x"], InvalidJobs::Carried("x".into())),
        (&["a", "b"], InvalidJobs::AllCarried),
    ] {
        let answer = Scene::new().attempt(carry(&["a", "b: a"], carried));
        assert_eq!(answer, Err(Rejection::InvalidJobs(error)));
    }
}
