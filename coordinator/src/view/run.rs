//! Runs, their jobs, instances and attempts.

use serde::Serialize;
use slipway_cas::Digest;
use slipway_scheduler::explain::{WaitReason, explain_job, explain_wait, gate_refusal, gave_up};
use slipway_scheduler::state::{Attempt, Call, Instance, Job, Phase, Review, Run, Stage};
use slipway_scheduler::{FleetCause, InstanceId, JobResult, Outcome, RunId};

use super::{FindError, MIN_PREFIX};
use crate::driver::View;
use crate::driver::holds::Hold;

/// Where a run, job or instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StateWord {
    /// Nothing of it runs yet.
    Waiting,
    /// It runs.
    Running,
    /// It has its result.
    Finished,
}

impl StateWord {
    /// As in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Finished => "finished",
        }
    }
}

/// How much of a run is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Without jobs and instances.
    Listing,
    /// All.
    Full,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunView {
    /// Its id, as in the lines of its event stream.
    pub run: String,
    /// The same, as in the gRPC API.
    pub run_id: String,
    /// `github.run_number`.
    pub run_number: u64,
    /// `github.run_attempt`.
    pub run_attempt: u64,
    /// The workflow's name.
    pub workflow_name: String,
    /// Its path.
    pub workflow_file: String,
    /// The event.
    pub event_name: String,
    /// `owner/name`.
    pub repository: String,
    /// The full ref.
    pub git_ref: String,
    /// The commit.
    pub sha: String,
    /// Who caused it.
    pub actor: String,
    /// Where it is.
    pub state: StateWord,
    /// Once finished.
    pub result: Option<JobResult>,
    /// What of the fleet failed, where that is why.
    pub cause: Option<FleetCause>,
    /// Who cancelled it and why.
    pub cancelled: Option<String>,
    /// When it was submitted, Unix milliseconds.
    pub created_ms: u64,
    /// When it finished.
    pub finished_ms: Option<u64>,
    /// W3C trace context of whoever submitted it.
    pub traceparent: Option<String>,
    /// Its priority, -100 to 100.
    pub priority: i8,
    /// The share that it belongs to; `None`: its repository's own.
    pub share: Option<String>,
    /// Environments whose approval something of it waits for.
    pub awaits_review: Vec<String>,
    /// It waits, or waited, as a whole for somebody's approval.
    pub hold: Option<HoldView>,
    /// Its jobs in file order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<Vec<JobView>>,
    /// The instances of its jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<Vec<InstanceView>>,
}

/// A run that waits, or waited, as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HoldView {
    /// Whose pull request it is of.
    pub author: String,
    /// What the forge says of them: `author_association`.
    pub association: String,
    /// Whether somebody's decision is what it waits for now.
    pub awaits_approval: bool,
    /// `approved` or `rejected`, once it was decided.
    pub decision: Option<&'static str>,
    /// By whom.
    pub by: Option<String>,
    /// Why.
    pub comment: Option<String>,
    /// When, Unix milliseconds.
    pub decided_ms: Option<u64>,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobView {
    /// Its id in the file.
    pub job: String,
    /// Where it is.
    pub state: StateWord,
    /// What people see, once finished.
    pub result: Option<JobResult>,
    /// The jobs it needs.
    pub needs: Vec<String>,
    /// Why it was skipped or could not be evaluated.
    pub message: Option<String>,
    /// Why it waits.
    pub waits_for: Option<String>,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstanceView {
    /// Its id.
    pub instance_id: String,
    /// The job's id in the file.
    pub job: String,
    /// What people see.
    pub name: String,
    /// Where it is.
    pub state: StateWord,
    /// Once finished.
    pub result: Option<JobResult>,
    /// The last attempt's number; 0 before the first.
    pub attempt: u32,
    /// Fleet failures only.
    pub cause: Option<FleetCause>,
    /// What the agent said about the last attempt's end.
    pub message: Option<String>,
    /// Which causes failed how often, where it is not tried again because the fleet failed.
    pub gave_up: Option<String>,
    /// The name of the agent that has or had the last attempt.
    pub agent: Option<String>,
    /// What an agent must have to run it.
    pub labels: Vec<String>,
    /// Why it waits, for a person.
    pub waits_for: Option<String>,
    /// The same for programs.
    pub wait: Option<WaitReason>,
    /// What its environment asked, and what came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateView>,
    /// All attempts.
    pub attempts: Vec<AttemptView>,
}

/// What an environment asks of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GateView {
    /// The environment.
    pub environment: String,
    /// Whether somebody has to approve.
    pub approval: bool,
    /// Who may; empty: everybody.
    pub reviewers: Vec<String>,
    /// Who may not: whoever started the run, where nobody may review their own.
    pub not_by: Vec<String>,
    /// The wait timer, in milliseconds.
    pub wait_ms: u64,
    /// Whether somebody's decision is what it waits for now.
    pub awaits_review: bool,
    /// `approved`, `rejected` or `expired` (nobody decided in time), once it was decided.
    pub decision: Option<&'static str>,
    /// Who decided.
    pub by: Option<String>,
    /// Why.
    pub comment: Option<String>,
    /// When, Unix milliseconds.
    pub decided_ms: Option<u64>,
}

