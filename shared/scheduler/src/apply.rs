//! `apply`: what each event changes. It decides nothing and cannot fail: an event that does not fit (none that
//! [`crate::decide`] made from this state is such) changes nothing.

mod attempt;
mod call;
mod run;

use crate::event::Event;
use crate::ids::{FencingToken, InstanceId};
use crate::outcome::CancelReason;
use crate::state::{Attempt, AttemptEnd, Instance, Phase, Review, State};

impl State {
    /// Makes the event part of the state.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::EpochBegan { epoch, .. } => self.epoch = *epoch,
            Event::RunSubmitted { .. }
            | Event::RunReleased { .. }
            | Event::GroupAcquired { .. }
            | Event::RunCancelled { .. }
            | Event::RunFinished { .. } => self.apply_run(event),
            Event::RunRetired { run } => self.retire(*run),
            Event::JobReady { .. }
            | Event::JobSkipped { .. }
            | Event::JobInvalid { .. }
            | Event::JobExpanded { .. }
            | Event::JobFinished { .. } => self.apply_job(event),
            Event::JobCalled { .. }
            | Event::CallQueued { .. }
            | Event::CallBlocked { .. }
            | Event::CallBegan { .. }
            | Event::CallCancelled { .. }
            | Event::CallDone { .. }
            | Event::CallFinished { .. } => self.apply_call(event),
            Event::InstanceQueued { instance, at } => self.queue(*instance, *at),
            Event::InstanceBlocked { instance, .. } => self.block(*instance),
            Event::InstanceAdmitted { instance, at } => self.pass_group(*instance, *at),
            Event::TurnAwaited { instance, .. } => self.await_turn(*instance),
            Event::TurnTaken { instance, at } => self.wait(*instance, *at),
            Event::GateDecided { instance, verdict, actor, comment, at } => {
                let (actor, comment) = (actor.clone(), comment.clone());
                self.review(*instance, Review { verdict: *verdict, actor, comment, at: *at });
            }
            Event::GateOpened { instance, at } => self.pass_gate(*instance, *at),
            Event::Leased { instance, attempt, agent, token, lease_ms, at } => {
                let attempt = Attempt::begun(*attempt, *agent, *token, *at);
                self.lease(*instance, attempt, *lease_ms);
            }
            Event::LeaseExtended { lease, lease_ms } => self.extend(*lease, *lease_ms),
            Event::StepBegan { lease } => self.begin_step(*lease),
            Event::CancelRequested { lease, reason, .. } => self.request_cancel(lease.instance, reason),
            Event::LeaseDeclined { lease, .. } => self.decline(*lease),
            Event::AttemptFinished { lease, outcome, records, records_digest, reported, at } => {
                let (outcome, records, records_digest) = (*outcome, *records, *records_digest);
                let end = AttemptEnd { outcome, records, records_digest, reported: *reported, at: *at };
                self.finish_attempt(*lease, end);
            }
            Event::RetryScheduled { instance, not_before, avoid, .. } => {
                self.retry(*instance, *not_before, *avoid)
            }
            Event::InstanceFinished { instance, result, outputs, cause, at } => {
                let end = Phase::Finished { result: *result, outputs: *outputs, cause: *cause, at: *at };
                self.finish_instance(*instance, end, *outputs);
            }
        }
    }

    /// Puts an instance into another phase and keeps what is derived from phases in step.
    fn set_phase(&mut self, id: InstanceId, phase: Phase) -> Option<&mut Instance> {
        let instance = self.instances.get_mut(&id)?;
        self.queues.remove(instance);
        if matches!(instance.phase, Phase::Leased { .. }) {
            self.leased.remove(&id);
        }
        if let Some(due) = instance.gate_due() {
            self.gates.remove(&(due, id));
        }
        instance.phase = phase;
        self.queues.insert(instance);
        self.gates.extend(instance.gate_due().map(|due| (due, id)));
        if matches!(instance.phase, Phase::Leased { .. }) {
            self.leased.insert(id);
        }
        if (instance.definition.concurrency.is_some() || instance.definition.turn.is_some())
            && let Some(run) = self.runs.get(&instance.run)
        {
            self.groups.update_instance(run, instance);
        }
        Some(instance)
    }

    fn request_cancel(&mut self, id: InstanceId, reason: &CancelReason) {
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.cancel = Some(reason.clone());
        }
    }

    fn note_token(&mut self, token: FencingToken) {
        self.last_token = self.last_token.max(Some(token));
    }
}
