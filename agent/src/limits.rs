//! Every bound of the agent in one place: queues, sizes, waits, retries.
//!
//! Memory of one running job is bounded by [`SPOOL_READ_BYTES`] + twice [`LINE_PIECE_BYTES`] (an open line of each
//! stream) + [`JOURNAL_RECENT_BYTES`] + [`UPLOAD_BATCH_BYTES`] (records read back for sending), besides what its specification and state hold
//! ([`SPEC_MAX_BYTES`]). Everything that waits for the coordinator waits on disk: at most [`JOURNAL_BACKLOG_BYTES`] of
//! records and one spool window a job.

use std::time::Duration;

/// Sizes of jobs that an agent may be given.
pub const SIZES_MAX: usize = 32;
/// Least and most processors that a job or an agent may be given.
pub const CPUS_MIN: f64 = 0.01;
/// See [`CPUS_MIN`].
pub const CPUS_MAX: f64 = 1_024.0;
/// Largest job specification that is read, in bytes. A workflow file has at most 1 MiB, so this leaves room for its
/// contexts.
pub const SPEC_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Repositories of which an agent keeps a mirror; those used longest ago go.
pub const MIRRORS_MAX: usize = 32;

/// A mirror with more packs, each of which is one fetch, is begun anew: git looks through all of them.
pub const MIRROR_PACKS_MAX: usize = 50;

/// A mirror with more bytes is not kept.
pub const MIRROR_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Ready checkouts that an agent keeps at most, whatever it is told: each is a working tree.
pub const READY_MAX: usize = 32;

/// Ready checkouts that an agent keeps unless it is told otherwise.
pub const READY_DEFAULT: usize = 2;

/// A checkout of fewer files is not made ready: it is there as quickly from its mirror.
pub const READY_FROM_FILES: u32 = 1_000;

/// After a checkout, before the next one is made ready: the job's first steps come first.
pub const READY_PAUSE: Duration = Duration::from_secs(2);

/// Sandboxes that an agent keeps at most, whatever it is told: each is a network and a container.
pub const WARM_MAX: usize = 64;

/// Sandboxes that an agent keeps unless it is told otherwise, with that many slots or more: one for the next job, one for the other half of a
/// matrix over two.
pub const WARM_DEFAULT: usize = 2;

/// Longest name of an image that is configured for private engines.
pub const IMAGE_NAME_MAX_CHARS: usize = 512;

/// How long a private engine may take to show that this machine lets it run.
pub const JOB_ENGINE_PROBE_TIME: Duration = Duration::from_secs(60);

/// What of a private engine's words is shown when it has ended.
pub const JOB_ENGINE_WORDS_BYTES: usize = 2048;

/// Jobs that are remembered to choose what waits.
pub const SANDBOX_USES: usize = 16;

/// After a job was prepared, before the next sandbox is made: the job's first lines come first.
pub const SANDBOX_PAUSE: Duration = Duration::from_millis(150);

/// A sandbox older than this is made anew: what the machine tells containers at their start (name servers, for one) changes.
pub const SANDBOX_AGE_MAX: Duration = Duration::from_secs(60 * 60);

/// When the init of a sandbox ends it by itself, after it was made; its agent is long gone then.
pub const SANDBOX_STOP_MS: u64 = 2 * 60 * 60 * 1000;

/// Largest archive of a working tree that is unpacked, in bytes, before decompression.
pub const TREE_MAX_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// Most bytes an unpacked working tree may have.
pub const TREE_UNPACKED_MAX_BYTES: u64 = 64 * 1024 * 1024 * 1024;

/// Most entries in a working tree's archive.
pub const TREE_MAX_ENTRIES: u64 = 5_000_000;

/// Most files, folders and links that one action may have.
pub const ACTION_MAX_ENTRIES: u64 = 200_000;

/// Most bytes that one action may have, as files.
pub const ACTION_MAX_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Most bytes that git may have written of one action while it fetches.
pub const ACTION_PACK_MAX_BYTES: u64 = ACTION_MAX_BYTES;

/// Bytes of all kept actions above which the least recently used ones go.
pub const ACTIONS_KEPT_MAX_BYTES: u64 = 10 * 1024 * 1024 * 1024;

