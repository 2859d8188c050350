//! Why records could not be kept or read.

use std::io;
use std::path::Path;

use slipway_cas::Digest;
use slipway_scheduler::RunId;

/// Why records could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The batch begins after the next record: whoever sends goes on after `durable`.
    #[error("record {first} came, but {next} is next")]
    Gap {
        /// The first record that came.
        first: u64,
        /// The one that was due.
        next: u64,
    },
    /// Numbers start from 1.
    #[error("records are numbered from 1")]
    Zero,
    /// A record or batch over its limit.
    #[error("{what} of {size_bytes} bytes is over the limit of {limit_bytes} bytes")]
    TooLong {
        /// A record, a batch or an attempt.
        what: &'static str,
        /// Its size.
        size_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// A file or object is not what was written.
    #[error("{place} is damaged at byte {offset}; what follows in this attempt cannot be read")]
    Damaged {
        /// Which file or object.
        place: String,
        /// Where.
        offset: u64,
    },
    /// A record that was durable is not there any more.
    #[error("record {record} is missing in {place}; what follows in this attempt cannot be read")]
    Missing {
        /// Its number.
        record: u64,
        /// The attempt's folder.
        place: String,
    },
    /// What is there is not what the attempt was reported with.
    #[error(
        "{place} has {found} records ({found_digest}), but the attempt was reported with {reported} ({reported_digest})"
    )]
    Differs {
        /// The attempt's folder.
        place: String,
        /// How many there are.
        found: u64,
        /// Their digest.
        found_digest: Digest,
        /// How many there should be.
        reported: u64,
        /// Their digest as reported; `no digest` if none was.
        reported_digest: String,
    },
    /// The run's logs were removed because their time was over.
    #[error(
        "the logs of run {run} were removed: they were older than the coordinator keeps them (--keep-logs)"
    )]
    Removed {
        /// The run.
        run: RunId,
    },
    /// The attempt is over: its records are sealed, or about to be.
    #[error("the attempt has ended; no records can be added")]
    Closed,
    /// The disk or the object store failed.
    #[error("records {place}: {source}")]
    Io {
        /// Which file, folder or object.
        place: String,
        /// What the operating system or the store said.
        #[source]
        source: io::Error,
    },
    /// A file or object went away while it was read: it was sealed meanwhile, and is looked for again.
    #[error("{place} is not there any more")]
    Vanished {
        /// Which.
        place: String,
    },
    /// An earlier write of this attempt failed; opening it again finds out what is durable.
    #[error("an earlier write of this attempt failed")]
    Broken,
}

pub(super) fn io_at(place: &Path) -> impl FnOnce(io::Error) -> RecordsError {
    let place = place.display().to_string();
    move |source| match source.kind() {
        io::ErrorKind::NotFound => RecordsError::Vanished { place },
        _ => RecordsError::Io { place, source },
    }
}
