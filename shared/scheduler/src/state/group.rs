//! Concurrency groups: who holds one, and who waits for it. Derived from the runs.

use std::collections::BTreeMap;

use crate::ids::RunId;

use super::Run;

/// Forge and repository, and the group's name; all in lower case.
type GroupKey = (String, String);

/// All groups that any run is in.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Groups {
    by_key: BTreeMap<GroupKey, Group>,
}

/// One group.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Group {
    /// The run at work.
    pub(crate) holder: Option<RunId>,
    /// The runs that wait, first come first.
    pub(crate) waiting: BTreeMap<u64, RunId>,
}

/// The key of a group of a repository.
pub(crate) fn key(forge: &str, repository: &str, group: &str) -> GroupKey {
    (format!("{forge}/{repository}").to_lowercase(), group.to_lowercase())
}

impl Groups {
    pub(crate) fn get(&self, key: &GroupKey) -> Option<&Group> {
        self.by_key.get(key)
    }

    /// Puts a run where it belongs.
    pub(crate) fn insert(&mut self, run: &Run) {
        let Some(key) = run.group_key().filter(|_| run.end.is_none()) else { return };
        let group = self.by_key.entry(key).or_default();
        match run.waits {
            Some(order) => {
                group.waiting.insert(order, run.id);
            }
            None => group.holder = Some(run.id),
        }
    }

    /// Takes a run out.
    pub(crate) fn remove(&mut self, run: &Run) {
        let Some(key) = run.group_key() else { return };
        let Some(group) = self.by_key.get_mut(&key) else { return };
        group.waiting.retain(|_, waiting| *waiting != run.id);
        if group.holder == Some(run.id) {
            group.holder = None;
        }
        if group.holder.is_none() && group.waiting.is_empty() {
            self.by_key.remove(&key);
        }
    }

    /// All groups.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Group> {
        self.by_key.values()
    }
}
