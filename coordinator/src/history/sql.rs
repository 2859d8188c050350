//! The statements, in the SQL that both engines speak.
//!
//! Every insertion takes the place of a row that is there already: a rebuild that begins with rows that stayed ends with the
//! same tables.

/// A run was accepted.
pub(super) const RUN: &str = "INSERT INTO runs (run, repository, forge, workflow_file, workflow_name, run_number, run_attempt,
        event_name, git_ref, sha, actor, untrusted, share, priority, submitted_ms, position)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
    ON CONFLICT (run) DO UPDATE SET repository = excluded.repository, forge = excluded.forge,
        workflow_file = excluded.workflow_file, workflow_name = excluded.workflow_name,
        run_number = excluded.run_number, run_attempt = excluded.run_attempt, event_name = excluded.event_name,
        git_ref = excluded.git_ref, sha = excluded.sha, actor = excluded.actor, untrusted = excluded.untrusted,
        share = excluded.share, priority = excluded.priority, submitted_ms = excluded.submitted_ms,
        position = excluded.position";

/// `?1` run, `?2` who, `?3` why.
pub(super) const RUN_CANCELLED: &str = "UPDATE runs SET cancelled_by = ?2, cancel_reason = ?3 WHERE run = ?1";

/// `?1` run, `?2` when, `?3` result, `?4` cause, `?5` position.
pub(super) const RUN_FINISHED: &str =
    "UPDATE runs SET finished_ms = ?2, result = ?3, cause = ?4, finished_position = ?5 WHERE run = ?1";

/// An instance of a job.
pub(super) const INSTANCE: &str =
    "INSERT INTO jobs (run, job, number, instance, name, labels, strict, timeout_ms, created_ms,
        queued_ms, attempts, position)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, ?11)
    ON CONFLICT (run, job, number) DO UPDATE SET instance = excluded.instance, name = excluded.name,
        labels = excluded.labels, strict = excluded.strict, timeout_ms = excluded.timeout_ms,
        created_ms = excluded.created_ms, queued_ms = excluded.queued_ms, position = excluded.position";

/// A job that has no instance: `?1` run, `?2` job, `?3` when, `?4` why, `?5` position.
pub(super) const JOB_WITHOUT_INSTANCE: &str =
    "INSERT INTO jobs (run, job, number, name, created_ms, attempts, message, position)
    VALUES (?1, ?2, 0, ?2, ?3, 0, ?4, ?5)
    ON CONFLICT (run, job, number) DO UPDATE SET created_ms = excluded.created_ms, message = excluded.message,
        position = excluded.position";

/// `?1` run, `?2` job, `?3` when, `?4` result, `?5` position. Instances have results of their own.
pub(super) const JOB_FINISHED: &str = "UPDATE jobs SET finished_ms = ?3, result = ?4, finished_position = ?5
    WHERE run = ?1 AND job = ?2 AND instance IS NULL";

/// `?1` instance, `?2` since when it waits for an agent; NULL: it waits for something else.
pub(super) const QUEUED: &str = "UPDATE jobs SET queued_ms = ?2 WHERE instance = ?1";

/// `?1` instance, `?2` when, `?3` result, `?4` cause, `?5` position.
pub(super) const INSTANCE_FINISHED: &str =
    "UPDATE jobs SET finished_ms = ?2, result = ?3, cause = ?4, finished_position = ?5 WHERE instance = ?1";

/// `?1` instance, `?2` attempt, `?3` agent, `?4` token, `?5` when, `?6` position. Nothing for an instance that is not known: its
/// run began before the journal does.
pub(super) const LEASED: &str = "INSERT INTO attempts (instance, attempt, run, agent, token, leased_ms, position)
    SELECT ?1, ?2, jobs.run, ?3, ?4, ?5, ?6 FROM jobs WHERE jobs.instance = ?1
    ON CONFLICT (instance, attempt) DO UPDATE SET run = excluded.run, agent = excluded.agent, token = excluded.token,
        leased_ms = excluded.leased_ms, position = excluded.position";

