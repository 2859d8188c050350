//! What only the leader does beside deciding: plan jobs, deal with webhooks, fire schedules, remove what is over, keep the
//! projections up.

use std::collections::BTreeSet;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::driver::message::RunLease;
use crate::driver::{Planning, RunEnded};
use crate::records::AttemptKey;
use crate::records::limits::SEAL_QUEUE;
use crate::services::Services;
use crate::{
    blobs, cache, chain, forge, github, history, identity, log_keeper, planner, results, scaler, schedule,
    vault,
};

/// What the driver sends to its helpers.
pub(crate) struct FromDriver {
    /// Jobs to plan.
    pub(crate) to_plan: mpsc::UnboundedReceiver<Planning>,
    /// Runs that ended.
    pub(crate) over: mpsc::UnboundedReceiver<RunEnded>,
    /// What projections are made from; none, if none are made.
    pub(crate) projections: Option<history::Parts>,
}

/// Begins all of it; this coordinator leads. What a leader before it left behind is dealt with when this returns.
pub(crate) async fn begin(services: &Services, from: FromDriver, helpers: &mut JoinSet<()>) {
    if let Err(error) = services.repositories.reload().await {
        tracing::error!(%error, "what is known of repositories cannot be read; schedules wait for their next push");
    }
    if let Err(error) = services.results.lead(services.driver.epoch()).await {
        tracing::warn!(%error, "what a crash left of caches and artifacts stays");
    }
    forget_old_runs(services).await;
    vault::sweep(services).await;
    chain::raise_missed(services).await;
    helpers.spawn(planner::run(services.clone(), from.to_plan));
    let (to_seal, ended) = mpsc::channel(SEAL_QUEUE);
    helpers.spawn(clean_up(services.clone(), from.over, to_seal));
    helpers.spawn(log_keeper::run(services.clone(), ended));
    helpers.spawn(blobs::collector::run(services.clone()));
    helpers.spawn(github::react(services.clone()));
    helpers.spawn(forge::reporter::report(services.clone()));
    helpers.spawn(forge::missed::look_after(services.clone()));
    helpers.spawn(schedule::run(services.clone()));
    helpers.spawn(scaler::run(services.clone()));
    helpers.spawn(identity::keep(services.clone()));
    helpers.spawn(results::sweep(services.results.clone(), services.options.cache_quota));
    if let Some(cache) = services.cache.clone() {
        helpers.spawn(cache::keep(cache));
    }
    if let Some(parts) = from.projections {
        helpers.spawn(history::run(services.clone(), parts));
    }
}

/// The same for a coordinator that follows: as soon as it leads. Ends with the helpers.
pub(crate) async fn begin_when_leading(services: Services, from: FromDriver) {
    if !services.driver.leads().await {
        return;
    }
    let mut helpers = JoinSet::new();
    begin(&services, from, &mut helpers).await;
    while helpers.join_next().await.is_some() {}
}

/// Removes what a crash left behind of runs that are over.
async fn forget_old_runs(services: &Services) {
    let known = services.driver.query(|view| {
        let open = view.state.runs().filter(|run| run.end().is_none());
        open.map(slipway_scheduler::state::Run::id).collect::<BTreeSet<_>>()
    });
    let Ok(open) = known.await else { return };
    if let Err(error) = services.secrets.keep_only(&open).await {
        tracing::warn!(%error, "secrets of old runs could not be removed");
    }
}

/// Removes what runs leave behind, until the driver is gone.
async fn clean_up(
    services: Services,
    mut over: mpsc::UnboundedReceiver<RunEnded>,
    to_seal: mpsc::Sender<AttemptKey>,
) {
    while let Some(ended) = over.recv().await {
        match ended {
            RunEnded::Finished(run) => {
                chain::raise(&services, run, chain::Activity::Completed).await;
                if let Err(error) = services.secrets.remove(run).await {
                    tracing::warn!(%run, %error, "a run's secrets stay until the next start");
                }
            }
            RunEnded::Retired(run) => {
                if let Err(error) = services.records.delete_run(run).await {
                    tracing::warn!(%run, %error, "a retired run's records could not be removed");
                }
            }
            RunEnded::Attempt(RunLease { run, lease }) => {
                // One that finds no room is found by the next sweep.
                let _ =
                    to_seal.try_send(AttemptKey { run, instance: lease.instance, attempt: lease.attempt });
            }
        }
    }
}
