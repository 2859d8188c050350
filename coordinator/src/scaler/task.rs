//! The loop: look, decide, journal, call.

use std::collections::{BTreeMap, BTreeSet};

use slipway_scheduler::Timestamp;
use tokio::task::JoinSet;

use super::call::{Call, Caller, Verb};
use super::decide::{Action, Input, Machine, Names, Stop, Terms, decide, has_surplus};
use super::limits::{CALLS_MAX, LOOK_EVERY, STOP_WAIT_MS};
use super::shown::ScalerView;
use super::state::{ScaleEvent, waits_ms};
use super::systemd;
use super::world::{self, Pool};
use crate::driver::DriverError;
use crate::options::{ScalerDriver, ScalerOptions};
use crate::services::Services;

/// What came of a call.
struct Called {
    agent: String,
    verb: Verb,
    result: Result<(), String>,
}

/// What this process knows of an agent that was asked for; another begins anew.
struct Known {
    seen_at: Timestamp,
    calling: bool,
    stop: Stop,
}

/// A pool's scaler.
struct Scaler {
    options: ScalerOptions,
    caller: Caller,
    /// Names that agents can have, if not any.
    listed: Option<Vec<String>>,
    surplus_since: Option<Timestamp>,
}

/// Keeps the pools at their sizes, until the coordinator stops.
pub(crate) async fn run(services: Services) {
    let scalers: Result<Vec<Scaler>, String> =
        services.options.scalers.iter().cloned().map(Scaler::new).collect();
    let scalers = match scalers {
        Ok(scalers) if scalers.is_empty() => return,
        Ok(scalers) => scalers,
        Err(error) => {
            tracing::error!(error, "no agent is started or stopped");
            return;
        }
    };
    let leads_since = Timestamp(services.clock.unix_ms());
    let mut task = Task { services, leads_since, known: BTreeMap::new(), calls: JoinSet::new() };
    if let Err(error) = task.keep(scalers).await {
        tracing::debug!(%error, "the scaler ends with the leader");
    }
}

impl Scaler {
    fn new(options: ScalerOptions) -> Result<Self, String> {
        let listed = match &options.driver {
            ScalerDriver::Systemd { units, .. } => {
                Some(units.iter().map(|unit| systemd::agent_of(unit)).collect())
            }
            ScalerDriver::Command { .. } | ScalerDriver::Webhook { .. } => None,
        };
        Ok(Self { caller: Caller::new(options.clone())?, options, listed, surplus_since: None })
    }

    /// Why nothing is done, where that is not plain.
    fn note(&self, input: &Input) -> Option<String> {
        match &input.counts {
            None => Some(format!(
                "it has no bounds, and nothing is asked for: slipway pools set {} --min 0 --max 4",
                self.options.pool
            )),
            Some(counts) if counts.desired > counts.ready && input.names.is_exhausted() => {
                Some("all instances are in use".to_owned())
            }
            Some(_) => None,
        }
    }
}

struct Task {
    services: Services,
    leads_since: Timestamp,
    /// By the agents' names.
    known: BTreeMap<String, Known>,
    calls: JoinSet<Called>,
}

impl Task {
    async fn keep(&mut self, mut scalers: Vec<Scaler>) -> Result<(), DriverError> {
        let names: Vec<String> = scalers.iter().map(|scaler| scaler.options.pool.clone()).collect();
        loop {
            let names = names.clone();
            let world = self.services.driver.query(move |view| world::look(view, &names)).await?;
            let (mut standing, mut acted) = (BTreeSet::new(), false);
            for scaler in &mut scalers {
                let Some(pool) = world.pools.get(&scaler.options.pool) else { continue };
                standing.extend(pool.orders.iter().map(|(agent, ..)| agent.clone()));
                let input = self.input(scaler, pool, world.now);
                scaler.surplus_since = has_surplus(&input).then(|| scaler.surplus_since.unwrap_or(world.now));
                let input = Input { surplus_since: scaler.surplus_since, ..input };
                let view = ScalerView::new(scaler.options.driver.word(), &input, scaler.note(&input));
                self.services.scalers.set(&scaler.options.pool, view);
                for action in decide(&input) {
                    acted |= self.act(scaler, pool, action, world.now).await?;
                }
            }
            self.known.retain(|agent, known| known.calling || standing.contains(agent));
            // What was just decided has its consequences at once.
            if !acted {
                self.rest().await?;
            }
            if self.services.closing.is_cancelled() {
                return Ok(());
            }
        }
    }

    /// Waits until it is time to look again, or a call is over.
    async fn rest(&mut self) -> Result<(), DriverError> {
        let closing = self.services.closing.clone();
        tokio::select! {
            () = closing.cancelled() => Ok(()),
            Some(called) = self.calls.join_next() => match called {
                Ok(called) => self.called(called).await,
                Err(error) => {
                    tracing::error!(%error, "a call of a scaler's driver ended by a bug of Slipway");
                    Ok(())
                }
            },
            () = tokio::time::sleep(LOOK_EVERY) => Ok(()),
        }
    }

