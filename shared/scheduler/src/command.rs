//! What can be asked of the scheduler. A command carries every new id; the time comes beside it.

use serde::{Deserialize, Serialize};
use slipway_cas::Digest;

use crate::ids::{AgentId, FencingToken, InstanceId, JobId, RunId};
use crate::label::LabelSet;
use crate::outcome::{FleetCause, JobResult, Outcome};

/// A request. [`crate::decide`] answers with events or a [`crate::Rejection`].
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// A new run.
    Submit(Box<Submit>),
    /// The planner's answer to [`crate::Event::JobReady`].
    ResolveJob(ResolveJob),
    /// The planner's answer to [`crate::Event::CallDone`].
    FinishCall(FinishCall),
    /// What is about to enter a concurrency group, or to ask for its turn, does so: [`crate::State::next_entry`] names it. To be decided right after
    /// the events that made it so.
    EnterGroup(Entrant),
    /// An agent has a free slot, and it is an instance's turn.
    Grant(Grant),
    /// An agent says how an attempt ended.
    Report(Report),
    /// A strict job is about to begin its first step.
    StepBegan(LeaseRef),
    /// A lease is over without a report.
    Expire(Expire),
    /// An agent does not take the lease that it was given: it is full or draining.
    Decline(LeaseRef),
    /// A lease's full time is to become longer.
    ExtendLease(ExtendLease),
    /// Somebody wants a run to stop.
    Cancel(Cancel),
    /// Somebody lets what waits for an environment go on, or not.
    DecideGates(DecideGates),
    /// A gate's time may have come: [`crate::State::next_gate`] says when.
    PassGate {
        /// The instance that waits behind it.
        instance: InstanceId,
    },
    /// The coordinator ends an attempt whose agent let its time limit pass.
    TimeOutInstance(LeaseRef),
    /// A new leader begins.
    TakeOver {
        /// Its epoch, greater than every one before.
        epoch: u64,
    },
    /// A finished run leaves the state.
    RetireRun {
        /// Which.
        run: RunId,
    },
}

/// What a run is about. Small: what is large is a blob.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RunMeta {
    /// `owner/name`.
    pub repository: String,
    /// Host name of the forge, `github.com`; `local` for a checkout of no forge.
    pub forge: String,
    /// Path of the workflow file in the repository.
    pub workflow_file: String,
    /// What people see as the workflow's name.
    pub workflow_name: String,
    /// `push`, `pull_request`, …
    pub event_name: String,
    /// The full ref.
    pub git_ref: String,
    /// The commit.
    pub sha: String,
    /// Who caused it.
    pub actor: String,
    /// What it may touch.
    pub trust: Trust,
    /// W3C trace context of whoever submitted it.
    pub traceparent: Option<String>,
    /// `github.run_number`, from 1. Attempts of one run share it.
    pub run_number: u64,
    /// `github.run_attempt`, from 1.
    #[serde(default = "first_attempt")]
    pub run_attempt: u64,
}

/// Runs of before attempts were counted were first ones.
const fn first_attempt() -> u64 {
    1
}

/// A job of an earlier attempt that is not run again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CarriedJob {
    /// Its id; one of a called workflow counts once its caller becomes calls again.
    pub id: JobId,
    /// What `needs.<job>.result` says of it.
    pub result: JobResult,
    /// Outputs of its instances, in the order in which these finished.
    pub outputs: Vec<Digest>,
    /// What the call that it belonged to was planned with: it is carried over only into an equal one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Digest>,
}

/// What a run may touch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Code of the repository itself.
    #[default]
    Trusted,
    /// Code from outside, such as a fork's pull request: only agents that accept it run it.
    Untrusted,
}

/// A job of a submitted run, before its condition, matrix and labels are known.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JobDefinition {
    /// Its id in the file.
    pub id: JobId,
    /// The jobs it waits for.
    pub needs: Vec<JobId>,
    /// Whether all its instances are strict, whatever their own mark says.
    pub strict: bool,
}

/// `concurrency`, evaluated: of the runs and jobs of one repository with one group, one is at work at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Concurrency {
    /// The group's name; case does not matter.
    pub group: String,
    /// Whether a new one cancels the one at work, and those that wait.
    #[serde(default)]
    pub cancel_in_progress: bool,
    /// How many may wait.
    #[serde(default)]
    pub queue: Queueing,
}

