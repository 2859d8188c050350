//! `/api/v1/runs/{run}/records`: whether a run's records are complete and unchanged.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use slipway_cas::Digest;
use slipway_scheduler::state::Attempt;

use super::error::ApiError;
use super::extract::Path;
use super::runs::find;
use crate::records::{AttemptKey, Ended, RecordsError};
use crate::services::Services;

/// What became of a look at all records of a run.
#[derive(Debug, Serialize)]
pub(super) struct Verified {
    run: String,
    /// Nothing is wrong and nothing was removed.
    complete: bool,
    attempts: Vec<VerifiedAttempt>,
}

#[derive(Debug, Serialize)]
struct VerifiedAttempt {
    job: String,
    instance: String,
    name: String,
    attempt: u32,
    /// `complete`, `running`, `unreported` (its agent was lost), `removed` or `damaged`.
    state: &'static str,
    /// How many records can be read from the first on, and their digest.
    records: u64,
    digest: Option<Digest>,
    /// What the agent reported.
    reported: Option<u64>,
    reported_digest: Option<Digest>,
    sealed: bool,
    /// What is wrong, for a person.
    problem: Option<String>,
}

struct Known {
    job: String,
    name: String,
    key: AttemptKey,
    ended: Option<Ended>,
}

pub(super) async fn verify(
    State(services): State<Services>,
    Path(run): Path<String>,
) -> Result<Json<Verified>, ApiError> {
    let run = find(&services, run).await?;
    let known = services.driver.query(move |view| {
        let mut known = Vec::new();
        for job in view.state.run(run).into_iter().flat_map(|run| run.jobs()) {
            for instance in view.state.instances_of(job) {
                known.extend(instance.attempts().iter().map(|attempt| Known {
                    job: job.id().to_string(),
                    name: instance.definition().name.clone(),
                    key: AttemptKey { run, instance: instance.id(), attempt: attempt.number },
                    ended: ended(attempt),
                }));
            }
        }
        known
    });
    let mut attempts = Vec::new();
    for known in known.await? {
        attempts.push(look(&services, known).await?);
    }
    let complete = attempts.iter().all(|attempt| attempt.problem.is_none());
    Ok(Json(Verified { run: run.to_string(), complete, attempts }))
}

fn ended(attempt: &Attempt) -> Option<Ended> {
    let end = attempt.end.as_ref()?;
    Some(Ended { reported: end.reported.then_some((end.records, end.records_digest)) })
}

async fn look(services: &Services, known: Known) -> Result<VerifiedAttempt, ApiError> {
    let Known { job, name, key, ended } = known;
    let reported = ended.and_then(|ended| ended.reported);
    let mut seen = VerifiedAttempt {
        job,
        instance: key.instance.to_string(),
        name,
        attempt: key.attempt,
        state: match (ended, reported) {
            (None, _) => "running",
            (Some(_), None) => "unreported",
            (Some(_), Some(_)) => "complete",
        },
        records: 0,
        digest: None,
        reported: reported.map(|(records, _)| records),
        reported_digest: reported.and_then(|(_, digest)| digest),
        sealed: false,
        problem: None,
    };
    match services.records.verify(key, ended).await {
        Ok(verdict) => {
            (seen.records, seen.digest, seen.sealed) =
                (verdict.records, Some(verdict.digest), verdict.sealed);
            seen.problem = verdict.problem;
            if seen.problem.is_some() {
                seen.state = "damaged";
            }
        }
        // One that said nothing lost nothing.
        Err(RecordsError::Removed { .. }) if reported.is_some_and(|(records, _)| records == 0) => {}
        Err(error @ RecordsError::Removed { .. }) => {
            seen.state = "removed";
            seen.problem = Some(error.to_string());
        }
        Err(error) => return Err(error.into()),
    }
    Ok(seen)
}
