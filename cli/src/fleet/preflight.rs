//! What can be told wrong with a private fleet before anything starts: labels, the container engine, the images.

use std::time::Duration;

use serde_json::Value as Json;
use slipway_agent::docker::Engine;
use slipway_agent::failure::{Cause, Failure as AgentFailure};
use slipway_agent::options::RUNNER_IMAGE;
use slipway_workflow::syntax::{Container, Workflow};

use super::Offer;
use crate::failure::Failure;
use crate::occasion::Occasion;
use crate::output;

/// Who asks the engine, before there is an agent.
const ASKER: &str = "slipway-run";

/// How long a registry may take to answer while a person waits; an agent is more patient.
const REGISTRY_ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// An image that must be there, and who needs it.
struct Needed {
    image: String,
    job: String,
    /// The label it stands for; none for a job's own `container:`.
    label: Option<String>,
}

/// Why a private fleet cannot run a workflow.
#[derive(Debug)]
pub enum Unfit {
    /// Nothing that is about one job's start.
    Other(Failure),
    /// A job cannot start for want of its image: a fleet failure as a run has it, only at once.
    Image {
        /// The job's id in the file.
        job: String,
        /// The cause, as the contract names it.
        cause: &'static str,
        /// Why, for a person.
        message: String,
    },
}

impl From<Failure> for Unfit {
    fn from(failure: Failure) -> Self {
        Unfit::Other(failure)
    }
}

/// Checks that a private fleet can run these jobs, and pulls the images that are not here.
///
/// # Errors
/// It cannot, with the reason; or the workflow cannot be planned.
pub async fn preflight(
    occasion: &Occasion,
    wanted: &[String],
    inputs: &Json,
    vars: &Json,
    offer: &Offer,
) -> Result<(), Unfit> {
    let plan = occasion.explain(&without_filters(&occasion.workflow), inputs, vars)?;
    let mut needed: Vec<Needed> = Vec::new();
    let files = occasion.files()?;
    let wanted =
        |id: &str| id.split(['/', '#']).next().is_some_and(|top| wanted.iter().any(|job| job == top));
    for job in
        plan.jobs.iter().filter(|job| job.skipped == Some(false) && job.uses.is_none() && wanted(&job.id))
    {
        let Some(labels) = &job.runs_on else { continue };
        if let Some(reason) = offer.lacks(&job.id, labels) {
            return Err(Failure::fleet(reason).into());
        }
        let container = files.get(&job.place.0).and_then(|file| file.job(&job.place.1)?.container.as_ref());
        let (image, label) = match container {
            Some(container) => (public_image(container), None),
            None => (Some(offer.image_for(labels)), labels.first().cloned()),
        };
        if let Some(image) = image
            && needed.iter().all(|other| other.image != image)
        {
            needed.push(Needed { image: image.to_owned(), job: job.id.clone(), label });
        }
    }
    let host = offer.docker_host();
    let engine = Engine::connect(host, ASKER).await.map_err(|failure| explain(failure, host))?;
    for needed in needed {
        provide(&engine, &needed, host).await?;
    }
    Ok(())
}

/// Sees that an image is here.
async fn provide(engine: &Engine, needed: &Needed, host: &str) -> Result<(), Unfit> {
    let Needed { image, job, label } = needed;
    if engine.image(image).await.map_err(|failure| explain(failure, host))?.is_some() {
        return Ok(());
    }
    let label = label.as_deref().unwrap_or("LABEL");
    if image == RUNNER_IMAGE {
        return Err(Unfit::Image {
            job: job.clone(),
            cause: Cause::ImageNotFound.code(),
            message: format!(
                "job `{job}` needs the runner image {RUNNER_IMAGE}, which is not on this machine: make it with \
                 ./scripts/runner-image.sh, or choose another with --image {label}=IMAGE"
            ),
        });
    }
    output::note(&format!("pulling image {image} for job `{job}` …"));
    engine.pull_once(image, REGISTRY_ANSWER_LIMIT).await.map_err(|failure| match failure.cause {
        Cause::EngineUnavailable => explain(failure, host).into(),
        cause => Unfit::Image {
            job: job.clone(),
            cause: cause.code(),
            message: format!("job `{job}` cannot start ({}): {failure}", cause.code()),
        },
    })
}

/// The image of a job's container where it is plain text and needs no login; the agent sees to the others.
fn public_image(container: &Container) -> Option<&str> {
    let image = match container {
        Container::Short(image) => image,
        Container::Full(full) if full.credentials.is_none() => &full.image,
        Container::Full(_) => return None,
    };
    image.template.as_literal().filter(|image| !image.is_empty())
}

fn explain(failure: AgentFailure, host: &str) -> Failure {
    match failure.cause {
        Cause::EngineUnavailable => Failure::fleet(format!(
            "no Docker engine answers at {host}: start it with `systemctl start docker`, or name its socket with DOCKER_HOST"
        )),
        _ => Failure::fleet(failure.to_string()),
    }
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
