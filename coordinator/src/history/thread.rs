//! The thread that writes the projections.
//!
//! It gives way to all others: nobody waits for a projection, and jobs wait for the driver. Under load it falls behind, and
//! catches up from the journal.

use std::sync::mpsc;
use std::thread;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::give_way::give_way;

type Work = Box<dyn FnOnce(&mut Connection) + Send>;

/// A connection in a thread of its own, which ends with this.
#[derive(Debug)]
pub(super) struct ConnectionThread {
    work: mpsc::Sender<Work>,
}

impl ConnectionThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub(super) fn start(mut connection: Connection) -> std::io::Result<Self> {
        // Whoever asks waits for the answer: there is never more than one.
        let (work, waiting) = mpsc::channel::<Work>();
        thread::Builder::new().name("history".to_owned()).spawn(move || {
            give_way();
            while let Ok(work) = waiting.recv() {
                work(&mut connection);
            }
        })?;
        Ok(Self { work })
    }

    /// Does something with the connection; no answer comes when that panics.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (done, answer) = oneshot::channel();
        // A thread that has ended drops the work, and with it the answer's sender.
        let _ = self.work.send(Box::new(move |connection| {
            // Who asked may be gone.
            let _ = done.send(work(connection));
        }));
        answer
    }
}
