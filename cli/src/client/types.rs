//! The JSON of `/api/v1` as far as this program looks into it; listings with `--json` pass on all of it.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::failure::Failure;

/// A run to start.
#[derive(Clone, Serialize)]
pub struct Submission {
    /// Path of the workflow in its repository.
    pub workflow_file: String,
    /// Its text.
    pub workflow: String,
    /// The checkout's other workflows, by path, where it calls some.
    pub called: BTreeMap<String, String>,
    /// The event's name.
    pub event_name: String,
    /// The event's payload.
    pub event: Map<String, Json>,
    /// `owner/name`.
    pub repository: String,
    /// The full ref.
    pub git_ref: String,
    /// The commit.
    pub sha: String,
    /// Who started it.
    pub actor: String,
    /// `workflow_dispatch` inputs.
    pub inputs: BTreeMap<String, String>,
    /// `vars`
    pub vars: BTreeMap<String, String>,
    /// `secrets`
    pub secrets: BTreeMap<String, String>,
    /// Only these jobs and what they need; empty: all.
    pub jobs: Vec<String>,
    /// The working tree.
    pub tree: TreeDigest,
    /// `github.run_number`; 0: the coordinator counts.
    #[serde(skip_serializing_if = "is_zero")]
    pub run_number: u64,
    /// `github.run_attempt`; 0: the first.
    #[serde(skip_serializing_if = "is_zero")]
    pub run_attempt: u64,
    /// Jobs that do not run again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub carried: Vec<CarriedJob>,
    /// `None`: as the coordinator's configuration has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i8>,
}

/// Older coordinators do not know the fields that are left out then.
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A job that succeeded in an earlier attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedJob {
    /// Its id.
    pub id: String,
    /// Its result.
    pub result: String,
    /// Its outputs.
    #[serde(default)]
    pub outputs: BTreeMap<String, String>,
    /// Names the call that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
}

/// The answer to what a rerun would carry over.
#[derive(Debug, Deserialize)]
pub(super) struct Carried {
    pub(super) carried: Vec<CarriedJob>,
}

/// Names an uploaded tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeDigest {
    /// Hexadecimal.
    pub sha256: String,
    /// Length of the archive in bytes.
    pub size_bytes: u64,
}

/// The answer to a submission.
#[derive(Debug, Deserialize)]
pub(super) struct Started {
    pub(super) run_id: String,
}

/// A run, with its jobs where the coordinator gives them.
#[derive(Debug, Clone, Deserialize)]
pub struct Run {
    /// Its id.
    pub run_id: String,
    /// The workflow's `name`.
    #[serde(default)]
    pub workflow_name: String,
    /// The workflow's path.
    #[serde(default)]
    pub workflow_file: String,
    /// The event.
    #[serde(default)]
    pub event_name: String,
    /// `owner/name`.
    #[serde(default)]
    pub repository: String,
    /// The full ref.
    #[serde(default)]
    pub git_ref: String,
    /// The commit.
    #[serde(default)]
    pub sha: String,
    /// Who started it.
    #[serde(default)]
    pub actor: String,
    /// `waiting`, `running` or `finished`.
    #[serde(default)]
    pub state: String,
    /// Once finished.
    #[serde(default)]
    pub result: Option<String>,
    /// Unix milliseconds.
    #[serde(default)]
    pub created_ms: Option<u64>,
    /// Unix milliseconds, once finished.
    #[serde(default)]
    pub finished_ms: Option<u64>,
    /// Environments whose approval something of it waits for.
    #[serde(default)]
    pub awaits_review: Vec<String>,
    /// It waits, or waited, as a whole.
    #[serde(default)]
    pub hold: Option<Hold>,
    /// Its jobs.
    #[serde(default)]
    pub instances: Vec<Instance>,
}

/// A run that waits, or waited, as a whole.
#[derive(Debug, Clone, Deserialize)]
pub struct Hold {
    /// Whether somebody's decision is what it waits for now.
    #[serde(default)]
    pub awaits_approval: bool,
}

/// One instance of a job.
#[derive(Debug, Clone, Deserialize)]
pub struct Instance {
    /// Unique.
    pub instance_id: String,
    /// The id in the file.
    #[serde(default)]
    pub job: String,
    /// What people see.
    #[serde(default)]
    pub name: String,
    /// `waiting`, `running` or `finished`.
    #[serde(default)]
    pub state: String,
    /// Once finished.
    #[serde(default)]
    pub result: Option<String>,
    /// The present try, from 1.
    #[serde(default)]
    pub attempt: u32,
    /// Fleet failures only.
    #[serde(default)]
    pub cause: Option<String>,
    /// Which causes failed how often, where it is not tried again.
    #[serde(default)]
    pub gave_up: Option<String>,
    /// Who runs it.
    #[serde(default)]
    pub agent: Option<String>,
    /// Why it waits.
    #[serde(default)]
    pub waits_for: Option<String>,
    /// What agents must have to run it.
    #[serde(default)]
    pub labels: Vec<String>,
    /// What its environment asked, where it asked for anything.
    #[serde(default)]
    pub gate: Option<Gate>,
    /// All tries, the present one last.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
}

