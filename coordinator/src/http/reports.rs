//! `/api/v1/runs/{run}/reports`: coverage, findings and components of a run, beside those of its base, and its gates.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use slipway_workflow::settings::Severity;

use super::error::ApiError;
use super::extract::{Path, Query};
use super::runs::find;
use crate::reports::gates::{self, GatesError};
use crate::reports::{CompareError, Compared, Component, Finding, Judged, compare};
use crate::services::Services;

/// How many entries each list has where nobody says.
const DEFAULT_ENTRIES: usize = 100;

/// The most entries of a list.
const MAX_ENTRIES: usize = 20_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    limit: Option<usize>,
}

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct Reports {
    run: String,
    /// The run that it is compared with.
    base: Option<String>,
    /// The log of some job is gone, and with it what is known here.
    removed: bool,
    coverage: Option<Coverage>,
    findings: Option<Findings>,
    components: Option<Components>,
    gates: Vec<Judged>,
}

#[derive(Debug, Serialize)]
struct Coverage {
    lines: u64,
    covered: u64,
    percent: Option<f64>,
    base_percent: Option<f64>,
    /// Percentage points.
    change: Option<f64>,
    /// Those with the most lines that nothing reached first.
    files: Vec<CoveredFile>,
    files_in_all: u64,
}

#[derive(Debug, Serialize)]
struct CoveredFile {
    path: String,
    lines: u64,
    covered: u64,
}

#[derive(Debug, Serialize)]
struct Findings {
    counts: BTreeMap<&'static str, u64>,
    /// None: nobody looked at the base.
    new: Option<u64>,
    left_out: u64,
    findings: Vec<Shown>,
}

#[derive(Debug, Serialize)]
struct Shown {
    new: bool,
    #[serde(flatten)]
    finding: Finding,
}

#[derive(Debug, Serialize)]
struct Components {
    count: u64,
    left_out: u64,
    components: Vec<Component>,
}

impl From<CompareError> for ApiError {
    fn from(error: CompareError) -> Self {
        match error {
            CompareError::Driver(error) => error.into(),
            CompareError::Records(error) => error.into(),
        }
    }
}

impl From<GatesError> for ApiError {
    fn from(error: GatesError) -> Self {
        match error {
            GatesError::Compare(error) => error.into(),
            GatesError::Mirror(error) => Self::new(StatusCode::BAD_GATEWAY, "unavailable", error.to_string()),
        }
    }
}

pub(super) async fn reports(
    State(services): State<Services>,
    Path(run): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Reports>, ApiError> {
    let run = find(&services, run).await?;
    let limit = wanted.limit.unwrap_or(DEFAULT_ENTRIES).min(MAX_ENTRIES);
    let compared = compare(&services, run).await?.unwrap_or_default();
    let gates = gates::of_run(&services, run).await?;
    Ok(Json(Reports {
        run: run.to_string(),
        base: compared.base.as_ref().map(|(base, _)| base.to_string()),
        removed: compared.removed,
        coverage: coverage(&compared, limit),
        findings: findings(&compared, limit),
        components: components(compared, limit),
        gates,
    }))
}

fn coverage(compared: &Compared, limit: usize) -> Option<Coverage> {
    let found = compared.reports.coverage.as_ref()?;
    let (lines, covered) = found.totals();
    let mut files: Vec<_> = found.files.iter().collect();
    files.sort_by_key(|(_, (lines, covered))| std::cmp::Reverse(lines - covered));
    let file = |(path, (lines, covered)): (&String, &(u64, u64))| CoveredFile {
        path: path.clone(),
        lines: *lines,
        covered: *covered,
    };
    let (now, base) = (found.hundredths(), compared.base_hundredths());
    let percent = |hundredths: u32| f64::from(hundredths) / 100.0;
    let change = now.zip(base).map(|(now, base)| (f64::from(now) - f64::from(base)) / 100.0);
    Some(Coverage {
        lines,
        covered,
        percent: now.map(percent),
        base_percent: base.map(percent),
        change,
        files_in_all: found.files.len() as u64 + found.more.0,
        files: files.into_iter().take(limit).map(file).collect(),
    })
}

fn findings(compared: &Compared, limit: usize) -> Option<Findings> {
    let found = compared.findings()?;
    let count = |severity| found.iter().filter(|(finding, _)| finding.severity == severity).count() as u64;
    let shown = found.iter().take(limit);
    Some(Findings {
        counts: Severity::ALL.into_iter().map(|severity| (severity.word(), count(severity))).collect(),
        new: compared.known().map(|_| found.iter().filter(|(_, new)| *new).count() as u64),
        left_out: compared.reports.findings_left_out,
        findings: shown.map(|(finding, new)| Shown { new: *new, finding: (*finding).clone() }).collect(),
    })
}

fn components(compared: Compared, limit: usize) -> Option<Components> {
    let mut found = compared.reports.components?;
    let count = found.len() as u64;
    found.truncate(limit);
    Some(Components { count, left_out: compared.reports.components_left_out, components: found })
}
