//! `workflow_run`: a run that was requested, begins or completed is an event for the default branch's other workflows.
//!
//! Invariant: each run raises each activity once, also across restarts: the event is a delivery named after run and
//! activity, and runs that ended while nobody looked are gone through at the next start. Runs of a checkout (`slipway run`)
//! belong to no forge's repository and raise nothing.

use bytes::Bytes;
use jiff::Timestamp as Instant;
use serde_json::{Map, Value as Json, json};
use slipway_scheduler::command::RunMeta;
use slipway_scheduler::{JobResult, RunId, Timestamp};

use crate::driver::View;
use crate::driver::payload::DeliveryEvent;
use crate::repositories::Repository;
use crate::services::Services;
use crate::submit::RunContext;

/// How many `workflow_run` events may follow from each other (GitHub docs, "workflow_run").
pub(crate) const CHAIN_MAX: u32 = 3;

/// What happened to the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activity {
    /// It was submitted.
    Requested,
    /// Its first job has an agent.
    InProgress,
    /// It has its result.
    Completed,
}

impl Activity {
    /// `workflow_run.status` then.
    const fn status(self) -> &'static str {
        match self {
            Self::Requested => "queued",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
        }
    }
}

/// A run, as far as its event tells of it.
#[derive(Debug, Clone)]
struct Told {
    run: RunId,
    meta: RunMeta,
    event: slipway_cas::Digest,
    submitted_at: Timestamp,
    result: Option<JobResult>,
    changed_at: Timestamp,
}

fn tell(view: View<'_>, run: RunId) -> Option<Told> {
    let found = view.state.run(run)?;
    Some(Told {
        run,
        meta: found.meta().clone(),
        event: found.event(),
        submitted_at: found.submitted_at(),
        result: found.end().map(|end| end.result),
        changed_at: found.end().map_or(found.submitted_at(), |end| end.at),
    })
}

/// The run's repository, if some workflow there waits for runs of this time.
fn listener(services: &Services, meta: &RunMeta, at: Timestamp) -> Option<Repository> {
    let repository = services.repositories.find(&meta.repository)?;
    let since = repository.standing.as_ref()?.listens_since_ms?;
    (repository.forge == meta.forge && at.0 >= since).then_some(repository)
}

/// Makes the event of a run, if anybody waits for it; of a new run also what is to come when it begins.
pub(crate) async fn raise(services: &Services, run: RunId, activity: Activity) {
    if make(services, run, activity).await && activity == Activity::Requested {
        tokio::spawn(follow(services.clone(), run));
    }
}

/// Makes one event; says whether anybody waits for it.
async fn make(services: &Services, run: RunId, activity: Activity) -> bool {
    let Ok(Some(told)) = services.driver.query(move |view| tell(view, run)).await else { return false };
    let Some(repository) = listener(services, &told.meta, told.changed_at) else { return false };
    if let Err(error) = accept(services, &told, &repository, activity).await {
        let activity = activity.word();
        tracing::warn!(%run, activity, error, "the run's `workflow_run` event could not be made");
    }
    true
}

/// Whether a run's first job has an agent; `None` once there is no use in waiting for that.
fn has_begun(view: View<'_>, run: RunId) -> Option<bool> {
    let run = view.state.run(run)?;
    let mut instances = run.jobs().iter().flat_map(|job| view.state.instances_of(job));
    let begun = instances.any(|instance| !instance.attempts().is_empty());
    (begun || run.end().is_none()).then_some(begun)
}

