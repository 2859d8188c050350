//! What there is to tell of a run: one report for each instance of a job, and one for each job that was skipped or could not be
//! planned. Read on the driver's thread, so it only reads; what takes a while ([`super::details`]) comes later.

use slipway_cas::Digest;
use slipway_scheduler::explain::{gate_refusal, gave_up};
use slipway_scheduler::state::{Instance, Job, Phase, Run, Stage as JobStage};
use slipway_scheduler::{JobResult, Outcome, RunId};

use super::deployments::{self, Deploys};
use super::told::{Part, ToldReport};
use super::{Button, Conclusion, Place, Stage, gates, held, words};
use crate::driver::View;
use crate::records::AttemptKey;

/// The longest name of a report, in bytes.
const NAME_MAX_BYTES: usize = 250;

/// The most reports of one run. A run with more jobs is told in its commit's sum.
pub(crate) const REPORTS_MAX: usize = 1_000;

/// Names a report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// On a part of a run.
    Part(RunId, Part),
    /// On a commit, and how often it was begun anew.
    Sum(Place, u32),
    /// On a commit and what its repository asks of it, because of which event, and how often it was begun anew.
    Rules(Place, String, u32),
}

impl Key {
    /// How the forge names it.
    pub(crate) fn external_id(&self) -> String {
        match self {
            Self::Part(run, part) => format!("{run}/{part}"),
            Self::Sum(place, 0) => format!("commit/{}", place.sha),
            Self::Sum(place, generation) => format!("commit/{}/{generation}", place.sha),
            Self::Rules(place, event, generation) => format!("rules/{event}/{}/{generation}", place.sha),
        }
    }
}

/// Whose records tell more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) attempt: AttemptKey,
    pub(crate) over: bool,
}

/// A report as it should be, less what records tell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) key: Key,
    pub(crate) place: Place,
    pub(crate) name: String,
    pub(crate) stage: Stage,
    pub(crate) started_ms: Option<u64>,
    pub(crate) finished_ms: Option<u64>,
    /// In one line; empty: what the records tell.
    pub(crate) title: String,
    /// Paragraphs of Markdown.
    pub(crate) notes: Vec<String>,
    /// Path of the page with more.
    pub(crate) page: String,
    pub(crate) source: Option<Source>,
    pub(crate) buttons: Vec<Button>,
    /// What was told.
    pub(crate) told: Option<ToldReport>,
    /// It is no report but a deployment, and this is how far it is.
    pub(crate) deploys: Option<Deploys>,
    /// It is about a run that waits, or waited, as a whole: what the forge has as over may not be the last word.
    pub(crate) was_held: bool,
    /// It was over before anything of it was told, as far as anybody remembers: it is not made any more, but one that a
    /// coordinator made before it was killed has its last word.
    pub(crate) only_if_there: bool,
}

impl Wanted {
    /// What of it is worth a request of its own when it changes.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            stage: self.stage,
            attempt: self.source.map_or(0, |source| source.attempt.attempt),
            title: self.title.clone(),
        }
    }
}

/// See [`Wanted::mark`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    stage: Stage,
    attempt: u32,
    title: String,
}

/// A run, as far as it is to be told.
#[derive(Debug, Clone)]
pub(crate) struct RunWork {
    pub(crate) repository: String,
    pub(crate) forge: String,
    pub(crate) event_name: String,
    pub(crate) sha: String,
    pub(crate) event: Digest,
    pub(crate) ended_ms: Option<u64>,
    /// Where its reports belong; `None`: that was not journaled yet, and nothing else is here.
    pub(crate) place: Option<Place>,
    /// It has ended, and its gates were not judged yet.
    pub(crate) to_judge: bool,
    /// Reports whose last word was not told.
    pub(crate) wanted: Vec<Wanted>,
}

/// What there is to tell of a run; `None`: it is not known (any more).
pub(crate) fn of_run(view: View<'_>, run: RunId) -> Option<RunWork> {
    let run = view.state.run(run)?;
    let meta = run.meta();
    let told = view.ledger.told().run(run.id());
    let mut wanted = Vec::new();
    if let Some(told) = told {
        let mut count = 0;
        let start = told.parts.get(held::PART);
        if let Some(mut report) =
            held::of_run(view, run, start).filter(|_| !start.is_some_and(|it| it.settled))
        {
            (report.told, report.place) = (start.copied(), told.place.clone());
            wanted.push(report);
        }
        for job in run.jobs_in_order() {
            let parts = reports(view, run, job);
            let deployments = deployments::of_job(view, run, job, &told.parts);
            for mut report in parts.into_iter().chain(deployments) {
                count += 1;
                if count > REPORTS_MAX {
                    break;
                }
                let Key::Part(_, part) = &report.key else { continue };
                report.told = told.parts.get(part).copied();
                report.place = told.place.clone();
                if !report.told.is_some_and(|told| told.settled) {
                    wanted.push(report);
                }
            }
        }
        for mut report in gates::wanted(run, told) {
            let Key::Part(_, part) = &report.key else { continue };
            report.told = told.parts.get(part).copied();
            report.place = told.place.clone();
            if !report.told.is_some_and(|told| told.settled) {
                wanted.push(report);
            }
        }
    }
    Some(RunWork {
        repository: meta.repository.clone(),
        forge: meta.forge.clone(),
        event_name: meta.event_name.clone(),
        sha: meta.sha.clone(),
        event: run.event(),
        ended_ms: run.end().map(|end| end.at.0),
        place: told.map(|told| told.place.clone()),
        to_judge: run.end().is_some() && told.is_some_and(|told| told.gates.is_none()),
        wanted,
    })
}

