//! The state as a snapshot: what can't be derived, and a version. Loading derives the rest, so that a snapshot can't hold
//! two truths.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Instance, Line, Phase, Run, State};
use crate::ids::{FencingToken, RunId};
use crate::label::LabelSet;

/// Version of the snapshot's form. Another one is refused: replay the journal instead.
pub const SNAPSHOT_VERSION: u32 = 1;

#[derive(Serialize)]
struct SnapshotRef<'a> {
    version: u32,
    epoch: u64,
    last_token: Option<FencingToken>,
    next_order: u64,
    runs: Vec<&'a Run>,
    instances: Vec<&'a Instance>,
    deliveries: Vec<(&'a str, RunId)>,
}

#[derive(Deserialize)]
struct Snapshot {
    version: u32,
    epoch: u64,
    last_token: Option<FencingToken>,
    next_order: u64,
    runs: Vec<Run>,
    instances: Vec<Instance>,
    /// Oldest first.
    deliveries: Vec<(String, RunId)>,
}

/// A state as of one moment, to be serialised while the state goes on. It shares runs and instances with it, and has nothing
/// of what is derived from them.
#[derive(Debug)]
pub struct FrozenState(State);

impl Serialize for FrozenState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl State {
    /// What a snapshot holds, as of now.
    #[must_use]
    pub fn freeze(&self) -> FrozenState {
        FrozenState(Self {
            last_token: self.last_token,
            epoch: self.epoch,
            next_order: self.next_order,
            runs: self.runs.clone(),
            instances: self.instances.clone(),
            deliveries: self.deliveries.clone(),
            delivery_order: self.delivery_order.clone(),
            ..Self::default()
        })
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let delivery =
            |key: &'_ String| self.deliveries.get_key_value(key).map(|(key, run)| (key.as_str(), *run));
        SnapshotRef {
            version: SNAPSHOT_VERSION,
            epoch: self.epoch,
            last_token: self.last_token,
            next_order: self.next_order,
            runs: self.runs.values().collect(),
            instances: self.instances.values().collect(),
            deliveries: self.delivery_order.iter().filter_map(delivery).collect(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let snapshot = Snapshot::deserialize(deserializer)?;
        if snapshot.version != SNAPSHOT_VERSION {
            return Err(de::Error::custom(format_args!(
                "a snapshot of version {}; this build reads version {SNAPSHOT_VERSION}",
                snapshot.version
            )));
        }
        let mut state = Self {
            epoch: snapshot.epoch,
            last_token: snapshot.last_token,
            next_order: snapshot.next_order,
            runs: snapshot.runs.into_iter().map(|run| (run.id, run)).collect(),
            delivery_order: VecDeque::with_capacity(snapshot.deliveries.len()),
            ..Self::default()
        };
        for (key, run) in snapshot.deliveries {
            state.delivery_order.push_back(key.clone());
            state.deliveries.insert(key, run);
        }
        let mut labels = LabelSet::default();
        // Instances without a group of their own stand in their run's line.
        let mut own = (None, Arc::new(Line::default()));
        for mut instance in snapshot.instances {
            instance.definition.labels.share(&mut labels);
            if let Some(run) = state.runs.get(&instance.run) {
                let group = instance.definition.concurrency.as_ref();
                if group.is_none() && own.0 != Some(run.id) {
                    own = (Some(run.id), Arc::new(Line::of(run, None)));
                }
                instance.line =
                    group.map_or_else(|| Arc::clone(&own.1), |it| Arc::new(Line::of(run, Some(it))));
            }
            state.queues.insert(&instance);
            state.gates.extend(instance.gate_due().map(|due| (due, instance.id())));
            if matches!(instance.phase, Phase::Leased { .. }) {
                state.leased.insert(instance.id());
            }
            state.instances.insert(instance.id(), instance);
        }
        for run in state.runs.values() {
            state.groups.insert(run);
            state.groups.insert_calls(run);
        }
        for instance in state.instances.values() {
            if let Some(run) = state.runs.get(&instance.run) {
                state.groups.update_instance(run, instance);
            }
        }
        state.finished_runs =
            state.runs.values().filter_map(|run| run.end.map(|end| (end.at, run.id))).collect();
        Ok(state)
    }
}
