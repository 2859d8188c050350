//! What deliveries teach about their repository: where it is, its default branch, what that starts by itself, and what it asks of
//! commits.

use serde_json::{Map, Value as Json};
use slipway_workflow::settings;
use slipway_workflow::syntax::{self, Trigger};

use super::payload::{Occasion, host};
use crate::forge::rules::Rules;
use crate::mirror::{MirrorError, WorkflowFile};
use crate::repositories::{Repository, Scheduled, Standing};
use crate::services::Services;

/// Schedules of one repository; further ones are left out and told.
const SCHEDULES_MAX: usize = 500;

/// Remembers the repository of a delivery.
pub(super) async fn remember(services: &Services, occasion: &Occasion, payload: &Json) {
    let mut kept = Map::new();
    for key in ["repository", "organization"] {
        if let Some(value) = payload.get(key).filter(|value| value.is_object()) {
            kept.insert(key.to_owned(), value.clone());
        }
    }
    let changed = services.repositories.change(&occasion.repository, |before| {
        let branch = match (&before, occasion.default_branch.as_str()) {
            (Some(before), "") => before.default_branch.clone(),
            (_, branch) => branch.to_owned(),
        };
        let same = before.as_ref().is_some_and(|before| {
            before.clone_url == occasion.clone_url
                && before.default_branch == branch
                // Of one that was only configured it was guessed from where its code is.
                && before.forge == occasion.forge
                && before.payload.contains_key("repository")
        });
        // Another default branch starts other things: it is looked at again.
        let standing = before
            .filter(|before| before.clone_url == occasion.clone_url && before.default_branch == branch)
            .and_then(|before| before.standing);
        // A payload's counters (stars, size) change with every delivery: no reason to write the file again.
        (!same && !branch.is_empty()).then(|| Repository {
            name: occasion.repository.clone(),
            forge: occasion.forge.clone(),
            clone_url: occasion.clone_url.clone(),
            default_branch: branch,
            payload: kept,
            standing,
        })
    });
    if let Err(error) = changed.await {
        tracing::warn!(repository = occasion.repository, %error, "the repository is not remembered");
    }
}

/// How often one call looks at a branch that moves meanwhile.
const LOOKS_MAX: usize = 5;

/// Reads again what the default branch starts by itself.
///
/// Two may do so at a time (a start, and a push that comes then), and the one that read first may keep last: so each looks whether the
/// branch is still where it read it.
pub(crate) async fn learn_standing(
    services: &Services,
    repository: &Repository,
    actor: &str,
) -> Result<(), MirrorError> {
    let name = format!("refs/heads/{}", repository.default_branch);
    let mut tip = services.mirrors.tip(&repository.clone_url, &name).await?;
    for _ in 0..LOOKS_MAX {
        learn_at(services, repository, &tip, actor).await?;
        let now = services.mirrors.tip(&repository.clone_url, &name).await?;
        if now == tip {
            break;
        }
        tip = now;
    }
    Ok(())
}

async fn learn_at(
    services: &Services,
    repository: &Repository,
    tip: &str,
    actor: &str,
) -> Result<(), MirrorError> {
    let url = &repository.clone_url;
    let files = services.mirrors.workflows(url, tip).await?;
    let settings = services.mirrors.file(url, tip, settings::FILE).await?;
    let now_ms = services.clock.unix_ms();
    let found = standing(&files, actor, now_ms);
    let rules = rules(&repository.name, settings);
    let changed = services
        .repositories
        .change(&repository.name, |before| with_standing(before?, repository, found, rules));
    changed.await.map_err(|error| MirrorError::Failed(format!("the schedules cannot be kept: {error}")))?;
    services.schedules.notify_one();
    Ok(())
}

/// What is known of a repository, with what was read of it. None: it was read as another one, of whose default branch nobody asks any more.
fn with_standing(
    known: Repository,
    read: &Repository,
    found: Standing,
    rules: Option<Option<Rules>>,
) -> Option<Repository> {
    // The forge's word came meanwhile, and where the code's HEAD pointed was only a guess.
    if (&known.default_branch, &known.clone_url) != (&read.default_branch, &read.clone_url) {
        return None;
    }
    let stood = known.standing.clone().unwrap_or_default();
    // A slip in the file lifts no rule.
    let commits = rules.unwrap_or_else(|| stood.commits.clone());
    let standing = Standing { commits, ..merge(found, stood) };
    Some(Repository { standing: Some(standing), ..known })
}

