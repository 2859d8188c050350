//! Every bound of the scheduler, by name. A command beyond one is refused with [`crate::Rejection::Limit`] (or cut, where
//! it is only text for people); none of them can be passed by an event.

/// Runs in the state, finished ones included. The oldest finished run is to be retired before a new one is refused.
pub const RUNS_MAX: usize = 200_000;
/// Finished runs kept in the state for `show` and `rerun`; the driver retires the oldest above it.
pub const FINISHED_RUNS_MAX: usize = 2_000;
/// Instances in the state, over all runs.
pub const INSTANCES_MAX: usize = 2_000_000;
/// Jobs in one workflow after reusable workflows are unfolded.
pub const JOBS_PER_RUN_MAX: usize = 1_000;
/// Needs of one job.
pub const NEEDS_PER_JOB_MAX: usize = 256;
/// Instances of one job: GitHub's "a matrix will generate a maximum of 256 jobs per workflow run".
pub const INSTANCES_PER_JOB_MAX: usize = 256;
/// Bytes of a job's id (GitHub: fewer than 100 characters in a file; that of a called job begins with its callers').
pub const JOB_ID_BYTES_MAX: usize = 1_100;
/// Bytes of an instance's name, with its callers' before it.
pub const NAME_BYTES_MAX: usize = 4_200;
/// Levels of calls, the run's own file included, as on GitHub.
pub const CALL_LEVELS_MAX: usize = 10;
/// Labels that a job may ask for, and that an agent may offer.
pub const LABELS_MAX: usize = 64;
/// Bytes of one label.
pub const LABEL_BYTES_MAX: usize = 256;
/// Bytes of any one text of a run's description.
pub const META_BYTES_MAX: usize = 4_096;
/// Bytes of a message or a reason for people; longer ones are cut.
pub const MESSAGE_BYTES_MAX: usize = 8_192;
/// Bytes of an idempotency key.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 256;
/// Idempotency keys remembered; the oldest is forgotten first. At ten deliveries a second that is more than an hour.
pub const IDEMPOTENCY_KEYS_MAX: usize = 50_000;
/// Characters of a concurrency group's name, as on GitHub.
pub const GROUP_CHARS_MAX: usize = 400;
/// Runs and jobs of one concurrency group that may wait under `queue: max`, as on GitHub.
pub const GROUP_WAITING_MAX: usize = 100;
/// Characters of an environment's name, as on GitHub.
pub const ENVIRONMENT_CHARS_MAX: usize = 255;
/// People who may approve one environment. Each instance's definition has their names in the journal.
pub const REVIEWERS_MAX: usize = 32;
/// Bytes of a reviewer's name.
pub const REVIEWER_BYTES_MAX: usize = 128;
/// The longest wait timer of an environment, in milliseconds: GitHub's 43,200 minutes, which are 30 days.
pub const GATE_WAIT_MS_MAX: u64 = 43_200 * 60_000;
/// How long a job waits for somebody to approve it, in milliseconds: 30 days, as on GitHub.
pub const GATE_EXPIRES_MS: u64 = 30 * 24 * 3_600_000;
/// The lowest and the highest priority of a run.
pub const PRIORITY_MIN: i8 = -100;
/// As above.
pub const PRIORITY_MAX: i8 = 100;
/// What one point of priority is worth in waiting, in milliseconds: whoever has waited this much longer for each point that
/// it has less is as urgent.
pub const PRIORITY_POINT_MS: u64 = 60_000;
/// Of how many leases of one kind of agent one goes to whoever is most urgent when its waiting counts, so that low priorities
/// come to something however much there is of higher ones.
pub const AGED_TURN_EVERY: u32 = 8;
/// The greatest weight of a share: so many leases it gets in one turn.
pub const WEIGHT_MAX: u32 = 1_000;
/// Bytes of a share's name.
pub const SHARE_BYTES_MAX: usize = 256;
/// Kinds of agents whose turns are remembered. Beyond it all are forgotten, which costs one round.
pub const TURNS_MAX: usize = 10_000;
/// Lanes whose turns are remembered, over all kinds of agents. Beyond it all are forgotten.
pub const TURN_LANES_MAX: usize = 100_000;
/// Label sets of which it is remembered how long their jobs take.
pub const DURATIONS_MAX: usize = 1_000;

