//! Events of one instance.

use slipway_cas::Digest;

use crate::command::LeaseRef;
use crate::ids::{AgentId, InstanceId};
use crate::state::{Attempt, AttemptEnd, Backoff, Job, Phase, Review, State};
use crate::time::Timestamp;

impl State {
    pub(super) fn queue(&mut self, id: InstanceId, at: Timestamp) {
        if let Some(job) = self.job_mut(id) {
            let position = job.instances.iter().position(|instance| *instance == id);
            if let Some(position) = position {
                job.held.remove(&(position as u32));
            }
        }
        self.enter(id, at);
    }

    /// Lets an instance wait for what its environment asks, if it asks for anything, else for what comes after that.
    pub(super) fn enter(&mut self, id: InstanceId, at: Timestamp) {
        if self.instances.get(&id).is_none_or(|instance| instance.gate().is_none()) {
            return self.pass_gate(id, at);
        }
        self.set_phase(id, Phase::Gated { since: at });
    }

    /// Notes what was decided about a gate.
    pub(super) fn review(&mut self, id: InstanceId, review: Review) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        if let Some(due) = instance.gate_due() {
            self.gates.remove(&(due, id));
        }
        instance.review = Some(review);
        self.gates.extend(instance.gate_due().map(|due| (due, id)));
    }

    /// Lets an instance wait for its concurrency group, if it has one, else for what comes after that.
    pub(super) fn pass_gate(&mut self, id: InstanceId, at: Timestamp) {
        if self.instances.get(&id).is_none_or(|instance| instance.definition.concurrency.is_none()) {
            return self.pass_group(id, at);
        }
        self.set_phase(id, Phase::Blocked { order: None });
    }

    /// Lets an instance wait for its concurrency group, behind all others.
    pub(super) fn block(&mut self, id: InstanceId) {
        let order = Some(self.next_order);
        self.next_order += 1;
        self.set_phase(id, Phase::Blocked { order });
    }

    /// Lets an instance wait for its turn at its environment, if it needs one, else for an agent.
    pub(super) fn pass_group(&mut self, id: InstanceId, at: Timestamp) {
        if self.instances.get(&id).is_none_or(|instance| instance.definition.turn.is_none()) {
            return self.wait(id, at);
        }
        self.set_phase(id, Phase::Turn { order: None });
    }

    /// Lets an instance wait for its turn, behind all others.
    pub(super) fn await_turn(&mut self, id: InstanceId) {
        let order = Some(self.next_order);
        self.next_order += 1;
        self.set_phase(id, Phase::Turn { order });
    }

    /// Lets an instance wait for its first attempt, behind all others.
    pub(super) fn wait(&mut self, id: InstanceId, at: Timestamp) {
        let order = self.next_order;
        if let Some(instance) = self.instances.get_mut(&id) {
            self.queues.remove(instance);
            instance.order = order;
            instance.since = at;
            self.next_order += 1;
        }
        self.set_phase(id, Phase::Waiting { backoff: None });
    }

    pub(super) fn lease(&mut self, id: InstanceId, attempt: Attempt, lease_ms: u64) {
        let token = attempt.token;
        self.note_token(token);
        if let Some(instance) = self.set_phase(id, Phase::Leased { token, lease_ms }) {
            // Nearly always the only one; a vector that grows by itself would make room for four.
            instance.attempts.reserve_exact(1);
            instance.attempts.push(attempt);
        }
    }

    pub(super) fn extend(&mut self, lease: LeaseRef, time_ms: u64) {
        if let Some(instance) = self.instances.get_mut(&lease.instance)
            && let Phase::Leased { lease_ms, .. } = &mut instance.phase
        {
            *lease_ms = time_ms;
        }
    }

    pub(super) fn begin_step(&mut self, lease: LeaseRef) {
        let instance = self.instances.get_mut(&lease.instance);
        if let Some(attempt) = instance.and_then(|instance| instance.attempts.last_mut()) {
            attempt.step_began = true;
        }
    }

    /// Ends the attempt and its lease; the next event of the same decision retries or finishes the instance.
    pub(super) fn finish_attempt(&mut self, lease: LeaseRef, end: AttemptEnd) {
        if let Some(instance) = self.set_phase(lease.instance, Phase::Settling)
            && let Some(attempt) = instance.attempts.last_mut()
        {
            attempt.end = Some(end);
        }
    }

    /// Forgets the attempt; the next event of the same decision says where the instance goes.
    pub(super) fn decline(&mut self, lease: LeaseRef) {
        if let Some(instance) = self.set_phase(lease.instance, Phase::Settling) {
            instance.attempts.pop();
        }
    }

    pub(super) fn retry(&mut self, id: InstanceId, not_before: Timestamp, avoid: AgentId) {
        self.set_phase(id, Phase::Waiting { backoff: Some(Backoff { not_before, avoid }) });
    }

    pub(super) fn finish_instance(&mut self, id: InstanceId, end: Phase, outputs: Option<Digest>) {
        if let Some(job) = self.job_mut(id) {
            let position = job.instances.iter().position(|instance| *instance == id);
            if let Some(position) = position {
                job.held.remove(&(position as u32));
            }
            job.open = job.open.saturating_sub(1);
            job.outputs.extend(outputs);
        }
        self.set_phase(id, end);
    }

    fn job_mut(&mut self, id: InstanceId) -> Option<&mut Job> {
        let instance = self.instances.get(&id)?;
        self.runs.get_mut(&instance.run)?.jobs.get_mut(instance.job as usize)
    }
}