/// Waits until a run begins. One that is over before (all of it was skipped) never does.
async fn follow(services: Services, run: RunId) {
    let mut changes = services.driver.watch(run);
    loop {
        match services.driver.query(move |view| has_begun(view, run)).await {
            Ok(Some(true)) => {
                make(&services, run, Activity::InProgress).await;
                return;
            }
            Ok(Some(false)) => {}
            Ok(None) | Err(_) => return,
        }
        tokio::select! {
            () = services.closing.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

/// The same for runs that ended just before the last process did, and for those that were waiting then.
pub(crate) async fn raise_missed(services: &Services) {
    let missed = services.driver.query(|view| {
        let unheard = |run: &RunId, activity| !view.ledger.knows_delivery(&delivery(*run, activity));
        let runs = |ended: bool| {
            let runs = view.state.runs().filter(move |run| run.end().is_some() == ended);
            runs.map(slipway_scheduler::state::Run::id)
        };
        let ended: Vec<RunId> = runs(true).filter(|run| unheard(run, Activity::Completed)).collect();
        let open: Vec<(RunId, _)> = runs(false)
            .filter(|run| unheard(run, Activity::InProgress))
            .map(|run| (run, view.state.run(run).map(|found| (found.meta().clone(), found.submitted_at()))))
            .collect();
        (ended, open)
    });
    let Ok((ended, open)) = missed.await else { return };
    for run in ended {
        raise(services, run, Activity::Completed).await;
    }
    for (run, about) in open {
        if about.is_some_and(|(meta, at)| listener(services, &meta, at).is_some()) {
            tokio::spawn(follow(services.clone(), run));
        }
    }
}

fn delivery(run: RunId, activity: Activity) -> String {
    format!("run:{run}:{}", activity.word())
}

async fn accept(
    services: &Services,
    told: &Told,
    repository: &Repository,
    activity: Activity,
) -> Result<(), String> {
    let event = services.store.get(told.event).await.map_err(|error| error.to_string())?;
    let event: Json = serde_json::from_slice(&event).map_err(|error| error.to_string())?;
    let payload = Json::Object(payload(told, repository, &event, activity));
    let body = serde_json::to_vec(&payload).map_err(|error| error.to_string())?;
    let body = services.store.put(Bytes::from(body)).await.map_err(|error| error.to_string())?;
    let (id, at) = (delivery(told.run, activity), Timestamp(services.clock.unix_ms()));
    let accepted = DeliveryEvent::Accepted { id, event: "workflow_run".to_owned(), body, at };
    services.driver.delivery(accepted).await.map_err(|error| error.to_string())?;
    services.deliveries.notify_one();
    Ok(())
}

fn iso(at: Timestamp) -> String {
    let instant = i64::try_from(at.0).ok().and_then(|ms| Instant::from_second(ms / 1_000).ok());
    instant.map(|instant| instant.to_string()).unwrap_or_default()
}

/// GitHub's payload. Ids are Slipway's: text, as in `github.run_id`. What only GitHub has (node ids, its API's addresses)
/// is left out.
fn payload(told: &Told, repository: &Repository, event: &Json, activity: Activity) -> Map<String, Json> {
    let meta = &told.meta;
    let full = repository
        .payload
        .get("repository")
        .cloned()
        .unwrap_or_else(|| json!({"full_name": meta.repository}));
    let pull = event.get("pull_request").filter(|_| meta.event_name.starts_with("pull_request"));
    let text = |value: Option<&Json>, pointer: &str| {
        value.and_then(|value| value.pointer(pointer)).and_then(Json::as_str).map(str::to_owned)
    };
    let name = |git_ref: &str| {
        let short = git_ref.strip_prefix("refs/heads/").or_else(|| git_ref.strip_prefix("refs/tags/"));
        short.unwrap_or(git_ref).to_owned()
    };
    let head_branch = text(pull, "/head/ref").unwrap_or_else(|| name(&meta.git_ref));
    let head_sha = text(pull, "/head/sha").unwrap_or_else(|| meta.sha.clone());
    let head_repository =
        pull.and_then(|pull| pull.pointer("/head/repo")).cloned().unwrap_or_else(|| full.clone());
    // As on GitHub: a pull request of a fork is not among them.
    let same = head_repository.get("full_name") == full.get("full_name");
    let pulls = pull.filter(|_| same).map(|pull| {
        let side = |side: &str| json!({"ref": pull.pointer(&format!("/{side}/ref")), "sha": pull.pointer(&format!("/{side}/sha"))});
        json!({"id": pull.get("id"), "number": pull.get("number"), "url": pull.get("url"),
               "head": side("head"), "base": side("base")})
    });
    let head_commit = event.get("head_commit").filter(|commit| commit.is_object()).cloned();
    let address = format!("https://{}/{}/actions/runs/{}", meta.forge, meta.repository, told.run);
    let person = json!({"login": meta.actor, "type": "User"});
    let workflow = json!({"id": meta.workflow_file, "name": meta.workflow_name, "path": meta.workflow_file, "state": "active"});
    let completed = activity == Activity::Completed;
    let run = json!({
        "id": told.run.to_string(), "name": meta.workflow_name, "display_title": meta.workflow_name,
        "workflow_id": meta.workflow_file, "path": meta.workflow_file,
        "run_number": meta.run_number, "run_attempt": meta.run_attempt, "event": meta.event_name,
        "status": activity.status(),
        "conclusion": told.result.filter(|_| completed).map(conclusion),
        "head_branch": head_branch, "head_sha": head_sha,
        "head_commit": head_commit.unwrap_or_else(|| json!({"id": head_sha})),
        "pull_requests": pulls.into_iter().collect::<Vec<_>>(),
        "created_at": iso(told.submitted_at), "run_started_at": iso(told.submitted_at),
        "updated_at": iso(told.changed_at), "html_url": address, "url": address,
        "actor": person, "triggering_actor": person,
        "repository": full, "head_repository": head_repository,
    });
    let mut payload = Map::new();
    payload.insert("action".to_owned(), json!(activity.word()));
    payload.insert("workflow".to_owned(), workflow);
    payload.insert("workflow_run".to_owned(), run);
    payload.extend(repository.payload.clone());
    payload.insert("sender".to_owned(), person);
    payload
}

fn conclusion(result: JobResult) -> &'static str {
    match result {
        JobResult::Success => "success",
        JobResult::Failure => "failure",
        JobResult::Cancelled => "cancelled",
        JobResult::Skipped => "skipped",
    }
}

/// How long the chain is that an event goes on with; `Err` when it is too long.
pub(crate) async fn length(services: &Services, event: &str, payload: &Json) -> Result<u32, String> {
    if event != "workflow_run" {
        return Ok(0);
    }
    let before =
        payload.pointer("/workflow_run/id").and_then(Json::as_str).and_then(|id| id.parse::<RunId>().ok());
    let Some(before) = before else { return Ok(1) };
    let context =
        services.driver.query(move |view| view.state.run(before).map(slipway_scheduler::state::Run::context));
    let Ok(Some(context)) = context.await else { return Ok(1) };
    let context = services.store.get(context).await.map_err(|error| error.to_string())?;
    let context: RunContext = serde_json::from_slice(&context).map_err(|error| error.to_string())?;
    let length = context.chain + 1;
    if length > CHAIN_MAX {
        return Err(format!("more than {CHAIN_MAX} `workflow_run` events would follow from each other"));
    }
    Ok(length)
}
