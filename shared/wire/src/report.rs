//! How an attempt ended, as its agent says it.

use std::collections::BTreeMap;

use slipway_cas::Digest;
use slipway_proto::v1;
use slipway_scheduler::outcome::{FleetCause, JobResult};

use crate::lease::{self, WireLease};
use crate::{WireError, digest, limits, result};

/// A report from an agent. Outputs are still values: the coordinator keeps them as a blob before it tells the
/// scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptReport {
    /// Under which lease.
    pub lease: WireLease,
    /// How it ended.
    pub ending: Ending,
    /// How many records the attempt has.
    pub records: u64,
    /// Their digest ([`crate::record_digest`]); none from an agent that does not count it.
    pub records_digest: Option<Digest>,
}

/// Of the work, or of the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The job ran to an end of its own.
    Work {
        /// Success, failure or cancelled.
        result: JobResult,
        /// Its own time limit ended it.
        timed_out: bool,
        /// Its outputs.
        outputs: BTreeMap<String, String>,
        /// Why it failed, for people; may be empty.
        message: String,
    },
    /// The fleet failed.
    Fleet {
        /// What of it.
        cause: FleetCause,
        /// For people.
        message: String,
    },
}

/// A report from the wire.
///
/// # Errors
/// When a part is missing, malformed or beyond its limit. A cause that this build does not know counts as
/// [`FleetCause::Internal`]: a newer agent's failure must not be lost.
pub fn from_wire(report: v1::Report) -> Result<AttemptReport, WireError> {
    let lease = lease::from_wire(report.lease.as_ref())?;
    let ending = match report.outcome.ok_or(WireError::Missing { field: "report.outcome" })? {
        v1::report::Outcome::Work(work) => work_from_wire(work)?,
        v1::report::Outcome::Fleet(fleet) => Ending::Fleet {
            cause: FleetCause::from_name(&fleet.cause).unwrap_or(FleetCause::Internal),
            message: shortened(fleet.message),
        },
    };
    let digest = report.records_digest.as_ref();
    let records_digest =
        digest.map(|digest| digest::from_wire("report.records_digest", Some(digest))).transpose()?;
    Ok(AttemptReport { lease, ending, records: report.records, records_digest })
}

fn work_from_wire(work: v1::WorkOutcome) -> Result<Ending, WireError> {
    let result = result::from_wire("report.work.result", work.result)?;
    if result == JobResult::Skipped {
        return Err(WireError::invalid("report.work.result", result, "success, failure or cancelled"));
    }
    let size = work.outputs.iter().map(|(key, value)| key.len() + value.len()).sum();
    WireError::check_limit("report.work.outputs", size, limits::MAX_OUTPUTS_BYTES)?;
    Ok(Ending::Work {
        result,
        timed_out: work.timed_out,
        outputs: work.outputs.into_iter().collect(),
        message: shortened(work.message),
    })
}

/// Messages are for people: one that is too long is cut, not refused.
fn shortened(mut message: String) -> String {
    if message.len() > limits::MAX_MESSAGE_BYTES {
        let end =
            (0..=limits::MAX_MESSAGE_BYTES).rev().find(|&end| message.is_char_boundary(end)).unwrap_or(0);
        message.truncate(end);
    }
    message
}
