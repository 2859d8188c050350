//! A new run: checked, its texts stored as blobs, its secrets put away, and then one command for the driver.
//!
//! Invariant: a run exists only after everything it names is durable. What a refused or crashed submission leaves behind
//! are blobs that nobody names, which are collected, and secrets that the next start removes.

mod bundle;
mod concurrency;
mod context;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde_json::Value as Json;
use slipway_cas::{Digest, StoreError};
use slipway_kit::telemetry;
use slipway_scheduler::command::{CarriedJob, JobDefinition, RunMeta, Submit, Trust};
use slipway_scheduler::{JobId, RunId};
use slipway_workflow::diagnostics::Diagnostic;
use slipway_workflow::job_spec::Source;
use slipway_workflow::plan::{self, JobOutline};
use slipway_workflow::syntax::Workflow;
use tracing::Instrument as _;
use uuid::Uuid;

pub use bundle::{BUNDLE_MAX_BYTES, Bundle, CALLED_MAX, Gathered, LEVELS_MAX, gather};
pub(crate) use concurrency::concurrency;
pub use context::RunContext;

use crate::audit::Origin;
use crate::chain;
use crate::driver::DriverError;
use crate::driver::holds::Stranger;
use crate::secrets::{MAX_SECRETS_BYTES, SecretMap};
use crate::services::Services;

/// The longest workflow file, in bytes, as on GitHub.
pub const MAX_WORKFLOW_BYTES: usize = 1 << 20;

/// The longest event payload, in bytes, as on GitHub.
pub const MAX_EVENT_BYTES: usize = 25 << 20;

/// The most bytes of `vars` or inputs.
pub const MAX_VARIABLES_BYTES: usize = 1 << 20;

/// A run to start.
#[derive(Debug, Clone, Default)]
pub struct NewRun {
    /// Path of the workflow in its repository.
    pub workflow_file: String,
    /// The file's text.
    pub workflow: String,
    /// `push`, …
    pub event_name: String,
    /// The payload, an object.
    pub event: Json,
    /// `owner/name`.
    pub repository: String,
    /// Host of the forge; `local` for a checkout of none.
    pub forge: String,
    /// The full ref.
    pub git_ref: String,
    /// The commit.
    pub sha: String,
    /// Who caused it.
    pub actor: String,
    /// Inputs of `workflow_dispatch`, as text.
    pub inputs: BTreeMap<String, String>,
    /// `vars`
    pub vars: BTreeMap<String, String>,
    /// `secrets`
    pub secrets: SecretMap,
    /// Only these jobs and what they need; empty: all.
    pub jobs: Vec<String>,
    /// Where the code comes from.
    pub source: Source,
    /// What the run may touch.
    pub trust: Trust,
    /// `traceparent` of whoever submits; empty or malformed: the run begins a trace of its own where traces are sent.
    pub traceparent: String,
    /// Names the delivery: a second run with the same key is the first.
    pub idempotency_key: Option<String>,
    /// How many `workflow_run` events led here, one after the other.
    pub chain: u32,
    /// Who caused this attempt, where it was another than `actor`.
    pub triggering_actor: String,
    /// The `inputs` context of the run that this repeats: it is not read from `inputs` again.
    pub evaluated_inputs: Option<Json>,
    /// `github.run_number` of the run that this repeats; 0: the next one.
    pub run_number: u64,
    /// `github.run_attempt`; 0 counts as the first.
    pub run_attempt: u64,
    /// Texts of called workflows that the client has: by path in its working tree, as the rest of a bundle by name.
    pub called: BTreeMap<String, String>,
    /// Commits to which those are pinned, by `owner/repo@ref`.
    pub called_commits: BTreeMap<String, String>,
    /// The commits that the lock file names; `None`: it is not read yet.
    pub action_pins: Option<BTreeMap<String, String>>,
    /// Jobs that are not to run again.
    pub carried: Vec<CarriedJob>,
    /// By which door it came, for the audit trail.
    pub door: String,
    /// It is of somebody whom nobody knows, and waits until it is approved.
    pub stranger: Option<Stranger>,
    /// Its priority, from -100 to 100; `None`: as the configuration has it.
    pub priority: Option<i8>,
}

