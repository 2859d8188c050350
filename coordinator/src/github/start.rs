//! From a delivery to runs: the place, its workflow files, their filters, and one submission for each that is triggered.

use std::time::Duration;

use serde_json::Value as Json;
use slipway_cas::Digest;
use slipway_kit::backoff::Backoff;
use slipway_workflow::diagnostics::Diagnostic;
use slipway_workflow::filter::{self, Event};
use slipway_workflow::job_spec::Source;
use slipway_workflow::syntax::{self, Workflow};

use super::asked::{self, Own};
use super::payload::{self, Occasion, Place, Start};
use super::rules::{self, Arrival};
use super::{installed, learn};
use crate::chain;
use crate::driver::ledger::PendingDelivery;
use crate::forge::told::ReportEvent;
use crate::forge::{self, asks, reporter};
use crate::mirror::{MirrorError, WorkflowFile};
use crate::services::Services;
use crate::submit::{self, NewRun, SubmitError};

/// How often something is asked of git (its server may be away) before the delivery is given up.
const TRIES: u32 = 8;

/// How often where git says that it is not there: it may only not be there yet.
const MISSING_TRIES: u32 = 3;

/// The first wait between two tries, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// The commit and ref that a start is about.
struct Spot {
    git_ref: String,
    sha: String,
}

