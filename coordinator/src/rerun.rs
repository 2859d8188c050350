//! `rerun`: the same workflow, event and code once more, as a run of its own with the next `github.run_attempt`.
//!
//! Invariant: what ran before is not touched: the new run has an id of its own and the number of the old one. With
//! `failed`, jobs that succeeded, and whose own needs all did, are carried over with their outputs and do not run again.
//! A run's secrets are removed when it ends, so that they have to be given again; without them nothing is started.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use slipway_cas::{Digest, StoreError};
use slipway_scheduler::command::{CarriedJob, RunMeta};
use slipway_scheduler::state::{Call, Job, Run};
use slipway_scheduler::{JobResult, RunId};

use crate::driver::DriverError;
use crate::driver::holds::Stranger;
use crate::secrets::SecretMap;
use crate::services::Services;
use crate::submit::{self, Bundle, NewRun, RunContext, SubmitError};

/// What is wanted.
#[derive(Debug, Clone, Default)]
pub struct Rerun {
    /// Only the jobs that did not succeed, and those that need them.
    pub failed: bool,
    /// The run's secrets, given again.
    pub secrets: SecretMap,
    /// Who wants it; empty: who caused the run.
    pub actor: String,
    /// By which door it came.
    pub door: String,
    /// Names the request: one that comes twice makes one run.
    pub idempotency_key: Option<String>,
}

/// Why no run was started.
#[derive(Debug, thiserror::Error)]
pub enum RerunError {
    /// The run left the state.
    #[error("there is no run {0} any more")]
    Unknown(RunId),
    /// It has no result yet.
    #[error("run {0} is not finished; cancel it first, or wait for its end")]
    Open(RunId),
    /// There is nothing to run again.
    #[error("no job of run {0} failed; leave --failed out to run everything again")]
    NothingFailed(RunId),
    /// Its secrets are gone.
    #[error(
        "run {run} had the secrets {names}, and a run's secrets are removed when it ends; give each again (--secret NAME)"
    )]
    Secrets {
        /// The run.
        run: RunId,
        /// The missing ones.
        names: String,
    },
    /// What it was made of cannot be read.
    #[error("the run's texts cannot be read: {0}")]
    Store(#[from] StoreError),
    /// The new run was refused.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

/// What is left of a run, to make another of it.
struct Left {
    meta: RunMeta,
    workflow: Digest,
    event: Digest,
    context: Digest,
    ended: bool,
    carried: Vec<CarriedJob>,
    jobs: usize,
    priority: i8,
    /// It was held, and nobody approved it: so is what repeats it.
    stranger: Option<Stranger>,
    /// The greatest attempt of this run number so far.
    last_attempt: u64,
}

/// Starts the run again; the new run is durable when this returns.
///
/// # Errors
/// [`RerunError`].
pub async fn rerun(services: &Services, run: RunId, wanted: Rerun) -> Result<RunId, RerunError> {
    let left = services.driver.query(move |view| {
        let found = view.state.run(run)?;
        let meta = found.meta();
        let same = view.state.runs().filter(|other| is_attempt_of(other.meta(), meta));
        Some(Left {
            meta: meta.clone(),
            workflow: found.workflow(),
            event: found.event(),
            context: found.context(),
            ended: found.end().is_some(),
            carried: succeeded(found),
            priority: found.standing().priority,
            stranger: {
                let hold = view.ledger.holds().of(run).filter(|hold| !hold.is_approved());
                hold.map(|hold| hold.stranger.clone())
            },
            jobs: found.jobs().iter().filter(|job| found.caller_of(job).is_none()).count(),
            last_attempt: same.map(|other| other.meta().run_attempt).max().unwrap_or(1),
        })
    });
    let left = left.await.map_err(|error: DriverError| SubmitError::Driver(error))?;
    let left = left.ok_or(RerunError::Unknown(run))?;
    if !left.ended {
        return Err(RerunError::Open(run));
    }
    if wanted.failed && left.carried.iter().filter(|job| job.call.is_none()).count() == left.jobs {
        return Err(RerunError::NothingFailed(run));
    }
    let context: RunContext = load(services, left.context).await?;
    let missing: Vec<&str> = context
        .secret_names
        .iter()
        .map(String::as_str)
        .filter(|name| !wanted.secrets.contains_key(*name))
        .collect();
    if !missing.is_empty() {
        return Err(RerunError::Secrets { run, names: missing.join(", ") });
    }
    let event: Json = load(services, left.event).await?;
    let meta = left.meta;
    let (workflow, called, called_commits) = if context.bundled {
        let mut bundle: Bundle = load(services, left.workflow).await?;
        let main = bundle.files.remove(&meta.workflow_file).unwrap_or_default();
        (main, bundle.files, bundle.commits)
    } else {
        let text = services.store.get(left.workflow).await?;
        (String::from_utf8_lossy(&text).into_owned(), Default::default(), Default::default())
    };
    let new = NewRun {
        workflow_file: meta.workflow_file,
        workflow,
        called,
        called_commits,
        event_name: meta.event_name,
        event,
        repository: meta.repository,
        forge: meta.forge,
        git_ref: meta.git_ref,
        sha: meta.sha,
        triggering_actor: if wanted.actor.is_empty() { meta.actor.clone() } else { wanted.actor },
        actor: meta.actor,
        evaluated_inputs: Some(context.inputs),
        vars: context.vars,
        secrets: wanted.secrets,
        jobs: context.only_jobs,
        source: context.source,
        action_pins: Some(context.action_pins),
        trust: meta.trust,
        chain: context.chain,
        run_number: meta.run_number,
        run_attempt: left.last_attempt + 1,
        priority: Some(left.priority),
        stranger: left.stranger,
        carried: if wanted.failed { left.carried } else { Vec::new() },
        door: wanted.door,
        idempotency_key: wanted.idempotency_key,
        ..NewRun::default()
    };
    Ok(submit::submit(services, new).await?)
}

/// A job that succeeded, with its outputs, as the API shows and takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Carried {
    /// Its id in the file.
    pub id: String,
    /// Its result.
    pub result: JobResult,
    /// Outputs of all its instances: of equal names the last non-empty one counts.
    pub outputs: BTreeMap<String, String>,
    /// Names the call that it belongs to, by what that was planned with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<Digest>,
}

