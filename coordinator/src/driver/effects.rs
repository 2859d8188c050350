//! What follows from each event once it is durable. Effects are functions of events and the state, nothing else, so
//! that a restart repeats those that may have been lost.

use slipway_cas::Digest;
use slipway_kit::telemetry;
use slipway_scheduler::command::{LeaseRef, RunMeta};
use slipway_scheduler::outcome::CancelReason;
use slipway_scheduler::state::{Call, CallPhase, Instance, Job, Lineage, Run, Stage};
use slipway_scheduler::{AgentId, Event, JobId, JobResult, RunId, State};

use super::message::{RunLease, ToAgent};
use crate::house::{House, RepositoryVariables};

/// A job that is to be planned, and all that its planning depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanRequest {
    /// The run.
    pub run: RunId,
    /// The job.
    pub job: JobId,
    /// Whether the run is cancelled.
    pub cancelled: bool,
    /// What the run is about.
    pub meta: RunMeta,
    /// The workflow file.
    pub workflow: Digest,
    /// The event's payload.
    pub event: Digest,
    /// Inputs, variables and source.
    pub context: Digest,
    /// What became of all ancestors.
    pub lineage: Lineage,
    /// The jobs that it needs, in its order; ids are those of its file.
    pub needs: Vec<PlanNeed>,
    /// Its id in its file.
    pub local: String,
    /// What the call that it belongs to was planned with.
    pub call: Option<Digest>,
    /// What is kept for jobs of its repository.
    pub variables: RepositoryVariables,
}

/// A call whose jobs are done and whose outputs are to be evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputsRequest {
    /// The run.
    pub run: RunId,
    /// The calling job.
    pub job: JobId,
    /// Which of its calls.
    pub place: u32,
    /// What the run is about.
    pub meta: RunMeta,
    /// The workflow file.
    pub workflow: Digest,
    /// The event's payload.
    pub event: Digest,
    /// Inputs, variables and source.
    pub context: Digest,
    /// What the call was planned with.
    pub call: Digest,
    /// Whether there are any outputs.
    pub has_outputs: bool,
    /// The call's jobs; ids are those of its file.
    pub jobs: Vec<PlanNeed>,
    /// What is kept for jobs of its repository.
    pub variables: RepositoryVariables,
}

/// Something for the planner.
#[derive(Debug, Clone, PartialEq)]
pub enum Planning {
    /// A job that is ready.
    Job(PlanRequest),
    /// A call that is done.
    Outputs(OutputsRequest),
}

impl Planning {
    /// The run that it is for.
    #[must_use]
    pub fn run(&self) -> RunId {
        match self {
            Self::Job(request) => request.run,
            Self::Outputs(request) => request.run,
        }
    }
}

/// A finished job that another one needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanNeed {
    /// Its id.
    pub job: JobId,
    /// What `needs.<job>.result` says.
    pub result: JobResult,
    /// Outputs of its instances, in the order in which these finished.
    pub outputs: Vec<Digest>,
}

/// A run that is over, or an attempt of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEnded {
    /// It has its result: its secrets go.
    Finished(RunId),
    /// It left the state: its records go.
    Retired(RunId),
    /// An attempt of it has ended: its records are sealed.
    Attempt(RunLease),
}

/// Something to do once the batch is durable.
#[derive(Debug, PartialEq)]
pub(super) enum Effect {
    /// A lease began: uploads under it are taken.
    LeaseBegan(RunLease, AgentId),
    /// A lease ended.
    LeaseEnded(LeaseRef),
    /// Tell an agent, if it has a session.
    Tell(AgentId, ToAgent),
    /// Plan a job.
    Plan(RunId, JobId),
    /// Evaluate the outputs of one of a job's calls.
    Outputs(RunId, JobId, u32),
    /// Whoever watches the run looks again.
    Changed(RunId),
    /// The run is over.
    Ended(RunEnded),
}