/// What the default branch asks of commits; `None`: its file can't be read.
fn rules(repository: &str, file: Option<WorkflowFile>) -> Option<Option<Rules>> {
    let Some(file) = file else { return Some(None) };
    let read = file.text.and_then(|text| {
        settings::parse(settings::FILE, &text)
            .map_err(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    });
    match read {
        Ok(settings) => Some(settings.commits.as_ref().map(Rules::from)),
        Err(error) => {
            tracing::warn!(repository, error, "what it asked of commits before goes on to count");
            None
        }
    }
}

fn standing(files: &[WorkflowFile], actor: &str, now_ms: u64) -> Standing {
    let mut standing = Standing::default();
    for file in files {
        let Ok(text) = &file.text else { continue };
        let Ok(workflow) = syntax::parse(&file.path, text) else { continue };
        let named = |event: &str| workflow.triggers.iter().any(|trigger: &Trigger| trigger.event == event);
        if named("workflow_run") {
            standing.listens_since_ms = Some(now_ms);
        }
        for schedule in workflow.triggers.iter().flat_map(|trigger| &trigger.schedules) {
            standing.schedules.push(Scheduled {
                workflow_file: file.path.clone(),
                cron: schedule.cron.clone(),
                timezone: schedule.timezone.clone(),
                actor: actor.to_owned(),
                since_ms: now_ms,
                fired_ms: 0,
            });
        }
    }
    if standing.schedules.len() > SCHEDULES_MAX {
        tracing::warn!(count = standing.schedules.len(), "only the first {SCHEDULES_MAX} schedules are kept");
        standing.schedules.truncate(SCHEDULES_MAX);
    }
    standing
}

/// What stood there before keeps its author and its time.
fn merge(mut found: Standing, before: Standing) -> Standing {
    for schedule in &mut found.schedules {
        if let Some(old) = before.schedules.iter().find(|old| old.is_same(schedule)) {
            *schedule = old.clone();
        }
    }
    if found.listens_since_ms.is_some() && before.listens_since_ms.is_some() {
        found.listens_since_ms = before.listens_since_ms;
    }
    found
}

/// The repository of this name, one that is only configured included.
pub(crate) async fn find_repository(
    services: &Services,
    name: &str,
) -> Result<Option<Repository>, MirrorError> {
    if let Some(known) = services.repositories.find(name) {
        return Ok(Some(known));
    }
    let configured = &services.options.webhook.repositories;
    let Some(configured) = configured.iter().find(|known| known.name.eq_ignore_ascii_case(name)) else {
        return Ok(None);
    };
    introduce(services, &configured.name, &configured.clone_url).await.map(Some)
}

/// Remembers a repository that sent nothing yet; its default branch is where its code's HEAD points.
pub(super) async fn introduce(
    services: &Services,
    name: &str,
    clone_url: &str,
) -> Result<Repository, MirrorError> {
    let default_branch = services.mirrors.default_branch(clone_url).await?;
    let forge = host(clone_url).filter(|host| !host.is_empty()).unwrap_or("github.com").to_owned();
    let (owner, short) = name.split_once('/').unwrap_or(("", name));
    let mut payload = Map::new();
    payload.insert(
        "repository".to_owned(),
        serde_json::json!({
            "name": short, "full_name": name, "owner": {"login": owner, "name": owner},
            "default_branch": default_branch, "clone_url": clone_url,
            "html_url": format!("https://{forge}/{name}"),
        }),
    );
    let repository = Repository {
        name: name.to_owned(),
        forge,
        clone_url: clone_url.to_owned(),
        default_branch,
        payload,
        standing: None,
    };
    let kept =
        services.repositories.change(&repository.name, |before| before.or_else(|| Some(repository.clone())));
    kept.await
        .map_err(|error| MirrorError::Failed(format!("the repository cannot be remembered: {error}")))?;
    Ok(repository)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn repository(default_branch: &str) -> Repository {
        Repository {
            name: "o/n".to_owned(),
            forge: "github.com".to_owned(),
            clone_url: "https://x/o/n".to_owned(),
            default_branch: default_branch.to_owned(),
            payload: Map::new(),
            standing: None,
        }
    }

    #[test]
    fn what_was_read_of_a_branch_that_is_not_the_default_one_is_not_kept() {
        let (main, topic) = (repository("main"), repository("topic"));
        let found = || Standing { listens_since_ms: Some(1), ..Standing::default() };
        assert_eq!(with_standing(main.clone(), &topic, found(), Some(None)), None);
        let elsewhere = Repository { clone_url: "https://y/o/n".to_owned(), ..main.clone() };
        assert_eq!(with_standing(main.clone(), &elsewhere, found(), Some(None)), None);
        let kept = with_standing(main.clone(), &main, found(), Some(None)).unwrap();
        assert_eq!(kept.standing, Some(found()));
    }
}
