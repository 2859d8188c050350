//! Dispatches over the API: `workflow_dispatch` of one workflow, `repository_dispatch` for all that wait for it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value as Json, json};
use slipway_scheduler::{RunId, Timestamp};
use slipway_workflow::job_spec::Source;
use slipway_workflow::syntax::{self, Input};
use uuid::Uuid;

use crate::driver::payload::DeliveryEvent;
use crate::github;
use crate::mirror::{MirrorError, WorkflowFile, is_ref};
use crate::repositories::Repository;
use crate::secrets::SecretMap;
use crate::services::Services;
use crate::submit::{self, NewRun, SubmitError};

/// The longest `event_type`, in characters, and the most properties of a `client_payload`, as on GitHub.
const EVENT_TYPE_MAX_CHARS: usize = 100;
const CLIENT_PAYLOAD_MAX: usize = 10;

/// A `workflow_dispatch`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dispatch {
    /// `owner/name`; `None`: the only one that is known.
    pub(crate) repository: Option<String>,
    /// A path, a file's name with or without its ending, or the workflow's name.
    pub(crate) workflow: String,
    /// A branch or tag, or a full ref; `None`: the default branch.
    pub(crate) git_ref: Option<String>,
    pub(crate) inputs: BTreeMap<String, String>,
    pub(crate) vars: BTreeMap<String, String>,
    pub(crate) secrets: SecretMap,
    pub(crate) actor: String,
    /// By which door it came.
    pub(crate) door: String,
    /// `None`: as the configuration has it.
    pub(crate) priority: Option<i8>,
}

/// Why nothing was dispatched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DispatchError {
    /// There is no such repository, ref or workflow.
    #[error("{0}")]
    NotFound(String),
    /// A field of the request.
    #[error("{0}")]
    Field(String),
    /// Git or its server failed.
    #[error("the repository cannot be read now: {0}")]
    Git(String),
    /// The run was refused.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

impl From<MirrorError> for DispatchError {
    fn from(error: MirrorError) -> Self {
        match error {
            MirrorError::Missing(text) => Self::NotFound(text),
            MirrorError::Failed(text) => Self::Git(text),
        }
    }
}

/// Starts the workflow; the run is durable when this returns.
pub(crate) async fn dispatch(services: &Services, wanted: Dispatch) -> Result<RunId, DispatchError> {
    let repository = repository(services, wanted.repository.as_deref()).await?;
    let (git_ref, sha) = spot(services, &repository, wanted.git_ref.as_deref()).await?;
    let files = services.mirrors.workflows(&repository.clone_url, &sha).await?;
    let (path, text) = choose(&repository, &git_ref, files, &wanted.workflow)?;
    let mut event = repository.payload.clone();
    event.insert("inputs".to_owned(), json!(wanted.inputs));
    event.insert("ref".to_owned(), json!(git_ref));
    event.insert("workflow".to_owned(), json!(path));
    event.insert("sender".to_owned(), json!({"login": wanted.actor, "type": "User"}));
    let new = NewRun {
        workflow_file: path,
        workflow: text,
        event_name: "workflow_dispatch".to_owned(),
        event: Json::Object(event),
        repository: repository.name.clone(),
        forge: repository.forge,
        git_ref: git_ref.clone(),
        sha: sha.clone(),
        actor: wanted.actor,
        inputs: wanted.inputs,
        vars: wanted.vars,
        secrets: wanted.secrets,
        door: wanted.door,
        priority: wanted.priority,
        source: Source::Git { clone_url: repository.clone_url, repository: repository.name, git_ref, sha },
        ..NewRun::default()
    };
    Ok(submit::submit(services, new).await?)
}

/// What of a repository a person may start, at a ref.
#[derive(Debug)]
pub(crate) struct Dispatchable {
    /// Its name.
    pub(crate) repository: String,
    /// The full ref.
    pub(crate) git_ref: String,
    /// Its commit.
    pub(crate) sha: String,
    /// Workflows that have `workflow_dispatch`, by their files' names.
    pub(crate) workflows: Vec<Startable>,
    /// Files that cannot be read, and why.
    pub(crate) problems: Vec<String>,
}

/// A workflow that has `workflow_dispatch`.
#[derive(Debug)]
pub(crate) struct Startable {
    /// Its file.
    pub(crate) path: String,
    /// What people see.
    pub(crate) name: String,
    /// What it asks for.
    pub(crate) inputs: Vec<Input>,
}

/// Looks for what a person may start.
pub(crate) async fn dispatchable(
    services: &Services,
    name: &str,
    git_ref: &str,
) -> Result<Dispatchable, DispatchError> {
    let repository = repository(services, Some(name)).await?;
    let (git_ref, sha) = spot(services, &repository, Some(git_ref)).await?;
    let (mut workflows, mut problems) = (Vec::new(), Vec::new());
    for WorkflowFile { path, text } in services.mirrors.workflows(&repository.clone_url, &sha).await? {
        let parsed = text.and_then(|text| {
            syntax::parse(&path, &text)
                .map_err(|found| found.first().map_or_else(|| path.clone(), ToString::to_string))
        });
        match parsed {
            Ok(workflow) => {
                let trigger = workflow.triggers.iter().find(|trigger| trigger.event == "workflow_dispatch");
                workflows.extend(trigger.map(|trigger| Startable {
                    name: workflow.name.clone().unwrap_or_else(|| path.clone()),
                    path,
                    inputs: trigger.inputs.clone(),
                }));
            }
            Err(problem) => problems.push(problem),
        }
    }
    Ok(Dispatchable { repository: repository.name, git_ref, sha, workflows, problems })
}