/// What a rerun of only what failed would carry over.
///
/// # Errors
/// The run is not finished, or an output cannot be read.
pub async fn carried(services: &Services, run: RunId) -> Result<Vec<Carried>, RerunError> {
    let found = services.driver.query(move |view| {
        let found = view.state.run(run)?;
        Some((found.end().is_some(), succeeded(found)))
    });
    let found = found.await.map_err(SubmitError::Driver)?;
    let (ended, jobs) = found.ok_or(RerunError::Unknown(run))?;
    if !ended {
        return Err(RerunError::Open(run));
    }
    let mut carried = Vec::with_capacity(jobs.len());
    for job in jobs {
        let mut outputs = BTreeMap::new();
        for digest in job.outputs {
            let some: BTreeMap<String, String> = load(services, digest).await?;
            for (name, value) in some {
                if !value.is_empty() || !outputs.contains_key(&name) {
                    outputs.insert(name, value);
                }
            }
        }
        carried.push(Carried { id: job.id.to_string(), result: job.result, outputs, call: job.call });
    }
    Ok(carried)
}

/// Whether both are attempts of one run.
pub(crate) fn is_attempt_of(other: &RunMeta, meta: &RunMeta) -> bool {
    other.run_number == meta.run_number
        && other.workflow_file == meta.workflow_file
        && other.repository == meta.repository
}

/// The jobs that need not run again: each succeeded, and so did all that it needs and that its callers need. What a carried
/// job called is not named again.
fn succeeded(run: &Run) -> Vec<CarriedJob> {
    let good = |job: &Job| job.conclusion() == Some(JobResult::Success) && job.lineage().all_succeeded();
    let mut jobs = Vec::new();
    for job in run.jobs().iter().filter(|job| good(job)) {
        let mut above = run.caller_of(job);
        let mut carried = true;
        while let Some(caller) = above {
            carried &= !good(caller) && caller.lineage().all_succeeded();
            above = run.caller_of(caller);
        }
        if carried {
            jobs.push(job);
        }
    }
    let jobs = jobs.into_iter();
    jobs.map(|job| CarriedJob {
        id: job.id().clone(),
        result: JobResult::Success,
        outputs: job.outputs().to_vec(),
        call: run.call_of(job).map(Call::context),
    })
    .collect()
}

/// A JSON blob that this program wrote. One that is not JSON was damaged.
async fn load<T: DeserializeOwned>(services: &Services, digest: Digest) -> Result<T, RerunError> {
    let bytes = services.store.get(digest).await?;
    Ok(serde_json::from_slice(&bytes).map_err(|_| StoreError::Damaged(digest))?)
}