/// Asks git until it answers.
pub(crate) async fn patiently<T, F: Future<Output = Result<T, MirrorError>>>(
    what: &str,
    ask: impl Fn() -> F,
) -> Result<T, String> {
    let mut backoff = Backoff::new(WAITS.0, WAITS.1);
    loop {
        let error = match ask().await {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        let tries = if matches!(error, MirrorError::Missing(_)) { MISSING_TRIES } else { TRIES };
        if backoff.failures() + 1 >= tries {
            return Err(format!("given up: {error}"));
        }
        tracing::warn!(delivery = what, %error, "git does not answer as it should; it is asked again");
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

/// Deals with one delivery; gives what became of it, for people.
pub(super) async fn deal_with(services: &Services, id: &str, delivery: &PendingDelivery) -> String {
    let payload = match services.store.get(delivery.body).await {
        Ok(body) => serde_json::from_slice::<Json>(&body).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let payload = match payload {
        Ok(payload) => payload,
        Err(error) => return format!("the body cannot be read: {error}"),
    };
    if let Some(own) = asked::own(services, &delivery.event, &payload).await {
        return match own {
            Own::Echo => "starts nothing: it is about a report of Slipway's".to_owned(),
            Own::Asks(ask) if asked::is_of_repository(services, &ask, &payload).await => {
                let actor = payload.pointer("/sender/login").and_then(Json::as_str).unwrap_or_default();
                asks::act(services, id, actor, ask).await
            }
            Own::Asks(_) => "does nothing: no such run is known of this repository".to_owned(),
        };
    }
    if installed::EVENTS.contains(&delivery.event.as_str()) {
        return installed::heard(services, &delivery.event, &payload).await;
    }
    let mut occasion = match payload::read(&delivery.event, &payload, &services.options.webhook) {
        Ok(occasion) => occasion,
        Err(reason) => return format!("starts nothing: {reason}"),
    };
    if occasion.default_branch.is_empty() {
        let known = learn::find_repository(services, &occasion.repository).await;
        occasion.default_branch = known.ok().flatten().map(|known| known.default_branch).unwrap_or_default();
    }
    let place = place(services, &delivery.event, &payload, &occasion);
    if let Some(place) = &place
        && let Err(error) = reporter::begin_commit(services, place, id).await
    {
        return error;
    }
    learn::remember(services, &occasion, &payload).await;
    let mut outcomes = Vec::new();
    // What the default branch asks of commits has to be known before the first of them counts.
    if let Err(error) = learn_if_new(services, id, None, &occasion).await {
        outcomes.push(format!("the default branch: {error}"));
    }
    let (event, occasion) = (delivery.event.as_str(), &occasion);
    let arrival = Arrival { services, event, payload: &payload, occasion, place: place.as_ref() };
    for start in &occasion.starts {
        for outcome in begin(arrival, id, start).await {
            if let (Some(place), Some(file)) = (&place, outcome.trouble_with) {
                let (place, message) = (place.clone(), shortened(&outcome.text));
                // A driver that is gone leaves the delivery to the next start.
                let _ = services.driver.report(ReportEvent::Problem { place, file, message }).await;
            }
            outcomes.push(outcome.text);
        }
    }
    if let Err(error) = learn_if_new(services, id, pushed(event, &payload), occasion).await {
        outcomes.push(format!("the default branch: {error}"));
    }
    if outcomes.is_empty() { "the commit has no workflow".to_owned() } else { outcomes.join("; ") }
}

/// The longest text of a problem that a commit's sum tells, in bytes.
const PROBLEM_MAX_BYTES: usize = 1 << 10;

fn shortened(text: &str) -> String {
    let end = (0..=text.len().min(PROBLEM_MAX_BYTES)).rev().find(|at| text.is_char_boundary(*at));
    text[..end.unwrap_or_default()].to_owned()
}

/// The commit whose sum is told because of a delivery.
fn place(services: &Services, event: &str, payload: &Json, occasion: &Occasion) -> Option<forge::Place> {
    let told = services.forge.as_ref().is_some_and(|forge| forge.host() == occasion.forge);
    let sha = payload::commit_of(event, payload).filter(|_| told)?;
    Some(forge::Place { repository: occasion.repository.clone(), sha })
}

/// What became of a workflow file, or of looking for them.
struct Outcome {
    text: String,
    /// The file, if the people of the repository have to know that it could not be started as it should; `workflows` stands for all.
    trouble_with: Option<String>,
}

impl Outcome {
    fn fine(text: String) -> Self {
        Self { text, trouble_with: None }
    }

    fn trouble(file: &str, text: String) -> Self {
        Self { text, trouble_with: Some(file.to_owned()) }
    }
}

/// Stands for all workflow files of a commit.
const ALL_FILES: &str = "workflows";

/// Stands for the commits that a repository's rules do not let pass.
const COMMITS: &str = "commits";

/// The branch that was pushed to.
fn pushed<'a>(event: &str, payload: &'a Json) -> Option<&'a str> {
    let pushed = payload.get("ref").and_then(Json::as_str).filter(|_| event == "push");
    pushed.and_then(|name| name.strip_prefix("refs/heads/"))
}

/// A push to the default branch may change what it starts by itself; so may the first delivery ever.
async fn learn_if_new(
    services: &Services,
    id: &str,
    pushed: Option<&str>,
    occasion: &Occasion,
) -> Result<(), String> {
    let Some(repository) = services.repositories.find(&occasion.repository) else { return Ok(()) };
    let to_default = pushed == Some(repository.default_branch.as_str());
    if repository.standing.is_some() && !to_default {
        return Ok(());
    }
    patiently(id, || learn::learn_standing(services, &repository, &occasion.actor)).await
}

async fn begin(arrival: Arrival<'_>, id: &str, start: &Start) -> Vec<Outcome> {
    let Arrival { services, payload, occasion, .. } = arrival;
    let spot = match patiently(id, || resolve(services, occasion, &start.place)).await {
        Ok(spot) => spot,
        Err(error) => return vec![Outcome::trouble(ALL_FILES, error)],
    };
    if let Err(refusal) = rules::allows(arrival, start, &spot.git_ref, &spot.sha).await {
        return vec![Outcome::trouble(COMMITS, refusal)];
    }
    let (url, sha) = (&occasion.clone_url, &spot.sha);
    let files = match patiently(id, || services.mirrors.workflows(url, sha)).await {
        Ok(files) => files,
        Err(error) => return vec![Outcome::trouble(ALL_FILES, error)],
    };
    let mut outcomes = Vec::new();
    let mut asked = Asked::default();
    for file in files {
        if start.only.as_ref().is_some_and(|only| *only != file.path) {
            continue;
        }
        let path = file.path.clone();
        let outcome = one(services, id, payload, occasion, start, &spot, &mut asked, file).await;
        outcomes.push(match outcome {
            Ok(fine) => Outcome::fine(format!("{path}: {fine}")),
            Err(trouble) => Outcome::trouble(&path, format!("{path}: {trouble}")),
        });
    }
    if let (Some(only), true) = (&start.only, outcomes.is_empty()) {
        outcomes.push(Outcome::fine(format!("there is no workflow {only} at {}", spot.sha)));
    }
    outcomes
}

async fn resolve(services: &Services, occasion: &Occasion, place: &Place) -> Result<Spot, MirrorError> {
    let (mirrors, url) = (&services.mirrors, &occasion.clone_url);
    match place {
        Place::Commit { git_ref, sha } => Ok(Spot { git_ref: git_ref.clone(), sha: sha.clone() }),
        Place::Tip { git_ref } => {
            Ok(Spot { sha: mirrors.tip(url, git_ref).await?, git_ref: git_ref.clone() })
        }
        Place::Default => {
            let branch = match occasion.default_branch.as_str() {
                "" => mirrors.default_branch(url).await?,
                branch => branch.to_owned(),
            };
            let git_ref = format!("refs/heads/{branch}");
            Ok(Spot { sha: mirrors.tip(url, &git_ref).await?, git_ref })
        }
        Place::Pull { number, head, merge } => {
            let git_ref = format!("refs/pull/{number}/merge");
            // GitHub makes the merge meanwhile: what the payload names may be the one before.
            let tip = match mirrors.tip(url, &git_ref).await {
                Ok(tip) => Some(tip),
                Err(MirrorError::Missing(_)) => None,
                Err(error) => return Err(error),
            };
            for candidate in tip.iter().chain(merge) {
                if mirrors.parents(url, candidate).await.is_ok_and(|parents| parents.contains(head)) {
                    return Ok(Spot { git_ref, sha: candidate.clone() });
                }
            }
            Ok(Spot { git_ref: format!("refs/pull/{number}/head"), sha: head.clone() })
        }
    }
}

/// What was asked of git for one start, so that it is asked once.
#[derive(Default)]
struct Asked {
    changed: Option<Option<Vec<String>>>,
    message: Option<String>,
}

/// Whether a workflow's filters need to know what changed.
fn asks_paths(workflow: &Workflow, event: &str) -> bool {
    let mut triggers = workflow.triggers.iter().filter(|trigger| trigger.event == event);
    triggers.any(|trigger| trigger.paths.is_some() || trigger.paths_ignore.is_some())
}

/// A push of more commits than this is not looked into: its path filters pass, as on GitHub.
const PUSH_MAX_COMMITS: usize = 1_000;

async fn changed_files(
    services: &Services,
    url: &str,
    payload: &Json,
    start: &Start,
) -> Result<Option<Vec<String>>, String> {
    let commits = payload.get("commits").and_then(Json::as_array).map_or(0, Vec::len);
    match &start.change {
        Some(change) if commits <= PUSH_MAX_COMMITS => {
            patiently("paths", || services.mirrors.changed(url, change)).await
        }
        _ => Ok(None),
    }
}

/// The error is one that the people of the repository have to know of.
#[allow(clippy::too_many_arguments)] // Each is another thing; only the loop above has them all.
async fn one(
    services: &Services,
    id: &str,
    payload: &Json,
    occasion: &Occasion,
    start: &Start,
    spot: &Spot,
    asked: &mut Asked,
    file: WorkflowFile,
) -> Result<String, String> {
    let text = match file.text {
        Ok(text) => text,
        Err(error) => return Err(error),
    };
    let workflow = match syntax::parse(&file.path, &text) {
        Ok(workflow) => workflow,
        Err(diagnostics) => return Err(told(&diagnostics)),
    };
    if !workflow.triggers.iter().any(|trigger| trigger.event == start.event) {
        return Ok(format!("not triggered: `on` does not name {}", start.event));
    }
    let url = &occasion.clone_url;
    if asks_paths(&workflow, &start.event) && asked.changed.is_none() {
        match changed_files(services, url, payload, start).await {
            Ok(changed) => asked.changed = Some(changed),
            Err(error) => return Err(error),
        }
    }
    if let (Some(head), None) = (&start.head, &asked.message) {
        // A head that cannot be read skips nothing.
        asked.message = services.mirrors.message(url, head).await.ok();
    }
    if let Some(reason) = asked.message.as_deref().and_then(filter::skipped_by_message) {
        return Ok(format!("not triggered: {reason}"));
    }
    let changed_files = asked.changed.as_ref().and_then(Option::as_deref);
    let decision = filter::triggered(&workflow, &Event { name: &start.event, payload, changed_files });
    if !decision.triggered {
        return Ok(format!("not triggered: {}", decision.reason));
    }
    let chain = match chain::length(services, &start.event, payload).await {
        Ok(chain) => chain,
        Err(reason) => return Ok(format!("not triggered: {reason}")),
    };
    let inputs =
        if start.event == "workflow_dispatch" { dispatch_inputs(payload) } else { Default::default() };
    let new = NewRun {
        // A pull request's delivery starts workflows of two events.
        idempotency_key: Some(key(id, &start.event, &file.path)),
        workflow_file: file.path,
        workflow: text,
        event_name: start.event.clone(),
        event: payload.clone(),
        repository: occasion.repository.clone(),
        forge: occasion.forge.clone(),
        git_ref: spot.git_ref.clone(),
        sha: spot.sha.clone(),
        actor: occasion.actor.clone(),
        inputs,
        source: Source::Git {
            clone_url: occasion.clone_url.clone(),
            repository: occasion.repository.clone(),
            git_ref: spot.git_ref.clone(),
            sha: spot.sha.clone(),
        },
        trust: start.trust,
        stranger: start
            .stranger
            .clone()
            .filter(|stranger| services.options.webhook.approve_forks.asks(&stranger.association)),
        chain,
        door: format!("delivery {id}"),
        ..NewRun::default()
    };
    match submit::submit(services, new).await {
        Ok(run) => Ok(format!("run {run}")),
        Err(SubmitError::Workflow { diagnostics, .. }) => Err(told(&diagnostics)),
        Err(error) => Err(error.to_string()),
    }
}

/// Longer paths go into a submission's name by their digest.
const KEY_PATH_MAX_BYTES: usize = 96;

fn key(delivery: &str, event: &str, path: &str) -> String {
    let path = match path.len() {
        0..=KEY_PATH_MAX_BYTES => path.to_owned(),
        _ => Digest::of(path.as_bytes()).hash_hex(),
    };
    if event == "pull_request_target" {
        format!("github:{delivery}:target:{path}")
    } else {
        format!("github:{delivery}:{path}")
    }
}

/// `inputs` of a dispatch, as text: GitHub sends them so, an API client may send JSON's own types.
fn dispatch_inputs(payload: &Json) -> std::collections::BTreeMap<String, String> {
    let inputs = payload.get("inputs").and_then(Json::as_object);
    let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    inputs.into_iter().flatten().map(|(name, value)| (name.clone(), text(value))).collect()
}

fn told(diagnostics: &[Diagnostic]) -> String {
    let told: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    format!("is not valid: {}", told.join("; "))
}
