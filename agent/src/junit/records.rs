//! What reports say, as records and as lines of a job's log.

use prost::Message as _;
use slipway_proto::v1;

use super::{Case, Collected, Outcome, Report, cut};
use crate::limits::{JUNIT_NAMED_MAX, JUNIT_RECORD_BYTES};

/// Report files that a summary names.
const FILES_NAMED: usize = 3;

/// How much of a message's first line the job's log shows.
pub(super) const FIRST_LINE_MAX_BYTES: usize = 200;

/// The records of reports, each of [`JUNIT_RECORD_BYTES`] or a little more.
#[must_use]
pub fn summaries(reports: Vec<Report>) -> Vec<v1::Summary> {
    let mut summaries = Vec::new();
    for Report { path, cases } in reports {
        let (mut some, mut bytes) = (Vec::new(), 0);
        for case in cases.into_iter().map(wire) {
            bytes += case.encoded_len();
            some.push(case);
            if bytes >= JUNIT_RECORD_BYTES {
                summaries.push(summary(&path, std::mem::take(&mut some)));
                bytes = 0;
            }
        }
        if !some.is_empty() {
            summaries.push(summary(&path, some));
        }
    }
    summaries
}

fn summary(path: &str, cases: Vec<v1::TestCase>) -> v1::Summary {
    let tests = v1::TestReport { path: path.to_owned(), cases };
    v1::Summary { tests: Some(tests), ..Default::default() }
}

fn wire(case: Case) -> v1::TestCase {
    use v1::test_case::Outcome as Wire;
    let outcome = match case.outcome {
        Outcome::Passed => Wire::Passed,
        Outcome::Failed => Wire::Failed,
        Outcome::Error => Wire::Error,
        Outcome::Skipped => Wire::Skipped,
        Outcome::Flaky => Wire::Flaky,
    };
    v1::TestCase {
        suite: case.suite,
        class: case.class,
        name: case.name,
        file: case.file,
        line: case.line,
        outcome: outcome.into(),
        duration_us: case.duration_us,
        message: case.message,
    }
}

/// What the job's log says of them: one line with the counts, and one for each of the first that failed. None without a case.
#[must_use]
pub fn lines(collected: &Collected) -> Vec<String> {
    let cases = || collected.reports.iter().flat_map(|report| &report.cases);
    if cases().next().is_none() {
        return Vec::new();
    }
    let kinds = [Outcome::Passed, Outcome::Failed, Outcome::Error, Outcome::Skipped, Outcome::Flaky];
    let counted = kinds.map(|kind| (kind, cases().filter(|case| case.outcome == kind).count()));
    let counts = counted.into_iter().filter(|(kind, count)| *count > 0 || *kind == Outcome::Passed);
    let counts: Vec<String> = counts
        .map(|(kind, count)| match (kind, count) {
            (Outcome::Error, 2..) => format!("{count} errors"),
            (kind, count) => format!("{count} {}", kind.word()),
        })
        .collect();
    let files: Vec<&str> = collected.reports.iter().map(|report| report.path.as_str()).collect();
    let more = files.len().saturating_sub(FILES_NAMED);
    let named = files.get(..FILES_NAMED.min(files.len())).unwrap_or_default().join(", ");
    let and = if more > 0 { format!(" and {more} more") } else { String::new() };
    let mut lines = vec![format!("Tests: {} ({named}{and})", counts.join(", "))];
    let failed = || cases().filter(|case| matches!(case.outcome, Outcome::Failed | Outcome::Error));
    for case in failed().take(JUNIT_NAMED_MAX) {
        let first = case.message.lines().next().unwrap_or_default();
        let first = cut(first.to_owned(), FIRST_LINE_MAX_BYTES);
        let why = if first.is_empty() { String::new() } else { format!(": {first}") };
        lines.push(format!("  {} {}{why}", case.outcome.word(), title(case)));
    }
    let more = failed().count().saturating_sub(JUNIT_NAMED_MAX);
    if more > 0 {
        lines.push(format!("  and {more} more"));
    }
    lines
}

/// What people call a case: its class and name, in one line.
fn title(case: &Case) -> String {
    let outer = if case.class.is_empty() { &case.suite } else { &case.class };
    let title = if outer.is_empty() { case.name.clone() } else { format!("{outer} › {}", case.name) };
    title.replace(['\n', '\r'], " ")
}
