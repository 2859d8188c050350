//! The facts that the scheduler decides. The journal keeps them as JSON, so a field once written keeps its name and
//! meaning for good; new fields have a default.
//!
//! Each event is small and complete: [`crate::State::apply`] needs nothing but the state and the event.

use serde::{Deserialize, Serialize};
use slipway_cas::Digest;

use crate::command::{
    CallDefinition, CarriedJob, Concurrency, InstanceDefinition, JobDefinition, LeaseRef, RunMeta, Standing,
};
use crate::ids::{AgentId, FencingToken, InstanceId, JobId, RunId};
use crate::limits::LEASE_MS;
use crate::outcome::{CancelReason, FleetCause, GateVerdict, JobResult, Outcome};
use crate::time::Timestamp;

/// A fact. What a driver does about each once it is durable stands at the variant.
#[derive(Debug, Clone, PartialEq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A leader began. Effect: every open lease counts as renewed now.
    EpochBegan {
        /// Greater than every one before.
        epoch: u64,
        /// When.
        at: Timestamp,
    },
    /// A run was accepted. Effect: answer whoever submitted it.
    RunSubmitted {
        /// The run.
        run: RunId,
        /// When.
        at: Timestamp,
        /// What it is about.
        meta: Box<RunMeta>,
        /// The workflow file.
        workflow: Digest,
        /// The event's payload.
        event: Digest,
        /// Inputs, variables and source.
        context: Digest,
        /// The jobs in file order.
        jobs: Vec<JobDefinition>,
        /// The delivery's name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        idempotency_key: Option<String>,
        /// The workflow's `concurrency`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        concurrency: Option<Concurrency>,
        /// Whether another run holds its group: nothing of it begins before [`Event::GroupAcquired`].
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        waits: bool,
        /// Whether somebody has to let it in before it is in its group: until [`Event::RunReleased`] it takes nobody's place there.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        held: bool,
        /// Jobs that are finished from the beginning.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        carried: Vec<CarriedJob>,
        /// Where it stands beside other runs.
        #[serde(default, skip_serializing_if = "Standing::is_default")]
        standing: Standing,
    },
    /// A run that was held enters its concurrency group. Unless it waits there, it holds the group from now on, and [`Event::JobReady`]
    /// follows. Effect: tell who follows the run.
    RunReleased {
        /// The run.
        run: RunId,
        /// Whether another one holds the group.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        waits: bool,
        /// When.
        at: Timestamp,
    },
    /// A run that waited holds its concurrency group from now on. [`Event::JobReady`] follows. Effect: tell who follows
    /// the run.
    GroupAcquired {
        /// The run.
        run: RunId,
        /// When.
        at: Timestamp,
    },
    /// A job became calls of a reusable workflow; their jobs belong to the run from now on. Of the first `max_parallel` calls
    /// (all, without) those without a concurrency group begin: [`Event::JobReady`] follows for their jobs without needs, or
    /// [`Event::CallDone`]. Effect: tell who follows the run.
    JobCalled {
        /// The run.
        run: RunId,
        /// The calling job.
        job: JobId,
        /// In the matrix' order.
        calls: Vec<CallDefinition>,
        /// Whether the first failure cancels the others.
        fail_fast: bool,
        /// How many may be at work at a time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_parallel: Option<u32>,
        /// When.
        at: Timestamp,
    },
    /// A call that `max-parallel` held back is about to enter its concurrency group.
    CallQueued {
        /// The run.
        run: RunId,
        /// The calling job.
        job: JobId,
        /// Which of its calls, from 0.
        call: u32,
        /// When.
        at: Timestamp,
    },
    /// A call waits for its concurrency group, which another one holds.
    CallBlocked {
        /// The run.
        run: RunId,
        /// The calling job.
        job: JobId,
        /// Which of its calls, from 0.
        call: u32,
        /// When.
        at: Timestamp,
    },
    /// A call that `max-parallel` or its concurrency group held back begins. [`Event::JobReady`] follows, or
    /// [`Event::CallDone`].
    CallBegan {
        /// The run.
        run: RunId,
        /// The calling job.
        job: JobId,
        /// Which of its calls, from 0.
        call: u32,
        /// When.
        at: Timestamp,
    },
    /// A call is to stop: another one of its job failed, or a newer one of its concurrency group began. Its jobs are planned
    /// as those of a cancelled run; [`Event::CancelRequested`], [`Event::InstanceFinished`] and [`Event::JobReady`] follow.
    CallCancelled {
        /// The run.
        run: RunId,
        /// The calling job.
        job: JobId,
        /// Which of its calls, from 0.
        call: u32,
        /// Why.
        reason: CancelReason,
        /// When.
        at: Timestamp,
    },
    /// All jobs of a call are done. Effect: evaluate its outputs, and answer with [`crate::Command::FinishCall`].
    CallDone {
        /// The run.
        run: RunId,
        /// The calling job.
        job: JobId,
        /// Which of its calls, from 0.
        call: u32,
        /// What its jobs' results make.
        result: JobResult,
    },
    /// A call has its result, for good. [`Event::JobFinished`] of the calling job follows the last. Effect: tell who follows
    /// the run.
    CallFinished {
        /// The run.
        run: RunId,
        /// The calling job.
        job: JobId,
        /// Which of its calls, from 0.
        call: u32,
        /// Its result.
        result: JobResult,
        /// Its outputs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outputs: Option<Digest>,
        /// Why it failed, where its outputs can't be evaluated.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// A job's needs are done, or its run was cancelled while it was being planned. Effect: plan it (again) and answer
    /// with [`crate::Command::ResolveJob`].
    JobReady {
        /// The run.
        run: RunId,
        /// The job.
        job: JobId,
    },
    /// A job's condition is false. [`Event::JobFinished`] follows.
    JobSkipped {
        /// The run.
        run: RunId,
        /// The job.
        job: JobId,
        /// Why, for people.
        reason: String,
    },
    /// A job could not be evaluated. [`Event::JobFinished`] follows.
    JobInvalid {
        /// The run.
        run: RunId,
        /// The job.
        job: JobId,
        /// Where and what, for people.
        message: String,
    },
    /// A job became instances; the first `max_parallel` of them (all, without) wait for an agent from now on, for what their
    /// environment asks, or are about to enter their concurrency group.
    /// Effect: look for agents.
    JobExpanded {
        /// The run.
        run: RunId,
        /// The job.
        job: JobId,
        /// In the matrix' order.
        instances: Vec<InstanceDefinition>,
        /// Whether the first failure cancels the others.
        fail_fast: bool,
        /// How many may wait or run at a time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_parallel: Option<u32>,
        /// When.
        at: Timestamp,
    },
    /// An instance that `max-parallel` held back waits for an agent from now on, for what its environment asks, or for its
    /// concurrency group. Effect: look for agents.
    InstanceQueued {
        /// The instance.
        instance: InstanceId,
        /// When.
        at: Timestamp,
    },
    /// An instance waits for its concurrency group, which another one holds.
    InstanceBlocked {
        /// The instance.
        instance: InstanceId,
        /// When.
        at: Timestamp,
    },
    /// An instance holds its concurrency group; it waits for an agent from now on, or is about to ask for its turn at its environment.
    /// Effect: look for agents.
    InstanceAdmitted {
        /// The instance.
        instance: InstanceId,
        /// When.
        at: Timestamp,
    },
    /// An instance waits for its turn at its environment, which another one has.
    TurnAwaited {
        /// The instance.
        instance: InstanceId,
        /// When.
        at: Timestamp,
    },
    /// It is an instance's turn at its environment, and it waits for an agent from now on. Effect: look for agents.
    TurnTaken {
        /// The instance.
        instance: InstanceId,
        /// When.
        at: Timestamp,
    },
    /// What an environment asks of an instance was decided. [`Event::GateOpened`] follows an approval, unless the wait timer
    /// goes on; [`Event::InstanceFinished`] follows anything else. Effect: tell who follows the run.
    GateDecided {
        /// The instance.
        instance: InstanceId,
        /// What.
        verdict: GateVerdict,
        /// Who; empty: time.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        actor: String,
        /// Why, for people.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        comment: String,
        /// When.
        at: Timestamp,
    },
    /// All that an environment asked of an instance is so: it waits for an agent from now on, or is about to enter its
    /// concurrency group. Effect: look for agents.
    GateOpened {
        /// The instance.
        instance: InstanceId,
        /// When.
        at: Timestamp,
    },
    /// An agent may execute an attempt. Effect: send it the assignment.
    Leased {
        /// The instance.
        instance: InstanceId,
        /// The attempt, from 1.
        attempt: u32,
        /// To whom.
        agent: AgentId,
        /// The lease's token.
        token: FencingToken,
        /// Its full time, in milliseconds.
        #[serde(default = "lease_ms", skip_serializing_if = "is_lease_ms")]
        lease_ms: u64,
        /// When.
        at: Timestamp,
    },
    /// A lease's full time became longer. Effect: promise it to the agent.
    LeaseExtended {
        /// The lease.
        #[serde(flatten)]
        lease: LeaseRef,
        /// Its full time, in milliseconds.
        lease_ms: u64,
    },
    /// A strict job begins its first step: it does not start again after a fleet failure. Effect: let the agent go on.
    StepBegan {
        /// The lease.
        #[serde(flatten)]
        lease: LeaseRef,
    },
    /// A leased instance is to stop. Effect: tell its agent. It stays leased until the agent reports.
    CancelRequested {
        /// The lease.
        #[serde(flatten)]
        lease: LeaseRef,
        /// Why.
        reason: CancelReason,
        /// When.
        at: Timestamp,
    },
    /// An agent did not take a lease: its attempt never was, and the next one has its number.
    /// [`Event::RetryScheduled`] follows, or [`Event::InstanceFinished`] if somebody cancelled it meanwhile. Effect: look for
    /// another agent.
    LeaseDeclined {
        /// The lease.
        #[serde(flatten)]
        lease: LeaseRef,
        /// When.
        at: Timestamp,
    },
    /// An attempt ended and its lease with it. Effect: `reported`: acknowledge the report; else tell the agent to stop
    /// it. Either way a slot is free: look for work.
    AttemptFinished {
        /// The lease.
        #[serde(flatten)]
        lease: LeaseRef,
        /// How.
        outcome: Outcome,
        /// How many log records it has; 0 when nobody reported.
        records: u64,
        /// Digest of their bytes; none when nobody reported one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        records_digest: Option<Digest>,
        /// Whether the agent said so (else the coordinator decided it).
        reported: bool,
        /// When.
        at: Timestamp,
    },
    /// A new attempt will be made. Effect: look for agents from `not_before` on.
    RetryScheduled {
        /// The instance.
        instance: InstanceId,
        /// The new attempt's number; that of the last one, if its agent declined it.
        attempt: u32,
        /// The end of the back-off.
        not_before: Timestamp,
        /// The agent on which the last one failed, or that declined it: others come first.
        avoid: AgentId,
    },
    /// An instance has its result, for good. Effect: tell who follows the run.
    InstanceFinished {
        /// The instance.
        instance: InstanceId,
        /// Its own result: a failure under `continue-on-error` is one here.
        result: JobResult,
        /// Its outputs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outputs: Option<Digest>,
        /// What of the fleet failed, where that is why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<FleetCause>,
        /// When.
        at: Timestamp,
    },
    /// All of a job is done. Effect: tell who follows the run.
    JobFinished {
        /// The run.
        run: RunId,
        /// The job.
        job: JobId,
        /// What `needs.<job>.result` says: `continue-on-error` counts as success.
        result: JobResult,
        /// What people see: a failure under `continue-on-error` is one here.
        conclusion: JobResult,
        /// When.
        at: Timestamp,
    },
    /// Somebody cancelled a run. [`Event::CancelRequested`] and [`Event::InstanceFinished`] follow.
    RunCancelled {
        /// The run.
        run: RunId,
        /// Who.
        actor: String,
        /// Why, for people.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// All of a run is done. Effect: tell who follows it; retire the oldest finished runs.
    RunFinished {
        /// The run.
        run: RunId,
        /// Its result.
        result: JobResult,
        /// What of the fleet failed, where that is why (the first such cause in the jobs' order).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<FleetCause>,
        /// When.
        at: Timestamp,
    },
    /// A finished run left the state. The journal and its projections still know it.
    RunRetired {
        /// The run.
        run: RunId,
    },
}

/// What leases had for their full time before it could be chosen.
const fn lease_ms() -> u64 {
    LEASE_MS
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde gives a reference.
const fn is_lease_ms(time_ms: &u64) -> bool {
    *time_ms == LEASE_MS
}
