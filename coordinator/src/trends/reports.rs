//! How coverage and findings went, run by run.

use serde::Serialize;

use super::cells::Cells;
use crate::history::{AskError, History, Statement};

/// The most series of one answer, and the most runs of one.
pub const SERIES_MAX: u64 = 200;
/// See [`SERIES_MAX`].
pub const RUNS_MAX: u64 = 200;

/// What is compared with itself over time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Series {
    /// As its runs name it.
    pub repository: String,
    /// The workflow's path.
    pub workflow_file: String,
    /// The whole ref.
    pub git_ref: String,
}

/// What the reports of a run sum up to; of a kind that no report was of, nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Point {
    /// The run.
    pub run: String,
    /// Its commit.
    pub sha: String,
    /// When it ended, in Unix milliseconds.
    pub finished_ms: u64,
    /// Lines that tests could reach. A file that several jobs cover counts in each.
    pub lines: Option<u64>,
    /// Those that they did.
    pub covered: Option<u64>,
    /// Findings of each severity, the worst first.
    pub findings: Option<[u64; 4]>,
    /// Components of bills of materials.
    pub components: Option<u64>,
}

impl Point {
    /// The share of covered lines in hundredths of a percent, rounded down; none: there are no lines.
    #[must_use]
    pub fn hundredths(&self) -> Option<u32> {
        let (lines, covered) = (u128::from(self.lines?), u128::from(self.covered?));
        let share = (covered * 10_000).checked_div(lines)?;
        u32::try_from(share).ok()
    }
}

/// A series, and where it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Latest {
    /// Which.
    #[serde(flatten)]
    pub series: Series,
    /// How many runs it has.
    pub runs: u64,
    /// The newest of them.
    pub newest: Point,
}

/// Each run that has reports and has ended. `?1` since.
macro_rules! of_runs {
    () => {
        "(SELECT r.repository, r.workflow_file, r.git_ref, r.run, r.sha, r.finished_ms,
            CAST(sum(p.lines) AS bigint) AS lines, CAST(sum(p.covered) AS bigint) AS covered,
            CAST(sum(p.critical) AS bigint) AS critical, CAST(sum(p.high) AS bigint) AS high,
            CAST(sum(p.medium) AS bigint) AS medium, CAST(sum(p.low) AS bigint) AS low,
            CAST(sum(p.components) AS bigint) AS components
        FROM runs r JOIN reports p ON p.run = r.run
        WHERE r.finished_ms IS NOT NULL AND r.submitted_ms >= ?1
        GROUP BY r.repository, r.workflow_file, r.git_ref, r.run, r.sha, r.finished_ms) AS of_runs"
    };
}

/// Branches first, since pull requests come and go. `?1` since, `?2` limit.
const LATEST: &str = concat!(
    "SELECT repository, workflow_file, git_ref, runs, run, sha, finished_ms, lines, covered, critical, high, medium, low, components
    FROM (SELECT of_runs.*,
            row_number() OVER (PARTITION BY repository, workflow_file, git_ref ORDER BY finished_ms DESC, run) AS place,
            CAST(count(*) OVER (PARTITION BY repository, workflow_file, git_ref) AS bigint) AS runs
        FROM ",
    of_runs!(),
    ") AS numbered
    WHERE place = 1
    ORDER BY CASE WHEN git_ref LIKE 'refs/heads/%' THEN 0 ELSE 1 END, runs DESC, repository, workflow_file, git_ref
    LIMIT ?2"
);

/// `?1` since, `?2` repository, `?3` workflow file, `?4` ref, `?5` limit.
const POINTS: &str = concat!(
    "SELECT run, sha, finished_ms, lines, covered, critical, high, medium, low, components FROM ",
    of_runs!(),
    " WHERE repository = ?2 AND workflow_file = ?3 AND git_ref = ?4 ORDER BY finished_ms DESC, run LIMIT ?5"
);

/// Asks which series there are since a moment, in Unix milliseconds.
///
/// # Errors
/// [`AskError`].
pub async fn latest(history: &History, since_ms: u64) -> Result<Vec<Latest>, AskError> {
    let rows = history.ask(Statement::new(LATEST, vec![since_ms.into(), SERIES_MAX.into()])).await?;
    let of = |mut cells: Cells| Latest {
        series: Series { repository: cells.text(), workflow_file: cells.text(), git_ref: cells.text() },
        runs: cells.number(),
        newest: point(&mut cells),
    };
    Ok(rows.into_iter().map(|row| of(Cells::of(row))).collect())
}

/// Asks for the runs of a series since a moment, the newest first.
///
/// # Errors
/// [`AskError`].
pub async fn points(history: &History, series: &Series, since_ms: u64) -> Result<Vec<Point>, AskError> {
    let values = vec![
        since_ms.into(),
        (&series.repository).into(),
        (&series.workflow_file).into(),
        (&series.git_ref).into(),
        RUNS_MAX.into(),
    ];
    let rows = history.ask(Statement::new(POINTS, values)).await?;
    Ok(rows.into_iter().map(|row| point(&mut Cells::of(row))).collect())
}

fn point(cells: &mut Cells) -> Point {
    let (run, sha, finished_ms) = (cells.text(), cells.text(), cells.number());
    let (lines, covered) = (cells.known(), cells.known());
    let severities = [cells.known(), cells.known(), cells.known(), cells.known()];
    let findings = severities.iter().any(Option::is_some);
    Point {
        run,
        sha,
        finished_ms,
        lines,
        covered,
        findings: findings.then(|| severities.map(Option::unwrap_or_default)),
        components: cells.known(),
    }
}
