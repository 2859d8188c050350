//! Events of calls of reusable workflows.

use std::collections::BTreeMap;

use crate::command::{CallDefinition, CarriedJob};
use crate::event::Event;
use crate::ids::{JobId, RunId};
use crate::state::{Call, CallPhase, Parent, Run, Stage, State};
use crate::time::Timestamp;

use super::run::jobs_of;

impl State {
    pub(super) fn apply_call(&mut self, event: &Event) {
        match event {
            Event::JobCalled { run, job, calls, fail_fast, max_parallel, at } => {
                let Some((position, caller)) = self.find_job(*run, job) else { return };
                caller.stage = Stage::Expanded;
                caller.fail_fast = *fail_fast;
                caller.max_parallel = *max_parallel;
                caller.open = calls.len() as u32;
                let free = max_parallel.map_or(calls.len(), |limit| limit as usize);
                caller.held = (free..calls.len()).map(|at| at as u32).collect();
                for (definition, place) in calls.iter().zip(0..) {
                    let phase = if place as usize >= free {
                        CallPhase::Held
                    } else if definition.concurrency.is_some() {
                        CallPhase::Blocked { order: None }
                    } else {
                        CallPhase::Open
                    };
                    let parent = Parent { job: position, call: place };
                    if let Some(found) = self.runs.get_mut(run) {
                        found.add_call(parent, definition, phase, *at);
                    }
                    self.place_call(*run, parent);
                }
            }
            Event::CallQueued { run, job, call, .. } => {
                self.set_call(*run, job, *call, |call| call.phase = CallPhase::Blocked { order: None });
            }
            Event::CallBlocked { run, job, call, .. } => {
                let order = Some(self.next_order);
                self.next_order += 1;
                self.set_call(*run, job, *call, |call| call.phase = CallPhase::Blocked { order });
            }
            Event::CallBegan { run, job, call, .. } => {
                self.set_call(*run, job, *call, |call| {
                    call.phase = CallPhase::Open;
                    call.begun = true;
                });
            }
            Event::CallCancelled { run, job, call, .. } => {
                self.set_call(*run, job, *call, |call| call.cancelled = true);
            }
            Event::CallDone { run, job, call, result } => {
                self.set_call(*run, job, *call, |call| call.phase = CallPhase::Done { result: *result });
            }
            Event::CallFinished { run, job, call, result, outputs, message, at } => {
                self.set_call(*run, job, *call, |call| {
                    call.phase = CallPhase::Finished { result: *result, at: *at };
                    call.message.clone_from(message);
                });
                let Some((_, caller)) = self.find_job(*run, job) else { return };
                caller.open = caller.open.saturating_sub(1);
                // Of a matrix the last successful call counts that sets a value; a single one counts in any case.
                if caller.calls.len() == 1 || *result == crate::outcome::JobResult::Success {
                    caller.outputs.extend(*outputs);
                }
            }
            _ => {}
        }
    }

    /// Changes a call, and keeps what is derived in step.
    fn set_call(&mut self, run: RunId, job: &JobId, call: u32, change: impl FnOnce(&mut Call)) {
        let Some((position, caller)) = self.find_job(run, job) else { return };
        let Some(found) = caller.calls.get_mut(call as usize) else { return };
        change(found);
        if found.phase != CallPhase::Held {
            caller.held.remove(&call);
        }
        self.place_call(run, Parent { job: position, call });
    }

    /// Puts a call where it belongs among the concurrency groups.
    fn place_call(&mut self, run: RunId, at: Parent) {
        let Some(run) = self.runs.get(&run) else { return };
        let caller = run.jobs.get(at.job as usize);
        if let Some(call) = caller.and_then(|job| job.calls.get(at.call as usize)) {
            self.groups.update_call(run, at, call);
        }
    }
}

impl Run {
    /// Makes the jobs of a call jobs of the run; those that an earlier attempt did are finished.
    fn add_call(&mut self, parent: Parent, definition: &CallDefinition, phase: CallPhase, at: Timestamp) {
        let carried: BTreeMap<usize, CarriedJob> =
            self.carried_in(definition).into_iter().map(|(place, job)| (place, job.clone())).collect();
        let first = self.jobs.len() as u32;
        let (mut jobs, _) = jobs_of(&definition.jobs);
        let count = jobs.len() as u32;
        for (place, job) in jobs.iter_mut().enumerate() {
            job.id = job.id.below(&definition.id);
            job.parent = Some(parent);
            for position in job.needs.iter_mut().chain(&mut job.dependants) {
                *position += first;
            }
            if let Some(done) = carried.get(&place) {
                job.carry(done, at);
            }
            self.positions.insert(job.id.clone(), first + place as u32);
        }
        let open = count - carried.len() as u32;
        self.jobs.extend(jobs);
        self.open += open;
        let Some(caller) = self.jobs.get_mut(parent.job as usize) else { return };
        caller.calls.push(Call {
            id: definition.id.clone(),
            name: definition.name.clone(),
            context: definition.context,
            has_outputs: definition.has_outputs,
            concurrency: definition.concurrency.clone(),
            jobs: (first..first + count).collect(),
            open,
            phase,
            begun: phase == CallPhase::Open,
            cancelled: false,
            message: None,
        });
    }
}
