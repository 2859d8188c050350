//! `/api/v1/runs/{run}/tests`: what a run's test reports say.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::extract::{Path, Query};
use super::runs::find;
use crate::records::AttemptKey;
use crate::services::Services;
use crate::test_cases::{self, Outcome, TestCase};

/// How many cases an answer has where nobody says.
const DEFAULT_CASES: usize = 1_000;

/// The most cases of one answer.
const MAX_CASES: usize = 50_000;

/// Which cases are wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// A job's id, or an instance's name.
    job: Option<String>,
    /// Outcomes, with commas between.
    outcome: Option<String>,
    limit: Option<usize>,
}

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct Tests {
    run: String,
    /// How many of each outcome, of all jobs that were asked for.
    counts: Counts,
    jobs: Vec<JobTests>,
    /// There are more that were asked for than the answer has room for.
    more: bool,
}

type Counts = BTreeMap<&'static str, u64>;

/// Of a job that has any, or whose records were removed.
#[derive(Debug, Serialize)]
struct JobTests {
    job: String,
    instance: String,
    name: String,
    attempt: u32,
    /// Its log's time was over: nothing is known of its cases here.
    removed: bool,
    /// Of all its cases, asked for or not.
    counts: Counts,
    cases: Vec<TestCase>,
}

/// An attempt that may have some.
struct Known {
    job: String,
    name: String,
    key: AttemptKey,
    records: u64,
}

pub(super) async fn tests(
    State(services): State<Services>,
    Path(run): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Tests>, ApiError> {
    let outcomes = wanted.outcome.as_deref().map(outcomes).transpose()?;
    let run = find(&services, run).await?;
    let asked = wanted.job;
    let known = services.driver.query(move |view| {
        let mut known = Vec::new();
        for job in view.state.run(run).into_iter().flat_map(|run| run.jobs()) {
            for instance in view.state.instances_of(job) {
                let (id, name) = (job.id().to_string(), &instance.definition().name);
                if asked.as_ref().is_some_and(|asked| *asked != id && asked != name) {
                    continue;
                }
                // An attempt that the fleet failed did not come as far as its reports.
                let last = instance.attempts().last();
                let end = last.and_then(|attempt| Some((attempt.number, attempt.end.as_ref()?)));
                known.extend(end.filter(|(_, end)| end.records > 0).map(|(attempt, end)| Known {
                    job: id,
                    name: name.clone(),
                    key: AttemptKey { run, instance: instance.id(), attempt },
                    records: end.records,
                }));
            }
        }
        known
    });
    let mut room = wanted.limit.unwrap_or(DEFAULT_CASES).min(MAX_CASES);
    let mut answer = Tests { run: run.to_string(), counts: counts(&[]), jobs: Vec::new(), more: false };
    for Known { job, name, key, records } in known.await? {
        let found = test_cases::read(&services.records, key, records).await?;
        let removed = found.is_none();
        let mut cases = found.unwrap_or_default();
        if cases.is_empty() && !removed {
            continue;
        }
        let counts = counts(&cases);
        counts.iter().for_each(|(word, count)| *answer.counts.entry(word).or_default() += count);
        cases.retain(|case| outcomes.as_ref().is_none_or(|wanted| wanted.contains(&case.outcome)));
        answer.more |= cases.len() > room;
        cases.truncate(room);
        room -= cases.len();
        let (instance, attempt) = (key.instance.to_string(), key.attempt);
        answer.jobs.push(JobTests { job, instance, name, attempt, removed, counts, cases });
    }
    Ok(Json(answer))
}

fn counts(cases: &[TestCase]) -> Counts {
    let of = |outcome| cases.iter().filter(|case| case.outcome == outcome).count() as u64;
    Outcome::ALL.into_iter().map(|outcome| (outcome.word(), of(outcome))).collect()
}

fn outcomes(text: &str) -> Result<Vec<Outcome>, ApiError> {
    let known = |word: &str| Outcome::ALL.into_iter().find(|outcome| outcome.word() == word.trim());
    let all = text.split(',').map(|word| {
        known(word).ok_or_else(|| {
            let words = Outcome::ALL.map(Outcome::word).join(", ");
            ApiError::bad_request(format!("`outcome` is some of {words}, with commas between"))
        })
    });
    all.collect()
}
