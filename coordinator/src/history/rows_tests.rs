//! Each kind of entry and the statements that it becomes.
#![allow(clippy::unwrap_used)]

use slipway_cas::Digest;
use slipway_scheduler::command::{Concurrency, Gate, InstanceDefinition, LeaseRef, Queueing};
use slipway_scheduler::{
    AgentId, CancelReason, Event, FencingToken, FleetCause, GateVerdict, InstanceId, JobId, JobResult,
    LabelSet, Outcome, RunId, Timestamp,
};

use super::rows::{self, Entry};
use super::sql;
use super::steps::{StepEnd, StepRow, Steps};
use super::tables::{Statement, Value};
use crate::audit::AuditEntry;
use crate::driver::payload::{AttemptNote, DeliveryEvent, DrainOrder, Payload};
use crate::reports::Reports;
use crate::test_cases::{self, TestCase};

const RUN: RunId = RunId::from_u128(1);
const INSTANCE: InstanceId = InstanceId::from_u128(2);
const AGENT: AgentId = AgentId::from_u128(3);
const AT: Timestamp = Timestamp(50);
const LEASE: LeaseRef =
    LeaseRef { instance: INSTANCE, attempt: 4, token: FencingToken { epoch: 5, sequence: 6 } };

/// What the entry at position 9, journaled at 60, becomes.
fn told(payload: Payload, steps: Option<&Steps>) -> Vec<Statement> {
    let mut statements = Vec::new();
    let steps = steps.map(|steps| (RUN, steps));
    rows::rows(Entry { position: 9, time_ms: 60, payload: &payload, steps }, &mut statements);
    statements
}

