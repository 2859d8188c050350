//! Every size and wait of the front doors.

use std::time::Duration;

/// The longest gRPC message that is read, in bytes: a full batch and what is around it.
pub const MAX_MESSAGE_BYTES: usize = MAX_BATCH_BYTES + (1 << 20);

/// The most that the blobs of one batch may have together, in bytes; told to clients. gRPC clients read 4 MiB by default, and the
/// answer to a batch has digests beside the bytes.
pub const MAX_BATCH_BYTES: usize = (4 << 20) - (256 << 10);

/// The longest piece of a blob in one message of a stream, in bytes.
pub const READ_PIECE_BYTES: usize = 1 << 20;

/// Messages of a read that wait for the client. With [`READ_PIECE_BYTES`] this is what a slow reader holds.
pub const READ_QUEUE: usize = 2;

/// The longest blob, in bytes: what a manifest's chunks hold if each is a little shorter than the average.
pub const MAX_BLOB_BYTES: u64 = 16 << 30;

/// The most digests in one question for missing blobs.
pub const MAX_DIGESTS: usize = 100_000;

/// The longest name of a cache, in bytes.
pub const MAX_INSTANCE_BYTES: usize = 256;

/// The longest name of a resource, in bytes: an instance, an upload's id, a digest, and what a client puts behind them.
pub const MAX_RESOURCE_BYTES: usize = 2_048;

/// The most directories that are read for one tree.
pub const MAX_TREE_DIRECTORIES: usize = 100_000;

/// About how much of a tree is sent in one message, in bytes.
pub const TREE_PAGE_BYTES: usize = 1 << 20;

/// The longest directory or tree message that is read to look for the blobs it lists, in bytes.
pub const MAX_DIRECTORY_BYTES: u64 = 16 << 20;

/// Directories of a tree that are asked for at once.
pub const TREE_FANOUT: usize = 256;

/// Uploads that broke off and may be resumed, over all clients. Each holds what a writer holds; the oldest goes first.
pub const SUSPENDED_UPLOADS: usize = 16;

/// How long an upload that broke off may be resumed.
pub const SUSPENDED_FOR: Duration = Duration::from_secs(120);

/// zstd's level of what goes out packed: the network is faster than anything slower.
pub const ZSTD_LEVEL: i32 = 1;

/// Where zstd frames that come in may look back, as a power of two of bytes: what `zstd -19` uses, and the memory it costs.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// A file by name that is at most so long is part of its entry: it costs one round trip instead of two.
pub const MAX_INLINE_BYTES: usize = 32 << 10;

/// The longest name of a file, in bytes.
pub const MAX_FILE_NAME_BYTES: usize = 2_048;

/// The longest value of a header that is stored with a file, in bytes.
pub const MAX_HEADER_BYTES: usize = 4_096;

/// How long a client may send nothing in the middle of a body.
pub const BODY_IDLE: Duration = Duration::from_secs(60);

/// The longest result of an action that comes over HTTP, in bytes. What begins as no result does may be longer.
pub const MAX_RESULT_BYTES: usize = 1 << 20;

/// The longest question about many files at once, in bytes.
pub const MAX_QUERY_BYTES: usize = 1 << 20;

/// The most files of one such question.
pub const MAX_QUERY_FILES: usize = 1_000;

/// The longest message between an agent and its coordinator's cache, in bytes: the values, or a full question's keys, and what is
/// around them.
pub const REMOTE_MESSAGE_BYTES: usize = REMOTE_VALUES_BYTES + (1 << 20);

/// The most that the values of one such message have together, in bytes, unless it is one: well above the longest value.
pub const REMOTE_VALUES_BYTES: usize = 4 << 20;

/// Such messages that wait for the network, of one question.
pub const REMOTE_GET_QUEUE: usize = 1;

/// Instances whose entries one question may be about.
pub const REMOTE_INSTANCES: usize = 16;

/// Kinds of clients that an agent may tell about in one call.
pub const REMOTE_USES: usize = 64;

/// How long an agent waits for a coordinator that says nothing at all, beside what its bytes may take.
pub const REMOTE_PATIENCE: Duration = Duration::from_secs(3);

/// The slowest that the bytes of one call may move before it is given up, in bytes a second. Many calls share a connection.
pub const REMOTE_BYTES_PER_S: u64 = 128 << 10;

/// After how long a coordinator that is still at it says so: several times within [`REMOTE_PATIENCE`].
pub const REMOTE_PROGRESS: Duration = Duration::from_secs(1);