/// Tries to reach the source of actions, as in `actions/checkout`.
pub const ACTION_TRIES: u32 = 3;

/// First wait between them.
pub const ACTION_WAIT_FIRST: Duration = Duration::from_secs(1);

/// Longest wait between them.
pub const ACTION_WAIT_MAX: Duration = Duration::from_secs(10);

/// How often an opening below a job's folder is tried again that raced with a rename.
pub const BENEATH_RACES_MAX: usize = 64;

/// Links that are followed on the way to one file below a job's folder, as the kernel bounds it.
pub const BENEATH_LINKS_MAX: usize = 40;

/// A path below a job's folder is shorter, in bytes, as the kernel bounds it (`PATH_MAX` counts a zero byte).
pub const BENEATH_PATH_MAX_BYTES: usize = 4096;

/// How long one git command for an action may take.
pub const ACTION_GIT_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// How often a fetch looks at what git has written, and whether another process is done with a repository.
pub const ACTION_LOOK: Duration = Duration::from_millis(100);

/// Largest note beside a kept action.
pub const ACTION_MARKER_MAX_BYTES: usize = 64 * 1024;

/// A log line longer than this is cut into pieces of this size (`LogLine.text` in record.proto).
pub const LINE_PIECE_BYTES: usize = 256 * 1024;

/// Steps of the background that run at one time in a job; more wait for one to end. GitHub's runner has the same bound.
pub const BACKGROUND_STEPS_MAX: usize = 10;

/// Steps of the background of a job that were begun and have not ended; the next one is begun when one of them has.
pub const BACKGROUND_STEPS_BEGUN_MAX: usize = 32;

/// How much of a spool is read before its records are appended to the journal.
/// Its records are then one batch in most cases, which is sent as it was written.
pub const SPOOL_READ_BYTES: usize = 512 * 1024;

/// Records sent in one message: well under the protocol's 4 MiB.
pub const UPLOAD_BATCH_BYTES: usize = 1024 * 1024;

/// Records in one message, half of what the protocol allows: a megabyte of empty lines is as many as a hundred thousand.
pub const UPLOAD_BATCH_RECORDS: usize = 32 * 1024;

/// Batches sent and not yet acknowledged, per job.
pub const UPLOAD_WINDOW_BATCHES: u64 = 8;

/// Silence after which an uploading stream with unacknowledged records counts as dead.
pub const UPLOAD_ACK_TIMEOUT: Duration = Duration::from_secs(30);

/// A journal segment is closed above this size.
pub const SEGMENT_BYTES: u64 = 8 * 1024 * 1024;

/// Journal bytes of one job that are kept in memory as they are written, so that whoever sends them need not read them back.
pub const JOURNAL_RECENT_BYTES: usize = 4 * 1024 * 1024;

/// Journal bytes of one job that may wait for the coordinator; above it the job's output waits in its spool, and when
/// that is full, the step waits.
pub const JOURNAL_BACKLOG_BYTES: u64 = 64 * 1024 * 1024;

/// Largest journal entry: a state with its outputs and environment. Larger ones are refused as damage.
pub const JOURNAL_ENTRY_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Messages from one session that wait for the supervisor, and the other way round.
pub const SESSION_QUEUE: usize = 256;

/// Orders (cancel, stop, lease) that wait for one job.
pub const JOB_QUEUE: usize = 16;

/// First wait before connecting to the coordinator again.
pub const RECONNECT_FIRST: Duration = Duration::from_millis(100);

/// Longest wait before connecting to the coordinator again.
pub const RECONNECT_MAX: Duration = Duration::from_secs(10);

/// How long leases are to last for an agent that is about to be replaced by its next version, in milliseconds.
pub const HANDOVER_LEASE_MS: u32 = 5 * 60_000;

/// How long such an agent waits for the coordinator's answer; without one it leaves with the leases as they are.
pub const HANDOVER_PATIENCE: Duration = Duration::from_secs(10);

/// How long it then stays, so that its jobs' inits hear of their new stop times.
pub const HANDOVER_SETTLES: Duration = Duration::from_millis(500);

