//! Every bound of the built-in actions.

use std::time::Duration;

/// Bytes of one uploaded block. With the service's 10,000 blocks this is more than its largest artifact.
pub const BLOCK_BYTES: usize = 8 << 20;

/// Blocks of one upload on their way at one time; as many more wait at most.
pub const UPLOAD_CONNECTIONS: usize = 4;

/// Bytes of one downloaded range.
pub const RANGE_BYTES: u64 = 4 << 20;

/// Ranges of one download on their way at one time.
pub const DOWNLOAD_CONNECTIONS: usize = 4;

/// Ranges that may be there before the one that is read next.
pub const RANGES_AHEAD: usize = 8;

/// Threads that compress a cache.
pub const COMPRESSION_THREADS_MAX: usize = 4;

/// Level of zstd, the program's default, as the original has it.
pub const COMPRESSION_LEVEL: i32 = 3;

/// Bytes of a file that are read or written at a time.
pub const FILE_BYTES: usize = 256 << 10;

/// Pauses between tries of one request. An agent or coordinator that is started again is back by then.
pub const RETRY_PAUSES: [Duration; 6] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(15),
];

/// How long a connection may take. The container's init holds it open up to 30 s while no agent is there.
pub const CONNECT_MAX: Duration = Duration::from_secs(40);

/// How long the service may take before it answers a request that was sent, or to take or give the next bytes. It reads
/// a whole artifact to check its digest before it answers.
pub const ANSWER_MAX: Duration = Duration::from_secs(300);

/// Bytes of the answer of a call.
pub const ANSWER_MAX_BYTES: u64 = 8 << 20;

/// Characters of a key (`@actions/cache`).
pub const KEY_MAX_CHARS: usize = 512;

/// Keys of one restore, the first one included (`@actions/cache`).
pub const KEYS_MAX: usize = 10;

/// Files and folders that one search looks at.
pub const SEARCH_MAX_ENTRIES: usize = 10_000_000;

/// Levels of folders that one search goes down.
pub const SEARCH_MAX_DEPTH: usize = 512;

/// Bytes that a cache or an artifact may have when it is unpacked: what is larger is a bomb.
pub const UNPACKED_MAX_BYTES: u64 = 512 << 30;

/// Names that a pattern's braces may stand for.
pub const BRACES_MAX: usize = 1_000;

/// Bytes from which a file in a zip archive has its sizes in 64 bits: less than 4 GiB, as compressing may add some.
pub const ZIP64_FROM_BYTES: u64 = (4 << 30) - (64 << 20);

/// Files and folders of one artifact.
pub const ARTIFACT_MAX_ENTRIES: usize = 5_000_000;

/// Bytes of a file that are compressed for themselves.
pub const PIECE_BYTES: u64 = 1 << 20;

/// Pieces, beginnings and ends of files that wait to be written, for each thread that compresses.
pub const PIECES_AHEAD: usize = 6;
