//! The steps, test cases and other reports of an attempt, as its records tell them (docs/RECORDS.md).

use std::collections::BTreeMap;

use slipway_proto::v1::{self, record};
use slipway_scheduler::JobResult;
use slipway_wire::result;

use super::limits::STEPS_MAX;
use crate::records::{AttemptKey, Records, RecordsError};
use crate::reports::{self, Reports};
use crate::test_cases::{self, TestCase};

/// A step that began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct StepRow {
    /// Its number in the job, from 0.
    pub(super) step: u32,
    /// Its id.
    pub(super) step_id: String,
    /// What people see.
    pub(super) name: String,
    /// When it began, by the agent's clock, Unix milliseconds; `None`: it never did (it was skipped).
    pub(super) started_ms: Option<u64>,
    /// How it ended; `None`: its attempt ended first.
    pub(super) ended: Option<StepEnd>,
    /// Lines of its log.
    pub(super) lines: u64,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StepEnd {
    /// When, by the agent's clock, Unix milliseconds.
    pub(super) finished_ms: u64,
    /// Before `continue-on-error`.
    pub(super) outcome: JobResult,
    /// After it.
    pub(super) conclusion: JobResult,
    /// Set when a process ended the step.
    pub(super) exit_code: Option<i32>,
    /// Processor time of its processes.
    pub(super) cpu_ms: u64,
    /// The most memory that one of its processes had.
    pub(super) max_rss_bytes: u64,
}

/// The steps of an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Steps {
    /// In order.
    pub(super) rows: Vec<StepRow>,
    /// Its test cases, in order.
    pub(super) tests: Vec<TestCase>,
    /// What its other reports say.
    pub(super) reports: Reports,
    /// Nothing of the records was missing: what was known before counts for nothing.
    pub(super) whole: bool,
}

/// Steps as they come out of records.
#[derive(Debug, Default)]
struct Gathered {
    rows: BTreeMap<u32, StepRow>,
    tests: test_cases::Gathered,
    reports: reports::Gathered,
}

impl Gathered {
    fn take(&mut self, record: v1::Record) {
        let (step, time_ms) = (record.step, record.time_ms);
        match record.record {
            Some(record::Record::Line(line)) => {
                if let Some(row) = self.rows.get_mut(&step).filter(|_| !line.partial) {
                    row.lines += 1;
                }
            }
            Some(record::Record::StepStarted(started)) => {
                let Some(row) = self.row(step) else { return };
                (row.step_id, row.name) = (started.id, started.name);
                row.started_ms = Some(time_ms);
            }
            Some(record::Record::StepFinished(ended)) => {
                let results = [ended.outcome, ended.conclusion].map(|word| result::from_wire("result", word));
                // They were looked at when they came.
                let [Ok(outcome), Ok(conclusion)] = results else { return };
                let Some(row) = self.row(step) else { return };
                // A mask that was learnt meanwhile may have changed them.
                (row.step_id, row.name) = (ended.id, ended.name);
                row.ended = Some(StepEnd {
                    finished_ms: time_ms,
                    outcome,
                    conclusion,
                    exit_code: ended.exit_code,
                    cpu_ms: ended.cpu_ms,
                    max_rss_bytes: ended.max_rss_bytes,
                });
            }
            Some(record::Record::Summary(mut summary)) => {
                if let Some(tests) = summary.tests.take() {
                    self.tests.take(tests);
                }
                self.reports.take(summary);
            }
            Some(record::Record::Annotation(_)) | None => {}
        }
    }

    fn row(&mut self, step: u32) -> Option<&mut StepRow> {
        if self.rows.len() >= STEPS_MAX && !self.rows.contains_key(&step) {
            return None;
        }
        Some(self.rows.entry(step).or_insert_with(|| StepRow { step, ..StepRow::default() }))
    }
}