/// A session that lasted this long was a good one: after it the waits begin anew.
pub const SESSION_STEADY: Duration = Duration::from_secs(2);

/// How long one connection attempt may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A report that was not accepted is sent again after this long.
pub const REPORT_AGAIN: Duration = Duration::from_secs(10);

/// Tries to pull an image, as on GitHub's runner.
pub const PULL_TRIES: u32 = 3;

/// Waits between pulls.
pub const PULL_WAIT_FIRST: Duration = Duration::from_secs(1);

/// Longest wait between pulls.
pub const PULL_WAIT_MAX: Duration = Duration::from_secs(10);

/// How long the container's init may take to connect after its start.
pub const INIT_CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// From `SIGINT` to `SIGTERM` when a step is cancelled (GitHub's runner: 7.5 s).
pub const CANCEL_INTERRUPT: Duration = Duration::from_millis(7_500);

/// From `SIGTERM` to `SIGKILL` (GitHub's runner: 2.5 s).
pub const CANCEL_TERMINATE: Duration = Duration::from_millis(2_500);

/// Subnets tried before the address range counts as used up.
pub const SUBNET_TRIES: u32 = 256;

/// Highest default limit on the processes and threads of one job's container: on most machines half of what the kernel has, shared
/// by the slots, is less.
pub const DEFAULT_PIDS: i64 = 32_768;

/// Lowest default limit on them, however many slots there are.
pub const LEAST_DEFAULT_PIDS: i64 = 1_024;

/// Clean-ups of ended jobs that may run side by side.
pub const CLEANERS: usize = 2;

/// Tries to remove a container or network before it is left to the next start.
pub const REMOVE_TRIES: u32 = 5;

/// Time for a container in which a job's folder is emptied.
pub const CLEAR_TIME: Duration = Duration::from_secs(600);

/// How long a program of the agent's own may take in a container of its own.
pub const ONCE_TIME: Duration = Duration::from_secs(30);

/// Bytes of what it says that are kept.
pub const ONCE_OUTPUT_BYTES: usize = 4096;

/// Most services of one job: its subnet has 13 addresses, one of them for the job itself.
pub const SERVICES_MAX: usize = 12;

/// How long a service may say that it is starting before the job fails.
pub const HEALTH_WAIT_MAX: Duration = Duration::from_secs(15 * 60);

/// First wait before looking at a service's health again. GitHub's runner begins with 2 s.
pub const HEALTH_LOOK_FIRST: Duration = Duration::from_millis(100);

/// Longest wait before looking at a service's health again (GitHub's runner: 32 s).
pub const HEALTH_LOOK_MAX: Duration = Duration::from_secs(2);

/// What the engine keeps of a service's output.
pub const SERVICE_LOG_SIZE: &str = "4m";

/// Lines of a service's output that go into the job's log, from its end.
pub const SERVICE_LOG_LINES: usize = 1_000;

/// Bytes of a service's output that go into the job's log.
pub const SERVICE_LOG_BYTES: usize = 256 * 1024;

/// Largest `action.yml` that is read, as for workflow files.
pub const ACTION_FILE_MAX_BYTES: usize = 1024 * 1024;

/// Repositories of actions that one job fetches side by side.
pub const ACTION_FETCHES: usize = 4;

/// Largest folder that a Docker action's image is built from, in bytes.
pub const BUILD_CONTEXT_MAX_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// Most files and folders of it.
pub const BUILD_CONTEXT_MAX_ENTRIES: u64 = 500_000;

/// Deepest folder of it; packing it holds a descriptor for each level.
pub const BUILD_CONTEXT_MAX_DEPTH: usize = 128;

/// Deepest folder below which `actions/checkout` with `clean: false` keeps what is there.
pub const CHECKOUT_KEPT_MAX_DEPTH: usize = 128;

/// Connections of one job to its caches and artifacts at a time; further ones wait.
pub const TUNNELS_PER_JOB_MAX: usize = 128;

/// Bytes of one message through a tunnel (`TunnelData.data` in agent.proto).
pub const TUNNEL_PIECE_BYTES: usize = 256 * 1024;

/// Messages of a tunnel that wait for the network.
pub const TUNNEL_QUEUE: usize = 2;

