//! GitHub's four results.

use slipway_proto::v1;
use slipway_scheduler::outcome::JobResult;

use crate::WireError;

/// A result from the wire.
///
/// # Errors
/// When it is unspecified or unknown.
pub fn from_wire(field: &'static str, result: i32) -> Result<JobResult, WireError> {
    match v1::Result::try_from(result) {
        Ok(v1::Result::Success) => Ok(JobResult::Success),
        Ok(v1::Result::Failure) => Ok(JobResult::Failure),
        Ok(v1::Result::Cancelled) => Ok(JobResult::Cancelled),
        Ok(v1::Result::Skipped) => Ok(JobResult::Skipped),
        Ok(v1::Result::Unspecified) | Err(_) => {
            Err(WireError::invalid(field, result, "success, failure, cancelled or skipped"))
        }
    }
}

/// A result for the wire.
#[must_use]
pub fn to_wire(result: JobResult) -> v1::Result {
    match result {
        JobResult::Success => v1::Result::Success,
        JobResult::Failure => v1::Result::Failure,
        JobResult::Cancelled => v1::Result::Cancelled,
        JobResult::Skipped => v1::Result::Skipped,
    }
}