fn reports(view: View<'_>, run: &Run, job: &Job) -> Vec<Wanted> {
    let instances: Vec<Wanted> =
        view.state.instances_of(job).map(|instance| of_instance(view, run, instance)).collect();
    if !instances.is_empty() {
        return instances;
    }
    of_job(run, job).into_iter().collect()
}

/// A job that never had an instance and never will. One that was carried over was told of by the run before; one that calls a workflow is told
/// of by the jobs of that.
fn of_job(run: &Run, job: &Job) -> Option<Wanted> {
    if !matches!(job.stage(), JobStage::Finished { .. }) || job.is_carried() || !job.calls().is_empty() {
        return None;
    }
    let result = job.conclusion()?;
    let stage = Stage::Done(conclusion(result));
    let title = match (result, job.message()) {
        (JobResult::Skipped, None) => "Skipped".to_owned(),
        (_, message) => words::cut(message.unwrap_or(words::stage(stage)), 200),
    };
    Some(Wanted {
        key: Key::Part(run.id(), format!("job:{}", job.id())),
        place: nowhere(),
        name: name(run, job.id().as_str()),
        stage,
        started_ms: None,
        finished_ms: run.end().map(|end| end.at.0),
        title,
        notes: job.message().map(words::plain).into_iter().collect(),
        page: format!("/runs/{}", run.id()),
        source: None,
        buttons: vec![Button::Rerun],
        told: None,
        deploys: None,
        was_held: false,
        only_if_there: false,
    })
}

/// Filled in by whoever knows.
pub(super) fn nowhere() -> Place {
    Place { repository: String::new(), sha: String::new() }
}

/// As GitHub's own pages name a job: a commit may have the same workflow for a push and for a pull request.
pub(super) fn name(run: &Run, job: &str) -> String {
    let meta = run.meta();
    words::cut(&format!("{} / {job} ({})", meta.workflow_name, meta.event_name), NAME_MAX_BYTES)
}

fn of_instance(view: View<'_>, run: &Run, instance: &Instance) -> Wanted {
    let last = instance.attempts().last();
    let timed_out =
        last.and_then(|attempt| attempt.end).is_some_and(|end| matches!(end.outcome, Outcome::TimedOut));
    let stage = match instance.phase() {
        Phase::Finished { result: JobResult::Cancelled, .. } if timed_out => {
            Stage::Done(Conclusion::TimedOut)
        }
        Phase::Finished { result, .. } => Stage::Done(conclusion(*result)),
        Phase::Leased { .. } | Phase::Settling => Stage::Running,
        _ if last.is_some() => Stage::Running,
        _ => Stage::Queued,
    };
    let (title, notes) = told_of(view, run, instance);
    Wanted {
        key: Key::Part(run.id(), instance.id().to_string()),
        place: nowhere(),
        name: name(run, &instance.definition().name),
        stage,
        started_ms: last.map(|attempt| attempt.started_at.0),
        finished_ms: match instance.phase() {
            Phase::Finished { at, .. } => Some(at.0),
            _ => None,
        },
        title,
        notes,
        page: format!("/runs/{}/jobs/{}", run.id(), instance.id()),
        source: last.map(|attempt| Source {
            attempt: AttemptKey { run: run.id(), instance: instance.id(), attempt: attempt.number },
            over: attempt.end.is_some(),
        }),
        buttons: vec![if stage.is_done() { Button::Rerun } else { Button::Cancel }],
        told: None,
        deploys: None,
        was_held: false,
        only_if_there: false,
    }
}

/// What the state has to say beside the result: a title if it says more than the steps, and paragraphs.
fn told_of(view: View<'_>, run: &Run, instance: &Instance) -> (String, Vec<String>) {
    let mut notes = Vec::new();
    let mut title = String::new();
    if let Some(gate) = instance.awaits_review() {
        title = format!("Waits for approval of {}", gate.environment);
    }
    if let Some(cause) = instance.cause() {
        title = format!("The fleet failed: {cause}");
        notes.push("The fleet failed, not the work: it was not this commit's fault.".to_owned());
    }
    if let Some(gave_up) = gave_up(instance) {
        notes.push(words::plain(&gave_up.to_string()));
    }
    if let Some(refusal) = gate_refusal(instance) {
        title = words::cut(&refusal, 200);
    }
    if let Some(last) = instance.attempts().last() {
        let note = view.ledger.note(run.id(), instance.id(), last.number);
        if !note.is_empty() {
            notes.push(words::plain(note));
        }
        if last.number > 1 {
            notes.push(format!("Attempt {}: earlier ones failed by the fleet.", last.number));
        }
    }
    if let Some(by) = run.cancelled().filter(|_| instance.result() == Some(JobResult::Cancelled)) {
        notes.push(words::plain(&format!("Cancelled by {}: {}", by.actor, by.reason)));
    }
    (title, notes)
}

pub(super) const fn conclusion(result: JobResult) -> Conclusion {
    match result {
        JobResult::Success => Conclusion::Success,
        JobResult::Failure => Conclusion::Failure,
        JobResult::Cancelled => Conclusion::Cancelled,
        JobResult::Skipped => Conclusion::Skipped,
    }
}
