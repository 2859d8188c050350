//! What a job's reports of coverage, findings and components say, in the text of its check; and its new findings as annotations.

use std::fmt::Write as _;

use slipway_workflow::settings::Severity;

use super::desired::Wanted;
use super::details::{Details, MESSAGE_MAX_BYTES, PATH_MAX_BYTES, TITLE_MAX_BYTES};
use super::telling::TellError;
use super::{Annotation, Level, words};
use crate::reports::{Beside, CompareError, Finding, Reports, beside_base, change, percent};
use crate::services::Services;

/// New findings that become annotations; the text says how many there are.
const ANNOTATED_MAX: usize = 100;

/// New findings that the text names.
const NAMED_MAX: usize = 20;

/// The longest line about one, in bytes.
const LINE_MAX_BYTES: usize = 300;

impl From<CompareError> for TellError {
    fn from(error: CompareError) -> Self {
        match error {
            CompareError::Driver(error) => Self::Driver(error),
            CompareError::Records(error) => Self::Records(error),
        }
    }
}

/// The annotations of a job that has ended; its text is kept with what was read of it.
pub(super) async fn of_job(
    services: &Services,
    wanted: &Wanted,
    details: &mut Details,
) -> Result<Vec<Annotation>, TellError> {
    let reports = details.reports.clone().finish();
    let Some(source) = wanted.source.filter(|_| !reports.is_empty()) else { return Ok(Vec::new()) };
    // As of the job's end, so that it is the same whenever it is told.
    let by_ms = wanted.finished_ms.unwrap_or_else(|| services.clock.unix_ms());
    let mut beside = beside_base(services, source.attempt, &reports, by_ms).await?;
    beside.new.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    details.reports_text = text(&reports, &beside);
    Ok(beside.new.iter().filter_map(annotation).take(ANNOTATED_MAX).collect())
}

fn annotation(finding: &Finding) -> Option<Annotation> {
    if finding.path.is_empty() {
        return None;
    }
    let first = finding.line.max(1);
    let last = finding.end_line.max(first);
    let message = if finding.message.is_empty() { &finding.rule } else { &finding.message };
    let message = if message.is_empty() { "(empty)" } else { message };
    Some(Annotation {
        path: words::cut(&finding.path, PATH_MAX_BYTES),
        lines: (first, last),
        columns: (first == last && finding.column > 0).then_some((finding.column, finding.column)),
        level: match finding.severity {
            Severity::Critical | Severity::High => Level::Failure,
            Severity::Medium => Level::Warning,
            Severity::Low => Level::Notice,
        },
        title: words::cut(&format!("{}: {}", finding.tool, finding.rule), TITLE_MAX_BYTES),
        message: words::cut(message, MESSAGE_MAX_BYTES),
    })
}

fn text(reports: &Reports, Beside { new, coverage: before }: &Beside) -> String {
    let mut text = String::new();
    if let Some(coverage) = &reports.coverage {
        let (lines, covered) = coverage.totals();
        let share = coverage.hundredths().map_or_else(|| "nothing".to_owned(), percent);
        let since = match (coverage.hundredths(), before) {
            (Some(now), Some(before)) => format!(", {} beside the base branch", change(*before, now)),
            _ => String::new(),
        };
        words::paragraph(&mut text, &format!("Coverage: {share} ({covered} of {lines} lines){since}"));
    }
    if let Some(findings) = &reports.findings {
        let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        let worst = Severity::ALL.into_iter().rev().filter(|severity| count(*severity) > 0);
        let counts: Vec<String> =
            worst.map(|severity| format!("{} {}", count(severity), severity.word())).collect();
        let counts = if counts.is_empty() { "none".to_owned() } else { counts.join(", ") };
        words::paragraph(&mut text, &format!("Findings: {counts}; new: {}", new.len()));
        for finding in new.iter().take(NAMED_MAX) {
            let Finding { severity, path, line, message, rule, .. } = finding;
            let first = message.lines().next().unwrap_or_default();
            let line = format!("{} {path}:{line}: {first} ({rule})", severity.word());
            // Writing to a string cannot fail.
            let _ = writeln!(text, "- {}", words::plain(&words::cut(&line, LINE_MAX_BYTES)));
        }
        if let Some(more) = new.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
            let _ = writeln!(text, "- and {more} more");
        }
        if !new.is_empty() {
            text.push('\n');
        }
    }
    if let Some(components) = &reports.components {
        words::paragraph(&mut text, &format!("Components: {}", components.len()));
    }
    text
}
