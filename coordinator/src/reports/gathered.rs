//! Reports as they come out of records.

use std::collections::BTreeSet;

use serde::Serialize;
use slipway_proto::v1::{self, finding};
use slipway_wire::limits::{
    MAX_COMPONENTS, MAX_FINDING_MESSAGE_BYTES, MAX_FINDINGS, MAX_LICENCES, MAX_REPORT_NAME_BYTES,
    MAX_REPORT_TEXT_BYTES,
};
use slipway_workflow::settings::Severity;

use super::coverage::Coverage;
use crate::records::{AttemptKey, Records, RecordsError};
use crate::test_cases::{TAIL_RECORDS, bounded};

/// A finding. Texts hold no NUL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Who found it.
    pub tool: String,
    /// By which rule.
    pub rule: String,
    /// How bad it is.
    #[serde(serialize_with = "word")]
    pub severity: Severity,
    /// What.
    pub message: String,
    /// In the repository; empty: of no file.
    pub path: String,
    /// From 1; 0: not said.
    pub line: u32,
    /// The last one; 0: not said.
    pub end_line: u32,
    /// From 1; 0: not said.
    pub column: u32,
    /// The same as long as the finding is.
    pub fingerprint: String,
}

fn word<S: serde::Serializer>(severity: &Severity, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(severity.word())
}

/// A component. Texts hold no NUL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Component {
    /// Its name, with its group.
    pub name: String,
    /// Empty: not said.
    pub version: String,
    /// Package URL; empty: not said.
    pub purl: String,
    /// Ids or expressions of SPDX, or names.
    pub licences: Vec<String>,
}

/// What reports say; of a kind that no report is of, nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reports {
    /// Coverage.
    pub coverage: Option<Coverage>,
    /// Findings in the order of the reports, each once.
    pub findings: Option<Vec<Finding>>,
    /// How many findings are beyond the limits.
    pub findings_left_out: u64,
    /// Components, each once.
    pub components: Option<Vec<Component>>,
    /// How many components are beyond the limits.
    pub components_left_out: u64,
}

impl Reports {
    /// Whether there is no report.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.coverage.is_none() && self.findings.is_none() && self.components.is_none()
    }
}

/// Gathers from many records, and from many attempts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gathered {
    reports: Reports,
    fingerprints: BTreeSet<String>,
    components: BTreeSet<Component>,
    findings_bytes: usize,
    components_bytes: usize,
}

impl Gathered {
    /// Takes what one record says.
    pub(crate) fn take(&mut self, summary: v1::Summary) {
        if let Some(report) = summary.coverage {
            let coverage = self.reports.coverage.get_or_insert_default();
            for file in report.files {
                coverage.take(bounded(file.path, MAX_REPORT_NAME_BYTES), file.lines, file.covered);
            }
            coverage.take_more(report.more_files, report.more_lines, report.more_covered);
        }
        if let Some(report) = summary.findings {
            self.reports.findings.get_or_insert_default();
            self.leave_out_findings(report.left_out);
            report.findings.into_iter().for_each(|finding| self.find(finding_of(finding)));
        }
        if let Some(report) = summary.components {
            self.reports.components.get_or_insert_default();
            self.leave_out_components(report.left_out);
            report.components.into_iter().for_each(|component| self.consist(component_of(component)));
        }
    }

    /// Takes what another attempt's reports say.
    pub(crate) fn merge(&mut self, other: Reports) {
        if let Some(coverage) = other.coverage {
            self.reports.coverage.get_or_insert_default().merge(coverage);
        }
        if let Some(findings) = other.findings {
            self.reports.findings.get_or_insert_default();
            findings.into_iter().for_each(|finding| self.find(finding));
        }
        if let Some(components) = other.components {
            self.reports.components.get_or_insert_default();
            components.into_iter().for_each(|component| self.consist(component));
        }
        self.leave_out_findings(other.findings_left_out);
        self.leave_out_components(other.components_left_out);
    }

    fn find(&mut self, finding: Finding) {
        let Finding { tool, rule, message, path, fingerprint, .. } = &finding;
        let size: usize = [tool, rule, message, path, fingerprint].into_iter().map(String::len).sum();
        let Some(findings) = &mut self.reports.findings else { return };
        if self.fingerprints.contains(fingerprint) {
            return;
        }
        if findings.len() >= MAX_FINDINGS || self.findings_bytes + size > MAX_REPORT_TEXT_BYTES {
            self.leave_out_findings(1);
            return;
        }
        self.findings_bytes += size;
        self.fingerprints.insert(fingerprint.clone());
        findings.push(finding);
    }

    fn consist(&mut self, component: Component) {
        let Component { name, version, purl, licences } = &component;
        let texts = [name, version, purl].into_iter().chain(licences);
        let size: usize = texts.map(String::len).sum();
        if self.components.contains(&component) {
            return;
        }
        if self.components.len() >= MAX_COMPONENTS || self.components_bytes + size > MAX_REPORT_TEXT_BYTES {
            self.leave_out_components(1);
            return;
        }
        self.components_bytes += size;
        self.components.insert(component);
    }

    fn leave_out_findings(&mut self, count: u64) {
        self.reports.findings_left_out = self.reports.findings_left_out.saturating_add(count);
    }

    fn leave_out_components(&mut self, count: u64) {
        self.reports.components_left_out = self.reports.components_left_out.saturating_add(count);
    }

    /// All that was taken.
    pub(crate) fn finish(self) -> Reports {
        let mut reports = self.reports;
        if let Some(components) = &mut reports.components {
            *components = self.components.into_iter().collect();
        }
        reports
    }
}

fn name(text: String) -> String {
    bounded(text, MAX_REPORT_NAME_BYTES)
}

fn finding_of(said: v1::Finding) -> Finding {
    let severity = match said.severity() {
        finding::Severity::Critical => Severity::Critical,
        finding::Severity::High => Severity::High,
        finding::Severity::Low => Severity::Low,
        // One of a later version is worth a look.
        finding::Severity::Medium | finding::Severity::Unspecified => Severity::Medium,
    };
    Finding {
        tool: name(said.tool),
        rule: name(said.rule),
        severity,
        message: bounded(said.message, MAX_FINDING_MESSAGE_BYTES),
        path: name(said.path),
        line: said.line,
        end_line: said.end_line,
        column: said.column,
        fingerprint: name(said.fingerprint),
    }
}

fn component_of(said: v1::Component) -> Component {
    Component {
        name: name(said.name),
        version: name(said.version),
        purl: name(said.purl),
        licences: said.licences.into_iter().take(MAX_LICENCES).map(name).collect(),
    }
}

/// The reports of an attempt that has ended and reported so many records; none: they were removed.
///
/// # Errors
/// [`RecordsError`].
pub(crate) async fn read(
    records: &Records,
    key: AttemptKey,
    reported: u64,
) -> Result<Option<Reports>, RecordsError> {
    let mut gathered = Gathered::default();
    // They are among the last records, as test cases are.
    let from = reported.saturating_sub(TAIL_RECORDS) + 1;
    let mut reader = match records.reader(key, from, true).await {
        Ok(reader) => reader,
        Err(RecordsError::Removed { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    loop {
        let some = reader.next().await?;
        if some.is_empty() {
            return Ok(Some(gathered.finish()));
        }
        for record in some {
            if let Some(v1::record::Record::Summary(summary)) = record.record {
                gathered.take(summary);
            }
        }
    }
}
