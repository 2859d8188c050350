//! What comes in is what went out, and what is wrong is named.

use proptest::prelude::*;
use prost::Message as _;
use slipway_proto::v1;
use slipway_scheduler::command::LeaseRef;
use slipway_scheduler::ids::{FencingToken, InstanceId, RunId};
use slipway_scheduler::outcome::{FleetCause, JobResult};

use crate::lease::WireLease;
use crate::report::Ending;
use crate::{WireError, hello, lease, limits, record, report};

fn a_lease() -> WireLease {
    WireLease {
        run: RunId::from_u128(7),
        lease: LeaseRef {
            instance: InstanceId::from_u128(9),
            attempt: 2,
            token: FencingToken { epoch: 3, sequence: 4 },
        },
    }
}

fn a_hello() -> v1::Hello {
    v1::Hello {
        agent_id: "7d444840-9dc0-11d1-b245-5ffdce74fad2".to_owned(),
        name: "builder\u{1b}[31m".to_owned(),
        version: "0.1.0".to_owned(),
        protocol: slipway_proto::PROTOCOL_VERSION,
        architecture: "ARM64".to_owned(),
        labels: vec!["self-hosted".to_owned(), "Linux".to_owned()],
        slots: 2,
        held: vec![lease::to_wire(&a_lease())],
        draining: false,
        accepts_untrusted: false,
        sizing: None,
    }
}

#[test]
fn a_hello_is_read_and_its_architecture_is_a_label() {
    let read = hello::from_wire(&a_hello()).expect("valid");
    assert_eq!(read.name, "builder[31m");
    assert!(["arm64", "LINUX", "self-hosted"].iter().all(|label| read.labels.contains(label)));
    assert_eq!(read.held, [a_lease()]);
    assert_eq!(read.sizing, None);
    let amount = |cpu_millis| v1::Resources { cpu_millis, memory_bytes: cpu_millis };
    let sizes = [("Large".to_owned(), amount(3))].into();
    let sizing = v1::Sizing { total: Some(amount(4)), each: Some(amount(1)), sizes };
    let read = hello::from_wire(&v1::Hello { sizing: Some(sizing), ..a_hello() }).expect("valid");
    let sizing = read.sizing.expect("it has sizes");
    assert_eq!((sizing.total.cpu_millis, sizing.each.cpu_millis), (4, 1));
    assert_eq!(sizing.sizes["large"].cpu_millis, 3, "labels compare without case");
}

#[test]
fn a_wrong_hello_names_its_field() {
    type Spoil = fn(&mut v1::Hello);
    let cases: [(&str, Spoil); 8] = [
        ("hello.agent_id", |hello| hello.agent_id = "me".to_owned()),
        ("hello.architecture", |hello| hello.architecture = "x86".to_owned()),
        ("hello.labels", |hello| hello.labels = vec!["a".to_owned(); limits::MAX_LABELS + 1]),
        ("hello.labels", |hello| hello.labels.push("\n".to_owned())),
        ("hello.slots", |hello| hello.slots = limits::MAX_SLOTS + 1),
        ("protocol 99", |hello| hello.protocol = 99),
        ("hello.sizing", |hello| {
            let more = Some(v1::Resources { cpu_millis: 1, memory_bytes: 0 });
            hello.sizing = Some(v1::Sizing { each: more, ..v1::Sizing::default() });
        }),
        ("hello.sizing.sizes", |hello| {
            let sizes = (0..=limits::MAX_LABELS).map(|at| (at.to_string(), v1::Resources::default()));
            hello.sizing = Some(v1::Sizing { sizes: sizes.collect(), ..v1::Sizing::default() });
        }),
    ];
    for (named, spoil) in cases {
        let mut spoiled = a_hello();
        spoil(&mut spoiled);
        let message = hello::from_wire(&spoiled).expect_err(named).to_string();
        assert!(message.contains(named), "{message} does not name {named}");
    }
}

#[test]
fn an_unknown_cause_is_kept_as_a_fleet_failure() {
    let read = report::from_wire(v1::Report {
        lease: Some(lease::to_wire(&a_lease())),
        outcome: Some(v1::report::Outcome::Fleet(v1::FleetFailure {
            cause: "meteor".to_owned(),
            message: "é".repeat(limits::MAX_MESSAGE_BYTES),
        })),
        records: 5,
        records_digest: None,
    })
    .expect("valid");
    let Ending::Fleet { cause, message } = read.ending else { panic!("not a fleet failure") };
    assert_eq!(cause, FleetCause::Internal);
    assert_eq!(message.len(), limits::MAX_MESSAGE_BYTES);
}

