//! Every bound of the record store in one place.

use std::time::Duration;

/// The longest record, encoded, in bytes. A log line is at most 256 KiB, a summary piece too.
pub const MAX_RECORD_BYTES: usize = 1 << 20;

/// The most bytes of records in one batch, encoded.
pub const MAX_BATCH_BYTES: usize = 4 << 20;

/// Batches below this size are copied out of the message they came in, which may be much larger.
pub const COPY_BELOW_BYTES: usize = 64 << 10;

/// A chunk file that has this many bytes is closed and a new one begun.
pub const FILE_CHUNK_BYTES: u64 = 8 << 20;

/// A chunk in an object store is cut when it has this many bytes …
pub const OBJECT_CHUNK_BYTES: usize = 4 << 20;

/// … or when its first record is this old: an object costs money and a round trip, and the agent keeps what is not
/// acknowledged anyway.
pub const OBJECT_CHUNK_AGE: Duration = Duration::from_secs(1);

/// The most bytes of one attempt's records that are not durable yet; beyond it its sender waits.
pub const PENDING_MAX_BYTES: usize = 8 << 20;

/// The same for all attempts together.
pub const PENDING_TOTAL_BYTES: usize = 256 << 20;

/// The most bytes of records one attempt may have: a job that writes more fails rather than fill the disk.
pub const MAX_ATTEMPT_BYTES: u64 = 64 << 30;

/// About how many bytes of records a reader takes at once.
pub const READ_BYTES: usize = 1 << 20;

/// About how many bytes of records one frame of a sealed log has: what has to be unpacked to read one record.
pub const SEALED_FRAME_BYTES: usize = 1 << 20;

/// A sealed log is written in pieces of this many bytes; in an object store each is a part of the upload.
pub const SEAL_PART_BYTES: usize = 8 << 20;

/// Attempts that wait to be sealed; one that finds no room is found by the next sweep.
pub const SEAL_QUEUE: usize = 65_536;

/// How often what is over its time or was left behind is looked for.
pub const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);

/// How long logs are kept, in days, unless configured.
pub const KEEP_LOGS_DAYS: u32 = 90;
