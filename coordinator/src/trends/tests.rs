//! Tests by how they did lately.

use serde::{Deserialize, Serialize};

use super::cells::Cells;
use crate::history::{AskError, History, Statement};

/// The most tests of one answer.
pub const TESTS_MAX: u64 = 500;

/// Which tests come, and which of them first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Those that were flaky, on the most commits first.
    #[default]
    Flaky,
    /// Those that failed, the most often first.
    Failing,
    /// Those that passed, the slowest first.
    Slow,
}

impl Order {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Flaky, Self::Failing, Self::Slow];

    /// In one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Flaky => "flaky",
            Self::Failing => "failing",
            Self::Slow => "slow",
        }
    }
}

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// Of one repository; empty: of all.
    pub repository: String,
    /// Of runs that were submitted then or later, in Unix milliseconds.
    pub since_ms: u64,
    /// Which.
    pub order: Order,
    /// How many at most.
    pub limit: u64,
    /// How many are left out at the beginning.
    pub offset: u64,
}

/// How a test did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestTrend {
    /// The repository as its runs name it.
    pub repository: String,
    /// As the reports say; empty: they do not. A test is the same one where all of them are.
    pub suite: String,
    /// See [`TestTrend::suite`].
    pub class: String,
    /// See [`TestTrend::suite`].
    pub name: String,
    /// How often it passed, flaky or not.
    pub passed: u64,
    /// How often it failed, errors among it.
    pub failed: u64,
    /// How often it did not run.
    pub skipped: u64,
    /// Commits on which the same job had it pass and fail, or its tool had to run it again.
    pub flaky_commits: u64,
    /// How long it took in the mean where it passed, in microseconds; none: no report says so.
    pub mean_us: Option<u64>,
    /// The longest, likewise.
    pub longest_us: Option<u64>,
    /// When its newest job that failed it began, in Unix milliseconds.
    pub last_failed_ms: Option<u64>,
    /// The run of that.
    pub last_failed_run: Option<String>,
}

/// First by commit and job, since only there two outcomes disagree. `?1` repository, `?2` since, `?3` order, `?4` limit, `?5`
/// offset. Moment and run of the last failure are one text while they are compared: moments have 13 digits until the year 2286.
const TRENDS: &str = "SELECT repository, suite, class, name, passed, failed, skipped, flaky_commits, mean_us, longest_us, last_failed
    FROM (SELECT repository, suite, class, name,
            CAST(sum(passed) AS bigint) AS passed,
            CAST(sum(failed) AS bigint) AS failed,
            CAST(sum(skipped) AS bigint) AS skipped,
            CAST(count(DISTINCT CASE WHEN flaky > 0 OR (passed > 0 AND failed > 0) THEN sha END) AS bigint) AS flaky_commits,
            CAST(sum(took_us) / nullif(sum(timed), 0) AS bigint) AS mean_us,
            CAST(max(longest_us) AS bigint) AS longest_us,
            max(last_failed) AS last_failed
        FROM (SELECT r.repository, r.sha, t.suite, t.class, t.name,
                sum(CASE WHEN t.outcome IN ('passed', 'flaky') THEN 1 ELSE 0 END) AS passed,
                sum(CASE WHEN t.outcome IN ('failed', 'error') THEN 1 ELSE 0 END) AS failed,
                sum(CASE WHEN t.outcome = 'skipped' THEN 1 ELSE 0 END) AS skipped,
                sum(CASE WHEN t.outcome = 'flaky' THEN 1 ELSE 0 END) AS flaky,
                sum(CASE WHEN t.outcome IN ('passed', 'flaky') THEN t.duration_us END) AS took_us,
                sum(CASE WHEN t.outcome IN ('passed', 'flaky') AND t.duration_us IS NOT NULL THEN 1 ELSE 0 END) AS timed,
                max(CASE WHEN t.outcome IN ('passed', 'flaky') THEN t.duration_us END) AS longest_us,
                max(CASE WHEN t.outcome IN ('failed', 'error') THEN CAST(j.created_ms AS text) || ' ' || t.run END) AS last_failed
            FROM runs r JOIN tests t ON t.run = r.run JOIN jobs j ON j.instance = t.instance
            WHERE r.submitted_ms >= ?2 AND (?1 = '' OR r.repository = ?1)
            GROUP BY r.repository, r.workflow_file, r.sha, j.job, j.number, t.suite, t.class, t.name) AS of_commits
        GROUP BY repository, suite, class, name) AS of_tests
    WHERE CASE ?3 WHEN 'flaky' THEN flaky_commits WHEN 'failing' THEN failed ELSE coalesce(mean_us, 0) END > 0
    ORDER BY CASE ?3 WHEN 'flaky' THEN flaky_commits WHEN 'failing' THEN failed ELSE mean_us END DESC,
        failed DESC, repository, suite, class, name
    LIMIT ?4 OFFSET ?5";

/// Repositories that have tests since then. `?1` since.
const REPOSITORIES: &str = "SELECT DISTINCT r.repository FROM runs r JOIN tests t ON t.run = r.run
    WHERE r.submitted_ms >= ?1 ORDER BY r.repository LIMIT 500";

/// Asks for tests.
///
/// # Errors
/// [`AskError`].
pub async fn trends(history: &History, question: &Question) -> Result<Vec<TestTrend>, AskError> {
    let values = vec![
        (&question.repository).into(),
        question.since_ms.into(),
        question.order.word().into(),
        question.limit.min(TESTS_MAX).into(),
        question.offset.into(),
    ];
    let rows = history.ask(Statement::new(TRENDS, values)).await?;
    Ok(rows.into_iter().map(|row| trend(Cells::of(row))).collect())
}

/// Asks which repositories have tests since a moment.
///
/// # Errors
/// [`AskError`].
pub async fn repositories(history: &History, since_ms: u64) -> Result<Vec<String>, AskError> {
    let rows = history.ask(Statement::new(REPOSITORIES, vec![since_ms.into()])).await?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

/// As the columns of [`TRENDS`] are.
fn trend(mut cells: Cells) -> TestTrend {
    let mut trend = TestTrend {
        repository: cells.text(),
        suite: cells.text(),
        class: cells.text(),
        name: cells.text(),
        passed: cells.number(),
        failed: cells.number(),
        skipped: cells.number(),
        flaky_commits: cells.number(),
        mean_us: cells.known(),
        longest_us: cells.known(),
        last_failed_ms: None,
        last_failed_run: None,
    };
    if let Some(last) = cells.maybe()
        && let Some((at, run)) = last.split_once(' ')
    {
        trend.last_failed_ms = at.parse().ok();
        trend.last_failed_run = Some(run.to_owned());
    }
    trend
}
