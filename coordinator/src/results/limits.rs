//! Every limit of the results service. docs/RESULTS.md names them for users.

use std::time::Duration;

/// The most bytes of one cache entry.
pub const CACHE_ENTRY_MAX_BYTES: u64 = 10 << 30;

/// The most bytes that one repository's cache entries have together; beyond it the least recently used go (GitHub docs,
/// "Usage limits and eviction policy").
pub const CACHE_REPOSITORY_MAX_BYTES: u64 = 10 << 30;

/// A cache entry that nobody used for this long goes, as on GitHub.
pub const CACHE_UNUSED: Duration = Duration::from_secs(7 * 24 * 3600);

/// The longest key, in characters, as the client has it.
pub const KEY_MAX_CHARS: usize = 512;

/// The most keys of one look-up, as the client has it.
pub const KEYS_MAX: usize = 10;

/// The longest version (a SHA-256 in hexadecimal, as clients send it), in bytes.
pub const VERSION_MAX_BYTES: usize = 256;

/// The most entries that one listing of caches shows.
pub const CACHES_LISTED_MAX: u32 = 100;

/// The most bytes of one artifact.
pub const ARTIFACT_MAX_BYTES: u64 = 16 << 30;

/// The most artifacts of one job, as on GitHub.
pub const ARTIFACTS_PER_JOB_MAX: u32 = 500;

/// The most artifacts that one listing shows, as the client has it.
pub const ARTIFACTS_LISTED_MAX: u32 = 1_000;

/// The longest name of an artifact, in bytes.
pub const NAME_MAX_BYTES: usize = 256;

/// How long artifacts are kept unless they say less; none is kept longer.
pub const RETENTION: Duration = Duration::from_secs(90 * 24 * 3600);

/// The most uploads that one job has under way.
pub const UPLOADS_PER_JOB_MAX: u32 = 64;

/// The most blocks of one upload: [`CACHE_ENTRY_MAX_BYTES`] in blocks of 1 MiB, as BuildKit sends its layers; with the 8 MiB of
/// `@actions/artifact`, more than [`ARTIFACT_MAX_BYTES`].
pub const BLOCKS_MAX: usize = 10_240;

/// The longest block id, in characters of base64 (Azure: 64 bytes before encoding).
pub const BLOCK_ID_MAX_CHARS: usize = 88;

/// The longest media type, in bytes.
pub const MEDIA_TYPE_MAX_BYTES: usize = 256;

/// The longest body of a call, in bytes: a block list of [`BLOCKS_MAX`] ids.
pub const CALL_MAX_BYTES: usize = 2 << 20;

/// How many bytes of an upload are gathered before they are written.
pub const WRITE_BYTES: usize = 1 << 20;

/// How many bytes of a download are read at a time.
pub const READ_BYTES: usize = 1 << 19;

/// How many blocks are written into a folder at a time; further ones wait.
pub const WRITING_MAX: usize = 64;

/// Size of the objects that a block is in, in bytes. A block's name holds it, so that another build with another size reads
/// it. With as much again being gathered it is what a block under way takes of memory.
pub const OBJECT_BYTES: usize = 8 << 20;

/// How many blocks are sent to an object store at a time; further ones wait.
pub const SENDING_MAX: usize = 16;

/// How many bytes of a download are asked of an object store at a time.
pub const OBJECT_READ_BYTES: u64 = 2 << 20;

/// How many pieces of a download are asked for before the first has been sent on.
pub const OBJECT_READ_AHEAD: usize = 4;

/// How old bytes are that no row names before they count as left behind: another coordinator may be sending a block, and its
/// row comes last. Longer than an address can be used.
pub const ORPHAN_AGE: Duration = Duration::from_secs(24 * 3600);

/// How often the leader looks for bytes that nobody names.
pub const TIDY_EVERY: Duration = Duration::from_secs(6 * 3600);

/// How long a signed address can be used. It ends with its job in any case.
pub const SIGNED_FOR: Duration = Duration::from_secs(6 * 3600);

/// How long a job's token can be used. It ends with its job in any case; GitHub's longest job of one's own machines has
/// five days.
pub const TOKEN_FOR: Duration = Duration::from_secs(6 * 24 * 3600);

/// How long before now a job's token says that it can be used: BuildKit refuses one from the future, and the clock of its
/// machine may be behind ours. GitHub's say some minutes, too.
pub const CLOCKS_APART: Duration = Duration::from_secs(5 * 60);

/// The longest token, in bytes.
pub const TOKEN_MAX_BYTES: usize = 8 << 10;

/// How often what is over is removed.
pub const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// How many uploads, entries or artifacts one step of a sweep removes.
pub const SWEEP_STEP: u32 = 256;

/// How many repositories a listing of what each has shows.
pub const USAGE_LISTED_MAX: u32 = 1_000;

/// Connections of one coordinator's tunnels that wait to be taken.
pub const TUNNEL_BACKLOG: usize = 64;

/// Bytes of one message through a tunnel.
pub const TUNNEL_MESSAGE_BYTES: usize = 256 << 10;

/// Messages that wait between a tunnel's connection and the network.
pub const TUNNEL_QUEUE: usize = 4;