/// An event, and its statements with their parameters.
type Case = (Event, Vec<(&'static str, Vec<Value>)>);

fn number(number: i64) -> Value {
    Value::Number(number)
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn run() -> Value {
    text("00000000-0000-0000-0000-000000000001")
}

fn instance() -> Value {
    text("00000000-0000-0000-0000-000000000002")
}

#[test]
fn each_event_has_its_rows() {
    let job = || JobId::new("build");
    let lease_values = || vec![instance(), number(4)];
    let cases: Vec<Case> = vec![
        (
            Event::RunCancelled { run: RUN, actor: "eve".into(), reason: "late".into(), at: AT },
            vec![(sql::RUN_CANCELLED, vec![run(), text("eve"), text("late")])],
        ),
        (
            Event::RunFinished {
                run: RUN,
                result: JobResult::Failure,
                cause: Some(FleetCause::DiskFull),
                at: AT,
            },
            vec![(sql::RUN_FINISHED, vec![run(), number(50), text("failure"), text("disk_full"), number(9)])],
        ),
        (
            // It has no time of its own.
            Event::JobSkipped { run: RUN, job: job(), reason: "if".into() },
            vec![(sql::JOB_WITHOUT_INSTANCE, vec![run(), text("build"), number(60), text("if"), number(9)])],
        ),
        (
            // People see a failure, whatever `continue-on-error` makes of it.
            Event::JobFinished {
                run: RUN,
                job: job(),
                result: JobResult::Success,
                conclusion: JobResult::Failure,
                at: AT,
            },
            vec![(sql::JOB_FINISHED, vec![run(), text("build"), number(50), text("failure"), number(9)])],
        ),
        (
            Event::InstanceQueued { instance: INSTANCE, at: AT },
            vec![(sql::QUEUED, vec![instance(), number(50)])],
        ),
        (Event::GateOpened { instance: INSTANCE, at: AT }, vec![(sql::QUEUED, vec![instance(), number(50)])]),
        (
            Event::GateDecided {
                instance: INSTANCE,
                verdict: GateVerdict::Rejected,
                actor: "ada".into(),
                comment: "late".into(),
                at: AT,
            },
            vec![(sql::QUEUED, vec![instance(), Value::Null])],
        ),
        (
            Event::InstanceBlocked { instance: INSTANCE, at: AT },
            vec![(sql::QUEUED, vec![instance(), Value::Null])],
        ),
        (
            Event::InstanceFinished {
                instance: INSTANCE,
                result: JobResult::Success,
                outputs: None,
                cause: None,
                at: AT,
            },
            vec![(
                sql::INSTANCE_FINISHED,
                vec![instance(), number(50), text("success"), Value::Null, number(9)],
            )],
        ),
        (
            Event::Leased {
                instance: INSTANCE,
                attempt: 4,
                agent: AGENT,
                token: LEASE.token,
                lease_ms: 1,
                at: AT,
            },
            vec![
                (
                    sql::LEASED,
                    vec![
                        instance(),
                        number(4),
                        text("00000000-0000-0000-0000-000000000003"),
                        text("5.6"),
                        number(50),
                        number(9),
                    ],
                ),
                (sql::COUNT_ATTEMPTS, vec![instance()]),
            ],
        ),
        (
            Event::LeaseDeclined { lease: LEASE, at: AT },
            vec![(sql::DECLINED, lease_values()), (sql::COUNT_ATTEMPTS, vec![instance()])],
        ),
        (
            Event::CancelRequested {
                lease: LEASE,
                reason: CancelReason::Superseded { group: "g".into() },
                at: AT,
            },
            vec![(sql::CANCEL_REQUESTED, vec![instance(), number(4), text("superseded")])],
        ),
        (Event::JobReady { run: RUN, job: job() }, vec![]),
        (Event::StepBegan { lease: LEASE }, vec![]),
        (Event::RunRetired { run: RUN }, vec![]),
    ];
    for (event, expected) in cases {
        let expected: Vec<Statement> =
            expected.into_iter().map(|(sql, values)| Statement::new(sql, values)).collect();
        assert_eq!(told(Payload::Scheduler(event.clone()), None), expected, "{event:?}");
    }
}

#[test]
fn the_end_of_an_attempt_brings_its_steps() {
    let finished = |outcome| {
        let (records, records_digest) = (7, Some(Digest::of(b"x")));
        let event =
            Event::AttemptFinished { lease: LEASE, outcome, records, records_digest, reported: true, at: AT };
        Payload::Scheduler(event)
    };
    let end = StepEnd {
        finished_ms: 3,
        outcome: JobResult::Failure,
        conclusion: JobResult::Success,
        exit_code: Some(-1),
        cpu_ms: 4,
        max_rss_bytes: 5,
    };
    let rows = vec![
        StepRow {
            step: 0,
            step_id: "a".into(),
            name: "A".into(),
            started_ms: Some(2),
            ended: Some(end),
            lines: 6,
        },
        StepRow { step: 1, step_id: "b".into(), name: "B".into(), ..StepRow::default() },
    ];
    let case = TestCase {
        ordinal: 8,
        report: "junit.xml".into(),
        suite: "s".into(),
        class: "c".into(),
        name: "n".into(),
        file: String::new(),
        line: 0,
        outcome: test_cases::Outcome::Failed,
        duration_us: Some(9),
        message: "m".repeat(2_000),
    };
    let reports = Reports { components: Some(Vec::new()), ..Reports::default() };
    let mut steps = Steps { rows, tests: vec![case], reports, whole: true };
    let statements = told(finished(Outcome::Fleet { cause: FleetCause::OutOfMemory }), Some(&steps));
    let kinds: Vec<&str> = statements.iter().map(|statement| statement.sql).collect();
    let forget = [sql::FORGET_STEPS, sql::FORGET_TESTS, sql::FORGET_REPORTS];
    let added = [sql::STEP, sql::STEP, sql::TEST, sql::REPORTS, sql::USAGE];
    assert_eq!(kinds, [&[sql::ATTEMPT_FINISHED], &forget[..], &added].concat());
    let digest = Digest::of(b"x").to_string();
    let expected = [
        instance(),
        number(4),
        number(50),
        text("fleet"),
        text("out_of_memory"),
        number(1),
        number(7),
        text(&digest),
        number(9),
    ];
    assert_eq!(statements[0].values, expected);
    let first = [
        &[instance(), number(4), number(0), run(), text("a"), text("A"), number(2), number(3)][..],
        &[text("failure"), text("success"), number(-1), number(4), number(5), number(6)],
    ];
    assert_eq!(statements[4].values, first.concat());
    assert_eq!(statements[5].values.iter().filter(|value| **value == Value::Null).count(), 7);
    let case = [
        &[instance(), number(4), number(8), run(), text("junit.xml"), text("s"), text("c"), text("n")][..],
        &[Value::Null, Value::Null, text("failed"), number(9), text(&"m".repeat(2_000))],
    ];
    assert_eq!(statements[6].values, case.concat());
    // Of kinds without a report nothing is known; of one that is empty, that there is none.
    let sums = [&[instance(), number(4), run()][..], &vec![Value::Null; 7], &[number(0)]];
    assert_eq!(statements[7].values, sums.concat());
    // Where a part of the records is missing, steps that are there already are not forgotten.
    steps.whole = false;
    let part = told(finished(Outcome::TimedOut), Some(&steps));
    let kinds: Vec<&str> = part.iter().map(|statement| statement.sql).collect();
    assert_eq!(kinds, [&[sql::ATTEMPT_FINISHED], &added[..]].concat());
    // Where the records are gone, steps that are there stay.
    let kinds: Vec<&str> =
        told(finished(Outcome::TimedOut), None).iter().map(|statement| statement.sql).collect();
    assert_eq!(kinds, [sql::ATTEMPT_FINISHED, sql::USAGE]);
}

#[test]
fn instances_wait_for_an_agent_from_the_moment_that_nothing_holds_them_back() {
    let instance = |index: u32, concurrency| InstanceDefinition {
        id: InstanceId::from_u128(u128::from(index)),
        index,
        name: format!("build ({index})"),
        labels: LabelSet::new(["linux", "ARM64"]),
        strict: true,
        restart_allowed: false,
        timeout_ms: 1_000,
        continue_on_error: false,
        spec: Digest::of(b""),
        concurrency,
        gate: None,
        turn: None,
        deploys_to: None,
    };
    let group = Concurrency { group: "g".into(), cancel_in_progress: false, queue: Queueing::Single };
    let gate = Gate {
        environment: "production".into(),
        approval: true,
        reviewers: Vec::new(),
        barred: Vec::new(),
        wait_ms: 0,
        expires_ms: 1,
    };
    let gated = InstanceDefinition { gate: Some(Box::new(gate)), ..instance(3, None) };
    let instances = vec![instance(0, None), instance(1, Some(group)), gated, instance(2, None)];
    let event = Event::JobExpanded {
        run: RUN,
        job: JobId::new("build"),
        instances,
        fail_fast: true,
        max_parallel: Some(3),
        at: AT,
    };
    let statements = told(Payload::Scheduler(event), None);
    let queued: Vec<&Value> = statements.iter().map(|statement| &statement.values[9]).collect();
    assert_eq!(queued, [&number(50), &Value::Null, &Value::Null, &Value::Null]);
    let labels_and_strict = &statements[0].values[5..7];
    assert_eq!(labels_and_strict, [text("arm64, linux"), number(1)]);
}

#[test]
fn what_people_asked_for_is_in_the_trail_and_what_agents_said_at_their_attempts() {
    let entry = AuditEntry {
        actor: "ada".into(),
        source: "schedule".into(),
        action: "run.submit".into(),
        target: "x".into(),
        effect: "refused: full".into(),
        at: AT,
    };
    let values = ["ada", "schedule", "run.submit", "x", "refused: full"].map(text);
    let expected = [&[number(9), number(50)], &values[..]].concat();
    assert_eq!(told(Payload::Audit(entry), None), [Statement::new(sql::AUDIT, expected)]);
    let accepted =
        DeliveryEvent::Accepted { id: "d".into(), event: "push".into(), body: Digest::of(b""), at: AT };
    let values = ["", "webhook", "delivery.push", "d", "done"].map(text);
    let expected = [&[number(9), number(50)], &values[..]].concat();
    assert_eq!(told(Payload::Delivery(accepted), None), [Statement::new(sql::AUDIT, expected)]);
    let note = AttemptNote { run: RUN, instance: INSTANCE, attempt: 4, message: "no\0 disk".into() };
    let expected = [instance(), number(4), text("no\u{fffd} disk")];
    assert_eq!(told(Payload::AttemptNote(note), None), [Statement::new(sql::NOTE, expected)]);
    for silent in [
        Payload::Delivery(DeliveryEvent::Done { id: "d".into(), outcome: String::new() }),
        Payload::DrainOrder(DrainOrder { agent: AGENT, on: true, at: AT }),
    ] {
        assert_eq!(told(silent, None), []);
    }
}