/// An attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttemptView {
    /// From 1.
    pub attempt: u32,
    /// The name of its agent, or its id when the agent is not known any more.
    pub agent: String,
    /// Its agent's id.
    pub agent_id: String,
    /// `success`, `failure`, `cancelled`, `timed_out` or `fleet`, once ended.
    pub outcome: Option<&'static str>,
    /// Its result, once its work ended.
    pub result: Option<JobResult>,
    /// What of the fleet failed.
    pub cause: Option<FleetCause>,
    /// What the agent said about its end.
    pub message: Option<String>,
    /// Unix milliseconds.
    pub started_ms: u64,
    /// Unix milliseconds.
    pub finished_ms: Option<u64>,
    /// How many records it reported.
    pub records: u64,
    /// Their digest, if it reported one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records_digest: Option<Digest>,
}

/// The run of this id, or of the only id that begins with the text.
///
/// # Errors
/// [`FindError`].
pub fn find_run(view: View<'_>, text: &str) -> Result<RunId, FindError> {
    if text.len() == 36
        && let Ok(run) = text.parse::<RunId>()
    {
        let known = view.state.run(run).is_some();
        return if known { Ok(run) } else { Err(FindError::Unknown(text.to_owned())) };
    }
    let prefix = text.to_ascii_lowercase();
    let hexadecimal = prefix.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if prefix.len() < MIN_PREFIX || prefix.len() > 36 || !hexadecimal {
        return Err(FindError::Malformed(text.chars().take(64).flat_map(char::escape_debug).collect()));
    }
    let mut fitting = view.state.runs().map(Run::id).filter(|run| run.to_string().starts_with(&prefix));
    match (fitting.next(), fitting.next()) {
        (Some(run), None) => Ok(run),
        (None, _) => Err(FindError::Unknown(prefix)),
        (Some(first), Some(second)) => Err(FindError::Ambiguous { text: prefix, first, second }),
    }
}

/// The newest runs, without their jobs.
#[must_use]
pub fn recent_runs(view: View<'_>, limit: usize) -> Vec<RunView> {
    // Ids are UUIDs of version 7: the last are the newest.
    view.state.runs().rev().take(limit).map(|run| show(view, run, Detail::Listing)).collect()
}

/// A run.
#[must_use]
pub fn run(view: View<'_>, run: RunId, detail: Detail) -> Option<RunView> {
    Some(show(view, view.state.run(run)?, detail))
}

/// An instance, with its run but not that one's other jobs.
#[must_use]
pub fn instance(view: View<'_>, run: RunId, instance: InstanceId) -> Option<(RunView, InstanceView)> {
    let run = view.state.run(run)?;
    let instance = view.state.instance(instance).filter(|instance| instance.run() == run.id())?;
    let job = view.state.job_of(instance)?;
    Some((show(view, run, Detail::Listing), show_instance(view, run, job, instance)))
}

