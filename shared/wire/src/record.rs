//! Batches of records.
//!
//! Records stay in their wire form behind this check: they are bytes to keep and to pass on, exactly as the agent made
//! them, and a second type for each line of a million-line log would be cost without use.

use prost::Message as _;
use slipway_proto::v1;

use crate::lease::{self, WireLease};
use crate::records::{self, Records};
use crate::{WireError, limits};

/// A batch whose every record is within its limits.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedBatch {
    /// Under which lease.
    pub lease: WireLease,
    /// Number of the first record, from 1.
    pub first: u64,
    /// The records in order; empty: only asks what is durable.
    pub records: Records,
}

/// A batch from the wire.
///
/// # Errors
/// When the lease is malformed, the first number is 0, a record says nothing, or something is beyond its limit.
pub fn from_wire(batch: v1::RecordBatch) -> Result<CheckedBatch, WireError> {
    let lease = lease::from_wire(batch.lease.as_ref())?;
    if batch.first == 0 {
        return Err(WireError::invalid("batch.first", 0, "at least 1"));
    }
    let records = match (batch.delimited, batch.records) {
        (delimited, records) if delimited.is_empty() => {
            WireError::check_limit("batch.records", records.len(), limits::MAX_RECORDS_PER_BATCH)?;
            records.iter().try_for_each(|record| check(record))?;
            Records::from(records)
        }
        (delimited, records) if records.is_empty() => {
            let records = Records::checked(delimited, check)?.ok_or_else(|| {
                WireError::invalid("batch.delimited", "cut short", "records with their lengths before them")
            })?;
            WireError::check_limit("batch.delimited", records.count(), limits::MAX_RECORDS_PER_BATCH)?;
            records
        }
        _ => return Err(WireError::invalid("batch", "records twice", "`records` or `delimited`")),
    };
    Ok(CheckedBatch { lease, first: batch.first, records })
}

fn check(record: &[u8]) -> Result<(), WireError> {
    // Nearly every record is a line as our own agents write it, which a look at its few bytes of framing tells.
    if let Some(text_bytes) = records::line_text_bytes(record) {
        return WireError::check_limit("record.line.text", text_bytes, limits::MAX_LINE_BYTES);
    }
    let record = v1::Record::decode(record)
        .map_err(|error| WireError::invalid("record", error, "a slipway.v1.Record"))?;
    match record.record.as_ref().ok_or(WireError::Missing { field: "record" })? {
        v1::record::Record::Line(line) => {
            WireError::check_limit("record.line.text", line.text.len(), limits::MAX_LINE_BYTES)
        }
        v1::record::Record::Summary(summary) => {
            WireError::check_limit(
                "record.summary.markdown",
                summary.markdown.len(),
                limits::MAX_LINE_BYTES,
            )?;
            WireError::check_limit(
                "record.summary.environment_url",
                summary.environment_url.len(),
                limits::MAX_ENVIRONMENT_URL_BYTES,
            )?;
            summary.tests.as_ref().map_or(Ok(()), check_tests)?;
            crate::report_files::check(summary)
        }
        v1::record::Record::StepStarted(step) => WireError::check_limit(
            "record.step_started",
            step.id.len() + step.name.len(),
            limits::MAX_LINE_BYTES,
        ),
        v1::record::Record::StepFinished(step) => {
            WireError::check_limit(
                "record.step_finished",
                step.id.len() + step.name.len(),
                limits::MAX_LINE_BYTES,
            )?;
            crate::result::from_wire("record.step_finished.outcome", step.outcome)?;
            crate::result::from_wire("record.step_finished.conclusion", step.conclusion).map(drop)
        }
        v1::record::Record::Annotation(annotation) => WireError::check_limit(
            "record.annotation",
            annotation.message.len() + annotation.title.len() + annotation.file.len(),
            limits::MAX_LINE_BYTES,
        ),
    }
}

/// An outcome that is not known is a later version's: it stays, and whoever reads it leaves it out.
fn check_tests(tests: &v1::TestReport) -> Result<(), WireError> {
    let name = |field, text: &String| WireError::check_limit(field, text.len(), limits::MAX_TEST_NAME_BYTES);
    name("record.summary.tests.path", &tests.path)?;
    WireError::check_limit("record.summary.tests.cases", tests.cases.len(), limits::MAX_TEST_CASES)?;
    for case in &tests.cases {
        name("record.summary.tests.cases.suite", &case.suite)?;
        name("record.summary.tests.cases.class", &case.class)?;
        name("record.summary.tests.cases.name", &case.name)?;
        name("record.summary.tests.cases.file", &case.file)?;
        let message = case.message.len();
        let most = limits::MAX_TEST_MESSAGE_BYTES;
        WireError::check_limit("record.summary.tests.cases.message", message, most)?;
    }
    Ok(())
}
