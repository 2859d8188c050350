//! The attempts of a run, and the readers of their records.

use std::collections::{BTreeMap, BTreeSet};

use slipway_scheduler::explain::gate_refusal;
use slipway_scheduler::state::{Call, Job, Run, Stage};
use slipway_scheduler::{InstanceId, RunId};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::line::{Naming, RunLine};
use super::{Lines, StreamError, say};
use crate::driver::{DriverError, View};
use crate::records::AttemptKey;
use crate::services::Services;

/// An attempt as the driver sees it.
#[derive(Debug, Clone)]
pub(super) struct AttemptState {
    pub(super) instance: InstanceId,
    pub(super) number: u32,
    pub(super) job: String,
    pub(super) name: String,
    /// Whether it has ended, and then with how many records (0 when nobody reported): what is durable then is all,
    /// because a report comes after its records.
    pub(super) ended: Option<u64>,
}

/// An instance's result.
#[derive(Debug, Clone)]
pub(super) struct InstanceResult {
    pub(super) instance: String,
    pub(super) line: RunLine,
}

/// Where a run is.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    pub(super) attempts: Vec<AttemptState>,
    pub(super) results: Vec<InstanceResult>,
    pub(super) end: Option<RunLine>,
}

/// Asks the driver; `None`: there is no such run.
pub(super) async fn look(services: &Services, run: RunId) -> Result<Option<Progress>, DriverError> {
    services.driver.query(move |view| progress(view, run)).await
}

fn progress(view: View<'_>, id: RunId) -> Option<Progress> {
    let run = view.state.run(id)?;
    let mut progress = Progress { attempts: Vec::new(), results: Vec::new(), end: None };
    for job in run.jobs() {
        for instance in view.state.instances_of(job) {
            let name = &instance.definition().name;
            for attempt in instance.attempts() {
                progress.attempts.push(AttemptState {
                    instance: instance.id(),
                    number: attempt.number,
                    job: job.id().to_string(),
                    name: name.clone(),
                    ended: attempt.end.map(|end| end.records),
                });
            }
            let Some(result) = instance.result() else { continue };
            let attempt = instance.attempts().last().map_or(0, |attempt| attempt.number);
            let note = view.ledger.note(id, instance.id(), attempt);
            let message = (!note.is_empty()).then(|| note.to_owned()).or_else(|| gate_refusal(instance));
            progress.results.push(InstanceResult {
                instance: instance.id().to_string(),
                line: RunLine::Job {
                    job: job.id().to_string(),
                    instance: instance.id().to_string(),
                    name: name.clone(),
                    result,
                    attempt,
                    cause: instance.cause(),
                    message,
                },
            });
        }
        // A call is shown by its jobs, unless it is itself what failed.
        let message = job.message().or_else(|| job.calls().iter().find_map(Call::message));
        let shown = job.instances().is_empty() && (job.calls().is_empty() || message.is_some());
        if let (Stage::Finished { conclusion, .. }, true) = (job.stage(), shown) {
            let id = job.id().to_string();
            progress.results.push(InstanceResult {
                instance: id.clone(),
                line: RunLine::Job {
                    job: id.clone(),
                    instance: id.clone(),
                    name: display_name(run, job),
                    result: conclusion,
                    attempt: 0,
                    cause: None,
                    message: message.map(str::to_owned),
                },
            });
        }
    }
    progress.end =
        run.end().map(|end| RunLine::Run { run: id.to_string(), result: end.result, cause: end.cause });
    Some(progress)
}

/// What people see of a job that has no instances: its id in its file, behind the names of its callers.
fn display_name(run: &Run, job: &Job) -> String {
    let id = job.id().as_str();
    let Some(call) = run.call_of(job) else { return id.to_owned() };
    let local = id.strip_prefix(call.id().as_str()).and_then(|rest| rest.strip_prefix('/'));
    format!("{} / {}", call.name(), local.unwrap_or(id))
}

