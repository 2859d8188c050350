//! `schedule`: workflows of default branches that start at their time.
//!
//! Invariant: a tick starts at most one run, whatever restarts: its submission is named after repository, file, schedule and
//! minute, and what was dealt with is kept with the repository. Of the ticks that were missed while no coordinator ran, the
//! latest is made up for, if it is not older than [`LATE_MAX_MS`]; the earlier ones are left out, as by every cron.
//!
//! Deliberately absent: GitHub's shortest interval of five minutes. Here an agent's owner decides what a minute costs.

mod zone;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use slipway_cas::Digest;
use slipway_workflow::job_spec::Source;
use slipway_workflow::syntax;
use tokio::sync::Semaphore;

use crate::github::{self, patiently};
use crate::repositories::{Repository, Scheduled};
use crate::services::Services;
use crate::submit::{self, NewRun};
use zone::Plan;

/// How late a tick may be made up for, in milliseconds.
pub(crate) const LATE_MAX_MS: u64 = 6 * 3_600_000;

/// The longest sleep: a clock that jumps is noticed by then.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// How many ticks are dealt with at a time: git is asked for each.
const CONCURRENCY: usize = 8;

/// A tick of one schedule, at a time in Unix milliseconds.
struct Tick {
    repository: Repository,
    scheduled: Scheduled,
    at_ms: u64,
}

/// Starts what is due, until the coordinator stops.
pub(crate) async fn run(services: Services) {
    learn_configured(&services).await;
    let places = Arc::new(Semaphore::new(CONCURRENCY));
    let mut plans = Plans::default();
    let mut next_ms = 0;
    loop {
        let now_ms = services.clock.unix_ms();
        if now_ms >= next_ms {
            let (due, next) = plans.look(&services.repositories.all(), now_ms);
            next_ms = next;
            for tick in due {
                let (services, places) = (services.clone(), Arc::clone(&places));
                tokio::spawn(async move {
                    // Never closed.
                    let _place = places.acquire_owned().await;
                    fire(&services, tick).await;
                });
            }
        }
        tokio::select! {
            () = services.closing.cancelled() => return,
            // Something was learned.
            () = services.schedules.notified() => next_ms = 0,
            () = tokio::time::sleep(SLEEP_MAX) => {}
        }
    }
}

