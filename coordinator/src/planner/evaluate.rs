//! From blobs to what the language needs, and its verdict.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde_json::Value as Json;
use slipway_cas::{Digest, StoreError};
use slipway_scheduler::command::{Expansion, InstanceDefinition, RunMeta};
use slipway_scheduler::{InstanceId, JobResult, LabelSet, RunId};
use slipway_workflow::action::lock::pin_key;
use slipway_workflow::calls::{CallContext, FileName};
use slipway_workflow::plan::{
    self, Ancestors, CallOutputsInput, NeededJob, Resolution, ResolveInput, RunFacts, github_context,
    outputs_of_call, resolve_job,
};
use slipway_workflow::syntax::{self, Workflow};
use uuid::Uuid;

use super::environments::{Environments, vars_json};
use crate::driver::{OutputsRequest, PlanNeed, PlanRequest};
use crate::services::Services;
use crate::submit::{self, Bundle, RunContext};

/// How many parsed workflows are kept ...
const KEPT_WORKFLOWS: usize = 64;

/// ... and the bytes of text of all of them. Parsed, a file is some twenty times as large.
const KEPT_TEXT_BYTES: u64 = 2 << 20;

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
        let mut bytes = 0_u64;
        let fitting = kept.iter().take_while(|((_, blob), _)| {
            bytes = bytes.saturating_add(blob.size_bytes());
            bytes <= KEPT_TEXT_BYTES
        });
        let fitting = fitting.count().min(KEPT_WORKFLOWS);
        kept.truncate(fitting);
    }
}

/// All that one job's evaluation needs.
pub(super) struct Material {
    workflow: Result<Arc<Workflow>, String>,
    job: String,
    input: ResolveInput,
    environments: Environments,
}

pub(super) async fn load(
    services: &Services,
    workflows: &Workflows,
    request: &PlanRequest,
) -> Result<Material, StoreError> {
    let context: RunContext = load_json(services, request.context).await?;
    let call: Option<CallContext> = match request.call {
        Some(call) => Some(load_json(services, call).await?),
        None => None,
    };
    let files = Files { services, workflows, blob: request.workflow, bundled: context.bundled };
    let name = call
        .as_ref()
        .map_or_else(|| FileName::local(&request.meta.workflow_file), |call| FileName::from_text(&call.file));
    let workflow = files.load(&name.to_string()).await?;
    let callee = match &workflow {
        Ok(workflow) => files.called(&name, workflow, &request.local).await?,
        Err(_) => Ok(None),
    };
    // What cannot be read fails the job, whichever file it is.
    let (workflow, callee) = match (workflow, callee) {
        (Ok(workflow), Ok(callee)) => (Ok(workflow), callee),
        (Err(told), _) | (_, Err(told)) => (Err(told), None),
    };
    let event: Json = load_json(services, request.event).await?;
    let mut needs = Vec::with_capacity(request.needs.len());
    for need in &request.needs {
        needs.push(load_need(services, need).await?);
    }
    let mut action_pins = context.action_pins;
    // Actions of the file's own repository are of the file's commit.
    if let FileName::Remote { owner, name, git_ref, .. } = &name {
        let bundle: Bundle = load_json(services, request.workflow).await?;
        let place = format!("{owner}/{name}");
        if let Some(commit) = bundle.commits.get(&format!("{place}@{git_ref}")) {
            action_pins.insert(pin_key(&place, git_ref), commit.clone());
        }
    }
    let lineage = request.lineage;
    let environments = Environments {
        options: Arc::clone(&services.options),
        meta: request.meta.clone(),
        triggering_actor: context.triggering_actor.clone(),
        kept: request.variables.clone(),
        given: context.vars,
    };
    let input = ResolveInput {
        github: github_context(&run_facts(&request.meta, request.run, event, &context.triggering_actor)),
        inputs: call.as_ref().map_or(context.inputs, |call| call.inputs.clone()),
        vars: environments.vars(),
        needs,
        ancestors: Ancestors {
            failed: lineage.failed,
            cancelled: lineage.cancelled,
            skipped: lineage.skipped,
        },
        cancelled: request.cancelled,
        source: context.source,
        call,
        callee,
        action_pins,
    };
    Ok(Material { workflow, job: request.local.clone(), input, environments })
}

/// The outputs of a call, or why they can't be told.
pub(super) async fn outputs(
    services: &Services,
    workflows: &Workflows,
    request: &OutputsRequest,
) -> Result<Result<BTreeMap<String, String>, String>, StoreError> {
    let context: RunContext = load_json(services, request.context).await?;
    let call: CallContext = load_json(services, request.call).await?;
    let files = Files { services, workflows, blob: request.workflow, bundled: context.bundled };
    let callee = match files.load(&call.file).await? {
        Ok(callee) => callee,
        Err(told) => return Ok(Err(told)),
    };
    let event: Json = load_json(services, request.event).await?;
    let mut jobs = Vec::with_capacity(request.jobs.len());
    for job in &request.jobs {
        jobs.push(load_need(services, job).await?);
    }
    let github = github_context(&run_facts(&request.meta, request.run, event, &context.triggering_actor));
    let input = CallOutputsInput {
        github,
        inputs: call.inputs,
        vars: vars_json(request.variables.with(&context.vars)),
        jobs,
    };
    Ok(outputs_of_call(&callee, &input).map_err(|error| error.to_string()))
}

/// A run's workflow files.
struct Files<'a> {
    services: &'a Services,
    workflows: &'a Workflows,
    blob: Digest,
    bundled: bool,
}

