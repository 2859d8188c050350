//! What can be told wrong with a private fleet before anything starts: labels, the container engine, the runner image.

use serde_json::Value as Json;
use slipway_agent::docker::Engine;
use slipway_agent::failure::Cause;
use slipway_agent::options::RUNNER_IMAGE;
use slipway_workflow::syntax::Workflow;

use super::Offer;
use crate::failure::Failure;
use crate::occasion::Occasion;

/// Who asks the engine, before there is an agent.
const ASKER: &str = "slipway-run";

/// Checks that a private fleet can run these jobs.
///
/// # Errors
/// It cannot, with the reason; or the workflow cannot be planned.
pub async fn preflight(
    occasion: &Occasion,
    wanted: &[String],
    inputs: &Json,
    vars: &Json,
    offer: &Offer,
) -> Result<(), Failure> {
    let plan = occasion.explain(&without_filters(&occasion.workflow), inputs, vars)?;
    let mut runner_image_for = None;
    for job in plan.jobs.iter().filter(|job| job.skipped == Some(false) && wanted.contains(&job.id)) {
        let Some(labels) = &job.runs_on else { continue };
        if let Some(reason) = offer.lacks(&job.id, labels) {
            return Err(Failure::fleet(reason));
        }
        let contained = occasion.workflow.job(&job.id).is_some_and(|job| job.container.is_some());
        if !contained && offer.image_for(labels) == RUNNER_IMAGE {
            runner_image_for.get_or_insert_with(|| (job.id.clone(), labels.clone()));
        }
    }
    let host = offer.docker_host();
    let failure = |failure: slipway_agent::failure::Failure| match failure.cause {
        Cause::EngineUnavailable => Failure::fleet(format!(
            "no Docker engine answers at {host}: start it with `systemctl start docker`, or name its socket with DOCKER_HOST"
        )),
        _ => Failure::fleet(failure.to_string()),
    };
    let engine = Engine::connect(host, ASKER).await.map_err(failure)?;
    if let Some((job, labels)) = runner_image_for
        && engine.image(RUNNER_IMAGE).await.map_err(failure)?.is_none()
    {
        let label = labels.first().map_or("LABEL", String::as_str);
        return Err(Failure::fleet(format!(
            "job `{job}` needs the runner image {RUNNER_IMAGE}, which is not on this machine: make it with \
             ./scripts/runner-image.sh, or choose another with --image {label}=IMAGE"
        )));
    }
    Ok(())
}

/// The workflow as if its filters let the event pass: whoever runs it by hand wants it to run.
fn without_filters(workflow: &Workflow) -> Workflow {
    let mut workflow = workflow.clone();
    for trigger in &mut workflow.triggers {
        (trigger.branches, trigger.branches_ignore) = (None, None);
        (trigger.tags, trigger.tags_ignore) = (None, None);
        (trigger.paths, trigger.paths_ignore) = (None, None);
        trigger.workflows = None;
        trigger.types = None;
    }
    workflow
}