/// The plan request of a job, unless it is not ready (any more).
pub(super) fn plan_request(state: &State, house: &House, run: RunId, job: &JobId) -> Option<PlanRequest> {
    let run = state.run(run)?;
    let job = run.job(job.as_str()).filter(|job| job.stage() == Stage::Ready)?;
    let needs = run.needs(job).filter_map(|need| finished(run, need));
    Some(PlanRequest {
        run: run.id(),
        job: job.id().clone(),
        cancelled: run.is_cancelled_for(job),
        meta: run.meta().clone(),
        workflow: run.workflow(),
        event: run.event(),
        context: run.context(),
        lineage: job.lineage(),
        needs: needs.collect(),
        local: local_id(run, job),
        call: run.call_of(job).map(Call::context),
        variables: house.variables_for_run(run.meta()),
    })
}

/// A job's id in its own file.
fn local_id(run: &Run, job: &Job) -> String {
    let id = job.id().as_str();
    let below = run.call_of(job).and_then(|call| id.strip_prefix(call.id().as_str())?.strip_prefix('/'));
    below.unwrap_or(id).to_owned()
}

fn finished(run: &Run, job: &Job) -> Option<PlanNeed> {
    let id = JobId::from(local_id(run, job));
    Some(PlanNeed { job: id, result: job.result()?, outputs: job.outputs().to_vec() })
}

/// The request for the outputs of a call, unless it has them (any more).
pub(super) fn outputs_request(
    state: &State,
    house: &House,
    run: RunId,
    job: &JobId,
    place: u32,
) -> Option<OutputsRequest> {
    let run = state.run(run)?;
    let call = run.job(job.as_str())?.calls().get(place as usize)?;
    if !matches!(call.phase(), CallPhase::Done { .. }) {
        return None;
    }
    Some(OutputsRequest {
        run: run.id(),
        job: job.clone(),
        place,
        meta: run.meta().clone(),
        workflow: run.workflow(),
        event: run.event(),
        context: run.context(),
        call: call.context(),
        has_outputs: call.has_outputs(),
        jobs: run.jobs_of(call).filter_map(|job| finished(run, job)).collect(),
        variables: house.variables_for_run(run.meta()),
    })
}

/// The jobs of all runs that wait to be planned, and the calls that wait for their outputs.
pub(super) fn unplanned(state: &State) -> Vec<Effect> {
    let mut effects = Vec::new();
    for run in state.runs().filter(|run| run.end().is_none()) {
        for job in run.jobs() {
            if job.stage() == Stage::Ready {
                effects.push(Effect::Plan(run.id(), job.id().clone()));
            }
            let done =
                (0..).zip(job.calls()).filter(|(_, call)| matches!(call.phase(), CallPhase::Done { .. }));
            effects.extend(done.map(|(place, _)| Effect::Outputs(run.id(), job.id().clone(), place)));
        }
    }
    effects
}

/// A lease with its run.
pub(super) fn run_lease(state: &State, lease: LeaseRef) -> Option<RunLease> {
    Some(RunLease { run: state.instance(lease.instance)?.run(), lease })
}

/// The assignment of a live lease.
pub(super) fn assignment(state: &State, lease: LeaseRef) -> Option<ToAgent> {
    let instance = state.leased(&lease)?;
    let run = state.run(instance.run())?;
    Some(ToAgent::Assign {
        lease: RunLease { run: run.id(), lease },
        spec: instance.definition().spec,
        strict: instance.definition().strict,
        traceparent: lease_trace(run, instance, lease),
        lease_ms: instance.lease_ms()?,
    })
}

/// A span for the lease in the run's trace, and what continues it at the agent.
fn lease_trace(run: &Run, instance: &Instance, lease: LeaseRef) -> String {
    let agent = instance.lease().map(|(_, agent)| agent);
    let span = tracing::info_span!(
        "lease",
        run = %run.id(),
        job = instance.definition().name,
        instance = %lease.instance,
        attempt = lease.attempt,
        agent = agent.map(tracing::field::display),
    );
    let parent = run.meta().traceparent.as_deref().unwrap_or_default();
    telemetry::continue_trace(&span, parent);
    span.in_scope(|| telemetry::traceparent_or(parent)).unwrap_or_default()
}

