//! What an attempt's records tell for a report: its steps, annotations, summaries and failing tests. They are read once, in order: a report
//! of a job that runs goes on where the last one stopped.

use std::collections::BTreeMap;

use slipway_proto::v1::{self, annotation, record, test_case};
use slipway_scheduler::JobResult;
use slipway_wire::result;

use super::desired::Source;
use super::{Annotation, Level, words};
use crate::records::{Records, RecordsError};
use crate::reports::Gathered;

/// Steps that are told.
const STEPS_MAX: usize = 300;

/// Annotations that are told; the rest is counted.
pub(super) const ANNOTATIONS_MAX: usize = 300;

/// Failing tests that are named; the rest is counted.
pub(super) const FAILING_MAX: usize = 50;

/// Bytes of an annotation's title and message.
pub(super) const TITLE_MAX_BYTES: usize = 250;
pub(super) const MESSAGE_MAX_BYTES: usize = 8 << 10;

/// Bytes of a path.
pub(super) const PATH_MAX_BYTES: usize = 1 << 10;

/// Bytes of summaries that are kept; more has no room in a report.
const SUMMARY_MAX_BYTES: usize = 64 << 10;

/// Pieces of about a mebibyte that are read for one report of a job that runs, and for its last one: 4 GiB of log.
const LIVE_PIECES: usize = 32;
const LAST_PIECES: usize = 4_096;

/// A step.
#[derive(Debug, Clone, Default)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) started_ms: Option<u64>,
    pub(super) ended: Option<StepEnd>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepEnd {
    pub(super) at_ms: u64,
    pub(super) outcome: JobResult,
    pub(super) conclusion: JobResult,
}

/// A test that failed.
#[derive(Debug, Clone)]
pub(super) struct Failing {
    pub(super) name: String,
    pub(super) message: String,
}

/// What was read so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Details {
    /// Of which attempt.
    attempt: u32,
    /// How many records were read.
    read: u64,
    pub(super) steps: BTreeMap<u32, Step>,
    pub(super) annotations: Vec<Annotation>,
    pub(super) annotations_left_out: usize,
    pub(super) summary: String,
    pub(super) summary_left_out: bool,
    pub(super) failing: Vec<Failing>,
    /// Test cases in all, and those that failed.
    pub(super) tests: (usize, usize),
    /// What its other reports say.
    pub(super) reports: Gathered,
    /// The same as Markdown, once the job is over.
    pub(super) reports_text: String,
    /// Where what the job deployed can be seen.
    pub(super) environment_url: Option<String>,
    /// The logs were removed, or are damaged from some record on.
    pub(super) missing: bool,
}

