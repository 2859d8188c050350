//! The journal in a PostgreSQL database, for several coordinators.
//!
//! Invariants: every append is one statement that checks epoch and head and takes effect once, whatever happens to
//! connections; what was acknowledged is there afterwards, or [`JournalError::Lost`] says that the server lost it. The
//! connection and its retries live on a thread of their own, with a runtime of their own: the driver's thread waits for it
//! as it would for a disk.

mod batch;
mod engine;
mod failure;
mod import;
mod keeping;
mod limits;
mod options;
mod row;
mod schema;
mod session;
mod statements;
mod tls;

use std::sync::mpsc as std_mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use tokio::sync::mpsc;

use self::engine::Engine;
pub(crate) use self::failure::{passes, words};
pub use self::options::{PostgresOptions, Roots, TlsMode};
pub(crate) use self::session::Link;
use super::{Address, Entry, Hash, Journal, JournalError, Leader, MAX_READ, Mark, Record, Snapshot};

/// What the engine's thread is asked to do.
type Order = Box<dyn for<'a> FnOnce(&'a mut Engine) -> LocalBoxFuture<'a, ()> + Send>;

/// A journal in a PostgreSQL database.
#[derive(Debug)]
pub struct PostgresJournal {
    place: String,
    /// `None` once it is being dropped.
    orders: Option<mpsc::UnboundedSender<Order>>,
    thread: Option<JoinHandle<()>>,
    head: Mark,
    anchor: Mark,
}

impl PostgresJournal {
    /// Connects, makes the tables if need be, and checks that the journal's head is whole. Blocks for a few seconds at most
    /// when no server answers.
    ///
    /// # Errors
    /// [`JournalError::Newer`], [`JournalError::Foreign`], [`JournalError::Damaged`], and [`JournalError::Engine`] when no
    /// host can be used; it says why for each.
    pub fn open(options: PostgresOptions) -> Result<Self, JournalError> {
        let place = options.to_string();
        let failed = {
            let place = place.clone();
            move |error: std::io::Error| JournalError::Engine {
                place: place.clone(),
                reason: format!("its thread cannot start: {error}"),
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(&failed)?;
        let (orders, mut inbox) = mpsc::unbounded_channel::<Order>();
        let (answer, answered) = std_mpsc::sync_channel(1);
        let work = async move || {
            let mut engine = match Engine::open(options).await {
                Ok(engine) => engine,
                // Whoever opens waits for it.
                Err(error) => return drop(answer.send(Err(error))),
            };
            let _ = answer.send(Ok((engine.head, engine.anchor)));
            while let Some(order) = inbox.recv().await {
                order(&mut engine).await;
            }
            engine.close().await;
        };
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || runtime.block_on(work()))
            .map_err(&failed)?;
        let opened = answered.recv().unwrap_or_else(|_| Err(defect(&place)));
        let (head, anchor) = opened?;
        Ok(Self { place, orders: Some(orders), thread: Some(thread), head, anchor })
    }

    /// Has the engine do something, and waits for it.
    fn ask<T: Send + 'static>(
        &mut self,
        work: impl for<'a> FnOnce(&'a mut Engine) -> LocalBoxFuture<'a, Result<T, JournalError>> + Send + 'static,
    ) -> Result<T, JournalError> {
        let (answer, answered) = std_mpsc::sync_channel(1);
        let order: Order = Box::new(move |engine| {
            Box::pin(async move {
                let result = work(engine).await;
                // Whoever asked waits for it.
                let _ = answer.send((result, engine.head, engine.anchor));
            })
        });
        let sent = self.orders.as_ref().is_some_and(|orders| orders.send(order).is_ok());
        let (result, head, anchor) =
            answered.recv().ok().filter(|_| sent).ok_or_else(|| defect(&self.place))?;
        (self.head, self.anchor) = (head, anchor);
        result
    }
}

fn defect(place: &str) -> JournalError {
    let reason = "its thread ended by a bug of Slipway".to_owned();
    JournalError::Engine { place: place.to_owned(), reason }
}

impl Drop for PostgresJournal {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // It panicked or not: there is nothing left to do.
            let _ = thread.join();
        }
    }
}

impl Journal for PostgresJournal {
    fn leader(&mut self) -> Result<Leader, JournalError> {
        self.ask(|engine| Box::pin(engine.leader()))
    }

    fn take_over(&mut self, seen: u64, address: &Address) -> Result<Option<u64>, JournalError> {
        let address = address.clone();
        self.ask(move |engine| Box::pin(engine.take_over(seen, address)))
    }

    fn wait(&mut self, position: u64, patience: Duration) -> Result<(), JournalError> {
        self.ask(move |engine| Box::pin(engine.wait(position, patience)))
    }

    fn append(&mut self, epoch: u64, entries: &[Entry]) -> Result<u64, JournalError> {
        let entries = entries.to_vec();
        self.ask(move |engine| Box::pin(engine.append(epoch, entries)))
    }

    fn head(&self) -> Mark {
        self.head
    }

    fn anchor(&self) -> Mark {
        self.anchor
    }

    fn hash(&mut self, position: u64) -> Result<Option<Hash>, JournalError> {
        self.ask(move |engine| Box::pin(engine.hash(position)))
    }

    fn read_few(&mut self, position: u64, most: usize) -> Result<Vec<Record>, JournalError> {
        self.ask(move |engine| Box::pin(engine.read(position, most.min(MAX_READ))))
    }

    fn import(&mut self, records: &[Record], epoch: u64) -> Result<(), JournalError> {
        let records = records.to_vec();
        self.ask(move |engine| Box::pin(engine.import(records, epoch)))
    }

    fn save_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), JournalError> {
        let snapshot = snapshot.clone();
        self.ask(move |engine| Box::pin(engine.save_snapshot(snapshot)))
    }

    fn snapshots(&mut self) -> Result<Vec<Snapshot>, JournalError> {
        self.ask(|engine| Box::pin(engine.snapshots()))
    }

    fn prune(&mut self, before: u64, older_than_ms: u64) -> Result<u64, JournalError> {
        self.ask(move |engine| Box::pin(engine.prune(before, older_than_ms)))
    }
}
