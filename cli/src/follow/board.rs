//! What is known about a run's jobs, from its events and from the coordinator's answers.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::echo::Echo;
use super::finding::{Annotation, FailedStep, Findings, place};
use crate::client::types::{Event, Run};
use crate::failure::Exit;
use crate::output::escape;
use crate::output::live::spinner;
use crate::output::style;
use crate::output::table::{Table, result, text};

/// Last log lines kept of a step, for when it fails.
const TAIL_LINES: usize = 10;

/// Characters kept of each of them.
const TAIL_LINE_CHARS: usize = 500;

/// One instance of a job.
#[derive(Debug, Default, Clone)]
pub struct Job {
    /// Its id.
    pub instance: String,
    /// The id in the file.
    pub job: String,
    /// What people see.
    pub name: String,
    /// `waiting`, `running` or `finished`.
    pub state: String,
    /// Once finished.
    pub result: Option<String>,
    /// The present try.
    pub attempt: u32,
    /// Why the fleet failed, where it did.
    pub cause: Option<String>,
    /// What a person is told about its end.
    pub message: Option<String>,
    /// Why it waits.
    pub waits_for: Option<String>,
    /// It did not run again.
    carried: bool,
    /// The step that runs or ran last.
    step: Option<Step>,
    echo: Echo,
    tail: VecDeque<String>,
    started_ms: Option<u64>,
    ended_ms: Option<u64>,
}

/// A step. Its name may change when a mask becomes known, its number does not.
#[derive(Debug, Default, Clone)]
struct Step {
    number: Option<u32>,
    name: String,
}

impl Step {
    fn is(&self, number: Option<u32>, name: &str) -> bool {
        match (self.number, number) {
            (Some(own), Some(number)) => own == number,
            _ => self.name == name,
        }
    }
}

impl Job {
    /// Whether the log line that was taken in last repeats the step's script or action.
    pub(super) fn is_echo(&self) -> bool {
        self.echo.holds_last_line()
    }
}

/// All jobs of a run, in the order they became known.
#[derive(Debug, Default)]
pub struct Board {
    jobs: Vec<Job>,
    index: HashMap<String, usize>,
    findings: Findings,
    /// What to say of the jobs that do not run again, by id.
    carried: BTreeMap<String, String>,
}

impl Board {
    /// The board of a run of which these jobs do not run again; each with what to say of it.
    pub fn carrying(carried: BTreeMap<String, String>) -> Self {
        Board { carried, ..Board::default() }
    }

    /// Whether this instance's name is known.
    pub fn knows(&self, instance: &str) -> bool {
        self.index.get(instance).is_some_and(|at| !self.jobs[*at].name.is_empty())
    }

    /// An instance, where it is known.
    pub fn job(&self, instance: &str) -> Option<(usize, &Job)> {
        self.index.get(instance).map(|at| (*at, &self.jobs[*at]))
    }

    /// All of them.
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// Takes in the coordinator's view.
    pub fn take_status(&mut self, run: &Run, now_ms: u64) {
        for instance in &run.instances {
            let job = self.entry(&instance.instance_id);
            fill(&mut job.job, &instance.job);
            fill(&mut job.name, &instance.name);
            job.waits_for = instance.waits_for.clone().filter(|reason| !reason.is_empty());
            // The coordinator's times of the last attempt are truer than when its events came here.
            if let Some(last) = instance.attempts.last()
                && last.finished_ms.is_some()
            {
                (job.started_ms, job.ended_ms) = (last.started_ms, last.finished_ms);
            }
            if job.result.is_none() {
                job.attempt = job.attempt.max(instance.attempt);
                if instance.state != "finished" {
                    job.state.clone_from(&instance.state);
                }
                if instance.state == "running" {
                    job.started_ms.get_or_insert(now_ms);
                }
            }
        }
    }

    /// Takes in an event.
    pub fn take_event(&mut self, event: &Event, now_ms: u64) {
        match event {
            Event::Step { instance, name, step, number, outcome, conclusion, exit_code } => {
                let job = self.entry(instance);
                fill(&mut job.name, name);
                running(job, now_ms);
                let entered = !enter(job, *number, step);
                if outcome.as_deref() == Some("failure") {
                    let failed = FailedStep {
                        instance: instance.clone(),
                        name: label(job),
                        step: step.clone(),
                        exit_code: *exit_code,
                        tolerated: conclusion.as_deref() == Some("success"),
                        tail: if entered { job.tail.clone() } else { VecDeque::new() },
                    };
                    self.findings.failed(failed);
                }
            }
            Event::Log { instance, job: id, name, step, number, line, stream, .. } => {
                let job = self.entry(instance);
                fill(&mut job.job, id);
                fill(&mut job.name, name);
                running(job, now_ms);
                if !step.is_empty() {
                    enter(job, *number, step);
                }
                job.echo.take(line, stream);
                if job.echo.holds_last_line() {
                    return;
                }
                if job.tail.len() == TAIL_LINES {
                    job.tail.pop_front();
                }
                job.tail.push_back(escape::fit(line, TAIL_LINE_CHARS));
            }
            Event::Annotation { instance, level, message, title, file, line } => {
                let annotation = Annotation {
                    instance: instance.clone(),
                    name: label(self.entry(instance)),
                    level: level.clone(),
                    message: message.clone(),
                    title: title.clone(),
                    place: place(file, *line),
                };
                self.findings.annotation(annotation);
            }
            Event::Job { instance, job: id, name, result, attempt, cause, message } => {
                // The id stands for the instance that there is not.
                let carried = self.carried.get(instance).cloned();
                let job = self.entry(instance);
                fill(&mut job.job, id);
                fill(&mut job.name, name);
                job.attempt = job.attempt.max(*attempt);
                job.cause.clone_from(cause);
                job.carried = carried.is_some();
                job.message = carried.or_else(|| message.clone()).filter(|message| !message.is_empty());
                job.step = None;
                job.tail.clear();
                if let Some(result) = result {
                    job.state = "finished".to_owned();
                    job.result = Some(result.clone());
                    job.ended_ms = Some(now_ms);
                } else {
                    self.findings.forget(instance);
                }
            }
            Event::Run { .. } | Event::Other => {}
        }
    }

