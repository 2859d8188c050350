//! The specification of one instance.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::action::ActionReference;
use crate::calls::FileName;
use crate::diagnostics::Diagnostic;
use crate::job_spec::{
    BACKGROUND_DEFAULT_NAMES, ContainerSpec, Entry, EnvironmentSpec, IMPLICIT_WAIT_ID, JOB_SPEC_VERSION,
    JobSpec, RunDefaults, ServiceSpec, SpecContexts, StepAction, StepSpec, Text,
};
use crate::syntax::{Container, FullContainer, Job, Templated, Workflow, id_problem, left_alone};
use crate::value::Value;

use super::environment::PlanEnvironment;
use super::instance::{self, diagnostic, expression_diagnostic};
use super::permissions;
use super::resolve::ResolveInput;

/// Makes the specification. The environment is the instance's.
pub(super) fn job_spec(
    workflow: &Workflow,
    job: &Job,
    name: &str,
    labels: &[String],
    timeout_ms: u64,
    input: &ResolveInput,
    environment: &PlanEnvironment,
) -> Result<JobSpec, Diagnostic> {
    let caller = input.call.as_ref();
    let mut github = input.github.clone();
    if let Json::Object(github) = &mut github {
        github.insert("job".to_owned(), Json::String(job.id.clone()));
    }
    Ok(JobSpec {
        version: JOB_SPEC_VERSION,
        workflow_file: workflow.file.clone(),
        job: job.id.clone(),
        name: name.to_owned(),
        labels: labels.to_vec(),
        contexts: SpecContexts {
            github,
            inputs: input.inputs.clone(),
            vars: input.vars.clone(),
            needs: environment.needs.to_json(),
            strategy: environment.strategy.to_json(),
            matrix: environment.matrix.to_json(),
        },
        env: vec![workflow.env.clone(), job.env.clone()],
        defaults: RunDefaults {
            shell: job.defaults.shell.clone().or_else(|| workflow.defaults.shell.clone()),
            working_directory: job
                .defaults
                .working_directory
                .clone()
                .or_else(|| workflow.defaults.working_directory.clone()),
        },
        container: match &job.container {
            Some(written) => container(workflow, written, "container", environment)?,
            None => None,
        },
        services: services(workflow, job, environment)?,
        environment: target(workflow, job, environment)?,
        permissions: permissions::effective(workflow, job, caller.map(|caller| &caller.rights)).0,
        secret_scopes: caller.map(|caller| caller.secret_scopes.clone()).unwrap_or_default(),
        action_pins: input.action_pins.clone(),
        outputs: job.outputs.clone(),
        steps: steps(workflow, job),
        timeout_ms,
        cancel_timeout_ms: instance::cancel_timeout_ms(workflow, job, environment)?,
        source: input.source.clone(),
    })
}

/// A literal text as a template: an opening `${{` in it must not be evaluated again.
fn literal(text: &str, at: &Templated) -> Text {
    let text = if text.contains("${{") {
        format!("${{{{ '{}' }}}}", text.replace('\'', "''"))
    } else {
        text.to_owned()
    };
    Text { text, line: at.text.line, column: at.text.column }
}

/// The services, but for those whose image comes out empty.
fn services(
    workflow: &Workflow,
    job: &Job,
    environment: &PlanEnvironment,
) -> Result<Vec<ServiceSpec>, Diagnostic> {
    if let Some(whole) = &job.services_whole {
        return services_from_value(workflow, whole, environment);
    }
    let mut services = Vec::with_capacity(job.services.len());
    for service in &job.services {
        let Some(container) = container(workflow, &service.container, &service.name, environment)? else {
            continue;
        };
        let text = |templated: &Option<Templated>, key: &str| {
            templated.as_ref().map(|templated| evaluated(workflow, templated, key, environment)).transpose()
        };
        services.push(ServiceSpec {
            name: service.name.clone(),
            container,
            command: text(&service.command, "command")?,
            entrypoint: text(&service.entrypoint, "entrypoint")?,
        });
    }
    Ok(services)
}

