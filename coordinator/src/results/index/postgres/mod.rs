//! The index in the journal's PostgreSQL database, for several coordinators.
//!
//! Invariants: whatever changes something is one transaction, and one at a time of all coordinators' (an advisory lock that
//! ends with it), as in the SQLite file; a coordinator that was replaced as the leader changes nothing, which is looked at
//! under that lock. So nothing here has to bear being interleaved, and a conflict is the server's or the network's: the
//! transaction is tried again, a bounded number of times. A commit whose answer was lost may be done twice: all work bears it.

mod limits;
mod schema;
mod session;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use self::limits::{CHANGE_LOCK, CONNECTIONS, RETRY_FIRST, RETRY_LIMIT, TRIES};
use self::session::{Session, Under};
use super::super::error::ResultsError;
use super::sql::{Fault, Sql};
use crate::journal::postgres::{PostgresOptions, passes, words};

/// Where the index is, for a person.
#[derive(Debug, Clone)]
struct Place(Arc<str>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a failed statement means.
fn fault(place: &Place) -> impl Fn(Error) -> Fault + Copy + '_ {
    move |error| {
        let reason = format!("the index of caches and artifacts in {place}: {}", words(&error));
        let in_the_way = [SqlState::UNIQUE_VIOLATION, SqlState::LOCK_NOT_AVAILABLE];
        match passes(&error) || error.code().is_some_and(|code| in_the_way.contains(code)) {
            true => Fault::Passing(reason),
            false => Fault::Refused(ResultsError::Failed(reason)),
        }
    }
}

/// What a transaction may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Read, as of one moment.
    Look,
    /// Change something.
    Change,
}

/// The index in a database; cheap to clone.
#[derive(Clone)]
pub(in crate::results) struct PostgresIndex(Arc<Parts>);

struct Parts {
    options: PostgresOptions,
    place: Place,
    free: Mutex<Vec<Session>>,
    connections: Semaphore,
    /// The epoch in which this coordinator leads; 0: nobody looks at it.
    epoch: AtomicU64,
}

impl PostgresIndex {
    /// Connects, and makes the tables if need be.
    pub(super) async fn open(options: PostgresOptions) -> Result<Self, ResultsError> {
        let place = Place(options.to_string().into());
        let session = Session::open(&options, &place).await.map_err(|fault| match fault {
            Fault::Refused(error) => error,
            Fault::Passing(reason) => ResultsError::Failed(reason),
        })?;
        Ok(Self(Arc::new(Parts {
            options,
            place,
            free: Mutex::new(vec![session]),
            connections: Semaphore::new(CONNECTIONS),
            epoch: AtomicU64::new(0),
        })))
    }

    /// From now on nothing is changed unless this is the journal's epoch.
    pub(super) fn lead(&self, epoch: u64) {
        self.0.epoch.store(epoch, Ordering::SeqCst);
    }

    /// Does something in one transaction. An error takes it back; what passes is tried again.
    pub(super) async fn transaction<T: Send + 'static>(
        &self,
        access: Access,
        work: impl Fn(&mut dyn Sql) -> Result<T, Fault> + Send + Sync + 'static,
    ) -> Result<T, ResultsError> {
        let stopping = |_| ResultsError::Failed("the coordinator is stopping".to_owned());
        let _permit = self.0.connections.acquire().await.map_err(stopping)?;
        let (work, mut pause, mut tries) = (Arc::new(work), RETRY_FIRST, 1);
        loop {
            let reason = match self.once(access, Arc::clone(&work)).await {
                Ok(value) => return Ok(value),
                Err(Fault::Refused(error)) => return Err(error),
                Err(Fault::Passing(reason)) => reason,
            };
            if tries == TRIES {
                return Err(ResultsError::Failed(format!("{reason} ({TRIES} tries)")));
            }
            tracing::debug!(reason, tries, "a transaction is tried again");
            tokio::time::sleep(pause).await;
            (pause, tries) = ((pause * 2).min(RETRY_LIMIT), tries + 1);
        }
    }

    async fn once<T: Send + 'static>(
        &self,
        access: Access,
        work: Arc<impl Fn(&mut dyn Sql) -> Result<T, Fault> + Send + Sync + 'static>,
    ) -> Result<T, Fault> {
        let free = || self.0.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let session = match free().filter(|session| !session.is_closed()) {
            Some(session) => session,
            None => Session::open(&self.0.options, &self.0.place).await?,
        };
        let (index, runtime) = (self.clone(), Handle::current());
        // The work waits for each answer; a thread that may block is the price of one text for both engines.
        let done = tokio::task::spawn_blocking(move || {
            let mut session = session;
            let done = index.on(&mut session, &runtime, access, &*work);
            // A connection that something passing happened to is not used again.
            if !matches!(done, Err(Fault::Passing(_))) {
                index.0.free.lock().unwrap_or_else(PoisonError::into_inner).push(session);
            }
            done
        });
        done.await.unwrap_or_else(|error| Err(ResultsError::Failed(error.to_string()).into()))
    }

    fn on<T>(
        &self,
        session: &mut Session,
        runtime: &Handle,
        access: Access,
        work: impl Fn(&mut dyn Sql) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        // Whatever the database's default is: each statement of a change sees what was committed before it.
        let begin = match access {
            Access::Look => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY".to_owned(),
            Access::Change => format!(
                "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock({CHANGE_LOCK})"
            ),
        };
        runtime.block_on(session.batch(&begin))?;
        let done = self.check_leads(session, runtime, access).and_then(|()| {
            let mut under = Under { session, runtime };
            work(&mut under)
        });
        match done {
            Ok(value) => runtime.block_on(session.batch("COMMIT")).map(|()| value),
            Err(fault) => {
                // Its connection ends with a passing fault, and the transaction with it.
                if matches!(fault, Fault::Refused(_)) {
                    runtime.block_on(session.batch("ROLLBACK"))?;
                }
                Err(fault)
            }
        }
    }

    fn check_leads(&self, session: &mut Session, runtime: &Handle, access: Access) -> Result<(), Fault> {
        let ours = self.0.epoch.load(Ordering::SeqCst);
        if ours == 0 || access == Access::Look {
            return Ok(());
        }
        let found = runtime.block_on(session.query("SELECT epoch FROM leader", &[]))?;
        match found.first().map(|row| row.count(0)).transpose()? {
            Some(current) if current == ours => Ok(()),
            _ => Err(ResultsError::Failed("another coordinator leads; ask that one".to_owned()).into()),
        }
    }
}
