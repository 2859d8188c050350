//! What reports say, as records.

use prost::Message as _;
use slipway_proto::v1;

use super::{Bill, Case, Covered, Found, Others, Outcome, Report};
use crate::limits::REPORTS_RECORD_BYTES;

/// The records of reports, each of [`REPORTS_RECORD_BYTES`] or a little more.
#[must_use]
pub fn summaries(reports: Vec<Report>) -> Vec<v1::Summary> {
    let mut summaries = Vec::new();
    for Report { path, cases } in reports {
        let (mut some, mut bytes) = (Vec::new(), 0);
        for case in cases.into_iter().map(wire) {
            bytes += case.encoded_len();
            some.push(case);
            if bytes >= REPORTS_RECORD_BYTES {
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
    v1::Summary { tests: Some(tests), ..v1::Summary::default() }
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

/// The same of all other reports.
#[must_use]
pub fn others(others: Others) -> Vec<v1::Summary> {
    let mut summaries = Vec::new();
    for Covered { path, files, more } in others.coverage {
        let mut pieces = pieces(files);
        let last = pieces.len().saturating_sub(1);
        for (at, files) in pieces.drain(..).enumerate() {
            let (more_files, more_lines, more_covered) = if at == last { more } else { (0, 0, 0) };
            let path = path.clone();
            let coverage = v1::CoverageReport { path, files, more_files, more_lines, more_covered };
            summaries.push(v1::Summary { coverage: Some(coverage), ..v1::Summary::default() });
        }
    }
    for Found { path, findings, left_out } in others.findings {
        let mut pieces = pieces(findings);
        let last = pieces.len().saturating_sub(1);
        for (at, findings) in pieces.drain(..).enumerate() {
            let left_out = if at == last { left_out } else { 0 };
            let findings = v1::FindingsReport { path: path.clone(), findings, left_out };
            summaries.push(v1::Summary { findings: Some(findings), ..v1::Summary::default() });
        }
    }
    for Bill { path, components, left_out } in others.components {
        let mut pieces = pieces(components);
        let last = pieces.len().saturating_sub(1);
        for (at, components) in pieces.drain(..).enumerate() {
            let left_out = if at == last { left_out } else { 0 };
            let components = v1::ComponentsReport { path: path.clone(), components, left_out };
            summaries.push(v1::Summary { components: Some(components), ..v1::Summary::default() });
        }
    }
    summaries
}

/// Pieces of [`REPORTS_RECORD_BYTES`] or a little more; one that is empty for a report that says nothing: that it was there
/// counts.
fn pieces<T: prost::Message>(all: Vec<T>) -> Vec<Vec<T>> {
    let (mut pieces, mut some, mut bytes) = (Vec::new(), Vec::new(), 0);
    for one in all {
        bytes += one.encoded_len();
        some.push(one);
        if bytes >= REPORTS_RECORD_BYTES {
            pieces.push(std::mem::take(&mut some));
            bytes = 0;
        }
    }
    if !some.is_empty() || pieces.is_empty() {
        pieces.push(some);
    }
    pieces
}
