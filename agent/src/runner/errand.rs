//! Work of the agent's own in the middle of a step: a checkout, fetching an action, building its image.

use std::future::Future;

use tokio::sync::mpsc;

use super::attempt::{Attempt, End};
use super::course::Activity;
use crate::records::log::JobLog;
use crate::steps::contexts::Contexts;

/// Lines of an errand that wait for the log.
const LINES_MAX: usize = 256;

/// Where an errand says what it does. What the log does not take in time is not worth waiting for.
#[derive(Debug, Clone)]
pub(super) struct Say(mpsc::Sender<String>);

impl Say {
    pub(super) fn line(&self, line: String) {
        drop(self.0.try_send(line));
    }
}

/// An errand's lines, and where they are said.
pub(super) fn lines() -> (Say, mpsc::Receiver<String>) {
    let (say, lines) = mpsc::channel(LINES_MAX);
    (Say(say), lines)
}

impl Attempt {
    /// Waits for an errand and puts its lines into the log. None when the step had to stop first.
    pub(super) async fn errand<T>(
        &mut self,
        log: &mut JobLog,
        contexts: &Contexts,
        activity: &Activity,
        mut lines: mpsc::Receiver<String>,
        working: impl Future<Output = T>,
    ) -> Result<Option<T>, End> {
        let result = {
            let mut working = std::pin::pin!(working);
            let (mut disk, job) = (self.machine.disk.clone(), self.saved.lease.attempt.folder_name());
            loop {
                let timer = self.next_deadline();
                let mut orders = self.link.orders.clone();
                orders.mark_unchanged();
                if self.must_stop(log, contexts, activity) {
                    break None;
                }
                tokio::select! {
                    result = &mut working => break Some(result),
                    Some(line) = lines.recv() => log.say(&line),
                    () = super::disk::over(&mut disk, &job) => self.check_disk()?,
                    // Looked at above, at once.
                    _ = orders.changed() => {}
                    () = tokio::time::sleep_until(timer) => {}
                }
                if log.has_records() {
                    log.commit(None, None, false).await?;
                }
            }
        };
        while let Ok(line) = lines.try_recv() {
            log.say(&line);
        }
        Ok(result)
    }
}
