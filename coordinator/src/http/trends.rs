//! `/api/v1/tests`, `/api/v1/reports` and `/api/v1/usage`: what the history says in sum.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::extract::Query;
use crate::history::AskError;
use crate::services::Services;
use crate::trends::one_test::{Case, Test, cases};
use crate::trends::reports::{Latest, Point, Series, latest, points};
use crate::trends::tests::{Order, Question, TESTS_MAX, TestTrend, trends};
use crate::trends::usage::Usage;
use crate::trends::{DAYS, DAYS_MAX, days_before};

impl From<AskError> for ApiError {
    fn from(error: AskError) -> Self {
        let (status, code) = match error {
            AskError::Off => (StatusCode::CONFLICT, "conflict"),
            AskError::Busy | AskError::Late | AskError::NotYet => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
            }
            AskError::Failed(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        Self::new(status, code, error.to_string())
    }
}

/// What is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wanted {
    repository: String,
    days: u64,
    order: Order,
    limit: u64,
    offset: u64,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { repository: String::new(), days: DAYS, order: Order::Flaky, limit: 100, offset: 0 }
    }
}

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct Tests {
    days: u64,
    order: Order,
    tests: Vec<TestTrend>,
    /// There are more from `offset` on than the answer has room for.
    more: bool,
}

pub(super) async fn tests(
    State(services): State<Services>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Tests>, ApiError> {
    let Wanted { repository, days, order, limit, offset } = wanted;
    let since_ms = since(&services, days)?;
    // One of them shows that there are more.
    if !(1..TESTS_MAX).contains(&limit) {
        return Err(ApiError::bad_request(format!("`limit` is a number from 1 to {}", TESTS_MAX - 1)));
    }
    let question = Question { repository, since_ms, order, limit: limit + 1, offset };
    let mut tests = trends(&services.history, &question).await?;
    let more = tests.len() as u64 > limit;
    tests.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(Json(Tests { days, order, tests, more }))
}

/// Which test.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedTest {
    repository: String,
    #[serde(default)]
    suite: String,
    #[serde(default)]
    class: String,
    name: String,
    days: Option<u64>,
}

/// How it did.
#[derive(Debug, Serialize)]
pub(super) struct Cases {
    days: u64,
    cases: Vec<Case>,
}

pub(super) async fn one_test(
    State(services): State<Services>,
    Query(WantedTest { repository, suite, class, name, days }): Query<WantedTest>,
) -> Result<Json<Cases>, ApiError> {
    let days = days.unwrap_or(DAYS);
    let since_ms = since(&services, days)?;
    let test = Test { repository, suite, class, name };
    Ok(Json(Cases { days, cases: cases(&services.history, &test, since_ms).await? }))
}

/// How far back is looked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Span {
    days: Option<u64>,
}

pub(super) async fn usage(
    State(services): State<Services>,
    Query(Span { days }): Query<Span>,
) -> Result<Json<Usage>, ApiError> {
    let since_ms = since(&services, days.unwrap_or(DAYS))?;
    Ok(Json(crate::trends::usage::usage(&services.history, since_ms).await?))
}

/// Which runs' reports are wanted; without a ref those that are newest of each branch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedReports {
    days: Option<u64>,
    #[serde(default)]
    repository: String,
    #[serde(default)]
    workflow: String,
    #[serde(default, rename = "ref")]
    git_ref: String,
}

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reports {
    Branches(Vec<Latest>),
    Runs(Vec<Point>),
}

pub(super) async fn reports(
    State(services): State<Services>,
    Query(WantedReports { days, repository, workflow, git_ref }): Query<WantedReports>,
) -> Result<Json<Reports>, ApiError> {
    let since_ms = since(&services, days.unwrap_or(DAYS))?;
    let given = [&repository, &workflow, &git_ref].into_iter().filter(|text| !text.is_empty()).count();
    Ok(Json(match given {
        0 => Reports::Branches(latest(&services.history, since_ms).await?),
        3 => {
            let series = Series { repository, workflow_file: workflow, git_ref };
            Reports::Runs(points(&services.history, &series, since_ms).await?)
        }
        _ => {
            return Err(ApiError::bad_request(
                "`repository`, `workflow` and `ref` go together: all of them, or none",
            ));
        }
    }))
}

fn since(services: &Services, days: u64) -> Result<u64, ApiError> {
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(ApiError::bad_request(format!("`days` is a number from 1 to {DAYS_MAX}")));
    }
    Ok(days_before(services.clock.unix_ms(), days))
}