/// A lease's full time where nothing else is configured, in milliseconds.
pub const LEASE_MS: u64 = 30_000;
/// The shortest full time that can be configured, in milliseconds: less and a busy machine loses its jobs.
pub const LEASE_MS_MIN: u64 = 6_000;
/// The longest time a lease may be extended to, in milliseconds (an agent that is being upgraded).
pub const LEASE_MS_MAX: u64 = 3_600_000;
/// How long before its end a strict job stops itself, in milliseconds.
pub const LEASE_MARGIN_MS: u64 = 5_000;
/// How often an agent renews its leases, in milliseconds.
pub const RENEW_MS: u64 = 5_000;
/// How often an agent without leases says that it is there, in milliseconds. It has nothing to renew; that its connection lives is asked
/// below, and more often.
pub const IDLE_RENEW_MS: u64 = 120_000;

/// GitHub's default for `timeout-minutes`, in milliseconds.
pub const TIMEOUT_MS_DEFAULT: u64 = 360 * 60_000;
/// The longest time limit of a job, in milliseconds (35 days, GitHub's limit for self-hosted workflow runs).
pub const TIMEOUT_MS_MAX: u64 = 35 * 24 * 3_600_000;
/// What the coordinator adds to a job's time limit before it ends the job itself: image pull, start, cancel and the
/// agent's own reporting, in milliseconds.
pub const TIMEOUT_MARGIN_MS: u64 = 15 * 60_000;
/// How long a job may take to end after it was asked to cancel before the coordinator ends it, in milliseconds (GitHub's
/// `cancel-timeout-minutes` default of 5, and a minute).
pub const CANCEL_MS: u64 = 6 * 60_000;

/// The most attempts of one instance that may be configured, whatever the causes.
pub const ATTEMPTS_MAX: u32 = 50;
/// Attempts of one instance, whatever the causes, where nothing else is configured.
pub const ATTEMPTS_DEFAULT: u32 = 8;
/// The longest back-off before a new attempt, in milliseconds, whatever is configured.
pub const BACKOFF_MS_MAX: u64 = 120_000;
/// How long after its back-off an instance is kept from the agent on which it failed, or that declined it, in milliseconds. Long enough
/// for another agent to take it, short enough that a fleet of one goes on.
pub const AVOID_AGENT_MS: u64 = 10_000;
/// How many retried instances one grant looks past because they avoid its agent.
pub const AVOID_SCAN_MAX: usize = 256;
/// Where counting a queue position for people stops.
pub const POSITION_MAX: usize = 10_000;
/// How many shares and groups are looked at to count a queue position for people.
pub const POSITION_LINES_MAX: usize = 2_000;
/// Agents that the coordinator knows at a time. Those that are gone and hold nothing make room.
pub const AGENTS_MAX: usize = 100_000;
/// Slots of one agent.
pub const SLOTS_PER_AGENT_MAX: u32 = 1_024;
/// Leases that an agent may present at a time; no agent holds more than this.
pub const LEASES_PRESENTED_MAX: usize = 4_096;
/// How long a job whose turn it is lets others pass because no agent has room for its size, in milliseconds. Then one agent is kept
/// free for it. Less, and large jobs would idle machines that small ones use; more, and they wait for as long as there are small ones.
pub const ROOM_PATIENCE_MS: u64 = 60_000;
/// How many free agents of one label set are looked at for one that a retried instance does not avoid.
pub const AGENT_SCAN_MAX: usize = 16;
