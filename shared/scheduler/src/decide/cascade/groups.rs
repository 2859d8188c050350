//! Concurrency groups and turns: who makes room for whom, and who comes next.

use crate::command::{Concurrency, Queueing};
use crate::decide::cascade::calls::in_order;
use crate::event::Event;
use crate::ids::{InstanceId, JobId, RunId};
use crate::limits::GROUP_WAITING_MAX;
use crate::outcome::{CancelReason, JobResult};
use crate::state::group::{Group, Key, Kind, Member};
use crate::state::{Phase, Run};

use super::Cascade;

impl<'s> Cascade<'s> {
    fn group(&self, key: &Key) -> Group {
        let known = self.groups.get(key).or_else(|| self.state.groups.get(key));
        known.cloned().unwrap_or_default()
    }

    /// Whether nobody holds a group.
    pub(in crate::decide) fn is_free(&self, key: &Key) -> bool {
        self.group(key).holder.is_none()
    }

    /// A run that is being submitted enters a group that another one holds.
    pub(in crate::decide) fn enter_run(
        &mut self,
        key: &Key,
        run: RunId,
        ready: Vec<JobId>,
        concurrency: &Concurrency,
        actor: &str,
    ) {
        self.newcomer = Some((run, ready));
        self.make_room(key, Member::Run(run), concurrency, actor);
    }

    /// A run that was held enters its group.
    pub(in crate::decide) fn release_run(&mut self, run: &Run, concurrency: &Concurrency) {
        let (key, at) = (run.key_of(concurrency), self.now);
        let waits = !self.is_free(&key);
        self.events.push(Event::RunReleased { run: run.id, waits, at });
        if waits {
            self.make_room(&key, Member::Run(run.id), concurrency, &run.meta.actor);
        } else {
            let ready = run.startable().map(|job| Event::JobReady { run: run.id, job: job.id().clone() });
            self.events.extend(ready);
        }
    }

    /// Something enters a group; it holds it at once when nobody does.
    pub(in crate::decide) fn enter(&mut self, key: &Key, member: Member, concurrency: &Concurrency) {
        let mut group = self.group(key);
        if group.holder.is_none() {
            group.holder = Some(member);
            self.groups.insert(key.clone(), group);
            return self.admit(key, member);
        }
        match member {
            Member::Instance(instance) => self.events.push(Event::InstanceBlocked { instance, at: self.now }),
            Member::Call(run, at) => {
                let caller = self.state.run(run).and_then(|run| run.jobs.get(at.job as usize));
                if let Some(job) = caller.map(|job| job.id.clone()) {
                    self.events.push(Event::CallBlocked { run, job, call: at.call, at: self.now });
                }
            }
            Member::Run(_) => {}
        }
        self.make_room(key, member, concurrency, "");
    }

    /// An instance asks for its turn: it has it at once when nobody else does, and waits behind all others when somebody does.
    pub(in crate::decide) fn ask_turn(&mut self, key: Key, instance: InstanceId) {
        let mut turns = self.group(&key);
        let member = Member::Instance(instance);
        if turns.holder.is_none() {
            turns.holder = Some(member);
            self.admit(&key, member);
        } else {
            turns.waiting.insert(self.state.next_order, member);
            self.events.push(Event::TurnAwaited { instance, at: self.now });
        }
        self.groups.insert(key, turns);
    }

    /// Cancels what a newcomer does not wait for, and lets it wait. Where that ends the holder at once, the newcomer is next.
    fn make_room(&mut self, key: &Key, newcomer: Member, concurrency: &Concurrency, actor: &str) {
        let mut group = self.group(key);
        let surplus = match concurrency.queue {
            _ if concurrency.cancel_in_progress => group.waiting.len(),
            Queueing::Single => group.waiting.len(),
            Queueing::Max => (group.waiting.len() + 1).saturating_sub(GROUP_WAITING_MAX),
        };
        let replaced: Vec<Member> = group.waiting.values().take(surplus).copied().collect();
        group.waiting.insert(self.state.next_order, newcomer);
        let holder = group.holder;
        self.groups.insert(key.clone(), group);
        for member in replaced {
            self.supersede(key, member, &concurrency.group, actor);
        }
        if let Some(holder) = holder.filter(|_| concurrency.cancel_in_progress) {
            self.supersede(key, holder, &concurrency.group, actor);
        }
    }