/// Reads all records of an attempt that has ended. `None`: there are none (any more). What is damaged ends them.
///
/// # Errors
/// [`RecordsError`], when another try may do.
pub(super) async fn read(records: &Records, key: AttemptKey) -> Result<Option<Steps>, RecordsError> {
    let mut reader = match records.reader(key, 1, true).await {
        Ok(reader) => reader,
        Err(RecordsError::Removed { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let (mut steps, mut found, mut whole) = (Gathered::default(), false, true);
    loop {
        match reader.next().await {
            Ok(some) if some.is_empty() => break,
            Ok(some) => {
                found = true;
                some.into_iter().for_each(|record| steps.take(record));
            }
            Err(error @ (RecordsError::Damaged { .. } | RecordsError::Missing { .. })) => {
                tracing::warn!(run = %key.run, instance = %key.instance, attempt = key.attempt, %error,
                    "the projections have only the steps before it");
                whole = false;
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found.then(|| Steps {
        rows: steps.rows.into_values().collect(),
        tests: steps.tests.cases,
        reports: steps.reports.finish(),
        whole,
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn record(step: u32, time_ms: u64, record: record::Record) -> v1::Record {
        v1::Record { time_ms, step, record: Some(record) }
    }

    fn line(partial: bool) -> record::Record {
        record::Record::Line(v1::LogLine { text: b"x".to_vec().into(), stream: 1, partial })
    }

    fn started(name: &str) -> record::Record {
        let (id, name) = (format!("id-{name}"), name.to_owned());
        record::Record::StepStarted(v1::StepStarted { id, name, default_name: false })
    }

    fn finished(name: &str, outcome: v1::Result, conclusion: v1::Result) -> record::Record {
        record::Record::StepFinished(v1::StepFinished {
            id: format!("id-{name}"),
            name: name.to_owned(),
            outcome: outcome.into(),
            conclusion: conclusion.into(),
            exit_code: Some(7),
            cpu_ms: 11,
            max_rss_bytes: 13,
            default_name: false,
        })
    }

    #[test]
    fn steps_beside_each_other_are_told_apart() {
        let mut steps = Gathered::default();
        for record in [
            record(0, 1, line(false)),
            record(0, 10, started("a")),
            record(1, 20, started("b")),
            record(0, 21, line(true)),
            record(0, 22, line(false)),
            record(1, 23, line(false)),
            record(1, 30, finished("B", v1::Result::Failure, v1::Result::Success)),
            record(2, 31, finished("c", v1::Result::Skipped, v1::Result::Skipped)),
        ] {
            steps.take(record);
        }
        let rows: Vec<StepRow> = steps.rows.into_values().collect();
        assert_eq!(rows.len(), 3);
        assert_eq!((rows[0].name.as_str(), rows[0].started_ms, rows[0].lines), ("a", Some(10), 1));
        assert_eq!(rows[0].ended, None, "its attempt ended first");
        assert_eq!((rows[1].name.as_str(), rows[1].step_id.as_str(), rows[1].lines), ("B", "id-B", 1));
        let end = rows[1].ended.as_ref().unwrap();
        assert_eq!((end.outcome, end.conclusion), (JobResult::Failure, JobResult::Success));
        assert_eq!((end.finished_ms, end.exit_code, end.cpu_ms, end.max_rss_bytes), (30, Some(7), 11, 13));
        assert_eq!(rows[2].started_ms, None);
    }

    #[test]
    fn a_summary_with_test_cases_brings_them_and_another_does_not() {
        let mut gathered = Gathered::default();
        let summary = |tests| {
            record::Record::Summary(v1::Summary { markdown: "# x".into(), tests, ..Default::default() })
        };
        let case = v1::TestCase { name: "adds".to_owned(), outcome: 1, ..v1::TestCase::default() };
        let report = v1::TestReport { path: "junit.xml".to_owned(), cases: vec![case.clone(), case] };
        gathered.take(record(0, 1, summary(None)));
        gathered.take(record(0, 2, summary(Some(report))));
        assert_eq!((gathered.rows.len(), gathered.tests.cases.len()), (0, 2));
    }

    #[test]
    fn no_more_steps_are_kept_than_the_limit() {
        let mut steps = Gathered::default();
        for step in 0..=STEPS_MAX as u32 {
            steps.take(record(step, 1, started("s")));
        }
        steps.take(record(0, 2, line(false)));
        assert_eq!(steps.rows.len(), STEPS_MAX);
        assert_eq!(steps.rows[&0].lines, 1);
    }
}
