//! Deployments: a job with an `environment` is one for the forge, with statuses from its wait to its end.
//!
//! Invariant: one deployment for each instance of such a job. Its id is journaled beside the run's reports, under a part of its own, and one whose making
//! is uncertain is looked for first. Statuses add up at the forge: where it is uncertain what was said, the newest one is read before
//! the next.

use std::collections::BTreeMap;

use slipway_scheduler::explain::gate_refusal;
use slipway_scheduler::state::{Instance, Job, Phase, Run};
use slipway_scheduler::{JobResult, Outcome, RunId};

use super::desired::{Key, Source, Wanted, conclusion, nowhere};
use super::telling::{self, Task, TellError};
use super::told::{Part, ToldReport};
use super::{Deploying, Deployment, DeploymentStatus, Forge, ForgeError, Stage, words};
use crate::driver::View;
use crate::records::AttemptKey;
use crate::services::Services;

/// Names a deployment among a run's parts, before the instance's id.
const PART: &str = "deploy:";

/// The longest description, in bytes. GitHub takes 140 characters.
const DESCRIPTION_MAX_BYTES: usize = 140;

/// What a deployment is, and how far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deploys {
    environment: String,
    state: Deploying,
}

/// Whether this is what a deployment is called by us.
pub(crate) fn is_ours(external_id: &str) -> bool {
    let named = external_id.split_once('/');
    named.is_some_and(|(run, part)| run.parse::<RunId>().is_ok() && part.starts_with(PART))
}

/// The deployments of a job. One that ended before anything was told of it and before it began is none, unless it was
/// made all the same.
pub(super) fn of_job(view: View<'_>, run: &Run, job: &Job, told: &BTreeMap<Part, ToldReport>) -> Vec<Wanted> {
    let instances = view.state.instances_of(job);
    let wanted = instances.filter_map(|instance| {
        let environment = instance.definition().deploys_to.as_deref()?;
        let part = format!("{PART}{}", instance.id());
        let state = state(instance);
        let only_if_there = state == Deploying::Inactive && !told.contains_key(&part);
        Some(Wanted { only_if_there, ..of_instance(run, instance, environment, state, part) })
    });
    wanted.collect()
}

fn of_instance(run: &Run, instance: &Instance, environment: &str, state: Deploying, part: Part) -> Wanted {
    let stage = match (state, instance.result()) {
        (_, Some(result)) => Stage::Done(conclusion(result)),
        (Deploying::Running, None) => Stage::Running,
        _ => Stage::Queued,
    };
    let title = match state {
        Deploying::Pending => match instance.awaits_review() {
            Some(_) => "Waits for approval".to_owned(),
            None => "Waits for its time".to_owned(),
        },
        _ => gate_refusal(instance).unwrap_or_else(|| words::stage(stage).to_owned()),
    };
    // Only the end has an address, which the log tells.
    let last = instance.attempts().last().filter(|_| state == Deploying::Success);
    Wanted {
        key: Key::Part(run.id(), part),
        place: nowhere(),
        name: format!("deployment of {} to {environment}", instance.definition().name),
        stage,
        started_ms: None,
        finished_ms: None,
        title: words::cut(&title, DESCRIPTION_MAX_BYTES),
        notes: Vec::new(),
        page: format!("/runs/{}/jobs/{}", run.id(), instance.id()),
        source: last.map(|attempt| Source {
            attempt: AttemptKey { run: run.id(), instance: instance.id(), attempt: attempt.number },
            over: true,
        }),
        buttons: Vec::new(),
        told: None,
        was_held: false,
        only_if_there: false,
        deploys: Some(Deploys { environment: environment.to_owned(), state }),
    }
}

fn state(instance: &Instance) -> Deploying {
    let last = instance.attempts().last();
    let timed_out =
        last.and_then(|attempt| attempt.end).is_some_and(|end| matches!(end.outcome, Outcome::TimedOut));
    match instance.phase() {
        Phase::Finished { .. } if instance.cause().is_some() => Deploying::Error,
        Phase::Finished { .. } if timed_out => Deploying::Failure,
        Phase::Finished { result, .. } => match result {
            JobResult::Success => Deploying::Success,
            JobResult::Failure => Deploying::Failure,
            JobResult::Cancelled if last.is_some() => Deploying::Error,
            JobResult::Cancelled | JobResult::Skipped => Deploying::Inactive,
        },
        Phase::Gated { .. } => Deploying::Pending,
        _ if last.is_some() => Deploying::Running,
        _ => Deploying::Queued,
    }
}

/// Tells a deployment as far as it is; the task knows the forge's id afterwards, whatever else went wrong.
pub(super) async fn tell(
    services: &Services,
    forge: &dyn Forge,
    task: &mut Task,
    deploys: &Deploys,
) -> Result<(), TellError> {
    let (place, key) = (task.wanted.place.clone(), task.wanted.key.clone());
    let over = task.wanted.stage.is_done();
    let mut environment_url = None;
    if let Some(source) = task.wanted.source {
        task.details.read_on(&services.records, source).await?;
        environment_url = task.details.environment_url.clone().filter(|url| is_address(url));
    }
    let id = match task.id {
        Some(id) => id,
        None => {
            let deployment = Deployment {
                environment: deploys.environment.clone(),
                external_id: key.external_id(),
                description: words::cut(&task.wanted.name, DESCRIPTION_MAX_BYTES),
            };
            let found = match task.uncertain {
                true => forge.find_deployment(&place, &deployment).await?,
                false => None,
            };
            let id = match found {
                Some(id) => id,
                None if task.wanted.only_if_there => {
                    services.driver.report(telling::settled(&key)).await?;
                    return Ok(());
                }
                None => forge.deploy(&place, &deployment).await?,
            };
            task.id = Some(id);
            services.driver.report(telling::made(&key, id, false)).await?;
            id
        }
    };
    if !task.uncertain || forge.deployed(&place, id).await? != Some(deploys.state) {
        let public_url = services.options.public_url.as_deref();
        let status = DeploymentStatus {
            state: deploys.state,
            description: task.wanted.title.clone(),
            log_url: public_url.map(|url| format!("{url}{}", task.wanted.page)),
            environment_url,
        };
        forge.say_deployed(&place, id, &deploys.environment, &status).await?;
    }
    if over {
        services.driver.report(telling::settled(&key)).await?;
    }
    Ok(())
}

/// Whether a forge takes it as an address; anything else a job says there is left out.
fn is_address(url: &str) -> bool {
    let parsed = url.parse::<axum::http::Uri>();
    parsed.is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    })
}

/// Whether a refusal is about the forge's permission and not about this deployment.
pub(super) fn is_without_permission(wanted: &Wanted, error: &ForgeError) -> bool {
    wanted.deploys.is_some() && matches!(error, ForgeError::Forbidden(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_web_are_told() {
        for good in ["https://example.com/a?b=c", "http://host:8080"] {
            assert!(is_address(good), "{good}");
        }
        for bad in ["", "example.com", "javascript:alert(1)", "ftp://h/", "https://", "https://a b"] {
            assert!(!is_address(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_ours_is_known_by_its_name() {
        let run = RunId::from_u128(7);
        assert!(is_ours(&format!("{run}/deploy:x")));
        for other in ["", "x/deploy:y", "deploy:y", &format!("{run}/x")] {
            assert!(!is_ours(other), "{other}");
        }
    }
}