/// Services that an expression gives whole.
fn services_from_value(
    workflow: &Workflow,
    whole: &Templated,
    environment: &PlanEnvironment,
) -> Result<Vec<ServiceSpec>, Diagnostic> {
    let at = whole.position();
    let wrong = |problem: String| diagnostic(workflow, at, "wrong-value", problem);
    let value = whole
        .template
        .evaluate(environment)
        .map_err(|error| expression_diagnostic(workflow, at, "services", &error))?;
    let object = match &value {
        Value::Object(object) => object,
        Value::Null => return Ok(Vec::new()),
        other => {
            return Err(wrong(format!("`services` must be a mapping, but came out as {}", other.kind())));
        }
    };
    let mut services = Vec::new();
    for (name, value) in object.iter() {
        if let Some(problem) = id_problem(name) {
            return Err(wrong(format!("`services`: {problem}")));
        }
        let (container, text) = match value {
            Value::Object(service) => {
                let own = |key: &str| ["command", "entrypoint"].contains(&key);
                let rest = service.iter().filter(|(key, _)| !own(key));
                let rest = Value::object(rest.map(|(key, value)| (Arc::clone(key), value.clone())));
                let text = |key: &str| service.get(key).map(|value| literal(&value.to_text(), whole));
                (from_value(workflow, whole, name, &rest)?, (text("command"), text("entrypoint")))
            }
            Value::Array(_) => {
                return Err(wrong(format!("`{name}` must be an image or a mapping, but came out as a list")));
            }
            image => {
                let container = empty(literal(&image.to_text(), whole));
                (Some(container).filter(has_image), (None, None))
            }
        };
        let (command, entrypoint) = text;
        services.extend(container.map(|container| ServiceSpec {
            name: name.to_string(),
            container,
            command,
            entrypoint,
        }));
    }
    Ok(services)
}

/// `environment`: one whose name comes out empty is none, as on GitHub.
fn target(
    workflow: &Workflow,
    job: &Job,
    environment: &PlanEnvironment,
) -> Result<Option<EnvironmentSpec>, Diagnostic> {
    let Some(target) = &job.environment else { return Ok(None) };
    let name =
        target.name.template.evaluate_to_string(environment).map_err(|error| {
            expression_diagnostic(workflow, target.name.position(), "environment", &error)
        })?;
    let untold = match &target.deployment {
        Some(templated) => !instance::boolean(workflow, templated, "deployment", environment)?,
        None => false,
    };
    Ok(Some(EnvironmentSpec { name, url: target.url.clone(), untold })
        .filter(|target| !target.name.is_empty()))
}

/// A key's value, which is no template any more.
fn evaluated(
    workflow: &Workflow,
    templated: &Templated,
    key: &str,
    environment: &PlanEnvironment,
) -> Result<Text, Diagnostic> {
    templated
        .template
        .evaluate_to_string(environment)
        .map(|text| literal(&text, templated))
        .map_err(|error| expression_diagnostic(workflow, templated.position(), key, &error))
}

/// A container, of the job or of a service; `what` is its key.
fn container(
    workflow: &Workflow,
    written: &Container,
    what: &str,
    environment: &PlanEnvironment,
) -> Result<Option<ContainerSpec>, Diagnostic> {
    match written {
        Container::Full(full) => from_mapping(workflow, full, what, environment),
        Container::Short(templated) => {
            let value = templated
                .template
                .evaluate(environment)
                .map_err(|error| expression_diagnostic(workflow, templated.position(), what, &error))?;
            match &value {
                Value::Object(_) => from_value(workflow, templated, what, &value),
                Value::Array(_) => Err(diagnostic(
                    workflow,
                    templated.position(),
                    "wrong-type",
                    format!("`{what}` must be an image or a mapping, but came out as a list"),
                )),
                scalar => Ok(Some(empty(literal(&scalar.to_text(), templated))).filter(has_image)),
            }
        }
    }
}

fn empty(image: Text) -> ContainerSpec {
    ContainerSpec {
        image,
        env: Vec::new(),
        ports: Vec::new(),
        volumes: Vec::new(),
        options: None,
        credentials: None,
    }
}