    fn input(&mut self, scaler: &Scaler, pool: &Pool, now: Timestamp) -> Input {
        let options = &scaler.options;
        let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let machines = pool.orders.iter().map(|(name, order, seen)| {
            let known = self.known.entry(name.clone()).or_insert_with(|| Known {
                seen_at: self.leads_since,
                calling: false,
                stop: Stop::default(),
            });
            if seen.is_some_and(|seen| seen.connected) {
                known.seen_at = now;
            }
            Machine {
                name: name.clone(),
                order: order.clone(),
                seen: *seen,
                seen_at: known.seen_at,
                calling: known.calling,
                stop: known.stop.clone(),
            }
        });
        Input {
            now,
            leads_since: self.leads_since,
            terms: Terms {
                cooldown_ms: ms(options.cooldown),
                quiet_ms: ms(options.quiet),
                at_once: options.at_once,
                start_ms: ms(options.start_limit),
            },
            counts: pool.counts,
            memory: pool.memory.clone(),
            machines: machines.collect(),
            surplus_since: None,
            names: Names {
                listed: scaler.listed.clone(),
                prefix: options.pool.clone(),
                taken: pool.taken.clone(),
            },
        }
    }

    /// Does it; says whether something is in the journal by it.
    async fn act(
        &mut self,
        scaler: &Scaler,
        pool: &Pool,
        action: Action,
        at: Timestamp,
    ) -> Result<bool, DriverError> {
        let event = match action {
            Action::CallUp { agent } => {
                self.call(scaler, pool, agent, Verb::Up);
                return Ok(false);
            }
            Action::CallDown { agent } => {
                self.call(scaler, pool, agent, Verb::Down);
                return Ok(false);
            }
            Action::Ask { agent, number } => {
                tracing::info!(pool = scaler.options.pool, agent, "an agent is asked for");
                ScaleEvent::Asked { agent, pool: scaler.options.pool.clone(), number, at }
            }
            Action::Came { agent, id, stray } => ScaleEvent::Came { agent, id, stray, at },
            Action::Drain { agent, failure } => {
                tracing::info!(pool = scaler.options.pool, agent, failure, "an agent is let go");
                ScaleEvent::Draining { agent, failure, at }
            }
            Action::Resume { agent } => ScaleEvent::Resumed { agent, at },
            Action::Stop { agent, failure } => {
                if let Some(failure) = &failure {
                    tracing::warn!(pool = scaler.options.pool, agent, failure, "an agent failed");
                }
                ScaleEvent::Stopping { agent, failure, at }
            }
            Action::Forget { agent, failure } => {
                if let Some(failure) = &failure {
                    tracing::error!(pool = scaler.options.pool, agent, failure, "an agent is given up");
                }
                ScaleEvent::Stopped { agent, failure, at }
            }
        };
        // Refused: an agent got a job, or came, since the look. The next look knows.
        self.services.driver.scale(event).await
    }

    fn call(&mut self, scaler: &Scaler, pool: &Pool, agent: String, verb: Verb) {
        if self.calls.len() >= CALLS_MAX {
            return;
        }
        let Some(known) = self.known.get_mut(&agent) else { return };
        known.calling = true;
        known.stop.tries += u32::from(verb == Verb::Down);
        let call = Call {
            action: verb,
            pool: scaler.options.pool.clone(),
            arch: pool.arch.clone(),
            labels: pool.labels.clone(),
            agent,
            count: pool.counts.map_or(0, |counts| counts.desired),
        };
        let caller = scaler.caller.clone();
        self.calls.spawn(async move {
            let result = caller.call(&call).await;
            Called { agent: call.agent, verb, result }
        });
    }

    async fn called(&mut self, called: Called) -> Result<(), DriverError> {
        let Called { agent, verb, result } = called;
        let at = Timestamp(self.services.clock.unix_ms());
        let Some(known) = self.known.get_mut(&agent) else { return Ok(()) };
        known.calling = false;
        match (verb, result) {
            (Verb::Up, Ok(())) => {
                self.services.driver.scale(ScaleEvent::Started { agent, at }).await.map(drop)
            }
            (Verb::Up, Err(failure)) => {
                tracing::warn!(agent, failure, "an agent could not be started");
                let failure = Some(failure);
                self.services.driver.scale(ScaleEvent::Stopping { agent, failure, at }).await.map(drop)
            }
            (Verb::Down, Ok(())) => {
                known.stop.done = true;
                known.stop.failure = None;
                known.stop.not_before = at.after(STOP_WAIT_MS);
                Ok(())
            }
            (Verb::Down, Err(failure)) => {
                tracing::warn!(agent, failure, tries = known.stop.tries, "an agent could not be stopped");
                known.stop.not_before = at.after(waits_ms(known.stop.tries));
                known.stop.failure = Some(failure);
                Ok(())
            }
        }
    }
}
