//! What happens to a run, from its beginning: its steps, log lines and results in one stream.
//!
//! Invariants: an instance's lines come in its attempts' and their records' order, and its result after all of them; the
//! run's result is the last line. A reader that is slow is waited for; nobody else is.

mod attempts;
mod line;

use std::collections::BTreeSet;

use slipway_scheduler::RunId;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub use line::RunLine;

use crate::driver::DriverError;
use crate::services::Services;
use attempts::{Progress, look};

/// How many lines are read ahead of a slow reader; with the longest lines that is 16 MiB.
pub const READ_AHEAD: usize = 64;

/// Why a stream ends early.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The coordinator stops; ask the one that comes after it.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// Records cannot be read.
    #[error(transparent)]
    Records(#[from] crate::records::RecordsError),
    /// The run was retired meanwhile.
    #[error("run {0} is not kept any more")]
    Retired(RunId),
}

/// The lines of a run; with `follow`, until it has finished.
#[must_use]
pub fn open(services: &Services, run: RunId, follow: bool) -> mpsc::Receiver<Result<RunLine, StreamError>> {
    let (lines, receiver) = mpsc::channel(READ_AHEAD);
    let services = services.clone();
    tokio::spawn(async move {
        let closing = services.closing.clone();
        let ended = tokio::select! {
            ended = stream(&services, run, follow, &lines) => ended,
            () = lines.closed() => Ok(()),
            () = closing.cancelled() => Err(DriverError::Stopped.into()),
        };
        if let Err(error) = ended {
            // A reader that is gone needs no reason.
            let _ = lines.send(Err(error)).await;
        }
    });
    receiver
}

type Lines = mpsc::Sender<Result<RunLine, StreamError>>;

/// Says a line; an error means that nobody listens any more, and then the caller is about to be dropped.
async fn say(lines: &Lines, line: RunLine) {
    let _ = lines.send(Ok(line)).await;
}

async fn stream(services: &Services, run: RunId, follow: bool, lines: &Lines) -> Result<(), StreamError> {
    let mut changes = services.driver.watch(run);
    let mut readers: JoinSet<Result<(), StreamError>> = JoinSet::new();
    let mut attempts = attempts::Readers::default();
    let mut told = BTreeSet::new();
    loop {
        changes.borrow_and_update();
        let Some(progress) = look(services, run).await? else { return Err(StreamError::Retired(run)) };
        for attempt in &progress.attempts {
            attempts.update(attempt, follow, |attempt, span| {
                readers.spawn(attempts::read(services.clone(), run, attempt.clone(), span, lines.clone()));
            });
        }
        attempts.end_declined(&progress);
        while !follow && let Some(read) = readers.join_next().await {
            joined(read)?;
        }
        // A result is told once all its instance's readers are done.
        while let Some(read) = readers.try_join_next() {
            joined(read)?;
        }
        tell_results(&progress, &attempts, &mut told, lines).await;
        let all_told = progress.results.iter().all(|result| told.contains(&result.instance));
        match progress.end {
            Some(end) if all_told => {
                say(lines, end).await;
                return Ok(());
            }
            _ if !follow => return Ok(()),
            _ => {}
        }
        tokio::select! {
            changed = changes.changed() => {
                if changed.is_err() {
                    // Retired: the next look tells.
                    changes = services.driver.watch(run);
                }
            }
            Some(read) = readers.join_next() => joined(read)?,
        }
    }
}

fn joined(read: Result<Result<(), StreamError>, tokio::task::JoinError>) -> Result<(), StreamError> {
    match read {
        Ok(result) => result,
        Err(error) => {
            tracing::error!(%error, "a reader of records panicked");
            Err(DriverError::Stopped.into())
        }
    }
}

async fn tell_results(
    progress: &Progress,
    attempts: &attempts::Readers,
    told: &mut BTreeSet<String>,
    lines: &Lines,
) {
    for result in &progress.results {
        if told.contains(&result.instance) || attempts.is_reading(&result.instance) {
            continue;
        }
        told.insert(result.instance.clone());
        say(lines, result.line.clone()).await;
    }
}