/// The attempts that are being or were read.
#[derive(Debug, Default)]
pub(super) struct Readers {
    known: BTreeMap<(InstanceId, u32), Known>,
    /// The reader that was started last of those whose attempts were over: they are read one after another.
    last_over: Option<CancellationToken>,
}

#[derive(Debug)]
struct Known {
    ended: watch::Sender<Option<u64>>,
    done: CancellationToken,
}

/// What a reader is told, whom it waits for, and how it tells that it is done.
#[derive(Debug)]
pub(super) struct Span {
    ended: watch::Receiver<Option<u64>>,
    after: Vec<CancellationToken>,
    done: DropGuard,
}

impl Readers {
    /// Takes note of an attempt; `start` starts the reader of one that is new.
    pub(super) fn update(
        &mut self,
        attempt: &AttemptState,
        follow: bool,
        start: impl FnOnce(&AttemptState, Span),
    ) {
        // Without following, what is durable now is all.
        let ended = attempt.ended.or((!follow).then_some(0));
        let known = self.known.entry((attempt.instance, attempt.number));
        let std::collections::btree_map::Entry::Vacant(vacant) = known else {
            if let Some(known) = self.known.get(&(attempt.instance, attempt.number)) {
                known.ended.send_if_modified(|present| std::mem::replace(present, ended) != ended);
            }
            return;
        };
        let (sender, receiver) = watch::channel(ended);
        let done = CancellationToken::new();
        vacant.insert(Known { ended: sender, done: done.clone() });
        // The lines of an instance's attempts do not mix: an earlier one is over when there is a later one.
        let earlier = self.known.range((attempt.instance, 0)..(attempt.instance, attempt.number)).next_back();
        let mut after: Vec<_> = earlier.map(|(_, known)| known.done.clone()).into_iter().collect();
        if ended.is_some() {
            after.extend(self.last_over.replace(done.clone()));
        }
        start(attempt, Span { ended: receiver, after, done: done.drop_guard() });
    }

    /// Ends the readers of attempts that never were (their agent declined them), once their instance has its result:
    /// before that, a next attempt may have the number.
    pub(super) fn end_declined(&self, progress: &Progress) {
        let made: BTreeSet<_> =
            progress.attempts.iter().map(|attempt| (attempt.instance, attempt.number)).collect();
        for (key, known) in self.known.iter().filter(|(key, _)| !made.contains(key)) {
            let instance = key.0.to_string();
            if progress.results.iter().any(|result| result.instance == instance) {
                known.ended.send_if_modified(|present| present.replace(0).is_none());
            }
        }
    }

    /// Whether any attempt of this instance is still being read.
    pub(super) fn is_reading(&self, instance: &str) -> bool {
        self.known.iter().any(|((id, _), known)| id.to_string() == instance && !known.done.is_cancelled())
    }
}

/// Says all lines of an attempt, until its end.
pub(super) async fn read(
    services: Services,
    run: RunId,
    attempt: AttemptState,
    mut span: Span,
    lines: Lines,
) -> Result<(), StreamError> {
    for earlier in &span.after {
        earlier.cancelled().await;
    }
    let key = AttemptKey { run, instance: attempt.instance, attempt: attempt.number };
    let mut naming = Naming::new(attempt.job, attempt.instance.to_string(), attempt.name);
    let mut next = 1;
    'log: loop {
        let mut reader = services.records.reader(key, next, attempt.ended.is_some()).await?;
        loop {
            // Before reading: what was durable at the end is read after it was seen.
            let ended = *span.ended.borrow_and_update();
            let records = reader.next().await?;
            next = reader.position();
            if !records.is_empty() {
                for record in records {
                    if let Some(line) = naming.line(record) {
                        say(&lines, line).await;
                    }
                }
                continue;
            }
            if let Some(records) = ended {
                if next <= records {
                    return Err(services.records.missing(key, next).into());
                }
                break 'log;
            }
            tokio::select! {
                more = reader.ready() => if !more { continue 'log },
                // The sender lives as long as the stream, and with it this reader.
                _ = span.ended.changed() => {}
            }
        }
    }
    drop(span.done);
    Ok(())
}
