//! Does what people ask for with the buttons of a report at the forge.
//!
//! Invariant: a request that is dealt with twice (a crash in between) does nothing the second time: a rerun is named after its delivery.

use slipway_scheduler::RunId;
use slipway_scheduler::command::Cancel;

use super::Place;
use super::told::ReportEvent;
use crate::audit::Origin;
use crate::rerun::{self, Rerun, RerunError};
use crate::services::Services;

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Run this again: what failed of it, or all if nothing did.
    Rerun(RunId),
    /// Run again what the commit started.
    RerunCommit(Place),
    /// Hold these commits against their repository's rules once more: those up to this one that this event brought.
    Rules(Place, String),
    /// End this.
    Cancel(RunId),
}

impl Ask {
    /// What is asked of a commit is about its rules.
    pub(crate) fn about_rules(self, event: &str) -> Self {
        match self {
            Self::RerunCommit(place) => Self::Rules(place, event.to_owned()),
            other => other,
        }
    }
}

/// Reruns of one commit at most.
const COMMIT_RUNS_MAX: usize = 100;

/// Does it; gives what became of it, for people.
pub(crate) async fn act(services: &Services, delivery: &str, actor: &str, ask: Ask) -> String {
    match ask {
        Ask::Rerun(run) => again(services, delivery, actor, run).await,
        Ask::Cancel(run) => {
            let cancel = Cancel { run, actor: actor.to_owned(), reason: "asked for at the forge".to_owned() };
            let origin = Origin { actor: actor.to_owned(), source: format!("delivery {delivery}") };
            match services.driver.cancel(cancel, origin).await {
                Ok(()) => format!("run {run} is cancelled"),
                Err(error) => format!("run {run} is not cancelled: {error}"),
            }
        }
        Ask::Rules(place, event) => judge_again(services, place, event).await,
        Ask::RerunCommit(place) => {
            let runs = services.driver.query(move |view| newest(view, &place)).await;
            let mut outcomes = Vec::new();
            for run in runs.unwrap_or_default() {
                outcomes.push(again(services, delivery, actor, run).await);
            }
            if outcomes.is_empty() {
                "nothing of the commit can run again".to_owned()
            } else {
                outcomes.join("; ")
            }
        }
    }
}

async fn judge_again(services: &Services, place: Place, event: String) -> String {
    let (at, because) = (place.clone(), event.clone());
    let question = services.driver.query(move |view| {
        let commit = view.ledger.told().of_commit(&at)?;
        commit.rules.get(&because).map(|ruled| ruled.question.clone())
    });
    let Ok(Some(question)) = question.await else {
        return "nothing is asked of the commit that is known".to_owned();
    };
    match services.driver.report(ReportEvent::RulesAsked { place, event, question }).await {
        Ok(()) => "the commits are looked at again".to_owned(),
        Err(error) => format!("the commits are not looked at again: {error}"),
    }
}

/// The newest finished runs of the commit, one of each workflow, event and ref.
fn newest(view: crate::driver::View<'_>, place: &Place) -> Vec<RunId> {
    let Some(commit) = view.ledger.told().of_commit(place) else { return Vec::new() };
    let mut newest = std::collections::BTreeMap::new();
    for run in commit.runs.iter().filter_map(|run| view.state.run(*run)) {
        let meta = run.meta();
        newest.insert((&meta.workflow_file, &meta.event_name, &meta.git_ref), run);
    }
    newest.into_values().filter(|run| run.end().is_some()).map(|run| run.id()).take(COMMIT_RUNS_MAX).collect()
}

async fn again(services: &Services, delivery: &str, actor: &str, run: RunId) -> String {
    let wanted = |failed| Rerun {
        failed,
        actor: actor.to_owned(),
        door: format!("delivery {delivery}"),
        idempotency_key: Some(format!("github:{delivery}:rerun:{run}")),
        ..Rerun::default()
    };
    let mut result = rerun::rerun(services, run, wanted(true)).await;
    if let Err(RerunError::NothingFailed(_)) = result {
        result = rerun::rerun(services, run, wanted(false)).await;
    }
    match result {
        Ok(again) => format!("run {run} runs again as {again}"),
        Err(error) => format!("run {run} does not run again: {error}"),
    }
}
