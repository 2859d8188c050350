//! Why a command has no effect. Each kind says what its sender can do.

use crate::ids::{AgentId, FencingToken, InstanceId, JobId, RunId};

/// A command was refused; the state is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// This delivery was accepted before: answer with that run.
    #[error("this delivery already made run {run}")]
    Duplicate {
        /// The run that it made.
        run: RunId,
    },
    /// A new id is already in use. Make another.
    #[error("the id {id} is already in use")]
    IdInUse {
        /// The id.
        id: uuid::Uuid,
    },
    /// The submitted jobs make no workflow. The planner should have found it first.
    #[error("the run's jobs are not a workflow: {0}")]
    InvalidJobs(InvalidJobs),
    /// The instances of a resolution make no sense.
    #[error("the job `{job}` can't become these instances: {problem}")]
    InvalidInstances {
        /// The job.
        job: JobId,
        /// What is wrong.
        problem: &'static str,
    },
    /// A named limit ([`crate::limits`]) is reached.
    #[error("{what}: at most {limit}")]
    Limit {
        /// Of what there would be too many.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// There is no such run (any more).
    #[error("there is no run {run}")]
    UnknownRun {
        /// The id.
        run: RunId,
    },
    /// The run has no such job.
    #[error("run {run} has no job `{job}`")]
    UnknownJob {
        /// The run.
        run: RunId,
        /// The id.
        job: JobId,
    },
    /// There is no such instance (any more): its agent stops it.
    #[error("there is no instance {instance}")]
    UnknownInstance {
        /// The id.
        instance: InstanceId,
    },
    /// The instance does not wait for an agent, or not for this one yet.
    #[error("instance {instance} does not wait for an agent now")]
    NotWaiting {
        /// The instance.
        instance: InstanceId,
    },
    /// The agent lacks a label that the instance asks for, or takes no untrusted runs.
    #[error("agent {agent} does not fit instance {instance}")]
    DoesNotFit {
        /// The instance.
        instance: InstanceId,
        /// The agent.
        agent: AgentId,
    },
    /// Nothing of the run waits for approval of this environment, nor has any been decided.
    #[error("{}", no_gate(run, environment, waiting))]
    NoGate {
        /// The run.
        run: RunId,
        /// The environment that was named.
        environment: String,
        /// Those that something of the run waits for.
        waiting: Vec<String>,
    },
    /// What waited for this environment was decided before, or does not wait for anybody any more.
    #[error("nothing of run {run} waits for approval of `{environment}` any more: {how}")]
    GateDecided {
        /// The run.
        run: RunId,
        /// The environment.
        environment: String,
        /// What became of it, for people.
        how: String,
    },
    /// The environment names its reviewers, and this is none of them.
    #[error("`{actor}` may not review `{environment}`; who may: {}", reviewers.join(", "))]
    NotReviewer {
        /// Who tried.
        actor: String,
        /// The environment.
        environment: String,
        /// Who may.
        reviewers: Vec<String>,
    },
    /// Nobody may review what they started themselves.
    #[error("`{actor}` started run {run}, and `{environment}` has to be reviewed by somebody else")]
    SelfReview {
        /// Who tried.
        actor: String,
        /// The run.
        run: RunId,
        /// The environment.
        environment: String,
    },
    /// The job does not wait for a resolution: its needs are open, or it has one.
    #[error("the job `{job}` does not wait for a resolution")]
    NotReady {
        /// The job.
        job: JobId,
    },
    /// The call does not wait for its outputs.
    #[error("call {call} of the job `{job}` does not wait for outputs")]
    NotDone {
        /// The job.
        job: JobId,
        /// Which of its calls.
        call: u32,
    },
    /// The run was cancelled while the job was being planned. A new [`crate::Event::JobReady`] has been issued.
    #[error("the job `{job}` was planned before its run was cancelled; plan it again")]
    StaleResolution {
        /// The job.
        job: JobId,
    },
    /// The token is not that of a live lease: whoever holds it stops.
    #[error("the lease of instance {instance} is not {token}")]
    StaleLease {
        /// The instance.
        instance: InstanceId,
        /// The token that came.
        token: FencingToken,
        /// The live lease's, if there is one.
        current: Option<FencingToken>,
    },
    /// A lease only becomes longer, up to [`crate::limits::LEASE_MS_MAX`].
    #[error("a lease's full time can only grow, from {current_ms} ms to at most {limit_ms} ms")]
    LeaseTime {
        /// What it is now.
        current_ms: u64,
        /// What it may become.
        limit_ms: u64,
    },
    /// No leader has begun yet: [`crate::Command::TakeOver`] comes first.
    #[error("no leader has taken over yet")]
    NoLeader,
    /// A leader's epoch must be greater than every one before. Stop: another leads.
    #[error("epoch {epoch} is over: the journal is at {current}")]
    StaleEpoch {
        /// The epoch that came.
        epoch: u64,
        /// The current one.
        current: u64,
    },
    /// Only a finished run can be retired.
    #[error("run {run} is not finished")]
    NotFinished {
        /// The run.
        run: RunId,
    },
    /// The run is already finished.
    #[error("run {run} is already finished")]
    AlreadyFinished {
        /// The run.
        run: RunId,
    },
}

/// Why submitted jobs are not a workflow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJobs {
    /// There is none.
    #[error("there is no job")]
    None,
    /// Two have the same id.
    #[error("the job `{0}` is there twice")]
    Twice(JobId),
    /// A need is no job.
    #[error("the job `{job}` needs `{need}`, which is no job of this workflow")]
    UnknownNeed {
        /// The job.
        job: JobId,
        /// Its need.
        need: JobId,
    },
    /// A job needs itself, directly or not.
    #[error("the job `{0}` needs itself")]
    Cycle(JobId),
    /// A carried job is no job of the run, or something that it needs is to run again.
    #[error(
        "the job `{0}` cannot be carried over: it is no job of this run, or one that it needs runs again"
    )]
    Carried(JobId),
    /// Every job is carried.
    #[error("every job is carried over: nothing is left to run")]
    AllCarried,
}

fn no_gate(run: &RunId, environment: &str, waiting: &[String]) -> String {
    let known = match waiting {
        [] => "nothing of it waits for any approval".to_owned(),
        waiting => format!("what waits, waits for {}", waiting.join(", ")),
    };
    format!("no job of run {run} waits for approval of `{environment}`: {known}")
}