/// The request to cancel of a live lease, if somebody wants it cancelled.
pub(super) fn cancellation(state: &State, lease: LeaseRef) -> Option<ToAgent> {
    let instance = state.leased(&lease)?;
    let reason = match instance.cancel()? {
        CancelReason::FailFast { .. } => "another job of the matrix failed (`fail-fast`)".to_owned(),
        CancelReason::CallFailed { by } => format!("the call `{by}` of the same matrix failed (`fail-fast`)"),
        CancelReason::Superseded { group } => {
            format!("a newer one of the concurrency group `{group}` took its place")
        }
        CancelReason::Run => {
            let cancelled = state.run(instance.run()).and_then(Run::cancelled);
            cancelled.map_or_else(String::new, |by| format!("cancelled by {}: {}", by.actor, by.reason))
        }
    };
    Some(ToAgent::Cancel { lease: run_lease(state, lease)?, reason })
}

/// The effects of an event that was just applied.
pub(super) fn of(state: &State, event: &Event, effects: &mut Vec<Effect>) {
    match event {
        Event::EpochBegan { .. } | Event::LeaseExtended { .. } | Event::StepBegan { .. } => {}
        Event::JobReady { run, job } => {
            effects.push(Effect::Plan(*run, job.clone()));
            effects.push(Effect::Changed(*run));
        }
        Event::CallDone { run, job, call, .. } => {
            effects.push(Effect::Outputs(*run, job.clone(), *call));
            effects.push(Effect::Changed(*run));
        }
        Event::JobCalled { run, .. }
        | Event::CallQueued { run, .. }
        | Event::CallBlocked { run, .. }
        | Event::CallBegan { run, .. }
        | Event::CallCancelled { run, .. }
        | Event::CallFinished { run, .. }
        | Event::RunSubmitted { run, .. }
        | Event::RunReleased { run, .. }
        | Event::GroupAcquired { run, .. }
        | Event::JobSkipped { run, .. }
        | Event::JobInvalid { run, .. }
        | Event::JobExpanded { run, .. }
        | Event::JobFinished { run, .. }
        | Event::RunCancelled { run, .. } => effects.push(Effect::Changed(*run)),
        Event::InstanceQueued { instance, .. }
        | Event::InstanceBlocked { instance, .. }
        | Event::InstanceAdmitted { instance, .. }
        | Event::TurnAwaited { instance, .. }
        | Event::TurnTaken { instance, .. }
        | Event::GateDecided { instance, .. }
        | Event::GateOpened { instance, .. }
        | Event::RetryScheduled { instance, .. }
        | Event::InstanceFinished { instance, .. } => {
            effects.extend(state.instance(*instance).map(|instance| Effect::Changed(instance.run())));
        }
        Event::Leased { instance, attempt, agent, token, .. } => {
            let lease = LeaseRef { instance: *instance, attempt: *attempt, token: *token };
            let Some(lease) = run_lease(state, lease) else { return };
            effects.push(Effect::LeaseBegan(lease, *agent));
            effects.extend(assignment(state, lease.lease).map(|assign| Effect::Tell(*agent, assign)));
            effects.push(Effect::Changed(lease.run));
        }
        Event::CancelRequested { lease, .. } => {
            let agent = state.leased(lease).and_then(|instance| Some(instance.lease()?.1));
            effects.extend(
                agent.zip(cancellation(state, *lease)).map(|(agent, cancel)| Effect::Tell(agent, cancel)),
            );
        }
        Event::LeaseDeclined { lease, .. } => {
            effects.push(Effect::LeaseEnded(*lease));
            effects.extend(run_lease(state, *lease).map(|lease| Effect::Changed(lease.run)));
        }
        Event::AttemptFinished { lease, reported, .. } => {
            effects.push(Effect::LeaseEnded(*lease));
            let Some(instance) = state.instance(lease.instance) else { return };
            let ended = instance.attempts().iter().find(|attempt| attempt.token == lease.token);
            if let (false, Some(attempt)) = (*reported, ended) {
                let lease = RunLease { run: instance.run(), lease: *lease };
                let reason = "the lease ended".to_owned();
                effects.push(Effect::Tell(attempt.agent, ToAgent::Stop { lease, reason }));
            }
            effects.push(Effect::Ended(RunEnded::Attempt(RunLease { run: instance.run(), lease: *lease })));
            effects.push(Effect::Changed(instance.run()));
        }
        Event::RunFinished { run, .. } => {
            effects.push(Effect::Ended(RunEnded::Finished(*run)));
            effects.push(Effect::Changed(*run));
        }
        Event::RunRetired { run } => effects.push(Effect::Ended(RunEnded::Retired(*run))),
    }
}