/// Repositories that are configured and were never heard of.
async fn learn_configured(services: &Services) {
    for configured in &services.options.webhook.repositories {
        let found = github::find_repository(services, &configured.name).await;
        let learned = match found {
            Ok(Some(repository)) if repository.standing.is_none() => {
                let actor = configured.name.split('/').next().unwrap_or_default();
                github::learn_standing(services, &repository, actor).await
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = learned {
            tracing::warn!(repository = configured.name, %error, "its schedules are learned with its next push");
        }
    }
}

/// Parsed schedules, and what was begun.
#[derive(Default)]
struct Plans {
    parsed: BTreeMap<(String, Option<String>), Option<Plan>>,
    /// The last tick that this process began, by schedule.
    begun: BTreeMap<String, u64>,
}

impl Plans {
    /// What is due, and when to look again, in Unix milliseconds.
    fn look(&mut self, repositories: &[Repository], now_ms: u64) -> (Vec<Tick>, u64) {
        let (mut due, mut next_ms) = (Vec::new(), u64::MAX);
        let mut standing = BTreeSet::new();
        for repository in repositories {
            for scheduled in repository.standing.iter().flat_map(|standing| &standing.schedules) {
                let key = key(repository, scheduled);
                standing.insert(key.clone());
                let Some(plan) = self.plan(repository, scheduled) else { continue };
                let begun = self.begun.get(&key).copied().unwrap_or_default();
                let done = begun.max(scheduled.fired_ms).max(scheduled.since_ms);
                let mut latest = None;
                let mut at = done.max(now_ms.saturating_sub(LATE_MAX_MS));
                while let Some(tick) = plan.next_after(at) {
                    if tick > now_ms {
                        next_ms = next_ms.min(tick);
                        break;
                    }
                    latest = Some(tick);
                    at = tick;
                }
                if let Some(at_ms) = latest {
                    self.begun.insert(key, at_ms);
                    due.push(Tick { repository: repository.clone(), scheduled: scheduled.clone(), at_ms });
                }
            }
        }
        self.begun.retain(|key, _| standing.contains(key));
        (due, next_ms)
    }

    fn plan(&mut self, repository: &Repository, scheduled: &Scheduled) -> Option<Plan> {
        let key = (scheduled.cron.clone(), scheduled.timezone.clone());
        let read = || match Plan::new(&scheduled.cron, scheduled.timezone.as_deref()) {
            Ok(plan) => Some(plan),
            Err(reason) => {
                let (repository, file) = (&repository.name, &scheduled.workflow_file);
                tracing::warn!(repository, file, reason, "a schedule never starts");
                None
            }
        };
        self.parsed.entry(key).or_insert_with(read).clone()
    }
}

/// Names a schedule: of any length of its parts, one of its own.
fn key(repository: &Repository, scheduled: &Scheduled) -> String {
    let Scheduled { workflow_file, cron, timezone, .. } = scheduled;
    let name = repository.name.to_ascii_lowercase();
    let parts = json!([name, workflow_file, cron, timezone]).to_string();
    Digest::of(parts.as_bytes()).hash_hex()
}

async fn fire(services: &Services, tick: Tick) {
    let Tick { repository, scheduled, at_ms } = tick;
    let (name, file, cron) = (&repository.name, &scheduled.workflow_file, &scheduled.cron);
    match start(services, &repository, &scheduled, at_ms).await {
        Ok(outcome) => tracing::info!(repository = name, file, cron, outcome, "a schedule's time has come"),
        Err(error) => {
            tracing::warn!(repository = name, file, cron, error, "a schedule's run could not start")
        }
    }
    let kept = services.repositories.change(name, |before| {
        let mut after = before?;
        let schedules = after.standing.iter_mut().flat_map(|standing| &mut standing.schedules);
        for known in schedules.filter(|known| known.is_same(&scheduled)) {
            known.fired_ms = known.fired_ms.max(at_ms);
        }
        Some(after)
    });
    if let Err(error) = kept.await {
        tracing::warn!(repository = name, %error, "that a schedule ran is not kept; its submission's name keeps it from running twice");
    }
}

/// One run at the newest commit of the default branch, if the schedule still stands there.
async fn start(
    services: &Services,
    repository: &Repository,
    scheduled: &Scheduled,
    at_ms: u64,
) -> Result<String, String> {
    let (mirrors, url) = (&services.mirrors, &repository.clone_url);
    let git_ref = format!("refs/heads/{}", repository.default_branch);
    let sha = patiently("schedule", || mirrors.tip(url, &git_ref)).await?;
    let file = patiently("schedule", || mirrors.file(url, &sha, &scheduled.workflow_file)).await?;
    let Some(file) = file else { return Ok("the file is gone".to_owned()) };
    let text = file.text?;
    let workflow = syntax::parse(&file.path, &text)
        .map_err(|diagnostics| diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let mut schedules = workflow.triggers.iter().flat_map(|trigger| &trigger.schedules);
    if !schedules.any(|found| found.cron == scheduled.cron && found.timezone == scheduled.timezone) {
        return Ok("the schedule is gone".to_owned());
    }
    let mut event = repository.payload.clone();
    event.insert("schedule".to_owned(), json!(scheduled.cron));
    event.insert("workflow".to_owned(), json!(scheduled.workflow_file));
    let new = NewRun {
        workflow_file: file.path,
        workflow: text,
        event_name: "schedule".to_owned(),
        event: Json::Object(event),
        repository: repository.name.clone(),
        forge: repository.forge.clone(),
        git_ref: git_ref.clone(),
        sha: sha.clone(),
        actor: scheduled.actor.clone(),
        source: Source::Git { clone_url: url.clone(), repository: repository.name.clone(), git_ref, sha },
        door: "schedule".to_owned(),
        idempotency_key: Some(format!("schedule:{}:{}", key(repository, scheduled), at_ms / 60_000)),
        ..NewRun::default()
    };
    let run = submit::submit(services, new).await.map_err(|error| error.to_string())?;
    Ok(format!("run {run}"))
}
