//! The lines of a run's stream: exactly the objects of `slipway run --json`.

use bytes::Bytes;
use serde::Serialize;
use slipway_proto::v1::{Record, record};
use slipway_scheduler::{FleetCause, JobResult};

/// One line. Fields beyond the contract's are additions that readers may ignore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RunLine {
    /// A step ended.
    Step {
        /// The job's id in the file.
        job: String,
        /// The instance.
        instance: String,
        /// What people see as the job's name.
        name: String,
        /// The step's name, or its id.
        step: String,
        /// The step's number in its job, which stays the same where a mask learnt meanwhile changes its name.
        number: u32,
        /// The step's id, a generated one where none was written.
        id: String,
        /// Before continue-on-error.
        outcome: JobResult,
        /// After it.
        conclusion: JobResult,
        /// Set when a process ended the step.
        #[serde(skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        /// Processor time of its processes.
        cpu_ms: u64,
        /// The most memory one of its processes had.
        max_rss_bytes: u64,
    },
    /// A job's instance has its result, or a job was skipped or could not be evaluated (then its id stands for the
    /// instance).
    Job {
        /// The job's id in the file.
        job: String,
        /// The instance.
        instance: String,
        /// What people see as the job's name.
        name: String,
        /// Its result.
        result: JobResult,
        /// How many attempts there were.
        attempt: u32,
        /// Fleet failures only.
        cause: Option<FleetCause>,
        /// Why, for a person.
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// A line of a log.
    Log {
        /// The job's id in the file.
        job: String,
        /// The instance.
        instance: String,
        /// What people see as the job's name.
        name: String,
        /// The step's name, or its id; empty before the first.
        step: String,
        /// The step's number in its job, which stays the same where a mask learnt meanwhile changes its name.
        number: u32,
        /// The line; bytes that are not UTF-8 are replaced.
        line: String,
        /// `stdout`, `stderr` or `system`.
        stream: &'static str,
        /// When, by the agent's clock, Unix milliseconds.
        time_ms: u64,
        /// The line goes on in the next one of the same step and stream.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        partial: bool,
    },
    /// An annotation of a workflow command.
    Annotation {
        /// The job's id in the file.
        job: String,
        /// The instance.
        instance: String,
        /// The step's name, or its id.
        step: String,
        /// `notice`, `warning` or `error`.
        level: &'static str,
        /// What it says.
        message: String,
        /// Its title; may be empty.
        title: String,
        /// Which file; may be empty.
        file: String,
        /// Which line; 0: none.
        line: u32,
    },
    /// The run has its result; always the last line.
    Run {
        /// The run.
        run: String,
        /// Its result.
        result: JobResult,
        /// Fleet failures only.
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<FleetCause>,
    },
}

impl RunLine {
    /// As a line of JSON with its line end.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        // A type of strings and numbers is always JSON.
        let mut json = serde_json::to_vec(self).unwrap_or_default();
        json.push(b'\n');
        json.into()
    }
}

/// Whose records are read, and what their steps are called.
#[derive(Debug, Clone)]
pub(super) struct Naming {
    pub(super) job: String,
    pub(super) instance: String,
    pub(super) name: String,
    steps: Vec<(u32, String)>,
}

impl Naming {
    pub(super) fn new(job: String, instance: String, name: String) -> Self {
        Self { job, instance, name, steps: Vec::new() }
    }

    fn step(&self, index: u32) -> String {
        let known = self.steps.iter().rev().find(|(known, _)| *known == index);
        known.map(|(_, name)| name.clone()).unwrap_or_default()
    }

    /// What a record says; nothing for one that only names a step.
    pub(super) fn line(&mut self, record: Record) -> Option<RunLine> {
        let (job, instance, name) = (self.job.clone(), self.instance.clone(), self.name.clone());
        let step = record.step;
        Some(match record.record? {
            record::Record::StepStarted(started) => {
                self.steps.push((step, label(started.name, &started.id, started.default_name)));
                return None;
            }
            record::Record::StepFinished(finished) => RunLine::Step {
                job,
                instance,
                name,
                number: step,
                step: label(finished.name, &finished.id, finished.default_name),
                id: finished.id,
                outcome: result(finished.outcome),
                conclusion: result(finished.conclusion),
                exit_code: finished.exit_code,
                cpu_ms: finished.cpu_ms,
                max_rss_bytes: finished.max_rss_bytes,
            },
            record::Record::Line(line) => RunLine::Log {
                job,
                instance,
                name,
                step: self.step(step),
                number: step,
                line: String::from_utf8_lossy(&line.text).into_owned(),
                stream: match line.stream {
                    2 => "stderr",
                    3 => "system",
                    _ => "stdout",
                },
                time_ms: record.time_ms,
                partial: line.partial,
            },
            record::Record::Annotation(annotation) => RunLine::Annotation {
                job,
                instance,
                step: self.step(step),
                level: match annotation.level {
                    3 => "error",
                    2 => "warning",
                    _ => "notice",
                },
                message: annotation.message,
                title: annotation.title,
                file: annotation.file,
                line: annotation.line,
            },
            record::Record::Summary(_) => return None,
        })
    }
}

/// What a step is called in the contract's lines: its written name, else its written id, else the default name.
fn label(name: String, id: &str, default_name: bool) -> String {
    // Generated ids, and only they, begin with two underscores.
    let written_id = !id.is_empty() && !id.starts_with("__");
    if name.is_empty() || (default_name && written_id) { id.to_owned() } else { name }
}

/// Checked when the record came.
fn result(result: i32) -> JobResult {
    slipway_wire::result::from_wire("result", result).unwrap_or(JobResult::Failure)
}
