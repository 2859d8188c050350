//! What runs took, how they ended and how long jobs waited, lately.

use serde::Serialize;

use super::DAY_MS;
use super::cells::Cells;
use crate::history::{AskError, History, Statement};

/// The most rows of each list.
pub const ROWS_MAX: u64 = 200;

/// The runs of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Day {
    /// Its beginning in UTC, in Unix milliseconds.
    pub start_ms: u64,
    /// Runs that were submitted then and have ended with success.
    pub succeeded: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that were cancelled or skipped.
    pub others: u64,
}

/// The runs of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OfRepository {
    /// As its runs name it.
    pub repository: String,
    /// Runs that have ended.
    pub runs: u64,
    /// Those with success.
    pub succeeded: u64,
    /// Those that failed.
    pub failed: u64,
    /// Half of all took no longer, from submission to end, in milliseconds.
    pub p50_ms: u64,
    /// And 95 of a hundred.
    pub p95_ms: u64,
}

/// What attempts took of machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OfMachines {
    /// As its runs name it.
    pub repository: String,
    /// `X64`, `ARM64`; empty: nobody knows it any more.
    pub arch: String,
    /// Attempts that have ended.
    pub attempts: u64,
    /// How long they held a slot, in milliseconds.
    pub slot_ms: u64,
    /// How long they computed, as far as it was measured, in milliseconds.
    pub cpu_ms: u64,
    /// The most memory that one of them had, in bytes; none: it was never measured.
    pub max_rss_bytes: Option<u64>,
}

/// How long jobs waited for an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waits {
    /// What they ask for, with commas between.
    pub labels: String,
    /// Jobs that an agent began.
    pub jobs: u64,
    /// Half of them waited no longer, from when they could have begun, in milliseconds.
    pub p50_ms: u64,
    /// And 95 of a hundred.
    pub p95_ms: u64,
    /// And all of them.
    pub longest_ms: u64,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Days on which a run was submitted, oldest first.
    pub days: Vec<Day>,
    /// Those with the most runs first.
    pub repositories: Vec<OfRepository>,
    /// Those that held slots the longest first.
    pub machines: Vec<OfMachines>,
    /// Those that waited the longest first.
    pub waits: Vec<Waits>,
}

/// `?1` since.
const DAYS: &str = "SELECT CAST(submitted_ms / 86400000 AS bigint) AS day,
        CAST(sum(CASE WHEN result = 'success' THEN 1 ELSE 0 END) AS bigint),
        CAST(sum(CASE WHEN result = 'failure' THEN 1 ELSE 0 END) AS bigint),
        CAST(sum(CASE WHEN result NOT IN ('success', 'failure') THEN 1 ELSE 0 END) AS bigint)
    FROM runs WHERE finished_ms IS NOT NULL AND submitted_ms >= ?1
    GROUP BY CAST(submitted_ms / 86400000 AS bigint) ORDER BY day LIMIT 400";

/// `?1` since, `?2` limit.
const REPOSITORIES: &str = "SELECT repository, CAST(count(*) AS bigint) AS runs,
        CAST(sum(CASE WHEN result = 'success' THEN 1 ELSE 0 END) AS bigint),
        CAST(sum(CASE WHEN result = 'failure' THEN 1 ELSE 0 END) AS bigint),
        CAST(min(CASE WHEN place >= 0.5 THEN took_ms END) AS bigint),
        CAST(min(CASE WHEN place >= 0.95 THEN took_ms END) AS bigint)
    FROM (SELECT repository, result, finished_ms - submitted_ms AS took_ms,
            cume_dist() OVER (PARTITION BY repository ORDER BY finished_ms - submitted_ms) AS place
        FROM runs WHERE finished_ms IS NOT NULL AND submitted_ms >= ?1) AS ended
    GROUP BY repository ORDER BY runs DESC, repository LIMIT ?2";

/// `?1` since, `?2` limit.
const MACHINES: &str = "SELECT repository, coalesce(arch, '') AS arch, CAST(count(*) AS bigint),
        CAST(sum(slot_ms) AS bigint) AS slots_ms, CAST(sum(coalesce(cpu_ms, 0)) AS bigint), CAST(max(max_rss_bytes) AS bigint)
    FROM usage WHERE finished_ms >= ?1
    GROUP BY repository, coalesce(arch, '') ORDER BY slots_ms DESC, repository, arch LIMIT ?2";

/// `?1` since, `?2` limit.
const WAITS: &str = "SELECT labels, CAST(count(*) AS bigint),
        CAST(min(CASE WHEN place >= 0.5 THEN wait_ms END) AS bigint),
        CAST(min(CASE WHEN place >= 0.95 THEN wait_ms END) AS bigint) AS most_ms, CAST(max(wait_ms) AS bigint)
    FROM (SELECT coalesce(labels, '') AS labels, started_ms - queued_ms AS wait_ms,
            cume_dist() OVER (PARTITION BY coalesce(labels, '') ORDER BY started_ms - queued_ms) AS place
        FROM jobs WHERE started_ms >= queued_ms AND created_ms >= ?1) AS waited
    GROUP BY labels ORDER BY most_ms DESC, labels LIMIT ?2";

/// Asks for what was since a moment, in Unix milliseconds.
///
/// # Errors
/// [`AskError`].
pub async fn usage(history: &History, since_ms: u64) -> Result<Usage, AskError> {
    let limited = |sql| Statement::new(sql, vec![since_ms.into(), ROWS_MAX.into()]);
    let days = history.ask(Statement::new(DAYS, vec![since_ms.into()])).await?;
    let repositories = history.ask(limited(REPOSITORIES)).await?;
    let machines = history.ask(limited(MACHINES)).await?;
    let waits = history.ask(limited(WAITS)).await?;
    Ok(Usage {
        days: days.into_iter().map(|row| day(Cells::of(row))).collect(),
        repositories: repositories.into_iter().map(|row| of_repository(Cells::of(row))).collect(),
        machines: machines.into_iter().map(|row| of_machines(Cells::of(row))).collect(),
        waits: waits.into_iter().map(|row| of_labels(Cells::of(row))).collect(),
    })
}

fn day(mut cells: Cells) -> Day {
    Day {
        start_ms: cells.number().saturating_mul(DAY_MS),
        succeeded: cells.number(),
        failed: cells.number(),
        others: cells.number(),
    }
}

fn of_repository(mut cells: Cells) -> OfRepository {
    OfRepository {
        repository: cells.text(),
        runs: cells.number(),
        succeeded: cells.number(),
        failed: cells.number(),
        p50_ms: cells.number(),
        p95_ms: cells.number(),
    }
}

fn of_machines(mut cells: Cells) -> OfMachines {
    OfMachines {
        repository: cells.text(),
        arch: cells.text(),
        attempts: cells.number(),
        slot_ms: cells.number(),
        cpu_ms: cells.number(),
        max_rss_bytes: cells.known(),
    }
}

fn of_labels(mut cells: Cells) -> Waits {
    Waits {
        labels: cells.text(),
        jobs: cells.number(),
        p50_ms: cells.number(),
        p95_ms: cells.number(),
        longest_ms: cells.number(),
    }
}
