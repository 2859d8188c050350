//! What a job's log says of its reports.

use std::collections::BTreeMap;

use slipway_proto::v1::finding::Severity;

use super::{Case, Collected, Others, Outcome, cut};
use crate::limits::REPORTS_NAMED_MAX;

/// Report files that a summary names.
const FILES_NAMED: usize = 3;

/// How much of a message's first line the job's log shows.
pub(super) const FIRST_LINE_MAX_BYTES: usize = 200;

/// Of all of them.
#[must_use]
pub fn all(collected: &Collected) -> Vec<String> {
    let mut said = lines(collected);
    said.extend(others(&collected.others));
    said
}

/// One line for each kind of report that there is.
fn others(others: &Others) -> Vec<String> {
    let mut said = Vec::new();
    if !others.coverage.is_empty() {
        // A file counts once, as its best report has it.
        let mut best: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        let (mut lines, mut covered) = (0, 0);
        for report in &others.coverage {
            (lines, covered) = (lines + report.more.1, covered + report.more.2);
            for file in &report.files {
                let known = best.entry(&file.path).or_default();
                *known = (known.0.max(file.lines), known.1.max(file.covered));
            }
        }
        best.values().for_each(|file| (lines, covered) = (lines + file.0, covered + file.1));
        let files = named(others.coverage.iter().map(|report| report.path.as_str()));
        said.push(format!("Coverage: {} of {covered} of {lines} lines ({files})", percent(covered, lines)));
    }
    if !others.findings.is_empty() {
        let all = || others.findings.iter().flat_map(|report| &report.findings);
        let kinds = [
            (Severity::Critical, "critical"),
            (Severity::High, "high"),
            (Severity::Medium, "medium"),
            (Severity::Low, "low"),
        ];
        let counted = kinds.map(|(kind, word)| (all().filter(|one| one.severity() == kind).count(), word));
        let counts: Vec<String> = counted
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        let counts = if counts.is_empty() { "none".to_owned() } else { counts.join(", ") };
        let files = named(others.findings.iter().map(|report| report.path.as_str()));
        said.push(format!("Findings: {counts} ({files})"));
    }
    if !others.components.is_empty() {
        let count: usize = others.components.iter().map(|report| report.components.len()).sum();
        let files = named(others.components.iter().map(|report| report.path.as_str()));
        said.push(format!("Components: {count} ({files})"));
    }
    said
}

/// `85.25%`, rounded down: 100 means all.
fn percent(covered: u64, lines: u64) -> String {
    match lines {
        0 => "nothing".to_owned(),
        lines => {
            let hundredths = u128::from(covered) * 10_000 / u128::from(lines);
            format!("{}.{:02}%", hundredths / 100, hundredths % 100)
        }
    }
}

/// The first few names.
fn named<'a>(files: impl Iterator<Item = &'a str>) -> String {
    let files: Vec<&str> = files.collect();
    let more = files.len().saturating_sub(FILES_NAMED);
    let first = files.get(..FILES_NAMED.min(files.len())).unwrap_or_default().join(", ");
    if more > 0 { format!("{first} and {more} more") } else { first }
}

/// What it says of test cases: one line with the counts, and one for each of the first that failed. None without a case.
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
    let files = named(collected.reports.iter().map(|report| report.path.as_str()));
    let mut lines = vec![format!("Tests: {} ({files})", counts.join(", "))];
    let failed = || cases().filter(|case| matches!(case.outcome, Outcome::Failed | Outcome::Error));
    for case in failed().take(REPORTS_NAMED_MAX) {
        let first = case.message.lines().next().unwrap_or_default();
        let first = cut(first.to_owned(), FIRST_LINE_MAX_BYTES);
        let why = if first.is_empty() { String::new() } else { format!(": {first}") };
        lines.push(format!("  {} {}{why}", case.outcome.word(), title(case)));
    }
    let more = failed().count().saturating_sub(REPORTS_NAMED_MAX);
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
