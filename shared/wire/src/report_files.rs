//! Reports of coverage, findings and components: what an agent says is within its limits.

use slipway_proto::v1;

use crate::WireError;
use crate::limits::{
    MAX_COMPONENTS, MAX_COVERED_FILES, MAX_FINDING_MESSAGE_BYTES, MAX_FINDINGS, MAX_LICENCES,
    MAX_REPORT_NAME_BYTES,
};

/// Checks all kinds but test cases.
///
/// # Errors
/// [`WireError::TooLarge`]
pub(crate) fn check(summary: &v1::Summary) -> Result<(), WireError> {
    if let Some(report) = &summary.coverage {
        name("record.summary.coverage.path", &report.path)?;
        WireError::check_limit("record.summary.coverage.files", report.files.len(), MAX_COVERED_FILES)?;
        for file in &report.files {
            name("record.summary.coverage.files.path", &file.path)?;
        }
    }
    if let Some(report) = &summary.findings {
        name("record.summary.findings.path", &report.path)?;
        WireError::check_limit("record.summary.findings.findings", report.findings.len(), MAX_FINDINGS)?;
        for finding in &report.findings {
            for text in [&finding.tool, &finding.rule, &finding.path, &finding.fingerprint] {
                name("record.summary.findings.findings", text)?;
            }
            let message = finding.message.len();
            WireError::check_limit(
                "record.summary.findings.findings.message",
                message,
                MAX_FINDING_MESSAGE_BYTES,
            )?;
        }
    }
    if let Some(report) = &summary.components {
        name("record.summary.components.path", &report.path)?;
        let count = report.components.len();
        WireError::check_limit("record.summary.components.components", count, MAX_COMPONENTS)?;
        for component in &report.components {
            let licences = component.licences.len();
            WireError::check_limit("record.summary.components.components.licences", licences, MAX_LICENCES)?;
            let texts = [&component.name, &component.version, &component.purl];
            for text in texts.into_iter().chain(&component.licences) {
                name("record.summary.components.components", text)?;
            }
        }
    }
    Ok(())
}

fn name(field: &'static str, text: &str) -> Result<(), WireError> {
    WireError::check_limit(field, text.len(), MAX_REPORT_NAME_BYTES)
}