/// The names of all repositories that are known here, sorted.
pub(crate) fn known(services: &Services) -> Vec<String> {
    let mut names: Vec<String> = services.repositories.all().into_iter().map(|known| known.name).collect();
    for configured in &services.options.webhook.repositories {
        if !names.iter().any(|name| name.eq_ignore_ascii_case(&configured.name)) {
            names.push(configured.name.clone());
        }
    }
    names.sort();
    names
}

async fn repository(services: &Services, name: Option<&str>) -> Result<Repository, DispatchError> {
    let names = known(services);
    let told = |names: &[String]| match names {
        [] => "none is: one becomes known with its first webhook, or by the configuration".to_owned(),
        names => format!("known are {}", names.iter().take(20).cloned().collect::<Vec<_>>().join(", ")),
    };
    let name = match (name, names.as_slice()) {
        (Some(name), _) => name.to_owned(),
        (None, [only]) => only.clone(),
        (None, names) => {
            return Err(DispatchError::Field(format!("say which repository (OWNER/NAME); {}", told(names))));
        }
    };
    let found = github::find_repository(services, &name).await?;
    found.ok_or_else(|| {
        let name = name.escape_debug();
        DispatchError::NotFound(format!("the repository `{name}` is not known here; {}", told(&names)))
    })
}

/// Ref and commit: of the default branch, a full ref, a branch or a tag.
async fn spot(
    services: &Services,
    repository: &Repository,
    wanted: Option<&str>,
) -> Result<(String, String), DispatchError> {
    let wanted = wanted.filter(|wanted| !wanted.is_empty()).unwrap_or(&repository.default_branch);
    if !is_ref(wanted) {
        return Err(DispatchError::Field(format!("`{}` is no ref", wanted.escape_debug())));
    }
    let candidates = if wanted.starts_with("refs/") {
        vec![wanted.to_owned()]
    } else {
        vec![format!("refs/heads/{wanted}"), format!("refs/tags/{wanted}")]
    };
    for git_ref in candidates {
        match services.mirrors.tip(&repository.clone_url, &git_ref).await {
            Ok(sha) => return Ok((git_ref, sha)),
            Err(MirrorError::Missing(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(DispatchError::NotFound(format!("{} has no branch or tag `{wanted}`", repository.name)))
}

/// The workflow that a person named: by path, by file name, or by its own name.
fn choose(
    repository: &Repository,
    git_ref: &str,
    files: Vec<WorkflowFile>,
    wanted: &str,
) -> Result<(String, String), DispatchError> {
    let short = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let by_file = |file: &&WorkflowFile| {
        let short = short(&file.path);
        let stem = short.rsplit_once('.').map_or(short.as_str(), |(stem, _)| stem);
        file.path == wanted || short == wanted || stem == wanted
    };
    let by_name = |file: &&WorkflowFile| {
        let parsed = file.text.as_ref().ok().and_then(|text| syntax::parse(&file.path, text).ok());
        parsed.is_some_and(|workflow| workflow.name.as_deref() == Some(wanted))
    };
    let found = files.iter().find(by_file).or_else(|| files.iter().find(by_name));
    let Some(found) = found else {
        let known: Vec<String> = files.iter().map(|file| short(&file.path)).collect();
        let known =
            if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
        return Err(DispatchError::NotFound(format!(
            "{} has no workflow `{}` at {git_ref}; {known}",
            repository.name,
            wanted.escape_debug()
        )));
    };
    match &found.text {
        Ok(text) => Ok((found.path.clone(), text.clone())),
        Err(reason) => Err(DispatchError::Field(reason.clone())),
    }
}

/// Makes a `repository_dispatch` event; gives its delivery's id. What it starts shows among the runs.
pub(crate) async fn repository_dispatch(
    services: &Services,
    name: Option<&str>,
    event_type: &str,
    client_payload: Map<String, Json>,
    actor: &str,
) -> Result<String, DispatchError> {
    if event_type.is_empty() || event_type.chars().count() > EVENT_TYPE_MAX_CHARS {
        return Err(DispatchError::Field(format!(
            "`event_type` needs 1 to {EVENT_TYPE_MAX_CHARS} characters"
        )));
    }
    if client_payload.len() > CLIENT_PAYLOAD_MAX {
        return Err(DispatchError::Field(format!(
            "`client_payload` has more than {CLIENT_PAYLOAD_MAX} properties; put them into one object"
        )));
    }
    let repository = repository(services, name).await?;
    let mut payload = repository.payload;
    payload.insert("action".to_owned(), json!(event_type));
    payload.insert("branch".to_owned(), json!(repository.default_branch));
    payload.insert("client_payload".to_owned(), Json::Object(client_payload));
    payload.insert("sender".to_owned(), json!({"login": actor, "type": "User"}));
    let body = services.store.put(Bytes::from(Json::Object(payload).to_string())).await;
    let body = body.map_err(SubmitError::Store)?;
    let id = format!("dispatch:{}", Uuid::now_v7());
    let (event, at) = ("repository_dispatch".to_owned(), Timestamp(services.clock.unix_ms()));
    let accepted = DeliveryEvent::Accepted { id: id.clone(), event, body, at };
    services.driver.delivery(accepted).await.map_err(SubmitError::Driver)?;
    services.deliveries.notify_one();
    Ok(id)
}
