#![allow(clippy::unwrap_used)]
use slipway_proto::v1;

use super::*;

fn record(step: u32, record: record::Record) -> Record {
    Record { time_ms: 7, step, record: Some(record) }
}

fn line(step: u32, partial: bool) -> Record {
    let line = v1::LogLine { text: "x".into(), stream: 1, partial };
    record(step, record::Record::Line(line))
}

fn annotation(step: u32, level: i32, message: &str) -> Record {
    let found = v1::Annotation { level, message: message.to_owned(), ..v1::Annotation::default() };
    record(step, record::Record::Annotation(found))
}

fn finished(step: u32, conclusion: v1::Result) -> Record {
    let finished = v1::StepFinished {
        id: "build".to_owned(),
        name: "Run x".to_owned(),
        default_name: true,
        conclusion: conclusion.into(),
        exit_code: Some(3),
        ..v1::StepFinished::default()
    };
    record(step, record::Record::StepFinished(finished))
}

fn outline(records: impl IntoIterator<Item = Record>) -> Outline {
    let mut outline = Outline::default();
    records.into_iter().for_each(|record| outline.take(&record));
    outline
}

#[test]
fn pages_of_steps_beside_each_other_are_found_by_line() {
    // Two steps in turn, 1,200 lines each, after one that has a line in two pieces.
    let mixed = (0..2_400).map(|at| line(1 + at % 2, false));
    let outline = outline([line(0, true), line(0, false)].into_iter().chain(mixed));
    assert_eq!(outline.next, Place { record: 2_403, line: 2_402 });
    let first = &outline.steps[&1];
    assert_eq!((first.rows, first.pages.len()), (1_200, 3));
    assert_eq!(first.pages[1], Place { record: 1_003, line: 1_002 });
    assert_eq!((outline.steps[&0].rows, outline.steps[&0].pages.len()), (2, 1));
    assert_eq!(outline.find(1), Some((0, 0)));
    assert_eq!(outline.find(2), Some((1, 0)));
    assert_eq!(outline.find(2_401).unwrap().1, 2);
    assert_eq!(first.page_of(Place { record: 1_002, line: 0 }), 0);
    assert_eq!(first.page_of(Place { record: 1_003, line: 0 }), 1);
}

#[test]
fn the_failed_step_is_what_people_want_to_see_and_its_first_error_is_known() {
    let mut outline = outline([
        finished(0, v1::Result::Success),
        line(1, false),
        annotation(1, 2, "careful"),
        annotation(1, 3, "broken"),
        annotation(1, 3, "more"),
        finished(1, v1::Result::Failure),
        line(2, false),
    ]);
    assert_eq!(outline.interesting(), Some(1));
    let step = &outline.steps[&1];
    assert_eq!(step.error, Some(Place { record: 4, line: 2 }));
    assert_eq!((step.name.as_str(), step.exit_code), ("build", Some(3)));
    assert_eq!(outline.problems.len(), 3);
    outline.steps.remove(&1);
    assert_eq!(outline.interesting(), Some(2));
}

#[test]
fn what_a_job_says_without_end_is_bounded_and_errors_are_kept() {
    let warnings = (0..PROBLEMS_KEPT).map(|_| annotation(0, 2, "warning"));
    let outline = outline(warnings.chain([annotation(0, 3, "error")]));
    assert_eq!(outline.problems.len(), PROBLEMS_KEPT);
    assert_eq!(outline.problems.last().unwrap().message, "error");
    let outline = self::outline((0..STEPS_KEPT as u32 + 10).map(|step| line(step, false)));
    assert_eq!(outline.steps.len(), STEPS_KEPT);
    assert_eq!(outline.steps.last_key_value().unwrap().1.rows, 11);
}

#[tokio::test]
async fn an_outline_goes_on_where_it_ended_and_old_ones_are_forgotten() {
    use crate::records::FolderRecords;
    use prost::Message as _;
    use slipway_scheduler::{InstanceId, RunId};
    use slipway_wire::records::Records as Rows;

    let folder = tempfile::tempdir().unwrap();
    let records = Records::new(Arc::new(FolderRecords::open(folder.path()).unwrap()));
    let key = |attempt| AttemptKey { run: RunId::from_u128(1), instance: InstanceId::from_u128(2), attempt };
    let log = records.attempt(key(1)).await.unwrap();
    let rows = |steps: &[u32]| -> Rows {
        steps
            .iter()
            .map(|step| line(*step, false).encode_to_vec().into())
            .collect::<Vec<bytes::Bytes>>()
            .into()
    };
    log.append(1, rows(&[0, 0])).await.unwrap();
    let outlines = Outlines::default();
    assert_eq!(outlines.of(&records, key(1), false).await.unwrap().next.record, 3);
    log.append(3, rows(&[1])).await.unwrap();
    let outline = outlines.of(&records, key(1), false).await.unwrap();
    assert_eq!((outline.next.record, outline.steps.len(), outline.more), (4, 2, false));
    for attempt in 2..100 {
        outlines.slot(key(attempt));
    }
    assert_eq!(outlines.kept.lock().unwrap().slots.len(), OUTLINES_KEPT);
    assert_eq!(outlines.of(&records, key(1), false).await.unwrap(), outline, "made again");
}