/// How many of a concurrency group may wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Queueing {
    /// One: a newer one takes the place of an older one.
    #[default]
    Single,
    /// As many as [`crate::limits::GROUP_WAITING_MAX`]; beyond that a newer one takes the place of the oldest.
    Max,
}

/// [`Command::Submit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submit {
    /// The new run's id.
    pub run: RunId,
    /// What it is about.
    pub meta: RunMeta,
    /// The workflow file.
    pub workflow: Digest,
    /// The event's payload.
    pub event: Digest,
    /// Inputs, variables and the source, as the planner wants them.
    pub context: Digest,
    /// The workflow's jobs, in file order.
    pub jobs: Vec<JobDefinition>,
    /// Names the delivery (such as `X-GitHub-Delivery`, with the workflow's path): the second command with it does nothing.
    pub idempotency_key: Option<String>,
    /// The workflow's `concurrency`.
    pub concurrency: Option<Concurrency>,
    /// Whether it stays out of its concurrency group until [`Entrant::Run`] lets it in. Without a group it means nothing.
    pub held: bool,
    /// Jobs that count as finished from the beginning; all that each needs must be among them.
    pub carried: Vec<CarriedJob>,
    /// Where it stands beside other runs.
    pub standing: Standing,
}

/// Where a run stands beside others when agents are scarce. Part of the journal, so that replay needs no configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// The share that it belongs to; `None`: that of its repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<String>,
    /// How many leases the share gets in its turn: 1 to [`crate::limits::WEIGHT_MAX`].
    pub weight: u32,
    /// From [`crate::limits::PRIORITY_MIN`] to [`crate::limits::PRIORITY_MAX`]; the greater goes first.
    pub priority: i8,
}

impl Default for Standing {
    fn default() -> Self {
        Self { share: None, weight: 1, priority: 0 }
    }
}

impl Standing {
    /// Whether nothing was said: the journal leaves it out then.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// [`Command::ResolveJob`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolveJob {
    /// The run.
    pub run: RunId,
    /// The job, which is ready.
    pub job: JobId,
    /// Whether the planner evaluated the job as one of a cancelled run. A resolution that saw another value than now
    /// holds is refused: the planner has been asked again.
    pub cancelled: bool,
    /// What the planner found.
    pub resolution: Resolution,
}

/// What a job is, once its needs are done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// Its condition is false.
    Skip {
        /// Why, for people.
        reason: String,
    },
    /// It becomes these instances.
    Instances(Expansion),
    /// It becomes these calls of a reusable workflow.
    Calls(CallExpansion),
    /// It can't be evaluated: the job fails with this message.
    Invalid {
        /// Where and what, for people.
        message: String,
    },
}

/// The instances of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expansion {
    /// At least one, in the matrix' order.
    pub instances: Vec<InstanceDefinition>,
    /// Whether the first failure cancels the others.
    pub fail_fast: bool,
    /// How many may wait or run at a time; `None`: all.
    pub max_parallel: Option<u32>,
}

/// One instance of a job.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InstanceDefinition {
    /// Its new id.
    pub id: InstanceId,
    /// `strategy.job-index`, from 0.
    pub index: u32,
    /// What people see.
    pub name: String,
    /// What its agent must offer; at least one.
    pub labels: LabelSet,
    /// Whether its attempts may never overlap, nor start again after a step began.
    pub strict: bool,
    /// Whether its author allowed a strict job to start again after a step began.
    #[serde(default)]
    pub restart_allowed: bool,
    /// Its time limit, in milliseconds.
    pub timeout_ms: u64,
    /// Whether its failure counts as success for its run and the jobs that need it.
    pub continue_on_error: bool,
    /// The job specification for the agent.
    pub spec: Digest,
    /// The job's `concurrency`: it waits for an agent only once it holds the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// What its environment asks for before anything else: it enters its concurrency group, and waits for an agent, only then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Box<Gate>>,
    /// Its environment, where that lets one deployment at a time in: it waits for an agent only when it is its turn, and has that until it
    /// ends. Comes after everything else, so that whoever has the turn waits for nothing but an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<Box<str>>,
    /// The environment that it deploys to, of which a forge is told. The scheduler only keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploys_to: Option<Box<str>>,
}