/// What an environment asked of a job, and what came of it.
#[derive(Debug, Clone, Deserialize)]
pub struct Gate {
    /// The environment.
    #[serde(default)]
    pub environment: String,
    /// Whether somebody's decision is what the job waits for now.
    #[serde(default)]
    pub awaits_review: bool,
    /// `approved`, `rejected` or `expired`, once it was decided.
    #[serde(default)]
    pub decision: Option<String>,
    /// Who decided.
    #[serde(default)]
    pub by: Option<String>,
    /// Why.
    #[serde(default)]
    pub comment: Option<String>,
}

/// One try at a job.
#[derive(Debug, Clone, Deserialize)]
pub struct Attempt {
    /// From 1.
    pub attempt: u32,
    /// Who has or had it.
    #[serde(default)]
    pub agent: Option<String>,
    /// Once it ended by its own work.
    #[serde(default)]
    pub result: Option<String>,
    /// Why the fleet failed, where it did.
    #[serde(default)]
    pub cause: Option<String>,
    /// Unix milliseconds.
    #[serde(default)]
    pub started_ms: Option<u64>,
    /// Unix milliseconds.
    #[serde(default)]
    pub finished_ms: Option<u64>,
}

/// A line of a run's event stream: an object of `slipway run --json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Event {
    /// A step began (no outcome yet) or ended.
    Step {
        /// Whose.
        instance: String,
        /// The instance's name.
        #[serde(default)]
        name: String,
        /// The step's name or id.
        step: String,
        /// Its number in the job, where the coordinator tells it.
        #[serde(default)]
        number: Option<u32>,
        /// Before continue-on-error.
        #[serde(default)]
        outcome: Option<String>,
        /// After it.
        #[serde(default)]
        conclusion: Option<String>,
        /// Of the process that ended it.
        #[serde(default)]
        exit_code: Option<i32>,
    },
    /// A try at a job ended.
    Job {
        /// The id in the file.
        #[serde(default)]
        job: String,
        /// Whose.
        instance: String,
        /// The instance's name.
        #[serde(default)]
        name: String,
        /// `success failure cancelled skipped`; none where another try follows.
        #[serde(default)]
        result: Option<String>,
        /// The try, from 1.
        #[serde(default)]
        attempt: u32,
        /// Fleet failures only.
        #[serde(default)]
        cause: Option<String>,
        /// Why, for a person.
        #[serde(default)]
        message: Option<String>,
    },
    /// A line of a log.
    Log {
        /// The id of the job in the file.
        #[serde(default)]
        job: String,
        /// Whose.
        instance: String,
        /// The instance's name.
        #[serde(default)]
        name: String,
        /// The step's name or id; empty before the first.
        #[serde(default)]
        step: String,
        /// The step's number in the job, where the coordinator tells it.
        #[serde(default)]
        number: Option<u32>,
        /// The line, or a piece of one.
        line: String,
        /// `stdout`, `stderr`, or `system` for what the runner itself says.
        #[serde(default)]
        stream: String,
        /// The line goes on in the next one of the same step.
        #[serde(default)]
        partial: bool,
    },
    /// A notice, warning or error of a workflow command; its line is in the log too.
    Annotation {
        /// Whose.
        instance: String,
        /// `notice`, `warning` or `error`.
        #[serde(default)]
        level: String,
        /// What it says.
        #[serde(default)]
        message: String,
        /// Its title; may be empty.
        #[serde(default)]
        title: String,
        /// Which file; may be empty.
        #[serde(default)]
        file: String,
        /// Which line of it; 0: none.
        #[serde(default)]
        line: u32,
    },
    /// The run ended; the last line.
    Run {
        /// Its id.
        run: String,
        /// Its result.
        result: String,
        /// Set when the fleet failed, not the work.
        #[serde(default)]
        cause: Option<String>,
    },
    /// Something a newer coordinator tells.
    #[serde(other)]
    Other,
}

impl Event {
    /// Whose it is.
    pub fn instance(&self) -> Option<&str> {
        match self {
            Event::Step { instance, .. }
            | Event::Job { instance, .. }
            | Event::Log { instance, .. }
            | Event::Annotation { instance, .. } => Some(instance),
            Event::Run { .. } | Event::Other => None,
        }
    }
}

