//! What a job's journal remembers of it: enough for another process to go on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use slipway_cas::Digest;
use slipway_proto::v1;
use slipway_workflow::job_spec::JobSpec;

use super::course::Course;
use super::services::Service;
use crate::docker::passwd::ContainerUser;
use crate::externals::Libc;
use crate::failure::{Cause, Failure};
use crate::lease::Lease;
use crate::records::ledger::State;
use crate::session::Assignment;
use crate::steps::commands::Effect;
use crate::steps::outcome::StepResult;
use crate::steps::state::JobState;
use crate::steps::values::Values;

/// Version of this format.
const VERSION: u32 = 3;

/// A job between two commits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Saved {
    version: u32,
    /// The lease it runs under.
    pub lease: Lease,
    /// Whether its attempts must not overlap.
    pub strict: bool,
    /// W3C trace context.
    pub traceparent: String,
    /// Set once its container runs.
    pub prepared: Option<Prepared>,
    /// What its steps left.
    pub state: JobState,
    /// Where it stands among its steps.
    pub course: Course,
    /// The step that runs; inside of composite actions the innermost one.
    pub running: Option<Running>,
    /// When its first step might start, Unix milliseconds: its time limit counts from here.
    pub started_ms: Option<u64>,
    /// When it was cancelled, Unix milliseconds.
    pub cancelled_ms: Option<u64>,
    /// Whether its own time limit ended it.
    pub timed_out: bool,
    /// One sentence about its first failed step.
    pub message: String,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// How steps of the background ended, by their places; of those that were waited for or cancelled.
    pub collected: BTreeMap<u32, Collected>,
    /// From when to when checkouts went on, Unix nanoseconds by the clock of files.
    #[serde(default)]
    pub checkouts: Vec<(u64, u64)>,
    /// In the lane of such a step: what it left for the job's other steps, which see it when it is collected.
    pub left: Left,
}

/// A step of the background that has ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Collected {
    /// What people see.
    pub name: String,
    /// How it counts.
    pub conclusion: StepResult,
}

/// See [`Saved::left`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Left {
    /// Its name, evaluated.
    pub name: String,
    /// `GITHUB_ENV`
    pub env: Values,
    /// `GITHUB_PATH`, oldest first.
    pub path: Vec<String>,
}

/// The container and what is known of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Prepared {
    /// Its id.
    pub container: String,
    /// Its network.
    pub network: String,
    /// Whether the job has `container:` (and it did not evaluate to nothing).
    pub in_container: bool,
    /// Its user.
    pub user: ContainerUser,
    /// Its C library: which Node runs in it.
    pub libc: Libc,
    /// Environment of image and container.
    pub env: Vec<String>,
    /// The job's services, in file order.
    #[serde(default)]
    pub services: Vec<Service>,
    /// The container of its private engine.
    #[serde(default)]
    pub engine: Option<String>,
}

/// A step under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Running {
    /// Its name, evaluated.
    pub name: String,
    /// Number of its process in the container; 0 until there is one, and for a step that the agent itself executes.
    pub process: u32,
    /// When it began, Unix milliseconds.
    pub started_ms: u64,
    /// When it, or the action around it, has to end, Unix milliseconds.
    pub deadline_ms: Option<u64>,
    /// Its `timeout-minutes`, in milliseconds.
    pub limit_ms: Option<u64>,
    /// When it was told to stop, Unix milliseconds.
    pub stopped_ms: Option<u64>,
    /// Told to stop because its own time ran out.
    pub timed_out: bool,
    /// Whether its first lines were said already; of a step that waits for others or cancels them.
    pub said: bool,
    /// Whether the fallback shell is in use already.
    pub fell_back: bool,
    /// Index of its action, once that is loaded.
    pub action: Option<usize>,
    /// The container of its own, of a Docker action.
    pub container: Option<OwnContainer>,
}

/// The container of a Docker action.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OwnContainer {
    /// Its id.
    pub id: String,
    /// Its image's id.
    pub image: String,
    /// Its user.
    pub user: ContainerUser,
}

impl Left {
    /// Notes what the job's other steps are to see.
    pub(super) fn note(&mut self, effect: &Effect) {
        match effect {
            Effect::SetEnv { name, value } => self.env.set(name, value),
            Effect::AddPath(path) => self.path.push(path.clone()),
            _ => {}
        }
    }
}

impl Saved {
    /// Whether a process of the job's own container is under way: what it writes is still needed.
    pub(super) fn reads_spool(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.process > 0 && running.container.is_none())
    }
}