/// The rules of an environment that hold a job back. Part of the journal, so that replay needs no configuration, and a
/// changed configuration counts for jobs that are planned after it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Gate {
    /// The environment's name; case does not matter.
    pub environment: String,
    /// Whether somebody has to approve.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approval: bool,
    /// Who may, without regard to case; empty: everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviewers: Vec<String>,
    /// Who may not, although a reviewer: whoever asked for the run, where nobody may review what is their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub barred: Vec<String>,
    /// The wait timer, in milliseconds, from when the job began to wait; it runs while people think.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub wait_ms: u64,
    /// How long it waits for somebody to decide before it fails, in milliseconds.
    pub expires_ms: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde gives a reference.
const fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// The calls that a job becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallExpansion {
    /// At least one, in the matrix' order.
    pub calls: Vec<CallDefinition>,
    /// Whether the first failure cancels the others.
    pub fail_fast: bool,
    /// How many may be at work at a time; `None`: all.
    pub max_parallel: Option<u32>,
}

/// One call of a reusable workflow.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CallDefinition {
    /// Its id in the run: the calling job's, with `#` and a number behind it where the job has a matrix. The ids of its jobs
    /// are it, `/` and their ids in the called file.
    pub id: JobId,
    /// What people see.
    pub name: String,
    /// What its jobs are planned with, as a blob.
    pub context: Digest,
    /// Whether it has outputs, which the planner is asked for.
    pub has_outputs: bool,
    /// Its jobs in the called file's order; ids and needs are those of that file.
    pub jobs: Vec<JobDefinition>,
    /// The calling job's `concurrency`: nothing of it begins before it holds the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
}

/// [`Command::FinishCall`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishCall {
    /// The run.
    pub run: RunId,
    /// The calling job.
    pub job: JobId,
    /// Which of its calls.
    pub call: u32,
    /// The call's outputs, or why they can't be evaluated: then it fails.
    pub outputs: Result<Option<Digest>, String>,
}

/// Who is about to enter a concurrency group, or to ask for its turn at an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entrant {
    /// A run that was held: whoever held it says when, [`crate::State::next_entry`] never does.
    Run(RunId),
    /// An instance.
    Instance(InstanceId),
    /// A call of a reusable workflow.
    Call {
        /// Its run.
        run: RunId,
        /// The calling job.
        job: JobId,
        /// Which of its calls, from 0.
        call: u32,
    },
}

/// What a grant needs to know of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentView {
    /// The agent.
    pub id: AgentId,
    /// What it offers.
    pub labels: LabelSet,
    /// Whether it runs untrusted runs too.
    pub accepts_untrusted: bool,
}

/// [`Command::Grant`]. [`crate::Fleet::next_grant`] knows whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// To whom.
    pub agent: AgentView,
    /// What: it waits, its back-off is over, and the agent has all that it asks for.
    pub instance: InstanceId,
}

/// Names one lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LeaseRef {
    /// The instance.
    pub instance: InstanceId,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The lease's token.
    pub token: FencingToken,
}

/// [`Command::Report`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The lease under which it is said.
    pub lease: LeaseRef,
    /// How the attempt ended.
    pub outcome: Outcome,
    /// How many log records the attempt has; all are durable by now.
    pub records: u64,
    /// Digest of their bytes, if the agent counted it; it was compared with what is durable.
    pub records_digest: Option<Digest>,
}

/// [`Command::Expire`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expire {
    /// The lease.
    pub lease: LeaseRef,
    /// [`FleetCause::AgentLost`] or [`FleetCause::LeaseExpired`], as a rule.
    pub cause: FleetCause,
}

/// [`Command::ExtendLease`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtendLease {
    /// The lease.
    pub lease: LeaseRef,
    /// Its new full time in milliseconds: longer than now, at most [`crate::limits::LEASE_MS_MAX`].
    pub lease_ms: u64,
}

/// [`Command::Cancel`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancel {
    /// The run.
    pub run: RunId,
    /// Who wants it.
    pub actor: String,
    /// Why, for people.
    pub reason: String,
}

/// [`Command::DecideGates`]: all of the run's instances that wait for approval of the environment now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecideGates {
    /// The run.
    pub run: RunId,
    /// The environment, without regard to case.
    pub environment: String,
    /// Whether they go on; else they fail.
    pub approve: bool,
    /// Who says so.
    pub actor: String,
    /// Why, for people; may be empty.
    pub comment: String,
}