/// Reads an answer.
///
/// # Errors
/// It is not what this version knows.
pub fn read<T: DeserializeOwned>(answer: Json) -> Result<T, Failure> {
    serde_json::from_value(answer)
        .map_err(|error| Failure::fleet(format!("the coordinator's answer is not understood: {error}")))
}

/// What a refusal says to a program.
pub(super) fn refusal_code(body: &[u8]) -> Option<String> {
    let body: Json = serde_json::from_slice(body).ok()?;
    Some(body.get("error")?.get("code")?.as_str()?.to_owned())
}

/// What a refusal says to a person: its `error` or `message`, and the workflow's diagnostics where it has some.
pub(super) fn refusal_text(body: &[u8]) -> Option<String> {
    let body: Json = serde_json::from_slice(body).ok()?;
    let error = body.get("error").unwrap_or(&body);
    let text = error.as_str().or_else(|| error.get("message").and_then(Json::as_str))?;
    let mut text = text.to_owned();
    let details = error.get("diagnostics").or_else(|| body.get("diagnostics")).and_then(Json::as_array);
    for detail in details.into_iter().flatten() {
        let field = |name: &str| {
            detail.get(name).map(|value| value.as_str().map_or(value.to_string(), str::to_owned))
        };
        if let (Some(line), Some(column), Some(message)) = (field("line"), field("column"), field("message"))
        {
            text.push_str(&format!("\n  line {line}, column {column}: {message}"));
        }
    }
    Some(text)
}

/// How far a rebuild of the history is.
#[derive(Debug, Deserialize)]
pub struct RebuildProgress {
    /// The last position of the journal that is in the tables.
    pub position: u64,
    /// Where the journal ended when it began.
    pub end: u64,
    /// What there is, once it is done.
    pub done: Option<HistoryCounts>,
    /// Why it is held up.
    pub error: Option<String>,
}

/// How many rows the history has.
#[derive(Debug, Deserialize)]
#[allow(missing_docs)] // Each is what its name says.
pub struct HistoryCounts {
    pub runs: u64,
    pub jobs: u64,
    pub attempts: u64,
    pub steps: u64,
    pub audit: u64,
    pub attempts_without_steps: u64,
    /// Not said by older coordinators.
    #[serde(default)]
    pub tests: u64,
}

/// What a run's test reports say.
#[derive(Debug, Default, Deserialize)]
pub struct Tests {
    /// The jobs that have some.
    #[serde(default)]
    pub jobs: Vec<JobTests>,
}

/// What one job's do.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct JobTests {
    /// The job's name.
    pub name: String,
    /// How many there are of each outcome.
    pub counts: std::collections::BTreeMap<String, u64>,
    /// Those that were asked for.
    pub cases: Vec<TestCase>,
}

/// A test case.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // Each is what its name says.
pub struct TestCase {
    pub suite: String,
    pub class: String,
    pub name: String,
    pub file: String,
    pub line: u32,
    pub outcome: String,
    pub message: String,
}

/// A piece of the audit trail, or of the check of the journal below it.
#[derive(Debug, Deserialize)]
pub struct AuditPage {
    /// The entries, as the coordinator says them.
    #[serde(default)]
    pub entries: Vec<Json>,
    /// Go on after this position of the journal.
    pub position: u64,
    /// The hash there.
    pub hash: String,
    /// Where the journal ended.
    pub end: u64,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_contracts_objects_are_read() {
        for line in [
            r#"{"type":"step","job":"b","instance":"i","name":"b (1)","step":"Test","outcome":"failure","conclusion":"success"}"#,
            r#"{"type":"job","job":"b","instance":"i","name":"b (1)","result":"success","attempt":1,"cause":null}"#,
            r#"{"type":"log","job":"b","instance":"i","step":"Test","line":"x"}"#,
        ] {
            let event: Event = serde_json::from_str(line).unwrap();
            assert_eq!(event.instance(), Some("i"));
        }
        let end: Event = serde_json::from_str(r#"{"type":"run","run":"r","result":"failure"}"#).unwrap();
        assert_eq!(end, Event::Run { run: "r".into(), result: "failure".into(), cause: None });
        let newer: Event = serde_json::from_str(r#"{"type":"weather","sky":"blue"}"#).unwrap();
        assert_eq!(newer, Event::Other);
    }

    #[test]
    fn a_refusal_gives_its_reason() {
        assert_eq!(refusal_text(br#"{"error":"no such run"}"#).as_deref(), Some("no such run"));
        let body = br#"{"error":{"message":"invalid","diagnostics":[{"line":3,"column":5,"message":"unknown key"}]}}"#;
        assert_eq!(refusal_text(body).as_deref(), Some("invalid\n  line 3, column 5: unknown key"));
        assert_eq!(refusal_text(b"<html>"), None);
    }
}