#[test]
fn a_job_can_not_report_itself_skipped() {
    let work = v1::WorkOutcome { result: v1::Result::Skipped.into(), ..v1::WorkOutcome::default() };
    let error = report::from_wire(v1::Report {
        lease: Some(lease::to_wire(&a_lease())),
        outcome: Some(v1::report::Outcome::Work(work)),
        records: 0,
        records_digest: None,
    })
    .expect_err("skipped");
    assert!(error.to_string().contains("report.work.result"), "{error}");
}

#[test]
fn a_record_beyond_its_limit_is_refused() {
    let line = v1::LogLine { text: vec![0; limits::MAX_LINE_BYTES + 1].into(), ..v1::LogLine::default() };
    let batch = v1::RecordBatch {
        lease: Some(lease::to_wire(&a_lease())),
        first: 1,
        records: vec![
            v1::Record { record: Some(v1::record::Record::Line(line)), ..v1::Record::default() }
                .encode_to_vec()
                .into(),
        ],
        ..v1::RecordBatch::default()
    };
    let error = record::from_wire(batch).expect_err("too large");
    assert!(matches!(error, WireError::TooLarge { field: "record.line.text", .. }), "{error}");
}

#[test]
fn test_cases_beyond_their_limits_are_refused() {
    let batch = |tests: v1::TestReport| {
        let summary = v1::Summary { tests: Some(tests), ..Default::default() };
        let record = v1::record::Record::Summary(summary);
        v1::RecordBatch {
            lease: Some(lease::to_wire(&a_lease())),
            first: 1,
            records: vec![
                v1::Record { record: Some(record), ..v1::Record::default() }.encode_to_vec().into(),
            ],
            ..v1::RecordBatch::default()
        }
    };
    let report = |case| v1::TestReport { path: "junit.xml".to_owned(), cases: vec![case] };
    let [name, message] =
        [limits::MAX_TEST_NAME_BYTES, limits::MAX_TEST_MESSAGE_BYTES].map(|most| "x".repeat(most));
    let fits = v1::TestCase {
        suite: name.clone(),
        class: name.clone(),
        name: name.clone(),
        file: name.clone(),
        // Of a later version.
        outcome: 77,
        message: message.clone(),
        ..v1::TestCase::default()
    };
    record::from_wire(batch(report(fits.clone()))).expect("within the limits");
    for (field, wrong) in [
        ("record.summary.tests.cases.suite", v1::TestCase { suite: name.clone() + "x", ..fits.clone() }),
        ("record.summary.tests.cases.class", v1::TestCase { class: name.clone() + "x", ..fits.clone() }),
        ("record.summary.tests.cases.name", v1::TestCase { name: name.clone() + "x", ..fits.clone() }),
        ("record.summary.tests.cases.file", v1::TestCase { file: name.clone() + "x", ..fits.clone() }),
        ("record.summary.tests.cases.message", v1::TestCase { message: message + "x", ..fits }),
    ] {
        let error = record::from_wire(batch(report(wrong))).expect_err("too long");
        assert!(matches!(error, WireError::TooLarge { field: found, .. } if found == field), "{error}");
    }
}

#[test]
fn a_record_is_kept_as_it_came_and_one_that_is_none_is_refused() {
    let batch = |record: Vec<u8>| v1::RecordBatch {
        lease: Some(lease::to_wire(&a_lease())),
        first: 1,
        records: vec![record.into()],
        ..v1::RecordBatch::default()
    };
    let line = v1::record::Record::Line(v1::LogLine { text: "a".into(), ..v1::LogLine::default() });
    let mut record = v1::Record { time_ms: 1, step: 0, record: Some(line) }.encode_to_vec();
    // A field that this build does not know.
    record.extend([0xf8, 0x07, 0x01]);
    let read = record::from_wire(batch(record.clone())).expect("valid");
    assert_eq!(read.records.each().collect::<Vec<_>>(), [record]);
    for wrong in [vec![0xff], Vec::new()] {
        record::from_wire(batch(wrong)).expect_err("not a record");
    }
}