/// `?1` instance, `?2` attempt.
pub(super) const DECLINED: &str = "DELETE FROM attempts WHERE instance = ?1 AND attempt = ?2";

/// `?1` instance. What follows from its attempts.
pub(super) const COUNT_ATTEMPTS: &str = "UPDATE jobs SET
        started_ms = (SELECT min(leased_ms) FROM attempts WHERE attempts.instance = jobs.instance),
        attempts = (SELECT count(*) FROM attempts WHERE attempts.instance = jobs.instance)
    WHERE instance = ?1";

/// `?1` instance, `?2` attempt, `?3` why.
pub(super) const CANCEL_REQUESTED: &str =
    "UPDATE attempts SET cancel_requested = ?3 WHERE instance = ?1 AND attempt = ?2";

/// `?1` instance, `?2` attempt, `?3` when, `?4` outcome, `?5` cause, `?6` whether it was reported, `?7` how many records, `?8` their
/// digest, `?9` position.
pub(super) const ATTEMPT_FINISHED: &str =
    "UPDATE attempts SET finished_ms = ?3, outcome = ?4, cause = ?5, reported = ?6,
        records = ?7, records_digest = ?8, finished_position = ?9
    WHERE instance = ?1 AND attempt = ?2";

/// `?1` instance, `?2` attempt, `?3` what its agent said.
pub(super) const NOTE: &str = "UPDATE attempts SET message = ?3 WHERE instance = ?1 AND attempt = ?2";

/// `?1` instance, `?2` attempt.
pub(super) const FORGET_STEPS: &str = "DELETE FROM steps WHERE instance = ?1 AND attempt = ?2";

/// A step, unless it is known better; `?4` its run.
pub(super) const STEP: &str =
    "INSERT INTO steps (instance, attempt, step, run, step_id, name, started_ms, finished_ms, outcome,
        conclusion, exit_code, cpu_ms, max_rss_bytes, lines)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) ON CONFLICT DO NOTHING";

/// `?1` instance, `?2` attempt.
pub(super) const FORGET_TESTS: &str = "DELETE FROM tests WHERE instance = ?1 AND attempt = ?2";

/// A test case, unless it is known better; `?4` its run.
pub(super) const TEST: &str =
    "INSERT INTO tests (instance, attempt, ordinal, run, report, suite, class, name, file, line,
        outcome, duration_us, message)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT DO NOTHING";

/// `?1` instance, `?2` attempt.
pub(super) const FORGET_REPORTS: &str = "DELETE FROM reports WHERE instance = ?1 AND attempt = ?2";

/// What an attempt's reports sum up to, unless it is known better; `?3` its run.
pub(super) const REPORTS: &str =
    "INSERT INTO reports (instance, attempt, run, files, lines, covered, critical, high,
        medium, low, components)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING";

/// `?1` instance, `?2` attempt, `?3` position. From what the other tables have of the attempt by now.
pub(super) const USAGE: &str = "INSERT INTO usage (instance, attempt, run, repository, job, labels, agent, arch, started_ms,
        finished_ms, slot_ms, cpu_ms, max_rss_bytes, position)
    SELECT a.instance, a.attempt, a.run, r.repository, j.job, j.labels, a.agent,
        (SELECT g.arch FROM agents g WHERE g.agent = a.agent), a.leased_ms, a.finished_ms, a.finished_ms - a.leased_ms,
        (SELECT sum(s.cpu_ms) FROM steps s WHERE s.instance = a.instance AND s.attempt = a.attempt),
        (SELECT max(s.max_rss_bytes) FROM steps s WHERE s.instance = a.instance AND s.attempt = a.attempt), ?3
    FROM attempts a JOIN jobs j ON j.instance = a.instance JOIN runs r ON r.run = a.run
    WHERE a.instance = ?1 AND a.attempt = ?2
    ON CONFLICT (instance, attempt) DO UPDATE SET run = excluded.run, repository = excluded.repository,
        job = excluded.job, labels = excluded.labels, agent = excluded.agent, arch = excluded.arch,
        started_ms = excluded.started_ms, finished_ms = excluded.finished_ms, slot_ms = excluded.slot_ms,
        cpu_ms = excluded.cpu_ms, max_rss_bytes = excluded.max_rss_bytes, position = excluded.position";