/// How many bytes the coordinator may send through the tunnels of one job before it has to wait for the job.
pub const TUNNEL_WINDOW_BYTES: u32 = 2 * 1024 * 1024;

/// The same for one of its connections: a slow one leaves room for others.
pub const TUNNEL_STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// How long a job's new connection waits for a coordinator that is away.
pub const TUNNEL_CONNECT_MAX: Duration = Duration::from_secs(30);

/// Longest wait between two tries of that.
pub const TUNNEL_RETRY_MAX: Duration = Duration::from_secs(2);

/// How long what a job still sends is read and thrown away after the answer ended: a connection that is closed over unread bytes
/// is reset, and the answer may be lost with it.
pub const TUNNEL_LINGER_MAX: Duration = Duration::from_secs(5);

/// How long a request that waits for leave to send its body (`Expect: 100-continue`) waits for a coordinator that says nothing. As
/// long as clients wait by themselves.
pub const TUNNEL_LEAVE_MAX: Duration = Duration::from_secs(1);

/// Files and folders of a workspace among which reports are looked for. At this many it takes a second or so.
pub const REPORTS_ENTRIES_MAX: usize = 500_000;

/// Deepest folder that is looked into for reports.
pub const REPORTS_DEPTH_MAX: usize = 64;

/// Reports of one job that are read, of all kinds.
pub const REPORTS_FILES_MAX: usize = 1_000;

/// Largest report that is read, in bytes.
pub const REPORTS_FILE_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Bytes of all reports of one job that are read.
pub const REPORTS_TOTAL_MAX_BYTES: u64 = 128 * 1024 * 1024;

/// How much of a file is looked at to see which kind of report it is.
pub const REPORTS_HEAD_BYTES: u64 = 16 * 1024;

/// How long a job's end may wait for its reports.
pub const REPORTS_TIME: Duration = Duration::from_secs(30);

/// How much longer it waits for a read that hangs, before it goes on without any.
pub const REPORTS_TIME_GRACE: Duration = Duration::from_secs(10);

/// Test cases of one job that are kept.
pub const JUNIT_CASES_MAX: usize = slipway_wire::limits::MAX_TEST_CASES;

/// Bytes of all texts of one job's test cases that are kept: what its records and the coordinator's tables take.
pub const JUNIT_TEXT_MAX_BYTES: usize = slipway_wire::limits::MAX_TEST_TEXT_BYTES;

/// Longest name of a test case, its suite, class or file, and of what other reports name.
pub const REPORTS_NAME_MAX_BYTES: usize = slipway_wire::limits::MAX_TEST_NAME_BYTES;

/// Longest message of a test case.
pub const JUNIT_MESSAGE_MAX_BYTES: usize = slipway_wire::limits::MAX_TEST_MESSAGE_BYTES;

/// Bytes of one record of a report, about.
pub const REPORTS_RECORD_BYTES: usize = 64 * 1024;

/// Test cases, and findings, that are named in a job's log.
pub const REPORTS_NAMED_MAX: usize = 10;

/// Warnings about reports in a job's log.
pub const REPORTS_WARNINGS_MAX: usize = 10;

/// Files of one job whose coverage is told one by one; the rest is told together.
pub const COVERED_FILES_MAX: usize = slipway_wire::limits::MAX_COVERED_FILES;

/// Highest number of a line that coverage may name.
pub const COVERED_LINE_MAX: u32 = 10_000_000;

/// Findings of one job that are kept.
pub const FINDINGS_MAX: usize = slipway_wire::limits::MAX_FINDINGS;

/// Longest message of a finding.
pub const FINDING_MESSAGE_MAX_BYTES: usize = slipway_wire::limits::MAX_FINDING_MESSAGE_BYTES;

/// Rules of one run of a tool that are looked at for how grave they are.
pub const SARIF_RULES_MAX: usize = 20_000;

/// Runs of tools in one report of findings.
pub const SARIF_RUNS_MAX: usize = 1_000;

/// Components of one job that are kept.
pub const COMPONENTS_MAX: usize = slipway_wire::limits::MAX_COMPONENTS;

