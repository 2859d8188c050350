//! One test from run to run.

use serde::{Deserialize, Serialize};

use super::cells::Cells;
use crate::history::{AskError, History, Statement};

/// The most runs of one answer, the newest.
pub const RUNS_MAX: u64 = 200;

/// Which test.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Test {
    /// The repository as its runs name it.
    pub repository: String,
    /// As the reports say; empty: they do not.
    pub suite: String,
    /// See [`Test::suite`].
    pub class: String,
    /// See [`Test::suite`].
    pub name: String,
}

/// How it did in one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Case {
    /// The run.
    pub run: String,
    /// The job, as people see it.
    pub job: String,
    /// The run's commit.
    pub sha: String,
    /// The run's ref.
    pub git_ref: String,
    /// When the job began, in Unix milliseconds.
    pub began_ms: u64,
    /// `passed`, `failed`, `error`, `skipped` or `flaky`.
    pub outcome: String,
    /// How long it took, in microseconds; none: the report does not say.
    pub duration_us: Option<u64>,
    /// Why it failed or was skipped; empty: the report does not say.
    pub message: String,
}

/// `?1` repository, `?2` suite, `?3` class, `?4` name, `?5` since, `?6` limit.
const CASES: &str =
    "SELECT r.run, j.name, r.sha, r.git_ref, j.created_ms, t.outcome, t.duration_us, t.message
    FROM runs r JOIN tests t ON t.run = r.run JOIN jobs j ON j.instance = t.instance
    WHERE r.repository = ?1 AND t.suite = ?2 AND t.class = ?3 AND t.name = ?4 AND r.submitted_ms >= ?5
    ORDER BY j.created_ms DESC, t.instance, t.attempt DESC, t.ordinal LIMIT ?6";

/// Asks how a test did in runs that were submitted since a moment, newest first.
///
/// # Errors
/// [`AskError`].
pub async fn cases(history: &History, test: &Test, since_ms: u64) -> Result<Vec<Case>, AskError> {
    let values = vec![
        (&test.repository).into(),
        (&test.suite).into(),
        (&test.class).into(),
        (&test.name).into(),
        since_ms.into(),
        RUNS_MAX.into(),
    ];
    let rows = history.ask(Statement::new(CASES, values)).await?;
    Ok(rows.into_iter().map(|row| case(Cells::of(row))).collect())
}

/// As the columns of [`CASES`] are.
fn case(mut cells: Cells) -> Case {
    Case {
        run: cells.text(),
        job: cells.text(),
        sha: cells.text(),
        git_ref: cells.text(),
        began_ms: cells.number(),
        outcome: cells.text(),
        duration_us: cells.known(),
        message: cells.text(),
    }
}
