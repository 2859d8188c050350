//! Every bound of the link between agent and init, in one place.

/// Version of the protocol and of the spool format that this build speaks.
///
/// An agent may be newer than the init it adopts, never older, so an agent has to keep speaking every version whose
/// containers may still run when it is upgraded.
pub const PROTOCOL_VERSION: u16 = 3;

/// Oldest version whose containers an agent of this build still serves. Version 2 added relays, version 3 steps that wait for a client,
/// and neither changed anything else.
pub const PROTOCOL_VERSION_OLDEST: u16 = 1;

/// Where the read-only mount of the agent's run folder is in every job container.
pub const MOUNT_PATH: &str = "/.slipway";

/// File name of the program in the run folder.
pub const PROGRAM_NAME: &str = "init";

/// File name of the socket in the run folder. The agent listens, init connects.
pub const SOCKET_NAME: &str = "control.sock";

/// File name of the socket in the run folder to which init relays connections for the agent. The agent listens.
pub const RELAY_SOCKET_NAME: &str = "relay.sock";

/// Ports of the container's loopback that init relays at one time; a further one is refused with `ENOSPC`.
pub const RELAYS_MAX: usize = 64;

/// Relayed connections of one container; further ones wait in the kernel's queue until one ends.
pub const RELAY_CONNECTIONS_MAX: usize = 128;

/// Connections that wait in the kernel's queue of one relayed port.
pub const RELAY_BACKLOG: i32 = 128;

/// Bytes of one direction of a relayed connection that init holds while the receiver takes none.
pub const RELAY_PENDING_MAX_BYTES: usize = 64 * 1024;

/// Time between attempts to reach the agent's socket for a relayed connection while no agent listens ...
pub const RELAY_RETRY_MS: u64 = 100;

/// ... and how long a relayed connection waits for its target before it is closed.
pub const RELAY_CONNECT_MAX_MS: u64 = 30_000;

/// Time between looks at what has ended while steps run, under an emulator that does not tell of signals.
pub const REAP_LOOK_MS: u64 = 50;

/// Longest order (agent to init), without its length prefix. The kernel's own limit for argv and environment together
/// is of the same size.
pub const ORDER_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Longest report (init to agent), without its length prefix.
pub const REPORT_MAX_BYTES: usize = 16 * 1024;

/// Most strings in one argv or one environment.
pub const STRINGS_MAX: usize = 65_536;

/// Steps whose main process may run at one time; a further one is rejected.
pub const RUNNING_STEPS_MAX: usize = 32;

/// Ended steps whose background children still hold a pipe and are read (and discarded). Beyond it the oldest pipes
/// are closed, and who writes there gets `SIGPIPE`.
pub const LINGERING_STEPS_MAX: usize = 128;

/// Longest payload of one spool frame. Output is read in pieces of at most this size.
pub const PAYLOAD_MAX_BYTES: usize = 64 * 1024;

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 24;

/// Longest frame.
pub const FRAME_MAX_BYTES: usize = HEADER_BYTES + PAYLOAD_MAX_BYTES;

/// Longest text of a frame or report that carries a message for people.
pub const MESSAGE_MAX_BYTES: usize = 2048;

/// Default capacity of a spool: bytes that init may be ahead of what the agent has released.
pub const SPOOL_CAPACITY_BYTES: u64 = 64 * 1024 * 1024;

/// Least capacity: room for one frame beside the reserve.
pub const SPOOL_CAPACITY_MIN_BYTES: u64 = SPOOL_RESERVE_BYTES + FRAME_MAX_BYTES as u64;

/// Part of the window that only frames about a step's life may use, never its output: a step that filled the spool can
/// still be recorded as ended.
pub const SPOOL_RESERVE_BYTES: u64 = 64 * 1024;

/// Room of the pipe that a step's output goes through, where the kernel allows it: what anybody may have by default.
pub const OUTPUT_PIPE_BYTES: usize = 1024 * 1024;

/// After a step's main process has exited, its step ends when its pipes were silent for this long ...
pub const DRAIN_QUIET_MS: u64 = 1_000;

/// ... and at the latest after this long. GitHub's runner also waits five seconds for the pipes (`ProcessInvoker`,
/// `ProcessExitedHandler`).
pub const DRAIN_MAX_MS: u64 = 5_000;

/// Time between init's attempts to connect while no agent listens.
pub const RECONNECT_MS: u64 = 100;

/// Time between attempts to write while the spool's file system refuses (full disk).
pub const SPOOL_RETRY_MS: u64 = 500;

/// Time that steps get between `SIGTERM` and `SIGKILL` when init itself is told to end by `SIGTERM`. Below the ten
/// seconds that `docker stop` waits.
pub const TERMINATE_GRACE_MS: u64 = 8_000;

/// Longest grace that a `Shutdown` order may ask for.
pub const SHUTDOWN_GRACE_MAX_MS: u32 = 600_000;

/// Time for reaping and recording after everything was killed, before init exits whatever is missing.
pub const FINAL_RECORD_MS: u64 = 1_500;

/// `oom_score_adj` of every step, so that the kernel kills a step before init, the agent or the host's services.
pub const STEP_OOM_SCORE_ADJ: i32 = 500;

/// Before a range of addresses: init adds the routing rules for it ([`crate::rules`]) and ends.
pub const RULES_FLAG: &str = "--rules";

/// Before a folder: init removes everything in it and ends.
pub const CLEAR_FLAG: &str = "--clear";

/// Levels of folders that a removal goes down at a time: it holds two descriptors for each.
pub const REMOVAL_LEVELS: usize = 32;

/// Exit codes of init itself, as `docker inspect` shows them.
pub mod exit_code {
    /// Ended by a `Shutdown` order.
    pub const SHUTDOWN: i32 = 0;
    /// Ended because the job's stop time came.
    pub const STOP_TIME: i32 = 97;
    /// Could not start: not PID 1, or no signal or timer descriptor. The reason is on stderr.
    pub const CANNOT_START: i32 = 96;
    /// Ended by `SIGTERM` (`docker stop`).
    pub const TERMINATED: i32 = 143;
}
