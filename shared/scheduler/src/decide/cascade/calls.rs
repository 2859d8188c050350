//! Calls of reusable workflows: how they begin, are cancelled, and end.

use std::collections::BTreeSet;

use slipway_cas::Digest;

use crate::event::Event;
use crate::outcome::{CancelReason, JobResult};
use crate::policy;
use crate::state::group::Member;
use crate::state::{Call, CallPhase, Job, Parent, Run};

use super::Cascade;

/// What this decision did with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    /// It is held back no more, and about to enter its group.
    Queued,
    /// It begins.
    Begun,
    /// Its outputs are asked for.
    Done,
    /// It has its result.
    Ended(JobResult),
}

impl<'s> Cascade<'s> {
    fn call(run: &'s Run, at: Parent) -> Option<(&'s Job, &'s Call)> {
        let job = run.jobs.get(at.job as usize)?;
        Some((job, job.calls.get(at.call as usize)?))
    }

    fn moved(&self, run: &Run, at: Parent) -> Option<Moved> {
        self.calls.get(&(run.id, at)).copied()
    }

    /// Where a call is, after what was decided so far.
    fn is_open(&self, run: &Run, at: Parent, call: &Call) -> bool {
        match self.moved(run, at) {
            Some(moved) => moved == Moved::Begun,
            None => call.phase == CallPhase::Open,
        }
    }

    /// A call that was held back begins: its jobs without needs are ready.
    pub(super) fn begin_call(&mut self, run: &'s Run, at: Parent) {
        let Some((caller, call)) = Self::call(run, at) else { return };
        self.calls.insert((run.id, at), Moved::Begun);
        let (id, job) = (run.id, caller.id.clone());
        self.events.push(Event::CallBegan { run: id, job: job.clone(), call: at.call, at: self.now });
        for ready in
            run.jobs_of(call).filter(|job| !job.is_finished() && run.needs(job).all(Job::is_finished))
        {
            self.events.push(Event::JobReady { run: id, job: ready.id.clone() });
        }
        if call.open == 0 {
            // An earlier attempt did all of it.
            self.calls.insert((run.id, at), Moved::Done);
            let result = self.result_of(run, call);
            self.events.push(Event::CallDone { run: id, job, call: at.call, result });
        }
    }

    /// Looks whether all jobs of a call are done.
    pub(super) fn settle_call(&mut self, run: &'s Run, at: Parent) {
        let Some((caller, call)) = Self::call(run, at) else { return };
        let done = call.jobs.iter().filter(|&&job| self.finished.contains_key(&(run.id, job))).count();
        if call.open as usize != done || !self.is_open(run, at, call) {
            return;
        }
        let result = self.result_of(run, call);
        if call.has_outputs {
            self.calls.insert((run.id, at), Moved::Done);
            let (run, job) = (run.id, caller.id.clone());
            self.events.push(Event::CallDone { run, job, call: at.call, result });
        } else {
            self.end_call(run, at, result, None, None);
        }
    }

    fn result_of(&self, run: &Run, call: &Call) -> JobResult {
        let results = call.jobs.iter().filter_map(|&at| {
            self.finished.get(&(run.id, at)).copied().or(run.jobs.get(at as usize)?.result())
        });
        policy::run_result(results, self.is_cancelled_for(run, call))
    }

    /// Whether the run, the call, or one around it is cancelled.
    fn is_cancelled_for(&self, run: &Run, call: &Call) -> bool {
        let mut job = call.jobs.first().and_then(|&at| run.jobs.get(at as usize));
        if job.is_some_and(|job| run.is_cancelled_for(job)) {
            return true;
        }
        while let Some(parent) = job.and_then(|job| job.parent) {
            if self.cancelled_calls.contains(&(run.id, parent)) {
                return true;
            }
            job = run.jobs.get(parent.job as usize);
        }
        self.is_cancelled(run)
    }

    /// A call has its result; so may have the calling job.
    pub(in crate::decide) fn end_call(
        &mut self,
        run: &'s Run,
        at: Parent,
        result: JobResult,
        outputs: Option<Digest>,
        message: Option<String>,
    ) {
        let Some((caller, call)) = Self::call(run, at) else { return };
        self.note_ended(run, at, caller, call, result, outputs, message);
        if caller.fail_fast && result == JobResult::Failure {
            let reason = CancelReason::CallFailed { by: call.id.clone() };
            self.cancel_calls(run, at.job, caller, true, &reason);
        } else {
            self.queue_next_call(run, at.job, caller);
        }
        self.settle_caller(run, at.job, caller);
    }

    #[allow(clippy::too_many_arguments)] // The event's own fields.
    fn note_ended(
        &mut self,
        run: &'s Run,
        at: Parent,
        caller: &Job,
        call: &Call,
        result: JobResult,
        outputs: Option<Digest>,
        message: Option<String>,
    ) {
        self.calls.insert((run.id, at), Moved::Ended(result));
        let (id, job) = (run.id, caller.id.clone());
        self.events.push(Event::CallFinished {
            run: id,
            job,
            call: at.call,
            result,
            outputs,
            message,
            at: self.now,
        });
        if let Some(concurrency) = &call.concurrency {
            self.leave(&run.key_of(concurrency), Member::Call(run.id, at));
        }
    }