/// How many instances wait for each reason, for metrics.
pub fn waiting_reasons(view: View<'_>) -> impl Iterator<Item = (String, u64)> + '_ {
    view.state.queue_lengths().map(|(labels, _, waiting)| (labels.to_string(), waiting as u64))
}

fn show(view: View<'_>, run: &Run, detail: Detail) -> RunView {
    let meta = run.meta();
    let full = detail == Detail::Full;
    let jobs = run.jobs_in_order();
    let instances =
        || jobs.iter().copied().flat_map(|job| view.state.instances_of(job).map(move |i| (job, i)));
    RunView {
        run: run.id().to_string(),
        run_id: run.id().to_string(),
        run_number: meta.run_number,
        run_attempt: meta.run_attempt,
        workflow_name: meta.workflow_name.clone(),
        workflow_file: meta.workflow_file.clone(),
        event_name: meta.event_name.clone(),
        repository: meta.repository.clone(),
        git_ref: meta.git_ref.clone(),
        sha: meta.sha.clone(),
        actor: meta.actor.clone(),
        state: run_state(view, run),
        result: run.end().map(|end| end.result),
        cause: run.end().and_then(|end| end.cause),
        cancelled: run.cancelled().map(|by| format!("by {}: {}", by.actor, by.reason)),
        created_ms: run.submitted_at().0,
        finished_ms: run.end().map(|end| end.at.0),
        traceparent: meta.traceparent.clone(),
        priority: run.standing().priority,
        share: run.standing().share.clone(),
        awaits_review: awaited(view, run),
        hold: view.ledger.holds().of(run.id()).map(|hold| show_hold(run, hold)),
        jobs: full.then(|| jobs.iter().map(|job| show_job(view, run, job)).collect()),
        instances: full
            .then(|| instances().map(|(job, instance)| show_instance(view, run, job, instance)).collect()),
    }
}

fn show_hold(run: &Run, hold: &Hold) -> HoldView {
    let decision = hold.decision.as_ref();
    HoldView {
        author: hold.stranger.author.clone(),
        association: hold.stranger.association.clone(),
        awaits_approval: is_held(run, hold),
        decision: decision.map(|decision| if decision.approved { "approved" } else { "rejected" }),
        by: decision.map(|decision| decision.actor.clone()),
        comment: decision.map(|decision| decision.comment.clone()),
        decided_ms: decision.map(|decision| decision.at.0),
    }
}

fn is_held(run: &Run, hold: &Hold) -> bool {
    hold.decision.is_none() && run.end().is_none() && run.cancelled().is_none()
}

/// Why a job of a run that is held does not begin.
fn waits_for_approval(view: View<'_>, run: &Run, job: &Job) -> Option<String> {
    let begins_next =
        job.stage() == Stage::Ready || (run.is_held() && run.needs(job).all(|need| need.result().is_some()));
    view.ledger.holds().of(run.id()).filter(|hold| begins_next && is_held(run, hold))?;
    Some(format!("the run waits for approval: slipway approve {}", run.id()))
}

/// Each environment once, in the order of the jobs.
fn awaited(view: View<'_>, run: &Run) -> Vec<String> {
    let mut environments: Vec<String> = Vec::new();
    if run.end().is_some() || view.state.gated_len() == 0 {
        return environments;
    }
    for (_, gate) in view.state.awaiting_review(run.id()) {
        if !environments.iter().any(|known| gate.is_for(known)) {
            environments.push(gate.environment.clone());
        }
    }
    environments
}

fn run_state(view: View<'_>, run: &Run) -> StateWord {
    let begun = |instance: &Instance| !instance.attempts().is_empty() || instance.result().is_some();
    if run.end().is_some() {
        StateWord::Finished
    } else if run.jobs().iter().any(|job| view.state.instances_of(job).any(begun)) {
        StateWord::Running
    } else {
        StateWord::Waiting
    }
}

fn show_job(view: View<'_>, run: &Run, job: &Job) -> JobView {
    let state = match job.stage() {
        Stage::Waiting | Stage::Ready => StateWord::Waiting,
        Stage::Expanded => StateWord::Running,
        Stage::Finished { .. } => StateWord::Finished,
    };
    JobView {
        job: job.id().to_string(),
        state,
        result: job.conclusion(),
        needs: run.needs(job).map(|need| need.id().to_string()).collect(),
        message: job.message().or_else(|| job.calls().iter().find_map(Call::message)).map(str::to_owned),
        waits_for: waits_for_approval(view, run, job).or_else(|| {
            explain_job(view.state, run.id(), job.id().as_str()).map(|reason| reason.to_string())
        }),
    }
}

fn show_instance(view: View<'_>, run: &Run, job: &Job, instance: &Instance) -> InstanceView {
    let state = match instance.phase() {
        Phase::Held
        | Phase::Gated { .. }
        | Phase::Blocked { .. }
        | Phase::Turn { .. }
        | Phase::Waiting { .. } => StateWord::Waiting,
        Phase::Leased { .. } | Phase::Settling => StateWord::Running,
        Phase::Finished { .. } => StateWord::Finished,
    };
    let attempts: Vec<AttemptView> =
        instance.attempts().iter().map(|attempt| show_attempt(view, run, instance, attempt)).collect();
    let wait = explain_wait(view.state, view.fleet, instance.id(), view.now);
    let last = attempts.last();
    InstanceView {
        instance_id: instance.id().to_string(),
        job: job.id().to_string(),
        name: instance.definition().name.clone(),
        state,
        result: instance.result(),
        attempt: last.map_or(0, |attempt| attempt.attempt),
        cause: instance.cause(),
        message: last.and_then(|attempt| attempt.message.clone()).or_else(|| gate_refusal(instance)),
        gave_up: gave_up(instance).map(|told| told.to_string()),
        agent: last.map(|attempt| attempt.agent.clone()),
        labels: instance.labels().iter().map(str::to_owned).collect(),
        waits_for: wait.as_ref().map(ToString::to_string),
        wait,
        gate: show_gate(instance),
        attempts,
    }
}

fn show_gate(instance: &Instance) -> Option<GateView> {
    let (gate, review) = (instance.gate()?, instance.review());
    let said = |text: fn(&Review) -> &String| review.map(text).filter(|text| !text.is_empty()).cloned();
    Some(GateView {
        environment: gate.environment.clone(),
        approval: gate.approval,
        reviewers: gate.reviewers.clone(),
        not_by: gate.barred.clone(),
        wait_ms: gate.wait_ms,
        awaits_review: instance.awaits_review().is_some(),
        decision: review.map(|review| review.verdict.as_str()),
        by: said(|review| &review.actor),
        comment: said(|review| &review.comment),
        decided_ms: review.map(|review| review.at.0),
    })
}

fn show_attempt(view: View<'_>, run: &Run, instance: &Instance, attempt: &Attempt) -> AttemptView {
    let end = attempt.end.as_ref();
    let (outcome, result, cause) = match end.map(|end| end.outcome) {
        None => (None, None, None),
        Some(Outcome::Success { .. }) => (Some("success"), Some(JobResult::Success), None),
        Some(Outcome::Failure { .. }) => (Some("failure"), Some(JobResult::Failure), None),
        Some(Outcome::Cancelled) => (Some("cancelled"), Some(JobResult::Cancelled), None),
        Some(Outcome::TimedOut) => (Some("timed_out"), Some(JobResult::Cancelled), None),
        Some(Outcome::Fleet { cause }) => (Some("fleet"), None, Some(cause)),
    };
    let agent_id = attempt.agent.to_string();
    let known = view.fleet.agent(attempt.agent).map(|agent| agent.profile.name.clone());
    let note = view.ledger.note(run.id(), instance.id(), attempt.number);
    AttemptView {
        attempt: attempt.number,
        agent: known.unwrap_or_else(|| agent_id.clone()),
        agent_id,
        outcome,
        result,
        cause,
        message: (!note.is_empty()).then(|| note.to_owned()),
        started_ms: attempt.started_at.0,
        finished_ms: end.map(|end| end.at.0),
        records: end.map_or(0, |end| end.records),
        records_digest: end.and_then(|end| end.records_digest),
    }
}
