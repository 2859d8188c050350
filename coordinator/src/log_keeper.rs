//! Seals the logs of attempts that have ended, and removes those that are over their time.
//!
//! Invariants: an attempt is sealed only once its end is durable in the journal; what is removed belongs to a run that
//! finished long enough ago, or that the scheduler has forgotten. What a crash or a full queue left undone is found by the
//! sweep, which comes at the start and then every hour. One log is sealed at a time: nobody waits for it.

use std::collections::BTreeMap;

use slipway_scheduler::{InstanceId, RunId};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::driver::View;
use crate::records::limits::SWEEP_EVERY;
use crate::records::{AttemptKey, Ended, Presence, RunPresence};
use crate::services::Services;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Until the coordinator ends.
pub(crate) async fn run(services: Services, mut ended: mpsc::Receiver<AttemptKey>) {
    let mut sweeps = interval(SWEEP_EVERY);
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            key = ended.recv() => match key {
                Some(key) => seal(&services, key).await,
                None => return,
            },
            _ = sweeps.tick() => sweep(&services).await,
        }
    }
}

async fn seal(services: &Services, key: AttemptKey) {
    let Ok(Some(ended)) = services.driver.query(move |view| end_of(view, key)).await else { return };
    if let Err(error) = services.records.seal(key, ended).await {
        tracing::error!(run = %key.run, instance = %key.instance, attempt = key.attempt, %error, "a log was not sealed");
    }
}

/// How the attempt ended; none when it did not, or nobody knows it.
fn end_of(view: View<'_>, key: AttemptKey) -> Option<Ended> {
    let instance = view.state.instance(key.instance).filter(|instance| instance.run() == key.run)?;
    let attempt = instance.attempts().iter().find(|attempt| attempt.number == key.attempt)?;
    attempt
        .end
        .as_ref()
        .map(|end| Ended { reported: end.reported.then_some((end.records, end.records_digest)) })
}

/// Where a run is, for the sweep.
enum RunState {
    /// The scheduler has forgotten it.
    Retired,
    /// Its logs are to be kept.
    Kept,
    /// It finished too long ago.
    OverTime,
}

async fn sweep(services: &Services) {
    let found = match services.records.survey().await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%error, "logs could not be looked through; the next sweep tries again");
            return;
        }
    };
    // Asked after the survey: a run that has records and is unknown by now was retired.
    let keep_ms = u64::from(services.options.keep_logs_days) * DAY_MS;
    let before_ms = services.clock.unix_ms().saturating_sub(keep_ms);
    let runs: Vec<RunId> = found.keys().copied().collect();
    let states = services.driver.query(move |view| {
        let state = |run: &RunId| match view.state.run(*run).map(|run| run.end()) {
            None => RunState::Retired,
            Some(Some(end)) if end.at.0 < before_ms => RunState::OverTime,
            Some(_) => RunState::Kept,
        };
        runs.into_iter().map(|run| (run, state(&run))).collect::<BTreeMap<_, _>>()
    });
    let Ok(states) = states.await else { return };
    for (run, present) in found {
        let done = match states.get(&run) {
            Some(RunState::Retired) => services.records.delete_run(run).await,
            Some(RunState::OverTime) if !present.attempts.is_empty() => {
                tracing::info!(%run, days = services.options.keep_logs_days, "the logs of a run are over their time");
                services.records.remove_logs(run).await
            }
            Some(RunState::Kept) => {
                seal_leftovers(services, run, &present).await;
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(error) = done {
            tracing::warn!(%run, %error, "logs could not be removed; the next sweep tries again");
        }
    }
}

async fn seal_leftovers(services: &Services, run: RunId, present: &RunPresence) {
    let left = |(_, presence): &(&(InstanceId, u32), &Presence)| presence.chunks;
    for (&(instance, attempt), _) in present.attempts.iter().filter(left) {
        seal(services, AttemptKey { run, instance, attempt }).await;
    }
}