#[test]
fn records_in_one_row_are_checked_as_those_apart() {
    let batch = |delimited: Vec<u8>, records| v1::RecordBatch {
        lease: Some(lease::to_wire(&a_lease())),
        first: 1,
        records,
        delimited: delimited.into(),
    };
    let line = |length| {
        let text = vec![b'x'; length].into();
        let line = v1::record::Record::Line(v1::LogLine { text, ..v1::LogLine::default() });
        v1::Record { time_ms: 1, step: 0, record: Some(line) }
    };
    let good = [line(3), line(300), line(limits::MAX_LINE_BYTES)];
    let mut row = Vec::new();
    good.iter().for_each(|record| record.encode_length_delimited(&mut row).expect("room"));
    let read = record::from_wire(batch(row.clone(), Vec::new())).expect("valid");
    assert_eq!(read.records.each().collect::<Vec<_>>(), good.map(|record| record.encode_to_vec()));
    let too_long = line(limits::MAX_LINE_BYTES + 1).encode_length_delimited_to_vec();
    for wrong in [
        vec![5, 1],
        vec![0],
        vec![1, 0xff],
        [row.clone(), too_long].concat(),
        [row.clone(), vec![9]].concat(),
    ] {
        record::from_wire(batch(wrong, Vec::new())).expect_err("not records");
    }
    record::from_wire(batch(row, vec![line(1).encode_to_vec().into()])).expect_err("both");
}

proptest! {
    #[test]
    fn every_lease_survives_the_wire(run: u128, instance: u128, attempt in 1u32.., epoch in 1u64.., sequence in 1u64..) {
        let lease = WireLease {
            run: RunId::from_u128(run),
            lease: LeaseRef {
                instance: InstanceId::from_u128(instance),
                attempt,
                token: FencingToken { epoch, sequence },
            },
        };
        prop_assert_eq!(lease::from_wire(Some(&lease::to_wire(&lease))), Ok(lease));
    }

    #[test]
    fn any_text_as_an_id_is_an_error_or_an_id(text in ".*") {
        let mut wire = lease::to_wire(&a_lease());
        if let Some(attempt) = wire.attempt.as_mut() {
            attempt.instance_id = text;
        }
        let _ = lease::from_wire(Some(&wire));
    }
}

#[test]
fn results_go_both_ways() {
    for result in [JobResult::Success, JobResult::Failure, JobResult::Cancelled, JobResult::Skipped] {
        assert_eq!(crate::result::from_wire("result", crate::result::to_wire(result).into()), Ok(result));
    }
    assert!(crate::result::from_wire("result", 0).is_err());
}

#[test]
fn reports_beyond_their_limits_are_refused() {
    let check = |summary: v1::Summary| crate::report_files::check(&summary);
    let [name, message] =
        [limits::MAX_REPORT_NAME_BYTES, limits::MAX_FINDING_MESSAGE_BYTES].map(|most| "x".repeat(most));
    let covered = |path: &str| {
        let files = vec![v1::FileCoverage { path: path.to_owned(), lines: 1, covered: 1 }];
        let coverage = Some(v1::CoverageReport { files, ..v1::CoverageReport::default() });
        v1::Summary { coverage, ..v1::Summary::default() }
    };
    let found = |message: &str| {
        let finding = v1::Finding { message: message.to_owned(), ..v1::Finding::default() };
        let findings = Some(v1::FindingsReport { findings: vec![finding], ..v1::FindingsReport::default() });
        v1::Summary { findings, ..v1::Summary::default() }
    };
    let licensed = |count: usize| {
        let component = v1::Component { licences: vec![name.clone(); count], ..v1::Component::default() };
        let components =
            Some(v1::ComponentsReport { components: vec![component], ..v1::ComponentsReport::default() });
        v1::Summary { components, ..v1::Summary::default() }
    };
    for fits in [covered(&name), found(&message), licensed(limits::MAX_LICENCES)] {
        check(fits).expect("within the limits");
    }
    let wrong =
        [covered(&format!("{name}x")), found(&format!("{message}x")), licensed(limits::MAX_LICENCES + 1)];
    for wrong in wrong {
        assert!(matches!(check(wrong).expect_err("beyond"), WireError::TooLarge { .. }));
    }
}