    /// Cancels a member of a group for a newer one.
    fn supersede(&mut self, key: &Key, member: Member, group: &str, actor: &str) {
        let reason = CancelReason::Superseded { group: group.to_owned() };
        match member {
            Member::Run(id) => {
                let Some(run) = self.state.run(id).filter(|run| run.end.is_none() && !self.is_cancelled(run))
                else {
                    return;
                };
                let reason = format!("a newer run of the concurrency group `{group}` took its place");
                let actor = if actor.is_empty() { run.meta.actor.as_str() } else { actor }.to_owned();
                self.events.push(Event::RunCancelled { run: id, actor, reason, at: self.now });
                if run.waits_for_group() {
                    self.end_waiting(key, run);
                } else {
                    self.cancel_run(run);
                }
            }
            Member::Instance(id) => {
                let Some(instance) = self.state.instance(id) else { return };
                let Some((run, job)) = self.job_of(instance) else { return };
                let nobody_has_it = !matches!(instance.phase, Phase::Leased { .. });
                self.stop_instance(instance, &reason);
                if nobody_has_it {
                    self.queue_next(job);
                    self.settle_job(run, instance.job, job);
                }
            }
            Member::Call(id, at) => {
                let Some(run) = self.state.run(id) else { return };
                self.end_superseded_call(run, at, &reason);
            }
        }
    }

    /// The end of a run that was cancelled while it waited for its group: none of its jobs begins, also not under
    /// `always()`.
    pub(in crate::decide) fn end_waiting(&mut self, key: &Key, run: &'s Run) {
        for position in in_order(run, 0..run.jobs.len() as u32) {
            let Some(job) = run.jobs.get(position as usize) else { continue };
            self.note_finished(run, position, job, JobResult::Cancelled, JobResult::Cancelled);
        }
        self.over.insert(run.id);
        let (run, result) = (run.id, JobResult::Cancelled);
        self.events.push(Event::RunFinished { run, result, cause: None, at: self.now });
        self.leave(key, Member::Run(run));
    }

    /// A member is in its group no more: who waits first holds it now.
    pub(super) fn leave(&mut self, key: &Key, member: Member) {
        let mut group = self.group(key);
        group.waiting.retain(|_, waiting| *waiting != member);
        let mut next = None;
        if group.holder == Some(member) {
            next = group.waiting.pop_first().map(|(_, next)| next);
            group.holder = next;
        }
        self.groups.insert(key.clone(), group);
        if let Some(next) = next {
            self.admit(key, next);
        }
    }

    /// A member holds its group: it begins.
    fn admit(&mut self, key: &Key, member: Member) {
        let at = self.now;
        match member {
            Member::Instance(instance) => self.events.push(match key.kind {
                Kind::Concurrency => Event::InstanceAdmitted { instance, at },
                Kind::Turns => Event::TurnTaken { instance, at },
            }),
            Member::Call(run, at) => {
                if let Some(run) = self.state.run(run) {
                    self.begin_call(run, at);
                }
            }
            Member::Run(run) => {
                let ready: Vec<JobId> = match self.state.run(run) {
                    Some(run) => run.startable().map(|job| job.id().clone()).collect(),
                    // It is being submitted.
                    None => self.newcomer.take().map(|(_, ready)| ready).unwrap_or_default(),
                };
                self.events.push(Event::GroupAcquired { run, at: self.now });
                self.events.extend(ready.into_iter().map(|job| Event::JobReady { run, job }));
            }
        }
    }
}
