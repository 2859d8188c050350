//! What people see of a scaler: as of its last look, at the coordinator that leads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::decide::{Input, Machine, not_before};
use super::limits::SHOWN_MAX;
use super::state::Phase;
use crate::view::PoolView;

/// What a pool's scaler does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScalerView {
    /// `command`, `webhook` or `systemd`.
    pub driver: String,
    /// When it looked last, in Unix milliseconds: all this is as of then.
    pub looked_ms: u64,
    /// Agents that were asked for and have not come.
    pub on_their_way: u32,
    /// Agents that were asked for and are there.
    pub there: u32,
    /// Agents that finish what they have and are to go.
    pub draining: u32,
    /// Agents that are being stopped.
    pub stopping: u32,
    /// How many failed since the last one came.
    pub failures: u32,
    /// Which failed last, and why.
    pub failure: Option<String>,
    /// Before when nothing is asked for, in Unix milliseconds; none: it may be asked for now.
    pub next_try_ms: Option<u64>,
    /// Why it does nothing, where that is not plain.
    pub note: Option<String>,
    /// The agents that were asked for; of many only some.
    pub agents: Vec<ScaledAgent>,
}

/// An agent that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScaledAgent {
    /// What it calls itself.
    pub name: String,
    /// `asked`, `started`, `there`, `draining` or `stopping`.
    pub state: Phase,
    /// Since when, in Unix milliseconds.
    pub since_ms: u64,
    /// Why it could not be stopped yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl ScalerView {
    pub(super) fn new(driver: &str, input: &Input, note: Option<String>) -> Self {
        let count = |phases: &[Phase]| {
            let of = |machine: &&Machine| phases.contains(&machine.order.phase);
            input.machines.iter().filter(of).count() as u32
        };
        let agents = input.machines.iter().take(SHOWN_MAX).map(|machine| ScaledAgent {
            name: machine.name.clone(),
            state: machine.order.phase,
            since_ms: machine.order.since.0,
            failure: machine.stop.failure.clone(),
        });
        let failure = input.memory.failure.as_ref().map(|(agent, why)| format!("{agent}: {why}"));
        // One that cannot be stopped is the newer trouble.
        let unstopped = input.machines.iter().find_map(|machine| {
            let why = machine.stop.failure.as_ref()?;
            Some(format!("{} could not be stopped yet: {why}", machine.name))
        });
        Self {
            driver: driver.to_owned(),
            looked_ms: input.now.0,
            on_their_way: count(&[Phase::Asked, Phase::Started]),
            there: count(&[Phase::There]),
            draining: count(&[Phase::Draining]),
            stopping: count(&[Phase::Stopping]),
            failures: input.memory.failures,
            failure: unstopped.or(failure),
            next_try_ms: Some(not_before(input)).filter(|at| *at > input.now).map(|at| at.0),
            note,
            agents: agents.collect(),
        }
    }

    /// What it does, in a few words.
    #[must_use]
    pub fn words(&self) -> String {
        let counts =
            [(self.on_their_way, "on their way"), (self.draining, "draining"), (self.stopping, "stopping")];
        let said: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        if said.is_empty() { "steady".to_owned() } else { said.join(", ") }
    }
}

/// What all scalers do; cheap to clone. A coordinator that follows knows nothing of it.
#[derive(Debug, Clone, Default)]
pub struct Scalers(Arc<Mutex<BTreeMap<String, ScalerView>>>);

impl Scalers {
    pub(super) fn set(&self, pool: &str, view: ScalerView) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(pool.to_owned(), view);
    }

    /// Adds to pools what their scalers do.
    pub(crate) fn show(&self, pools: &mut [PoolView]) {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for pool in pools {
            pool.scaler = known.get(&pool.name.to_ascii_lowercase()).cloned();
        }
    }
}