/// `?1` position, `?2` when, then who, by which door, what, of which, and what came of it.
pub(super) const AUDIT: &str = "INSERT INTO audit (position, at_ms, actor, source, action, target, effect)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (position) DO UPDATE SET at_ms = excluded.at_ms, actor = excluded.actor, source = excluded.source,
        action = excluded.action, target = excluded.target, effect = excluded.effect";

/// An agent as it is known now.
pub(super) const AGENT: &str =
    "INSERT INTO agents (agent, name, arch, labels, seen_ms) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (agent) DO UPDATE SET name = excluded.name, arch = excluded.arch, labels = excluded.labels,
        seen_ms = excluded.seen_ms";

/// What a rebuild begins with, for `?1`, the position that the journal begins after: all that comes from later records goes. Steps
/// and test cases wait for [`FORGET_ORPHANS`], since their records may be gone.
pub(super) const REMOVE_AFTER: [&str; 8] = [
    "DELETE FROM audit WHERE position > ?1",
    "DELETE FROM usage WHERE position > ?1",
    "DELETE FROM attempts WHERE position > ?1",
    "DELETE FROM jobs WHERE position > ?1",
    "DELETE FROM runs WHERE position > ?1",
    "UPDATE attempts SET finished_ms = NULL, outcome = NULL, cause = NULL, reported = NULL, records = NULL,
        records_digest = NULL, finished_position = NULL WHERE finished_position > ?1",
    "UPDATE jobs SET finished_ms = NULL, result = NULL, cause = NULL, finished_position = NULL
        WHERE finished_position > ?1",
    "UPDATE runs SET finished_ms = NULL, result = NULL, cause = NULL, finished_position = NULL
        WHERE finished_position > ?1",
];

/// The same for what is counted: of jobs that stay open, the attempts that stayed.
pub(super) const RECOUNT_ATTEMPTS: &str = "UPDATE jobs SET
        started_ms = (SELECT min(leased_ms) FROM attempts WHERE attempts.instance = jobs.instance),
        attempts = (SELECT count(*) FROM attempts WHERE attempts.instance = jobs.instance)
    WHERE finished_position IS NULL";

/// What a rebuild ends with: steps, test cases and reports of attempts that are not there (any more) or have not ended go.
pub(super) const FORGET_ORPHANS: [&str; 3] = [
    "DELETE FROM steps WHERE NOT EXISTS
    (SELECT 1 FROM attempts WHERE attempts.instance = steps.instance AND attempts.attempt = steps.attempt
        AND attempts.finished_position IS NOT NULL)",
    "DELETE FROM tests WHERE NOT EXISTS
    (SELECT 1 FROM attempts WHERE attempts.instance = tests.instance AND attempts.attempt = tests.attempt
        AND attempts.finished_position IS NOT NULL)",
    "DELETE FROM reports WHERE NOT EXISTS
    (SELECT 1 FROM attempts WHERE attempts.instance = reports.instance AND attempts.attempt = reports.attempt
        AND attempts.finished_position IS NOT NULL)",
];

/// What there is: runs, jobs, attempts, steps, entries of the audit trail, attempts that had records and have no steps, and test
/// cases.
pub(super) const COUNTS: &str =
    "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM jobs), (SELECT count(*) FROM attempts),
    (SELECT count(*) FROM steps), (SELECT count(*) FROM audit),
    (SELECT count(*) FROM attempts WHERE records > 0 AND NOT EXISTS
        (SELECT 1 FROM steps WHERE steps.instance = attempts.instance AND steps.attempt = attempts.attempt)),
    (SELECT count(*) FROM tests)";