    /// The next call that `max-parallel` held back.
    fn queue_next_call(&mut self, run: &'s Run, position: u32, caller: &'s Job) {
        let place = |call| Parent { job: position, call };
        let next = caller.held.iter().copied().find(|&call| self.moved(run, place(call)).is_none());
        let Some(at) = next.map(place) else { return };
        let Some((_, call)) = Self::call(run, at) else { return };
        if call.concurrency.is_some() {
            self.calls.insert((run.id, at), Moved::Queued);
            let (run, job) = (run.id, caller.id.clone());
            self.events.push(Event::CallQueued { run, job, call: at.call, at: self.now });
        } else {
            self.begin_call(run, at);
        }
    }

    fn settle_caller(&mut self, run: &'s Run, position: u32, caller: &'s Job) {
        if self.finished.contains_key(&(run.id, position)) {
            return;
        }
        let ended = |call: u32| match self.moved(run, Parent { job: position, call }) {
            Some(Moved::Ended(result)) => Some(result),
            _ => None,
        };
        let results: Option<Vec<JobResult>> =
            (0..).zip(&caller.calls).map(|(at, call)| ended(at).or(call.result())).collect();
        if let Some(results) = results {
            let result = policy::merge(results);
            self.finish_job(run, position, caller, result, result);
        }
    }

    /// Cancels all calls of a job that are not done. Those that have not begun end at once, first, so that none begins in
    /// another's place.
    pub(super) fn cancel_calls(
        &mut self,
        run: &'s Run,
        position: u32,
        caller: &'s Job,
        first: bool,
        reason: &CancelReason,
    ) {
        let places: Vec<Parent> =
            (0..caller.calls.len() as u32).map(|call| Parent { job: position, call }).collect();
        for at in &places {
            self.end_unbegun(run, *at);
        }
        for at in places {
            self.cancel_call(run, at, first, reason);
        }
        self.settle_caller(run, position, caller);
    }

    /// Cancels a call that is at work, unless it is being cancelled. One that has not begun is left alone.
    pub(super) fn cancel_call(&mut self, run: &'s Run, at: Parent, first: bool, reason: &CancelReason) {
        let Some((caller, call)) = Self::call(run, at) else { return };
        if !self.is_open(run, at, call) {
            return;
        }
        // A cancelled run says it for all its calls.
        let own = *reason != CancelReason::Run;
        let first = if own && !call.cancelled && self.cancelled_calls.insert((run.id, at)) {
            let (run, job, reason) = (run.id, caller.id.clone(), reason.clone());
            self.events.push(Event::CallCancelled { run, job, call: at.call, reason, at: self.now });
            true
        } else {
            first && !own
        };
        self.cancel_below(run, call, first, reason);
    }

    fn cancel_below(&mut self, run: &'s Run, call: &'s Call, first: bool, reason: &CancelReason) {
        for &position in &call.jobs {
            let Some(job) = run.jobs.get(position as usize) else { continue };
            if job.calls.is_empty() || self.finished.contains_key(&(run.id, position)) || job.is_finished() {
                self.cancel_jobs(run, std::iter::once(position), first, reason);
                continue;
            }
            // Calls further down: that they are cancelled follows from this one.
            let places: Vec<Parent> =
                (0..job.calls.len() as u32).map(|call| Parent { job: position, call }).collect();
            for at in &places {
                self.end_unbegun(run, *at);
            }
            for at in places {
                if let Some((_, inner)) = Self::call(run, at).filter(|(_, call)| self.is_open(run, at, call))
                {
                    self.cancel_below(run, inner, first, reason);
                }
            }
            self.settle_caller(run, position, job);
        }
    }

    /// Ends a call that has not begun, with all its jobs: none of them begins, also not under `always()`.
    pub(super) fn end_unbegun(&mut self, run: &'s Run, at: Parent) {
        let Some((caller, call)) = Self::call(run, at) else { return };
        let unbegun = match self.moved(run, at) {
            Some(moved) => moved == Moved::Queued,
            None => matches!(call.phase, CallPhase::Held | CallPhase::Blocked { .. }),
        };
        if !unbegun {
            return;
        }
        for position in in_order(run, call.jobs.iter().copied()) {
            let Some(job) = run.jobs.get(position as usize) else { continue };
            self.note_finished(run, position, job, JobResult::Cancelled, JobResult::Cancelled);
        }
        self.note_ended(run, at, caller, call, JobResult::Cancelled, None, None);
    }
}

/// The unfinished ones of these jobs, each after those that it needs.
pub(in crate::decide) fn in_order(run: &Run, positions: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut open: BTreeSet<u32> =
        positions.filter(|&at| run.jobs.get(at as usize).is_some_and(|job| !job.is_finished())).collect();
    let mut ordered = Vec::with_capacity(open.len());
    // Jobs form no cycle, so each round takes at least one.
    while !open.is_empty() {
        let free = |at: &&u32| {
            run.jobs.get(**at as usize).is_some_and(|job| !job.needs.iter().any(|need| open.contains(need)))
        };
        let next: Vec<u32> = open.iter().filter(free).copied().collect();
        if next.is_empty() {
            break;
        }
        for at in next {
            open.remove(&at);
            ordered.push(at);
        }
    }
    ordered
}

impl<'s> Cascade<'s> {
    /// Cancels a call for a newer member of its concurrency group.
    pub(super) fn end_superseded_call(&mut self, run: &'s Run, at: Parent, reason: &CancelReason) {
        let Some((caller, call)) = Self::call(run, at) else { return };
        if self.is_open(run, at, call) {
            return self.cancel_call(run, at, true, reason);
        }
        let before = self.events.len();
        self.end_unbegun(run, at);
        if self.events.len() > before {
            self.queue_next_call(run, at.job, caller);
            self.settle_caller(run, at.job, caller);
            self.settle_run(run);
        }
    }
}