impl Running {
    /// A step that begins now. `limit_ms`: its `timeout-minutes`; `outer_ms`: when the action around it has to end.
    pub(super) fn begun(name: &str, limit_ms: Option<u64>, now_ms: u64, outer_ms: Option<u64>) -> Self {
        let own_ms = limit_ms.map(|limit_ms| now_ms.saturating_add(limit_ms));
        Self {
            name: name.to_owned(),
            process: 0,
            started_ms: now_ms,
            deadline_ms: own_ms.into_iter().chain(outer_ms).min(),
            limit_ms,
            stopped_ms: None,
            timed_out: false,
            said: false,
            fell_back: false,
            action: None,
            container: None,
        }
    }
}

/// How a job ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The work did.
    Work {
        /// `success`, `failure` or `cancelled`.
        result: WorkResult,
        /// Its own time limit did.
        timed_out: bool,
        /// The job's outputs.
        outputs: Vec<(String, String)>,
        /// One sentence.
        message: String,
    },
    /// The fleet did.
    Fleet {
        /// The kind.
        cause: Cause,
        /// One sentence.
        message: String,
    },
}

/// A job's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkResult {
    /// Every step that counted succeeded.
    Success,
    /// A step failed, or the job's time ran out.
    Failure,
    /// It was cancelled.
    Cancelled,
}

impl Outcome {
    /// In one word: a result, or what of the fleet failed.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Work { timed_out: true, .. } => "timed_out",
            Self::Work { result: WorkResult::Success, .. } => "success",
            Self::Work { result: WorkResult::Failure, .. } => "failure",
            Self::Work { result: WorkResult::Cancelled, .. } => "cancelled",
            Self::Fleet { cause, .. } => cause.code(),
        }
    }
}

impl Saved {
    /// A job that was just assigned.
    #[must_use]
    pub fn new(assignment: &Assignment) -> Self {
        Self {
            version: VERSION,
            lease: assignment.lease,
            strict: assignment.strict,
            traceparent: assignment.traceparent.clone(),
            prepared: None,
            state: JobState::default(),
            course: Course::default(),
            running: None,
            started_ms: None,
            cancelled_ms: None,
            timed_out: false,
            message: String::new(),
            outcome: None,
            collected: BTreeMap::new(),
            checkouts: Vec::new(),
            left: Left::default(),
        }
    }

    /// The lane of a step of the background, as it begins: it sees what the job's steps have left so far.
    #[must_use]
    pub fn of_background(&self, step: usize) -> Self {
        Self {
            course: Course::of_background(step),
            running: None,
            message: String::new(),
            collected: BTreeMap::new(),
            checkouts: Vec::new(),
            left: Left::default(),
            ..self.clone()
        }
    }

    /// From the journal.
    ///
    /// # Errors
    /// A sentence, when it is not one of this version.
    pub fn decode(state: &State) -> Result<Self, String> {
        let saved: Self =
            serde_json::from_str(state.get()).map_err(|error| format!("its state is damaged: {error}"))?;
        match saved.version {
            VERSION => Ok(saved),
            other => Err(format!("its state has version {other}, this agent knows {VERSION}")),
        }
    }

    /// The report of its outcome; none while it has none.
    #[must_use]
    pub fn report(&self, records: u64, digest: Option<Digest>) -> Option<v1::Report> {
        let outcome = match self.outcome.clone()? {
            Outcome::Work { result, timed_out, outputs, message } => {
                let result = match result {
                    WorkResult::Success => v1::Result::Success,
                    WorkResult::Failure => v1::Result::Failure,
                    WorkResult::Cancelled => v1::Result::Cancelled,
                };
                let outputs = outputs.into_iter().collect();
                v1::report::Outcome::Work(v1::WorkOutcome {
                    result: result.into(),
                    timed_out,
                    outputs,
                    message,
                })
            }
            Outcome::Fleet { cause, message } => {
                v1::report::Outcome::Fleet(v1::FleetFailure { cause: cause.code().to_owned(), message })
            }
        };
        let records_digest = digest.as_ref().map(slipway_wire::digest::to_wire);
        Some(v1::Report {
            lease: Some(self.lease.to_wire()),
            outcome: Some(outcome),
            records,
            records_digest,
        })
    }
}

/// Reads a specification.
///
/// # Errors
/// `internal`, with a sentence that says which side is too old.
pub fn read_spec(bytes: &[u8]) -> Result<JobSpec, Failure> {
    let wrong = |message: String| Failure::new(Cause::Internal, message);
    let value: serde_json::Value = serde_json::from_slice(bytes)
        .map_err(|error| wrong(format!("the job's specification is not JSON: {error}")))?;
    let version = value.get("version").and_then(serde_json::Value::as_u64).unwrap_or(0);
    let known = u64::from(slipway_workflow::job_spec::JOB_SPEC_VERSION);
    if version != known {
        return Err(wrong(format!(
            "the job's specification has version {version} and this agent knows {known}: bring both to one version"
        )));
    }
    serde_json::from_value(value)
        .map_err(|error| wrong(format!("the job's specification is not understood: {error}")))
}
