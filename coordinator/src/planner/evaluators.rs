//! The threads that evaluate.
//!
//! Not the runtime's pool for blocking work: that one hands a burst of work to dozens of threads, more than there are
//! cores, and each keeps the memory that its largest plan needed. A backlog of 100,000 jobs left 90 MiB behind that way.

use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use super::CONCURRENCY;

type Work = Box<dyn FnOnce() + Send>;

/// Evaluates in threads of its own, one for each core, at most [`CONCURRENCY`]. They end with the last of its handles.
#[derive(Clone)]
pub(super) struct Evaluators {
    work: SyncSender<Work>,
}

/// The work panicked, or no thread is left to do it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Broken(String);

impl Evaluators {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system gives none at all.
    pub(super) fn start() -> std::io::Result<Self> {
        // Each planned job has at most one evaluation under way, so nobody ever waits for room.
        let (work, waiting) = sync_channel::<Work>(CONCURRENCY);
        let waiting = Arc::new(Mutex::new(waiting));
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(CONCURRENCY);
        for number in 0..threads {
            let waiting = Arc::clone(&waiting);
            let started =
                thread::Builder::new().name(format!("plan-{number}")).spawn(move || serve(&waiting));
            match started {
                Ok(_) => {}
                Err(error) if number == 0 => return Err(error),
                Err(error) => tracing::warn!(%error, number, "fewer threads than cores plan jobs"),
            }
        }
        Ok(Self { work })
    }

    /// Does this work in one of the threads.
    ///
    /// # Errors
    /// When it panics.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Broken> {
        let (done, answer) = oneshot::channel();
        let work: Work = Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(work)).map_err(|panic| Broken(said(&*panic)));
            // Who asked may be gone.
            let _ = done.send(result);
        });
        let gone = || Broken("the threads that plan jobs have ended".to_owned());
        self.work.try_send(work).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn serve(waiting: &Mutex<Receiver<Work>>) {
    loop {
        // Whoever waits for work holds the lock; who works does not.
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = next else { return };
        work();
    }
}

/// What a panic said.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_told_and_the_threads_go_on() {
        let evaluators = Evaluators::start().expect("threads can be had");
        for number in 0..4 * CONCURRENCY {
            let broken = evaluators.run(move || assert_eq!(number, usize::MAX, "planted")).await;
            assert!(broken.expect_err("it panics").to_string().contains("planted"));
        }
        assert_eq!(evaluators.run(|| 7).await.expect("a thread is left"), 7);
    }

    #[tokio::test]
    async fn as_many_at_once_as_jobs_are_planned_find_room() {
        let evaluators = Evaluators::start().expect("threads can be had");
        let asked = (0..CONCURRENCY).map(|number| evaluators.run(move || number));
        let done = futures_util::future::join_all(asked).await;
        let numbers: Vec<usize> = done.into_iter().map(|done| done.expect("there is room")).collect();
        assert_eq!(numbers, (0..CONCURRENCY).collect::<Vec<_>>());
    }
}
