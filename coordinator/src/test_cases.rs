//! Test cases, as attempts' records tell of them (docs/TESTS.md).
//!
//! What an agent says is bounded here once more, as tables and answers need it: its own limits are another version's.

use serde::Serialize;
use slipway_proto::v1::{self, test_case};
use slipway_wire::limits::{
    MAX_TEST_CASES, MAX_TEST_MESSAGE_BYTES, MAX_TEST_NAME_BYTES, MAX_TEST_TEXT_BYTES,
};

use crate::records::{AttemptKey, Records, RecordsError};

/// Cases are among an attempt's last records: how many of those are read for them. 50,000 cases take some hundred records and a
/// thousand report files as many; behind them there are a few lines.
pub(crate) const TAIL_RECORDS: u64 = 8_192;

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing was wrong.
    Passed,
    /// It was not as expected.
    Failed,
    /// It did not get as far as that.
    Error,
    /// It did not run.
    Skipped,
    /// It failed first and passed when it ran again.
    Flaky,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Passed, Self::Failed, Self::Error, Self::Skipped, Self::Flaky];

    /// In one word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Error => "error",
            Self::Skipped => "skipped",
            Self::Flaky => "flaky",
        }
    }

    fn from_wire(outcome: i32) -> Option<Self> {
        match test_case::Outcome::try_from(outcome).ok()? {
            test_case::Outcome::Unspecified => None,
            test_case::Outcome::Passed => Some(Self::Passed),
            test_case::Outcome::Failed => Some(Self::Failed),
            test_case::Outcome::Error => Some(Self::Error),
            test_case::Outcome::Skipped => Some(Self::Skipped),
            test_case::Outcome::Flaky => Some(Self::Flaky),
        }
    }
}

/// A test case. Texts are empty where its report says nothing, and hold no NUL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestCase {
    /// Its place among the attempt's cases, from 0.
    pub ordinal: u32,
    /// Path of the report in the workspace.
    pub report: String,
    /// Its suite's name.
    pub suite: String,
    /// Its class.
    pub class: String,
    /// Its name.
    pub name: String,
    /// The source file.
    pub file: String,
    /// Its line, from 1; 0: not said.
    pub line: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took, in microseconds.
    pub duration_us: Option<u64>,
    /// Why it failed or was skipped.
    pub message: String,
}

/// Cases as they come out of records.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) cases: Vec<TestCase>,
    text_bytes: usize,
}

impl Gathered {
    /// Takes what one record says; beyond the limits, nothing.
    pub(crate) fn take(&mut self, tests: v1::TestReport) {
        let report = bounded(tests.path, MAX_TEST_NAME_BYTES);
        for case in tests.cases {
            // An outcome of a later version.
            let Some(outcome) = Outcome::from_wire(case.outcome) else { continue };
            let case = TestCase {
                ordinal: u32::try_from(self.cases.len()).unwrap_or(u32::MAX),
                report: report.clone(),
                suite: bounded(case.suite, MAX_TEST_NAME_BYTES),
                class: bounded(case.class, MAX_TEST_NAME_BYTES),
                name: bounded(case.name, MAX_TEST_NAME_BYTES),
                file: bounded(case.file, MAX_TEST_NAME_BYTES),
                line: case.line,
                outcome,
                duration_us: case.duration_us,
                message: bounded(case.message, MAX_TEST_MESSAGE_BYTES),
            };
            let texts = [&case.suite, &case.class, &case.name, &case.file, &case.message];
            let text_bytes: usize = texts.into_iter().map(String::len).sum();
            if self.cases.len() >= MAX_TEST_CASES || self.text_bytes + text_bytes > MAX_TEST_TEXT_BYTES {
                return;
            }
            self.text_bytes += text_bytes;
            self.cases.push(case);
        }
    }
}

/// Without NUL, which PostgreSQL does not take, and short enough for its indexes: in this order, since what stands for a NUL
/// is longer.
pub(crate) fn bounded(text: String, max_bytes: usize) -> String {
    let mut text = if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text };
    if text.len() > max_bytes {
        let boundary = (0..=max_bytes).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(boundary.unwrap_or_default());
    }
    text
}

/// The cases of an attempt that has ended and reported so many records; none: they were removed.
///
/// # Errors
/// [`RecordsError`].
pub(crate) async fn read(
    records: &Records,
    key: AttemptKey,
    reported: u64,
) -> Result<Option<Vec<TestCase>>, RecordsError> {
    let mut gathered = Gathered::default();
    let from = reported.saturating_sub(TAIL_RECORDS) + 1;
    let mut reader = match records.reader(key, from, true).await {
        Ok(reader) => reader,
        Err(RecordsError::Removed { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    loop {
        let some = reader.next().await?;
        if some.is_empty() {
            return Ok(Some(gathered.cases));
        }
        for record in some {
            if let Some(v1::record::Record::Summary(v1::Summary { tests: Some(tests), .. })) = record.record {
                gathered.take(tests);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn case(name: &str, outcome: i32) -> v1::TestCase {
        v1::TestCase { name: name.to_owned(), outcome, ..v1::TestCase::default() }
    }

    #[test]
    fn cases_are_numbered_over_all_reports() {
        let mut gathered = Gathered::default();
        for path in ["a.xml", "b.xml"] {
            let cases =
                vec![case("x", 1), case("of a later version", 77), case("not said", 0), case("y\0", 2)];
            gathered.take(v1::TestReport { path: path.to_owned(), cases });
        }
        let found: Vec<_> = gathered
            .cases
            .iter()
            .map(|case| (case.ordinal, case.report.as_str(), case.name.as_str()))
            .collect();
        let expected =
            [(0, "a.xml", "x"), (1, "a.xml", "y\u{fffd}"), (2, "b.xml", "x"), (3, "b.xml", "y\u{fffd}")];
        assert_eq!(found, expected);
        assert_eq!(gathered.cases[1].outcome, Outcome::Failed);
    }

    #[test]
    fn what_an_agent_says_beyond_the_limits_is_left_out() {
        let mut gathered = Gathered::default();
        let long = case(&"\0".repeat(MAX_TEST_NAME_BYTES), 1);
        gathered.take(v1::TestReport { path: "ä".repeat(MAX_TEST_NAME_BYTES), cases: vec![long; 3] });
        assert!(gathered.cases.iter().all(|case| case.name.len() <= MAX_TEST_NAME_BYTES));
        assert_eq!(gathered.cases[0].report.len(), MAX_TEST_NAME_BYTES);
        gathered.take(v1::TestReport { path: String::new(), cases: vec![case("", 1); MAX_TEST_CASES] });
        assert_eq!(gathered.cases.len(), MAX_TEST_CASES);
        let mut gathered = Gathered::default();
        let message = "m".repeat(MAX_TEST_MESSAGE_BYTES);
        let long = v1::TestCase { message, ..case("", 2) };
        gathered.take(v1::TestReport { path: String::new(), cases: vec![long; 5_000] });
        assert_eq!(gathered.cases.len(), MAX_TEST_TEXT_BYTES / MAX_TEST_MESSAGE_BYTES);
    }
}