/// An image that comes out empty means that there is no container.
fn has_image(container: &ContainerSpec) -> bool {
    !container.image.text.trim().is_empty()
}

fn from_mapping(
    workflow: &Workflow,
    full: &FullContainer,
    what: &str,
    environment: &PlanEnvironment,
) -> Result<Option<ContainerSpec>, Diagnostic> {
    let evaluate = |templated: &Templated, key: &str| {
        evaluated(workflow, templated, &format!("{what}.{key}"), environment)
    };
    let all = |list: &[Templated], key: &str| {
        list.iter().map(|item| evaluate(item, key)).collect::<Result<Vec<Text>, Diagnostic>>()
    };
    let mut container = empty(evaluate(&full.image, "image")?);
    if !has_image(&container) {
        return Ok(None);
    }
    container.options = full.options.as_ref().map(|options| evaluate(options, "options")).transpose()?;
    container.ports = all(&full.ports, "ports")?;
    container.volumes = all(&full.volumes, "volumes")?;
    container.env.clone_from(&full.env);
    container.credentials.clone_from(&full.credentials);
    Ok(Some(container))
}

/// A mapping that an expression gave, so nothing in it is a template.
fn from_value(
    workflow: &Workflow,
    at: &Templated,
    what: &str,
    value: &Value,
) -> Result<Option<ContainerSpec>, Diagnostic> {
    let wrong = |problem: String| Err(diagnostic(workflow, at.position(), "wrong-value", problem));
    let Value::Object(object) = value else {
        return Ok(None);
    };
    let mut container = empty(literal("", at));
    for (key, value) in object.iter() {
        match (&**key, value) {
            ("image", value) => container.image = literal(&value.to_text(), at),
            ("options", value) => container.options = Some(literal(&value.to_text(), at)),
            ("ports" | "volumes", Value::Null) | ("env", Value::Null) => {}
            ("ports", Value::Array(list)) => {
                container.ports = list.items.iter().map(|item| literal(&item.to_text(), at)).collect();
            }
            ("volumes", Value::Array(list)) => {
                container.volumes = list.items.iter().map(|item| literal(&item.to_text(), at)).collect();
            }
            ("env", Value::Object(env)) => {
                container.env = env
                    .iter()
                    .map(|(key, value)| Entry { key: key.to_string(), value: literal(&value.to_text(), at) })
                    .collect();
            }
            ("credentials", Value::Object(pair)) => {
                let part = |key: &str| literal(&pair.get(key).cloned().unwrap_or_default().to_text(), at);
                container.credentials = Some((part("username"), part("password")));
            }
            (key, value) => {
                return wrong(format!(
                    "`{what}` came out with `{key}` as {}, which it can't have",
                    value.kind()
                ));
            }
        }
    }
    Ok(Some(container).filter(has_image))
}

/// The steps. In a file of another repository, actions of its own are that repository's.
fn steps(workflow: &Workflow, job: &Job) -> Vec<StepSpec> {
    let mut steps = job.steps.clone();
    steps.extend(implicit_wait(&steps));
    let FileName::Remote { owner, name, git_ref, .. } = FileName::from_text(&workflow.file) else {
        return steps;
    };
    for step in &mut steps {
        if let StepAction::Uses { action, .. } = &mut step.action
            && let ActionReference::Own { path } = action
        {
            *action = ActionReference::Repository {
                repository: format!("{owner}/{name}"),
                path: std::mem::take(path),
                git_ref: git_ref.clone(),
            };
        }
    }
    steps
}

/// What waits at the end for steps of the background that nobody waits for.
fn implicit_wait(steps: &[StepSpec]) -> Option<StepSpec> {
    let alone = left_alone(steps);
    let line = steps.get(usize::try_from(*alone.first()?).ok()?)?.line;
    Some(StepSpec {
        id: IMPLICIT_WAIT_ID.to_owned(),
        id_written: false,
        name: None,
        condition: None,
        action: StepAction::Wait {
            steps: Some(alone),
            default_name: BACKGROUND_DEFAULT_NAMES.implicit.to_owned(),
        },
        background: false,
        env: Vec::new(),
        continue_on_error: None,
        timeout_minutes: None,
        line,
    })
}