    /// The exit code of a run with this result and cause: a fleet failure counts as such when no job failed by its
    /// own work.
    pub fn exit(&self, result: &str, cause: Option<&str>) -> Exit {
        let failed = || self.jobs.iter().filter(|job| job.result.as_deref() == Some("failure"));
        match result {
            // Where no job had anything to do, nothing failed.
            "success" | "skipped" => Exit::Success,
            "failure" if cause.is_some() => Exit::FleetFailed,
            "failure" if failed().next().is_some() && failed().all(|job| job.cause.is_some()) => {
                Exit::FleetFailed
            }
            _ => Exit::WorkFailed,
        }
    }

    /// The lines below a live log: every job that runs or waits.
    pub fn status_lines(&self, now_ms: u64) -> Vec<String> {
        let open = self.jobs.iter().filter(|job| job.result.is_none());
        open.map(|job| {
            let name = label(job);
            let name = escape::name(&name);
            match (job.started_ms, &job.step) {
                (Some(start), step) => {
                    let elapsed = now_ms.saturating_sub(start);
                    let step =
                        step.as_ref().map_or(String::new(), |step| format!("  {}", escape::name(&step.name)));
                    let again =
                        if job.attempt > 1 { format!(" (try {})", job.attempt) } else { String::new() };
                    format!("{} {name}{again}  {}{step}", spinner(elapsed), style::duration_ms(elapsed))
                }
                (None, _) => {
                    let reason = job.waits_for.as_deref().unwrap_or("waiting");
                    format!("· {name}  {}", escape::name(reason))
                }
            }
        })
        .collect()
    }

    /// Warnings and errors with their place, and failed steps with their last lines.
    pub fn findings(&self, colours: bool) -> String {
        self.findings.render(colours)
    }

    /// What a person reads at the end: failed steps with their last lines, and every job's result.
    pub fn summary(&self, run: &str, result_word: &str, colours: bool) -> String {
        let mut summary = self.findings(colours);
        let mut table = Table::new(&["JOB", "RESULT", "TIME", ""]);
        for job in &self.jobs {
            let time = match (job.started_ms, job.ended_ms) {
                (Some(start), Some(end)) => style::duration_ms(end.saturating_sub(start)),
                _ => "-".to_owned(),
            };
            let mut remark = job.cause.as_deref().map_or(String::new(), |cause| format!("fleet: {cause}"));
            if job.carried {
                remark = job.message.clone().unwrap_or_default();
            }
            if job.attempt > 1 {
                remark = format!("{remark} (attempt {})", job.attempt).trim().to_owned();
            }
            let word = job.result.as_deref().unwrap_or(&job.state);
            table.row(vec![text(label(job)), result(word), text(time), text(remark)]);
        }
        summary.push_str(&format!("\n{}", table.render(colours)));
        let word = style::result(&escape::name(result_word), colours);
        summary.push_str(&format!("\nrun {} {word}\n", escape::name(run)));
        summary
    }

    fn entry(&mut self, instance: &str) -> &mut Job {
        let next = self.jobs.len();
        let at = *self.index.entry(instance.to_owned()).or_insert(next);
        if at == next {
            self.jobs.push(Job {
                instance: instance.to_owned(),
                state: "waiting".to_owned(),
                ..Job::default()
            });
        }
        &mut self.jobs[at]
    }
}

/// What people see, or the id until the name is known.
pub(super) fn label(job: &Job) -> String {
    if job.name.is_empty() { job.job.clone() } else { job.name.clone() }
}

fn fill(field: &mut String, value: &str) {
    if !value.is_empty() {
        value.clone_into(field);
    }
}

fn running(job: &mut Job, now_ms: u64) {
    if job.result.is_none() {
        job.started_ms.get_or_insert(now_ms);
        job.state = "running".to_owned();
        job.waits_for = None;
    }
}

/// Notes which step runs; whether it is another than before.
fn enter(job: &mut Job, number: Option<u32>, name: &str) -> bool {
    let another = !job.step.as_ref().is_some_and(|step| step.is(number, name));
    if another {
        job.tail.clear();
        job.echo = Echo::default();
    }
    job.step = Some(Step { number, name: name.to_owned() });
    another
}
