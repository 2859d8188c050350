//! What a delivery about a report of ours means: somebody pressed a button, or it is only the echo of what we told.

use serde_json::Value as Json;
use slipway_scheduler::RunId;

use super::api::{CANCEL, RERUN, deployment_named};
use crate::forge::asks::Ask;
use crate::forge::{self, Forge, Place};
use crate::mirror::is_commit;
use crate::services::Services;

/// What a delivery about a report of ours is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Own {
    /// It says what we told. On GitHub too, events of a run's own token start nothing.
    Echo,
    /// Somebody asks for something.
    Asks(Ask),
}

/// Whether a delivery is about a report of ours, and what it wants.
pub(super) async fn own(services: &Services, event: &str, payload: &Json) -> Option<Own> {
    let forge = services.forge.as_deref()?;
    if event == "status" {
        return (links_here(services, payload) || is_told(services, payload).await).then_some(Own::Echo);
    }
    if matches!(event, "deployment" | "deployment_status") {
        let named = deployment_named(payload.get("deployment")?)?;
        return forge::is_our_deployment(&named).then_some(Own::Echo);
    }
    read(forge, event, payload)
}

/// Whether a status leads to our pages.
fn links_here(services: &Services, payload: &Json) -> bool {
    let theirs = payload.get("target_url").and_then(Json::as_str);
    let (Some(ours), Some(theirs)) = (services.options.public_url.as_deref(), theirs) else { return false };
    theirs.strip_prefix(ours).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether a status has a name that we tell on its commit: without pages' address it has no link that says so.
async fn is_told(services: &Services, payload: &Json) -> bool {
    let text = |pointer: &str| payload.pointer(pointer).and_then(Json::as_str).map(str::to_owned);
    let named = (text("/repository/full_name"), text("/sha"), text("/context"));
    let ((Some(repository), Some(sha), Some(context)), Some(options)) = (named, &services.options.github)
    else {
        return false;
    };
    let (place, sum) = (Place { repository, sha }, options.check.clone());
    let told = services.driver.query(move |view| forge::contexts::tells(view, &place, &sum, &context));
    told.await.unwrap_or(false)
}

fn read(forge: &dyn Forge, event: &str, payload: &Json) -> Option<Own> {
    forge.is_own(event, payload).then(|| wanted(event, payload))
}

/// What a delivery about a report of ours wants.
pub(super) fn wanted(event: &str, payload: &Json) -> Own {
    let action = payload.get("action").and_then(Json::as_str).unwrap_or_default();
    let repository = payload.pointer("/repository/full_name").and_then(Json::as_str);
    let text = |pointer: &str| payload.pointer(pointer).and_then(Json::as_str);
    let commit = |sha: Option<&str>| {
        let sha = sha.filter(|sha| is_commit(sha))?.to_ascii_lowercase();
        Some(Ask::RerunCommit(Place { repository: repository?.to_owned(), sha }))
    };
    let named = text("/check_run/external_id").unwrap_or_default();
    let run = named.split_once('/').and_then(|(run, _)| run.parse::<RunId>().ok());
    let again = || match (run, named.strip_prefix("rules/").and_then(|rest| rest.split('/').next())) {
        (Some(run), _) => Some(Ask::Rerun(run)),
        (None, Some(event)) => commit(text("/check_run/head_sha")).map(|ask| ask.about_rules(event)),
        (None, None) => commit(text("/check_run/head_sha")),
    };
    let ask = match (event, action) {
        ("check_run", "rerequested") => again(),
        ("check_run", "requested_action") => match text("/requested_action/identifier") {
            Some(RERUN) => again(),
            Some(CANCEL) => run.map(Ask::Cancel),
            _ => None,
        },
        ("check_suite", "rerequested") => commit(text("/check_suite/head_sha")),
        _ => None,
    };
    ask.map_or(Own::Echo, Own::Asks)
}

/// Whether what a run belongs to and what the delivery is about are the same repository: one's buttons do nothing to another's runs.
pub(super) async fn is_of_repository(services: &Services, ask: &Ask, payload: &Json) -> bool {
    let repository = payload.pointer("/repository/full_name").and_then(Json::as_str).unwrap_or_default();
    let of = match ask {
        Ask::RerunCommit(place) | Ask::Rules(place, _) => Some(place.repository.clone()),
        Ask::Rerun(run) | Ask::Cancel(run) => {
            let run = *run;
            let found = services
                .driver
                .query(move |view| view.state.run(run).map(|run| run.meta().repository.clone()));
            found.await.ok().flatten()
        }
    };
    of.is_some_and(|of| of.eq_ignore_ascii_case(repository))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use slipway_kit::clock::SystemClock;

    use super::*;
    use crate::github::api::Github;
    use crate::github::api::test_key;
    use crate::options::{GithubIdentity, GithubOptions};

    fn github() -> Github {
        let options = GithubOptions {
            api: "http://127.0.0.1:9/api/v3".into(),
            identity: GithubIdentity::App { id: "7".into(), key: test_key() },
            statuses: false,
            check: "slipway".into(),
            timeout: std::time::Duration::from_secs(1),
        };
        Github::new(&options, Arc::new(SystemClock)).unwrap()
    }

    fn event(action: &str, external_id: &str, app: u64, button: Option<&str>) -> Json {
        json!({
            "action": action,
            "check_run": {"external_id": external_id, "head_sha": "A".repeat(40), "app": {"id": app}},
            "requested_action": button.map(|identifier| json!({"identifier": identifier})),
            "repository": {"full_name": "o/n"},
        })
    }

    #[test]
    fn buttons_of_our_reports_ask_and_everything_else_of_ours_is_an_echo() {
        let (github, run) = (github(), RunId::from_u128(7));
        let named = format!("{run}/{run}");
        let read = |payload: Json| read(&github, "check_run", &payload);
        let place = Place { repository: "o/n".into(), sha: "a".repeat(40) };
        assert_eq!(read(event("rerequested", &named, 7, None)), Some(Own::Asks(Ask::Rerun(run))));
        let button = |button| read(event("requested_action", &named, 7, Some(button)));
        assert_eq!(button("cancel"), Some(Own::Asks(Ask::Cancel(run))));
        assert_eq!(button("rerun"), Some(Own::Asks(Ask::Rerun(run))));
        assert_eq!(button("another"), Some(Own::Echo));
        let sum = read(event("rerequested", "commit/aa", 7, None));
        assert_eq!(sum, Some(Own::Asks(Ask::RerunCommit(place.clone()))));
        assert_eq!(read(event("completed", &named, 7, None)), Some(Own::Echo));
        assert_eq!(read(event("rerequested", &named, 8, None)), None, "another App's");
        let suite = json!({"action": "rerequested", "repository": {"full_name": "o/n"},
                           "check_suite": {"head_sha": "a".repeat(40), "app": {"id": 7}}});
        let suite = super::read(&github, "check_suite", &suite);
        assert_eq!(suite, Some(Own::Asks(Ask::RerunCommit(place))));
    }
}