/// Why no run was started.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The workflow file is not valid.
    #[error("the workflow {file} is not valid")]
    Workflow {
        /// Its path.
        file: String,
        /// What is wrong, where.
        diagnostics: Vec<Diagnostic>,
    },
    /// A field of the request.
    #[error("{0}")]
    Field(String),
    /// The scheduler refused.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// A blob cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The secrets cannot be put away.
    #[error("the run's secrets cannot be kept: {0}")]
    Secrets(std::io::Error),
}

fn field(text: impl Into<String>) -> SubmitError {
    SubmitError::Field(text.into())
}

/// Starts a run; it is durable when this returns.
///
/// # Errors
/// [`SubmitError`].
pub async fn submit(services: &Services, new: NewRun) -> Result<RunId, SubmitError> {
    let span = tracing::info_span!(
        "submit",
        run = tracing::field::Empty,
        repository = new.repository,
        workflow = new.workflow_file,
        event = new.event_name,
    );
    telemetry::continue_trace(&span, &new.traceparent);
    start(services, new).instrument(span).await
}

async fn start(services: &Services, mut new: NewRun) -> Result<RunId, SubmitError> {
    check_sizes(&new)?;
    let action_pins = bundle::pins(services, &new).await?;
    new.action_pins = Some(action_pins.clone());
    let Gathered { bundle, workflow } = gather(services, &new).await?;
    let jobs = chosen_jobs(&workflow, &new.jobs)?;
    check_source(services, &new.source).await?;
    renew_carried(services, &new.carried).await?;
    let inputs = match new.evaluated_inputs.take() {
        Some(inputs) => inputs,
        None => inputs(&workflow, &new)?,
    };
    let actor = if new.triggering_actor.is_empty() { &new.actor } else { &new.triggering_actor };
    let origin = Origin { actor: actor.clone(), source: new.door };
    let context = RunContext {
        inputs,
        vars: new.vars,
        source: new.source,
        action_pins,
        chain: new.chain,
        secret_names: new.secrets.keys().cloned().collect(),
        only_jobs: new.jobs,
        triggering_actor: new.triggering_actor,
        bundled: bundle.files.len() > 1,
    };
    let run = RunId(Uuid::now_v7());
    let meta = RunMeta {
        repository: new.repository,
        forge: new.forge,
        workflow_name: workflow.display_name().to_owned(),
        workflow_file: new.workflow_file,
        event_name: new.event_name,
        git_ref: new.git_ref,
        sha: new.sha,
        actor: new.actor,
        trust: new.trust,
        traceparent: telemetry::traceparent_or(&new.traceparent),
        // 0: the driver counts.
        run_number: new.run_number,
        run_attempt: new.run_attempt.max(1),
    };
    let standing = services.options.scheduling.standing(&meta, new.priority);
    let concurrency = match workflow.concurrency {
        None => None,
        Some(_) => {
            let about = meta.clone();
            let kept = services.driver.query(move |view| view.ledger.house().variables_for_run(&about));
            concurrency::of(&workflow, &meta, run, &new.event, &context, &kept.await?)?
        }
    };
    let json = |error: serde_json::Error| field(format!("the request is not JSON: {error}"));
    let files =
        if context.bundled { serde_json::to_vec(&bundle).map_err(json)? } else { new.workflow.into_bytes() };
    let (workflow_blob, event, context) = (
        services.store.put(Bytes::from(files)).await?,
        services.store.put(Bytes::from(serde_json::to_vec(&new.event).map_err(json)?)).await?,
        services.store.put(Bytes::from(serde_json::to_vec(&context).map_err(json)?)).await?,
    );

    keep_secrets(services, run, new.secrets).await?;
    let submit = Submit {
        run,
        meta,
        workflow: workflow_blob,
        event,
        context,
        jobs: jobs.into_iter().map(definition).collect(),
        idempotency_key: new.idempotency_key,
        carried: new.carried,
        concurrency,
        // A stranger's run takes nobody's place before somebody lets it begin.
        held: new.stranger.is_some(),
        standing,
    };
    let started = services.driver.submit_held(submit, new.stranger, origin).await;
    if !matches!(&started, Ok(started) if *started == run) {
        forget_secrets(services, run).await;
    }
    let started = started?;
    tracing::Span::current().record("run", tracing::field::display(started));
    tracing::info!(run = %started, "run submitted");
    if started == run {
        chain::raise(services, run, chain::Activity::Requested).await;
    }
    Ok(started)
}

