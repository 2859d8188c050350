//! From blobs to what the language needs, and its verdict.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value as Json;
use slipway_cas::{Digest, StoreError};
use slipway_scheduler::command::RunMeta;
use slipway_scheduler::{JobResult, RunId};
use slipway_workflow::plan::{
    self, Ancestors, NeededJob, Resolution, ResolveInput, RunFacts, github_context, resolve_job,
};
use slipway_workflow::syntax::{self, Workflow};

use crate::driver::{PlanNeed, PlanRequest};
use crate::services::Services;
use crate::submit::{Bundle, RunContext};

/// How many parsed workflows are kept.
const KEPT_WORKFLOWS: usize = 64;

/// Path and blob of a workflow file.
type Key = (String, Digest);

/// Workflows that were parsed lately, by file and blob.
#[derive(Debug, Default)]
pub(super) struct Workflows {
    kept: Mutex<VecDeque<(Key, Arc<Workflow>)>>,
}

impl Workflows {
    fn get(&self, key: &Key) -> Option<Arc<Workflow>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(found, _)| found == key).map(|(_, workflow)| Arc::clone(workflow))
    }

    fn keep(&self, key: Key, workflow: Arc<Workflow>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_front((key, workflow));
        kept.truncate(KEPT_WORKFLOWS);
    }
}

/// All that one job's evaluation needs.
pub(super) struct Material {
    workflow: Result<Arc<Workflow>, String>,
    job: String,
    input: ResolveInput,
}

pub(super) async fn load(
    services: &Services,
    workflows: &Workflows,
    request: &PlanRequest,
) -> Result<Material, StoreError> {
    let context: RunContext = load_json(services, request.context).await?;
    let workflow = load_workflow(services, workflows, request, context.bundled).await?;
    let event: Json = load_json(services, request.event).await?;
    let mut needs = Vec::with_capacity(request.needs.len());
    for need in &request.needs {
        needs.push(load_need(services, need).await?);
    }
    let lineage = request.lineage;
    let input = ResolveInput {
        github: github_context(&run_facts(&request.meta, request.run, event, &context.triggering_actor)),
        inputs: context.inputs,
        vars: Json::Object(context.vars.into_iter().map(|(key, value)| (key, Json::String(value))).collect()),
        needs,
        ancestors: Ancestors {
            failed: lineage.failed,
            cancelled: lineage.cancelled,
            skipped: lineage.skipped,
        },
        cancelled: request.cancelled,
        source: context.source,
        action_pins: context.action_pins,
    };
    Ok(Material { workflow, job: request.job.as_str().to_owned(), input })
}

async fn load_workflow(
    services: &Services,
    workflows: &Workflows,
    request: &PlanRequest,
    bundled: bool,
) -> Result<Result<Arc<Workflow>, String>, StoreError> {
    let key = (request.meta.workflow_file.clone(), request.workflow);
    if let Some(workflow) = workflows.get(&key) {
        return Ok(Ok(workflow));
    }
    let text = if bundled {
        let mut bundle: Bundle = load_json(services, request.workflow).await?;
        bundle.files.remove(&key.0).ok_or(StoreError::Damaged(request.workflow))?
    } else {
        String::from_utf8_lossy(&services.store.get(request.workflow).await?).into_owned()
    };
    let parsed = syntax::parse(&key.0, &text);
    Ok(match parsed {
        Ok(workflow) => {
            let workflow = Arc::new(workflow);
            workflows.keep(key, Arc::clone(&workflow));
            Ok(workflow)
        }
        // It was valid when the run was submitted: another version of Slipway reads it now.
        Err(diagnostics) => Err(told(&diagnostics)),
    })
}

/// A JSON blob that this program wrote. One that is not JSON was damaged.
async fn load_json<T: serde::de::DeserializeOwned>(
    services: &Services,
    digest: Digest,
) -> Result<T, StoreError> {
    let bytes = services.store.get(digest).await?;
    serde_json::from_slice(&bytes).map_err(|_| StoreError::Damaged(digest))
}

/// Outputs of all instances: of equal keys the last non-empty one counts, as on GitHub.
async fn load_need(services: &Services, need: &PlanNeed) -> Result<NeededJob, StoreError> {
    let mut outputs = BTreeMap::new();
    for digest in &need.outputs {
        let some: BTreeMap<String, String> = load_json(services, *digest).await?;
        for (key, value) in some {
            if !value.is_empty() || !outputs.contains_key(&key) {
                outputs.insert(key, value);
            }
        }
    }
    let result = match need.result {
        JobResult::Success => plan::JobResult::Success,
        JobResult::Failure => plan::JobResult::Failure,
        JobResult::Cancelled => plan::JobResult::Cancelled,
        JobResult::Skipped => plan::JobResult::Skipped,
    };
    Ok(NeededJob { id: need.job.as_str().to_owned(), result, outputs: outputs.into_iter().collect() })
}

/// What the `github` context of a run says.
pub(crate) fn run_facts(meta: &RunMeta, run: RunId, event: Json, triggering_actor: &str) -> RunFacts {
    let server_url = match meta.forge.as_str() {
        "" | "local" => String::new(),
        host => format!("https://{host}"),
    };
    RunFacts {
        event_name: meta.event_name.clone(),
        event,
        git_ref: meta.git_ref.clone(),
        sha: meta.sha.clone(),
        repository: meta.repository.clone(),
        actor: meta.actor.clone(),
        run_id: run.to_string(),
        run_number: meta.run_number,
        run_attempt: meta.run_attempt,
        triggering_actor: triggering_actor.to_owned(),
        workflow: meta.workflow_name.clone(),
        workflow_file: meta.workflow_file.clone(),
        server_url,
        ..RunFacts::default()
    }
}

impl Material {
    /// What becomes of the job, or why it cannot be told.
    pub(super) fn evaluate(self) -> Result<Resolution, String> {
        let workflow = self.workflow?;
        resolve_job(&workflow, &self.job, &self.input).map_err(|diagnostics| told(&diagnostics))
    }
}

fn told(diagnostics: &[slipway_workflow::diagnostics::Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