impl Files<'_> {
    /// The file that a job of this one calls, if it calls any.
    async fn called(
        &self,
        name: &FileName,
        workflow: &Workflow,
        job: &str,
    ) -> Result<Result<Option<Arc<Workflow>>, String>, StoreError> {
        let Some(call) = workflow.job(job).and_then(|job| job.call.as_ref()) else { return Ok(Ok(None)) };
        match name.called(&call.uses.text) {
            Ok(called) => Ok(self.load(&called.to_string()).await?.map(Some)),
            Err(problem) => Ok(Err(format!("`{}`: {problem}", call.uses.text))),
        }
    }

    /// The file of this name.
    async fn load(&self, name: &str) -> Result<Result<Arc<Workflow>, String>, StoreError> {
        let key = (name.to_owned(), self.blob);
        if let Some(workflow) = self.workflows.get(&key) {
            return Ok(Ok(workflow));
        }
        let text = if self.bundled {
            let mut bundle: Bundle = load_json(self.services, self.blob).await?;
            bundle.files.remove(name).ok_or(StoreError::Damaged(self.blob))?
        } else {
            String::from_utf8_lossy(&self.services.store.get(self.blob).await?).into_owned()
        };
        Ok(match syntax::parse(name, &text) {
            Ok(workflow) => {
                let workflow = Arc::new(workflow);
                self.workflows.keep(key, Arc::clone(&workflow));
                Ok(workflow)
            }
            // It was valid when the run was submitted: another version of Slipway reads it now.
            Err(diagnostics) => Err(told(&diagnostics)),
        })
    }
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

/// The verdict about a job, in as little memory as it can be told in: a job of 256 instances would be megabytes.
pub(super) enum Evaluated {
    Skip {
        reason: String,
    },
    Calls(Vec<plan::CallPlan>),
    Instances {
        expansion: Expansion,
        /// The specifications that the instances name; they are to be stored.
        specs: Vec<Bytes>,
    },
}

impl Material {
    /// What becomes of the job, or why it cannot be told.
    pub(super) fn evaluate(self) -> Result<Evaluated, String> {
        let workflow = self.workflow?;
        match resolve_job(&workflow, &self.job, &self.input).map_err(|diagnostics| told(&diagnostics))? {
            Resolution::Skip { reason } => Ok(Evaluated::Skip { reason }),
            Resolution::Calls(planned) => Ok(Evaluated::Calls(planned)),
            Resolution::Instances(planned) => instances(planned, &self.environments),
        }
    }
}

fn instances(planned: Vec<plan::InstancePlan>, environments: &Environments) -> Result<Evaluated, String> {
    let (fail_fast, max_parallel) =
        planned.first().map_or((true, None), |first| (first.fail_fast, first.max_parallel));
    let mut specs = Vec::with_capacity(planned.len());
    let mut instances = Vec::with_capacity(planned.len());
    for mut instance in planned {
        environments.add_variables(&mut instance.spec);
        let spec = Bytes::from(serde_json::to_vec(&instance.spec).map_err(|error| error.to_string())?);
        let gate = environments.gate(&instance.spec)?;
        let turn = environments.turn(&instance.spec);
        instances.push(InstanceDefinition { gate, turn, ..definition(instance, Digest::of(&spec)) });
        specs.push(spec);
    }
    Ok(Evaluated::Instances { expansion: Expansion { instances, fail_fast, max_parallel }, specs })
}

fn definition(instance: plan::InstancePlan, spec: Digest) -> InstanceDefinition {
    let deployed = instance.spec.environment.filter(|environment| !environment.untold);
    let deploys_to = deployed.map(|environment| environment.name.into_boxed_str());
    InstanceDefinition {
        id: InstanceId(Uuid::now_v7()),
        index: u32::try_from(instance.index).unwrap_or(u32::MAX),
        name: instance.name,
        labels: LabelSet::new(&instance.labels),
        strict: false,
        restart_allowed: false,
        timeout_ms: instance.timeout_ms,
        continue_on_error: instance.continue_on_error,
        spec,
        concurrency: instance.concurrency.map(submit::concurrency),
        gate: None,
        turn: None,
        deploys_to,
    }
}

fn told(diagnostics: &[slipway_workflow::diagnostics::Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key(number: usize, size_bytes: u64) -> Key {
        (format!("{number}.yml"), Digest::from_parts([0; 32], size_bytes))
    }

    fn kept(sizes: &[u64]) -> Vec<usize> {
        let workflows = Workflows::default();
        let text = "on: push\njobs:\n  job:\n    runs-on: any\n    steps: [{ run: 'true' }]\n";
        let workflow = Arc::new(syntax::parse("a.yml", text).unwrap());
        for (number, size_bytes) in sizes.iter().enumerate() {
            workflows.keep(key(number, *size_bytes), Arc::clone(&workflow));
        }
        let there =
            |(number, size_bytes): (usize, &u64)| workflows.get(&key(number, *size_bytes)).map(|_| number);
        sizes.iter().enumerate().filter_map(there).collect()
    }

    #[test]
    fn parsed_workflows_are_kept_up_to_a_number_and_to_bytes_of_text() {
        assert_eq!(kept(&[1; KEPT_WORKFLOWS + 3]), (3..KEPT_WORKFLOWS + 3).collect::<Vec<_>>());
        assert_eq!(kept(&[KEPT_TEXT_BYTES / 2; 3]), [1, 2]);
        assert_eq!(kept(&[1, KEPT_TEXT_BYTES]), [1]);
    }
}