pub(crate) fn definition(job: JobOutline) -> JobDefinition {
    JobDefinition {
        id: JobId::from(job.id),
        needs: job.needs.into_iter().map(JobId::from).collect(),
        strict: job.strict,
    }
}

fn check_sizes(new: &NewRun) -> Result<(), SubmitError> {
    if new.workflow.len() > MAX_WORKFLOW_BYTES {
        return Err(field(format!("`workflow` is longer than {MAX_WORKFLOW_BYTES} bytes")));
    }
    if !new.event.is_object() {
        return Err(field("`event` must be a JSON object"));
    }
    for (name, map, limit) in [
        ("called", &new.called, BUNDLE_MAX_BYTES),
        ("inputs", &new.inputs, MAX_VARIABLES_BYTES),
        ("vars", &new.vars, MAX_VARIABLES_BYTES),
        ("secrets", &new.secrets, MAX_SECRETS_BYTES),
    ] {
        if map.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > limit {
            return Err(field(format!("`{name}` is longer than {limit} bytes in all")));
        }
    }
    for (name, text) in [("workflow_file", &new.workflow_file), ("event_name", &new.event_name)] {
        if text.is_empty() {
            return Err(field(format!("`{name}` is missing")));
        }
    }
    Ok(())
}

/// The jobs asked for and, transitively, what they need; in file order.
fn chosen_jobs(workflow: &Workflow, wanted: &[String]) -> Result<Vec<JobOutline>, SubmitError> {
    let outline = plan::prepare(workflow);
    if wanted.is_empty() {
        return Ok(outline);
    }
    let mut chosen = BTreeSet::new();
    let mut open: Vec<&str> = wanted.iter().map(String::as_str).collect();
    while let Some(id) = open.pop() {
        let Some(job) = outline.iter().find(|job| job.id.eq_ignore_ascii_case(id)) else {
            let known: Vec<&str> = outline.iter().map(|job| job.id.as_str()).collect();
            return Err(field(format!("the workflow has no job `{id}`; it has {}", known.join(", "))));
        };
        if chosen.insert(job.id.clone()) {
            open.extend(job.needs.iter().map(String::as_str));
        }
    }
    Ok(outline.into_iter().filter(|job| chosen.contains(&job.id)).collect())
}

fn inputs(workflow: &Workflow, new: &NewRun) -> Result<Json, SubmitError> {
    if new.event_name != "workflow_dispatch" {
        return match new.inputs.keys().next() {
            None => Ok(Json::Null),
            Some(name) => Err(field(format!(
                "the input `{name}` has no meaning for `{}`: only workflow_dispatch has inputs",
                new.event_name
            ))),
        };
    }
    let given: Vec<(String, String)> =
        new.inputs.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    plan::dispatch_inputs(workflow, &given).map_err(|problems| field(problems.join("; ")))
}

async fn check_source(services: &Services, source: &Source) -> Result<(), SubmitError> {
    let Source::Tree { digest, size_bytes } = source else { return Ok(()) };
    let digest = Digest::from_hex(digest, *size_bytes).map_err(|error| field(format!("`tree`: {error}")))?;
    // Uploaded before, perhaps long before: nobody may remove it now.
    if services.store.renew(digest).await? {
        return Ok(());
    }
    Err(field(format!("`tree`: there is no blob {digest}; upload it first")))
}

/// What jobs that are not run again left: the run that they were in may be forgotten before this one is there.
async fn renew_carried(services: &Services, carried: &[CarriedJob]) -> Result<(), SubmitError> {
    for digest in carried.iter().flat_map(|job| &job.outputs) {
        if !services.store.renew(*digest).await? {
            return Err(StoreError::NotFound(*digest).into());
        }
    }
    Ok(())
}

async fn keep_secrets(services: &Services, run: RunId, secrets: SecretMap) -> Result<(), SubmitError> {
    services.secrets.save(run, &secrets).await.map_err(SubmitError::Secrets)
}

async fn forget_secrets(services: &Services, run: RunId) {
    if let Err(error) = services.secrets.remove(run).await {
        tracing::warn!(%run, %error, "the secrets of a refused run stay until the next start");
    }
}
