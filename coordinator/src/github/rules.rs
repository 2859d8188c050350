//! What a repository asks of commits, when an event brings some: they are held against it ([`crate::forge::rules`]), and where the
//! repository wants it so, what breaks a rule starts nothing.
//!
//! The rules are those of the default branch, as it was learned last: nobody can propose to be held against less.

use serde_json::Value as Json;

use super::payload::{Occasion, Start};
use crate::forge::Place;
use crate::forge::rules::{Question, judge};
use crate::forge::told::ReportEvent;
use crate::mirror::is_commit;
use crate::services::Services;

/// A delivery that is dealt with.
#[derive(Clone, Copy)]
pub(super) struct Arrival<'a> {
    pub(super) services: &'a Services,
    pub(super) event: &'a str,
    pub(super) payload: &'a Json,
    pub(super) occasion: &'a Occasion,
    /// Where it is told, if it is.
    pub(super) place: Option<&'a Place>,
}

/// Whether what comes with the event may be started; else why not.
pub(super) async fn allows(
    arrival: Arrival<'_>,
    start: &Start,
    git_ref: &str,
    sha: &str,
) -> Result<(), String> {
    let Arrival { services, occasion, .. } = arrival;
    let known = services.repositories.find(&occasion.repository).and_then(|known| known.standing);
    let Some(rules) = known.and_then(|standing| standing.commits) else { return Ok(()) };
    let Some((base, head)) = range(arrival, start, git_ref, sha) else { return Ok(()) };
    let (block, question) = (rules.block, Question { rules, base, head });
    let told = arrival.place.filter(|place| place.sha == question.head);
    if let Some(place) = told {
        ask(services, place, arrival.event, &question).await?;
    }
    if !block {
        return Ok(());
    }
    let judged = judge(services, &occasion.repository, &question).await;
    let refusal = (!judged.passed).then(|| {
        format!("nothing is started: {} ({})", judged.title, judged.lines.first().map_or("", String::as_str))
    });
    if let Some(place) = told {
        let (place, event) = (place.clone(), arrival.event.to_owned());
        let told = services.driver.report(ReportEvent::RulesJudged { place, event, judged }).await;
        told.map_err(|error| error.to_string())?;
    }
    refusal.map_or(Ok(()), Err)
}

/// Has the question answered, unless it is the one that was asked already.
async fn ask(services: &Services, place: &Place, event: &str, question: &Question) -> Result<(), String> {
    let (at, because) = (place.clone(), event.to_owned());
    let asked = services.driver.query(move |view| {
        let rules = view.ledger.told().of_commit(&at).and_then(|commit| commit.rules.get(&because));
        rules.map(|ruled| ruled.question.clone())
    });
    if asked.await.map_err(|error| error.to_string())?.as_ref() == Some(question) {
        return Ok(());
    }
    let (place, event) = (place.clone(), event.to_owned());
    let asked = services.driver.report(ReportEvent::RulesAsked { place, event, question: question.clone() });
    asked.await.map_err(|error| error.to_string())
}

/// What is new with this event: from where on, up to where. `None`: the default branch's own code, as it stands.
fn range(arrival: Arrival<'_>, start: &Start, git_ref: &str, sha: &str) -> Option<(String, String)> {
    if start.event == "pull_request_target" {
        return None;
    }
    let commit = |pointer: &str| {
        let found = arrival.payload.pointer(pointer).and_then(Json::as_str);
        found.filter(|sha| is_commit(sha)).map(str::to_ascii_lowercase)
    };
    let between = |base: &str, head: &str| Some((commit(base)?, commit(head)?));
    let of_payload = if arrival.event.starts_with("pull_request") {
        between("/pull_request/base/sha", "/pull_request/head/sha")
    } else if arrival.event == "merge_group" {
        between("/merge_group/base_sha", "/merge_group/head_sha")
    } else if arrival.event == "push" && git_ref.starts_with("refs/heads/") {
        between("/before", "/after").filter(|(before, _)| before.bytes().any(|byte| byte != b'0'))
    } else {
        None
    };
    let default = &arrival.occasion.default_branch;
    let is_default = git_ref.strip_prefix("refs/heads/") == Some(default) && arrival.event != "push";
    of_payload.or_else(|| (!is_default && !default.is_empty()).then(|| (default.clone(), sha.to_owned())))
}
