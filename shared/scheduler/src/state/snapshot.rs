//! The state as a snapshot: what can't be derived, and a version. Loading derives the rest, so that a snapshot can't hold
//! two truths.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Instance, Line, Phase, Run, State};
use crate::ids::{FencingToken, RunId};

/// Version of the snapshot's form. Another one is refused: replay the journal instead.
pub const SNAPSHOT_VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Snapshot<'a> {
    version: u32,
    epoch: u64,
    last_token: Option<FencingToken>,
    next_order: u64,
    runs: Vec<Cow<'a, Run>>,
    instances: Vec<Cow<'a, Instance>>,
    /// Oldest first.
    deliveries: Vec<(Cow<'a, str>, RunId)>,
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let delivery = |key: &'_ String| self.deliveries.get(key).map(|run| (key.clone().into(), *run));
        Snapshot {
            version: SNAPSHOT_VERSION,
            epoch: self.epoch,
            last_token: self.last_token,
            next_order: self.next_order,
            runs: self.runs.values().map(Cow::Borrowed).collect(),
            instances: self.instances.values().map(Cow::Borrowed).collect(),
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
            runs: snapshot.runs.into_iter().map(|run| (run.id, run.into_owned())).collect(),
            delivery_order: VecDeque::with_capacity(snapshot.deliveries.len()),
            ..Self::default()
        };
        for (key, run) in snapshot.deliveries {
            state.delivery_order.push_back(key.clone().into_owned());
            state.deliveries.insert(key.into_owned(), run);
        }
        for instance in snapshot.instances {
            let mut instance = instance.into_owned();
            if let Some(run) = state.runs.get(&instance.run) {
                let group = instance.definition.concurrency.clone();
                instance.line = Arc::new(Line::of(run, group.as_ref()));
            }
            state.queues.insert(&instance);
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