impl Details {
    /// Reads on.
    ///
    /// # Errors
    /// [`RecordsError`], when another try may do.
    pub(crate) async fn read_on(&mut self, records: &Records, source: Source) -> Result<(), RecordsError> {
        if self.attempt != source.attempt.attempt {
            *self = Self { attempt: source.attempt.attempt, ..Self::default() };
        }
        if self.missing {
            return Ok(());
        }
        let pieces = if source.over { LAST_PIECES } else { LIVE_PIECES };
        let mut reader = match records.reader(source.attempt, self.read + 1, source.over).await {
            Ok(reader) => reader,
            Err(RecordsError::Removed { .. }) => {
                self.missing = true;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for _ in 0..pieces {
            match reader.next().await {
                Ok(some) if some.is_empty() => break,
                Ok(some) => {
                    self.read += some.len() as u64;
                    some.into_iter().for_each(|record| self.take(record));
                }
                Err(RecordsError::Damaged { .. } | RecordsError::Missing { .. }) => {
                    self.missing = true;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn take(&mut self, record: v1::Record) {
        let (step, time_ms) = (record.step, record.time_ms);
        match record.record {
            Some(record::Record::StepStarted(started)) => {
                let Some(row) = self.step(step) else { return };
                row.name = started.name;
                row.started_ms = Some(time_ms);
            }
            Some(record::Record::StepFinished(ended)) => {
                let results = [ended.outcome, ended.conclusion].map(|word| result::from_wire("result", word));
                // They were looked at when they came.
                let [Ok(outcome), Ok(conclusion)] = results else { return };
                let Some(row) = self.step(step) else { return };
                row.name = ended.name;
                row.ended = Some(StepEnd { at_ms: time_ms, outcome, conclusion });
            }
            Some(record::Record::Annotation(said)) => self.annotate(annotation_of(said)),
            Some(record::Record::Summary(mut summary)) => {
                self.sum_up(&summary.markdown);
                if !summary.environment_url.is_empty() {
                    self.environment_url = Some(std::mem::take(&mut summary.environment_url));
                }
                if let Some(tests) = summary.tests.take() {
                    self.test(tests);
                }
                self.reports.take(summary);
            }
            Some(record::Record::Line(_)) | None => {}
        }
    }

    fn step(&mut self, step: u32) -> Option<&mut Step> {
        if self.steps.len() >= STEPS_MAX && !self.steps.contains_key(&step) {
            return None;
        }
        Some(self.steps.entry(step).or_default())
    }

    fn annotate(&mut self, annotation: Annotation) {
        if self.annotations.len() < ANNOTATIONS_MAX {
            self.annotations.push(annotation);
        } else {
            self.annotations_left_out += 1;
        }
    }

    fn sum_up(&mut self, markdown: &[u8]) {
        let room = SUMMARY_MAX_BYTES.saturating_sub(self.summary.len());
        let text = String::from_utf8_lossy(markdown);
        let kept = words::beginning(&text, room);
        self.summary_left_out |= kept.len() < text.len();
        self.summary.push_str(kept);
    }

    fn test(&mut self, tests: v1::TestReport) {
        for case in tests.cases {
            self.tests.0 += 1;
            let bad = [test_case::Outcome::Failed, test_case::Outcome::Error];
            if !bad.iter().any(|bad| *bad as i32 == case.outcome) {
                continue;
            }
            self.tests.1 += 1;
            if self.failing.len() >= FAILING_MAX {
                continue;
            }
            let class = if case.class.is_empty() { &case.suite } else { &case.class };
            let name =
                if class.is_empty() { case.name.clone() } else { format!("{class} › {}", case.name) };
            let (name, message) =
                (words::cut(&name, TITLE_MAX_BYTES), words::cut(&case.message, MESSAGE_MAX_BYTES));
            if !case.file.is_empty() {
                let line = case.line.max(1);
                self.annotate(Annotation {
                    path: path(&case.file),
                    lines: (line, line),
                    columns: None,
                    level: Level::Failure,
                    title: name.clone(),
                    message: if message.is_empty() { "the test failed".to_owned() } else { message.clone() },
                });
            }
            self.failing.push(Failing { name, message });
        }
    }
}

/// Where the runner checks a repository out: `/home/runner/work/NAME/NAME/`.
const WORK: &str = "/home/runner/work/";

/// A path in the repository.
fn path(file: &str) -> String {
    let inside = file.strip_prefix(WORK).and_then(|rest| rest.splitn(3, '/').nth(2));
    let relative = inside.unwrap_or(file);
    let relative = relative.strip_prefix("./").unwrap_or(relative);
    words::cut(relative, PATH_MAX_BYTES)
}

fn annotation_of(said: v1::Annotation) -> Annotation {
    let level = match said.level() {
        annotation::Level::Error => Level::Failure,
        annotation::Level::Warning => Level::Warning,
        annotation::Level::Notice | annotation::Level::Unspecified => Level::Notice,
    };
    let first = said.line.max(1);
    let last = said.end_line.max(first);
    let columns = (first == last && said.column > 0 && !said.file.is_empty())
        .then(|| (said.column, said.end_column.max(said.column)));
    // GitHub's own runner puts what names no file there.
    let path = if said.file.is_empty() { ".github".to_owned() } else { path(&said.file) };
    let message = if said.message.is_empty() { "(empty)" } else { &said.message };
    Annotation {
        path,
        lines: (first, last),
        columns,
        level,
        title: words::cut(&said.title, TITLE_MAX_BYTES),
        message: words::cut(message, MESSAGE_MAX_BYTES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(file: &str, line: u32, end_line: u32, column: u32) -> Annotation {
        let message = "m".to_owned();
        let file = file.to_owned();
        annotation_of(v1::Annotation {
            level: 3,
            message,
            file,
            line,
            end_line,
            column,
            ..Default::default()
        })
    }

    #[test]
    fn an_annotation_has_what_a_forge_wants() {
        let one = said("/home/runner/work/n/n/src/a.c", 3, 0, 7);
        assert_eq!((one.path.as_str(), one.lines, one.columns), ("src/a.c", (3, 3), Some((7, 7))));
        assert_eq!(one.level, Level::Failure);
        let several = said("./a.c", 3, 5, 7);
        assert_eq!((several.path.as_str(), several.lines, several.columns), ("a.c", (3, 5), None));
        let none = said("", 0, 0, 0);
        assert_eq!((none.path.as_str(), none.lines), (".github", (1, 1)));
        assert_eq!(said("a", 9, 2, 0).lines, (9, 9));
    }

    #[test]
    fn more_than_the_limits_is_counted_and_not_kept() {
        let mut details = Details::default();
        for _ in 0..=ANNOTATIONS_MAX {
            details.annotate(said("a", 1, 1, 0));
        }
        assert_eq!((details.annotations.len(), details.annotations_left_out), (ANNOTATIONS_MAX, 1));
        details.sum_up(&vec![b'x'; SUMMARY_MAX_BYTES]);
        assert!(!details.summary_left_out);
        details.sum_up("ä".as_bytes());
        assert!(details.summary_left_out && details.summary.len() == SUMMARY_MAX_BYTES);
        let case = |outcome| v1::TestCase { name: "t".into(), outcome, ..v1::TestCase::default() };
        let mut cases = vec![case(2); FAILING_MAX + 1];
        cases.push(case(1));
        details.test(v1::TestReport { path: String::new(), cases });
        assert_eq!((details.failing.len(), details.tests), (FAILING_MAX, (FAILING_MAX + 2, FAILING_MAX + 1)));
    }
}