/// Licences of one component that are kept.
pub const LICENCES_MAX: usize = slipway_wire::limits::MAX_LICENCES;

/// Entries of any list in a report of JSON that are looked at.
pub const REPORTS_LIST_MAX: usize = 100_000;

/// Bytes of all texts of one job's coverage, of its findings, and of its components.
pub const REPORTS_TEXT_MAX_BYTES: usize = slipway_wire::limits::MAX_REPORT_TEXT_BYTES;

/// Times of checkouts that a job remembers, so that what they bring does not count as written by it; of more, the last two
/// become one with what is between.
pub const REPORTS_CHECKOUTS_MAX: usize = 64;

/// The disk that an agent's own part of the cache may use unless an option says otherwise, in GiB.
pub const TIER_DEFAULT_GIB: u64 = 10;

/// How long an agent goes by what the coordinator said about a job's part of the cache before it asks again.
pub const TIER_REMEMBERS: Duration = Duration::from_secs(5);

/// How long the coordinator's answer to that is waited for.
pub const TIER_ASK_MAX: Duration = Duration::from_secs(3);

/// Instances of the cache that are remembered for one job.
pub const TIER_INSTANCES_MAX: usize = 64;

/// How often the coordinator is told what a job's clients got, while they do something.
pub const TIER_TELLS: Duration = Duration::from_secs(2);

/// How much of a new connection is looked at to see who answers it, in bytes: a method and the start of a path.
pub const TUNNEL_HEAD_BYTES: usize = 128;

/// How many bytes a job may send over one HTTP/2 connection to its agent before it has to wait.
pub const TIER_WINDOW_BYTES: u32 = 2 * 1024 * 1024;

/// The same for one of its streams.
pub const TIER_STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// How often the room on the disk is looked at.
pub const DISK_LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often a room that is still too little is told anew.
pub const DISK_TELL_EVERY: Duration = Duration::from_secs(30);

/// How often the folders of jobs with a limit are measured at least; sooner when the disk's room shrinks.
pub const DISK_MEASURE_EVERY: Duration = Duration::from_secs(30);

/// The same for what their containers wrote, which the engine has to look through its layers for.
pub const DISK_ASK_ENGINE_EVERY: Duration = Duration::from_secs(60);

/// How long the collector has to make room on a full disk before a job is ended, while half of what the mark asks for is free.
pub const DISK_COLLECT_PATIENCE: Duration = Duration::from_secs(15);

/// How long a job that was ended has to make room before the next one is.
pub const DISK_ROOM_PATIENCE: Duration = Duration::from_secs(15);

/// Entries of a job's folder that are measured in one go.
pub const DISK_WALK_SLICE_ENTRIES: usize = 20_000;

/// The pause after that.
pub const DISK_WALK_PAUSE: Duration = Duration::from_millis(20);

/// Entries of one job's folder that are measured at all.
pub const DISK_WALK_ENTRIES_MAX: usize = 5_000_000;

/// Bytes of the names of folders that such a measuring still has to look into: it remembers no more.
pub const DISK_WALK_OPEN_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Below this share of free inodes a disk is low, in percent.
pub const DISK_INODES_LOW_PERCENT: u64 = 5;

/// Below this share it is full.
pub const DISK_INODES_FULL_PERCENT: u64 = 1;

/// How long a job whose journal finds no room on the disk waits for some before it fails for it: another job may just be ended.
pub const JOURNAL_ROOM_PATIENCE: Duration = Duration::from_secs(30);

/// How often it tries meanwhile.
pub const JOURNAL_ROOM_LOOK: Duration = Duration::from_millis(250);

/// How often the collector looks whether there is something to do.
pub const COLLECT_LOOK_EVERY: Duration = Duration::from_secs(5);

/// How often it works at least when there may be something, on an agent that always has a job.
pub const COLLECT_EVERY: Duration = Duration::from_secs(30 * 60);

/// How often it works while the disk is low.
pub const COLLECT_LOW_EVERY: Duration = Duration::from_secs(10);

/// Bytes of images that jobs brought which stay unless an option says otherwise.
pub const IMAGES_KEPT_BYTES: u64 = 20 * 1024 * 1024 * 1024;
