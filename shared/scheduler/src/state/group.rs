//! Concurrency groups and turns at environments: who holds one, and who waits for it. Derived from runs, instances and calls.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{InstanceId, RunId};

use super::{Call, CallPhase, Instance, Parent, Phase, Run};

/// Names a group; all in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Forge and repository.
    place: String,
    name: String,
    pub(crate) kind: Kind,
}

/// What holds its members apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A workflow's `concurrency`: newer ones take the place of older ones.
    Concurrency,
    /// An environment that lets one deployment at a time in: each has its turn, and nobody takes another's place.
    Turns,
}

impl Key {
    pub(crate) fn of(kind: Kind, forge: &str, repository: &str, name: &str) -> Self {
        Self { place: format!("{forge}/{repository}").to_lowercase(), name: name.to_lowercase(), kind }
    }
}

/// Who can be in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Member {
    Run(RunId),
    Instance(InstanceId),
    Call(RunId, Parent),
}

/// All groups that anyone is in.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Groups {
    by_key: BTreeMap<Key, Group>,
    /// Who is about to enter one.
    entering: BTreeSet<Member>,
}

/// One group.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Group {
    /// Who is at work.
    pub(crate) holder: Option<Member>,
    /// Who waits, first come first.
    pub(crate) waiting: BTreeMap<u64, Member>,
}

/// Where a member is in its group: it waits with this place, or holds it.
type Place = Option<u64>;

impl Groups {
    pub(crate) fn get(&self, key: &Key) -> Option<&Group> {
        self.by_key.get(key)
    }

    fn put(&mut self, key: Key, member: Member, place: Place) {
        let group = self.by_key.entry(key).or_default();
        match place {
            Some(order) => {
                group.waiting.insert(order, member);
            }
            None => group.holder = Some(member),
        }
    }

    fn take(&mut self, key: &Key, member: Member) {
        let Some(group) = self.by_key.get_mut(key) else { return };
        group.waiting.retain(|_, waiting| *waiting != member);
        if group.holder == Some(member) {
            group.holder = None;
        }
        if group.holder.is_none() && group.waiting.is_empty() {
            self.by_key.remove(key);
        }
    }

    /// Puts a run where it belongs.
    pub(crate) fn insert(&mut self, run: &Run) {
        if let Some(key) = run.group_key().filter(|_| run.end.is_none() && !run.held) {
            self.put(key, Member::Run(run.id), run.waits);
        }
    }

    /// Takes a run out.
    pub(crate) fn remove(&mut self, run: &Run) {
        if let Some(key) = run.group_key() {
            self.take(&key, Member::Run(run.id));
        }
    }

    /// Takes an instance of the run out, and puts it where it belongs now.
    pub(crate) fn update_instance(&mut self, run: &Run, instance: &Instance) {
        let member = Member::Instance(instance.id());
        let group = instance.definition.concurrency.as_ref().map(|group| run.key_of(group));
        let turn = instance.definition.turn.as_ref().map(|environment| run.turn_key(environment));
        for key in group.iter().chain(&turn) {
            self.take(key, member);
        }
        self.entering.remove(&member);
        match instance.phase {
            Phase::Held | Phase::Gated { .. } | Phase::Finished { .. } => {}
            Phase::Blocked { order: None } | Phase::Turn { order: None } => {
                self.entering.insert(member);
                if matches!(instance.phase, Phase::Turn { .. }) {
                    self.put_in(group, member, None);
                }
            }
            Phase::Blocked { order } => self.put_in(group, member, order),
            Phase::Turn { order } => {
                self.put_in(group, member, None);
                self.put_in(turn, member, order);
            }
            Phase::Waiting { .. } | Phase::Leased { .. } | Phase::Settling => {
                self.put_in(group, member, None);
                self.put_in(turn, member, None);
            }
        }
    }

    fn put_in(&mut self, key: Option<Key>, member: Member, place: Place) {
        if let Some(key) = key {
            self.put(key, member, place);
        }
    }

    /// Takes a call of the run out, and puts it where it belongs now.
    pub(crate) fn update_call(&mut self, run: &Run, at: Parent, call: &Call) {
        let Some(concurrency) = &call.concurrency else { return };
        let (key, member) = (run.key_of(concurrency), Member::Call(run.id, at));
        self.take(&key, member);
        self.entering.remove(&member);
        match call.phase {
            CallPhase::Held | CallPhase::Finished { .. } => {}
            CallPhase::Blocked { order: None } => drop(self.entering.insert(member)),
            CallPhase::Blocked { order } => self.put(key, member, order),
            CallPhase::Open | CallPhase::Done { .. } => self.put(key, member, None),
        }
    }

    /// Puts all calls of a run where they belong.
    pub(crate) fn insert_calls(&mut self, run: &Run) {
        for (job, index) in run.jobs.iter().zip(0..) {
            for (call, place) in job.calls.iter().zip(0..) {
                self.update_call(run, Parent { job: index, call: place }, call);
            }
        }
    }

    /// The first that is about to enter a group.
    pub(crate) fn next_entering(&self) -> Option<Member> {
        self.entering.first().copied()
    }

    /// All groups.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &Group)> {
        self.by_key.iter()
    }
}
