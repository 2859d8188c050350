//! Every bound of the cache that is not an option.

use std::time::Duration;

/// REAPI's recommended average length of a chunk, in bytes (`FastCdc2020Params.avg_chunk_size_bytes`).
pub const CHUNK_AVERAGE_BYTES: usize = 512 << 10;
/// The shortest chunk but a blob's last, in bytes: REAPI says a quarter of the average.
pub const CHUNK_MIN_BYTES: usize = CHUNK_AVERAGE_BYTES / 4;
/// The longest chunk, in bytes: REAPI says four times the average.
pub const CHUNK_MAX_BYTES: usize = CHUNK_AVERAGE_BYTES * 4;
/// A blob that is longer than this is cut; REAPI tells clients the same limit. Such a blob has two chunks at least.
pub const CHUNKED_ABOVE_BYTES: u64 = CHUNK_MAX_BYTES as u64;
/// The longest value an engine has to take, in bytes: a chunk, a manifest or an entry.
pub const MAX_VALUE_BYTES: usize = CHUNK_MAX_BYTES + (64 << 10);
/// The most chunks a blob may have; at the average length that is 25 GiB. Its manifest is one value.
pub const MAX_CHUNKS: usize = 50_000;
/// The most blobs an entry may list; its encoding is one value.
pub const MAX_REFERENCES: usize = 40_000;
/// The longest namespace, in bytes.
pub const MAX_NAMESPACE_BYTES: usize = 64;
/// The longest name of a named entry, in bytes.
pub const MAX_NAME_BYTES: usize = 4096;

/// Chunks of one writer that are being hashed, packed or stored at once. With those of [`CHUNK_MAX_BYTES`] this is
/// what a write holds in memory, whatever the blob's length.
pub const PENDING_CHUNKS: usize = 8;
/// The same over all writers of a process: the rest wait.
pub const PENDING_CHUNKS_OF_ALL: usize = 64;
/// Bytes of a blob on its way in that are hashed together, by another task.
pub const HASH_FROM_BYTES: usize = 256 << 10;
/// Bytes that wait until those before them are hashed; then their sender waits.
pub const HASH_BEHIND_BYTES: usize = 4 << 20;
/// Pieces that wait likewise, however short they are.
pub const HASH_PIECES: usize = 1024;
/// Bytes of the buffer that chunks are cut off from. The start of a chunk that is not whole when one is full is copied.
pub const CUT_BUFFER_BYTES: usize = 2 * CHUNK_MAX_BYTES;
/// Bytes after which it is looked once more whether a chunk is whole.
pub const CUT_STEP_BYTES: usize = CHUNK_AVERAGE_BYTES;
/// Chunks that a reader has asked for ahead of the one it gives out.
pub const READ_AHEAD_CHUNKS: usize = 8;
/// Keys asked of an engine in one call by what works through many.
pub const BATCH_KEYS: usize = 2048;
/// Manifests that are looked through at once for chunks that are gone. Each may be [`MAX_VALUE_BYTES`] long.
pub const MANIFESTS_AT_ONCE: usize = 64;
/// Keys that a walk over an engine asks for at once.
pub const SCAN_KEYS: usize = 512;

/// Requests to an object store that are under way at once; each has one value at most in memory.
pub const OBJECT_REQUESTS: usize = 64;
/// How long a request to an object store may take, beside its bytes: far less than a build would notice twice.
pub const OBJECT_TIME_LIMIT: Duration = Duration::from_secs(3);
/// How fast an object store has to be beyond that, in bytes a second.
pub const OBJECT_BYTES_PER_S: u64 = 2 << 20;
/// Bytes that are on their way to the engine behind another one; what comes when that many are is not sent there.
pub const BEHIND_BYTES: usize = 64 << 20;

/// Owners whose holdings a walk adds up; those beyond are not counted, and have no quota.
pub const QUOTA_OWNERS: usize = 10_000;
/// What was used within so many seconds stays in spite of its owner's quota: somebody may just have been told that it is there.
pub const QUOTA_STAYS_S: u64 = 600;
/// To how many hundredths of its quota an owner that has more comes down.
pub const QUOTA_GOAL_PERCENT: u64 = 90;

/// Bytes no longer than this are packed and unpacked where the caller runs: handing them to another thread takes
/// longer than the work.
pub const INLINE_WORK_BYTES: usize = 64 << 10;
/// The same where they are only hashed, which is half a millisecond with a processor's instructions for it: a build moves most of
/// its bytes in such pieces, and what each would cost two threads is a tenth of it.
pub const INLINE_HASH_BYTES: usize = 1 << 20;
/// A value at least this long is first asked for before it is stored: below it, asking costs as much as storing.
pub const ASK_BEFORE_PUT_BYTES: usize = 64 << 10;

/// zstd's level: what it saves beyond this one costs more than a fast network.
pub const ZSTD_LEVEL: i32 = 1;
/// Values shorter than this are kept as they are.
pub const ZSTD_MIN_BYTES: usize = 4 << 10;
/// How much of the middle of a value is tried first.
pub const ZSTD_SAMPLE_BYTES: usize = 16 << 10;
/// Packed is kept only if it is at most this many hundredths of the plain length.
pub const ZSTD_KEEP_PERCENT: usize = 90;

/// How long what belongs to no finished blob yet is kept: longer than any upload, short enough to be no burden.
pub const TEMPORARY_TTL: Duration = Duration::from_secs(3600);
/// How long a value is kept after it was last used, unless an option says otherwise: two weeks.
pub const DEFAULT_TTL: Duration = Duration::from_secs(14 * 24 * 3600);
