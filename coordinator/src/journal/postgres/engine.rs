//! What a journal does, on whatever connection there is; lost ones are replaced here.
//!
//! Invariant: an append is a compare-and-set of epoch, claim and head. Whatever a lost connection leaves open, doing it again
//! is right: it takes effect once, or it shows that it had, or that it can't.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use slipway_kit::backoff::Backoff;
use tokio::time::{Instant, timeout};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::batch::Batch;
use super::failure::{Failure, of_statement};
use super::limits::{
    ANSWER_TIMEOUT, LOCK_CLASS, OPEN_PATIENCE, RECONNECT_PATIENCE, RETRY_FIRST, RETRY_LIMIT, epoch_lock,
};
use super::options::PostgresOptions;
use super::row::{LeaderRow, integer, record};
use super::session::Session;
use super::tls::Tls;
use crate::journal::{Address, Entry, JournalError, Leader, MAX_READ_BYTES, Mark, Record};

/// The epoch that this handle took, and the mark by which it knows its own row: an epoch's number may come again when a
/// fail-over lost it.
#[derive(Debug, Clone, Copy)]
struct Claim {
    epoch: u64,
    id: Uuid,
}

pub(super) struct Engine {
    options: PostgresOptions,
    tls: Tls,
    pub(super) place: String,
    session: Option<Arc<Session>>,
    claim: Option<Claim>,
    /// The last record this handle knows of.
    pub(super) head: Mark,
    /// Where the journal begins.
    pub(super) anchor: Mark,
}

/// For how much longer a server is looked for.
struct Patience {
    whole: Duration,
    until: Instant,
    backoff: Backoff,
}

impl Patience {
    fn new(whole: Duration) -> Self {
        Self { whole, until: Instant::now() + whole, backoff: Backoff::new(RETRY_FIRST, RETRY_LIMIT) }
    }
}

impl Engine {
    /// Connects, makes or migrates the tables, and checks that the head is whole.
    pub(super) async fn open(options: PostgresOptions) -> Result<Self, JournalError> {
        let place = options.to_string();
        let tls =
            Tls::new(&options).map_err(|reason| JournalError::Engine { place: place.clone(), reason })?;
        let nothing = Mark::BEGINNING;
        let mut engine =
            Self { options, tls, place, session: None, claim: None, head: nothing, anchor: nothing };
        engine.connected(&mut Patience::new(OPEN_PATIENCE)).await?;
        let place = engine.place.clone();
        let row = engine.ask(async |session| leader_row(session, &place).await).await?;
        (engine.head, engine.anchor) = (row.head, row.anchor);
        engine.check_head().await?;
        Ok(engine)
    }

    /// Ends the connection in good order.
    pub(super) async fn close(mut self) {
        if let Some(session) = self.session.take().and_then(Arc::into_inner) {
            session.close().await;
        }
    }

    /// Does something on a connection; again on another one when that was lost in the middle.
    pub(super) async fn ask<T>(
        &mut self,
        work: impl AsyncFn(&Session) -> Result<T, Failure>,
    ) -> Result<T, JournalError> {
        let mut patience = Patience::new(RECONNECT_PATIENCE);
        loop {
            let session = self.connected(&mut patience).await?;
            let reason = match timeout(ANSWER_TIMEOUT, work(&session)).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(Failure::Final(error))) => return Err(error),
                Ok(Err(Failure::Lost(reason))) => reason,
                Err(_) => format!("no answer for {} s", ANSWER_TIMEOUT.as_secs()),
            };
            tracing::warn!(place = self.place, reason, "the journal's server is lost; looking for it");
            self.session = None;
            self.rest(&mut patience, reason).await?;
        }
    }

    /// The connection, or a new one.
    async fn connected(&mut self, patience: &mut Patience) -> Result<Arc<Session>, JournalError> {
        loop {
            if let Some(session) = self.session.as_ref().filter(|session| !session.client.is_closed()) {
                return Ok(Arc::clone(session));
            }
            self.session = None;
            let opened = match Session::open(&self.options, &self.tls, &self.place).await {
                Ok(session) => match timeout(ANSWER_TIMEOUT, self.resume(&session)).await {
                    Ok(resumed) => resumed.map(|()| session),
                    Err(_) => Err(Failure::Lost(format!("no answer for {} s", ANSWER_TIMEOUT.as_secs()))),
                },
                Err(failure) => Err(failure),
            };
            match opened {
                Ok(session) => self.session = Some(Arc::new(session)),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Lost(reason)) => self.rest(patience, reason).await?,
            }
        }
    }

    async fn rest(&self, patience: &mut Patience, reason: String) -> Result<(), JournalError> {
        let wait = patience.backoff.next_wait();
        if Instant::now() + wait > patience.until {
            let reason = format!("no server for {} s: {reason}", patience.whole.as_secs());
            return Err(JournalError::Engine { place: self.place.clone(), reason });
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// What a new connection begins with: is everything there that this handle saw, and the lock that shows it leads.
    async fn resume(&self, session: &Session) -> Result<(), Failure> {
        self.check_known(session).await?;
        self.lock(session).await
    }

    /// The lock of the epoch that this handle leads. A connection of ours that the server has not given up yet may still
    /// hold it: then with a later append.
    async fn lock(&self, session: &Session) -> Result<(), Failure> {
        let Some(claim) = self.claim else { return Ok(()) };
        if !session.locked.load(Ordering::Relaxed) {
            let lock = "SELECT pg_try_advisory_lock($1, $2)";
            let parameters: [&(dyn ToSql + Sync); 2] = [&LOCK_CLASS, &epoch_lock(claim.epoch)];
            let row = session.client.query_one(lock, &parameters).await;
            let locked: bool = row.map_err(of_statement(&self.place))?.get(0);
            session.locked.store(locked, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(super) fn lost(&self, found: u64) -> JournalError {
        JournalError::Lost { place: self.place.clone(), known: self.head.position, found }
    }

    /// Checks that the journal still has the last record that this handle saw.
    async fn check_known(&self, session: &Session) -> Result<(), Failure> {
        let row = leader_row(session, &self.place).await?;
        if row.head.position < self.head.position {
            return Err(self.lost(row.head.position).into());
        }
        match hash_of(session, &self.place, &row, self.head.position).await? {
            // A record that was pruned meanwhile cannot be compared any more.
            None if self.head.position < row.anchor.position => Ok(()),
            Some(hash) if hash == self.head.hash => Ok(()),
            _ => Err(self.lost(row.head.position).into()),
        }
    }

    /// Checks that the last record is the one that the leader's row names.
    async fn check_head(&mut self) -> Result<(), JournalError> {
        let place = self.place.clone();
        self.ask(async |session| {
            let query = "SELECT max(position) FROM slipway.record";
            // One after the other is enough: the row only ever runs ahead of what was read before.
            let row = leader_row(session, &place).await?;
            let last = session.client.query_one(query, &[]).await.map_err(of_statement(&place))?;
            let last = last.get::<_, Option<i64>>(0).map_or(0, |last| last.max(0) as u64);
            if last.max(row.anchor.position) < row.head.position {
                let reason = format!("the journal should end at {}", row.head.position);
                return Err(JournalError::Damaged { position: last + 1, reason }.into());
            }
            if hash_of(session, &place, &row, row.head.position).await? != Some(row.head.hash) {
                let reason = "the last record was changed".to_owned();
                return Err(JournalError::Damaged { position: row.head.position, reason }.into());
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn leader(&mut self) -> Result<Leader, JournalError> {
        let place = self.place.clone();
        let row = self.ask(async |session| leader_row(session, &place).await).await?;
        Ok(row.leader())
    }

    pub(super) async fn take_over(
        &mut self,
        seen: u64,
        address: Address,
    ) -> Result<Option<u64>, JournalError> {
        let claim = Claim { epoch: seen + 1, id: Uuid::new_v4() };
        let place = self.place.clone();
        // After a lost connection the old claim's lock is nobody's any more.
        self.claim = None;
        let taken = self
            .ask(async |session| {
                let error = of_statement(&place);
                session.signals.take_warning();
                let statement = &session.statements.take_over;
                let id = claim.id.as_bytes().as_slice();
                let parameters: [&(dyn ToSql + Sync); 4] =
                    [&integer(seen), &id, &address.http, &address.grpc];
                let taken = session.client.query_opt(statement, &parameters).await.map_err(error)?;
                let warned = session.signals.take_warning();
                let row = leader_row(session, &place).await?;
                // Not by this statement's answer alone: one before it, whose connection was lost, may have done it.
                if (row.epoch, &row.claim[..]) != (claim.epoch, id) {
                    return Ok(None);
                }
                session.locked.store(taken.as_ref().is_some_and(|row| row.get(0)), Ordering::Relaxed);
                if taken.is_none() || warned.is_some() {
                    confirm(session, &place, claim, &row.head).await?;
                }
                Ok(Some((row.head, row.anchor)))
            })
            .await?;
        let Some((head, anchor)) = taken else { return Ok(None) };
        self.claim = Some(claim);
        (self.head, self.anchor) = (head, anchor);
        Ok(Some(claim.epoch))
    }

    pub(super) async fn append(&mut self, epoch: u64, entries: Vec<Entry>) -> Result<u64, JournalError> {
        let place = self.place.clone();
        // An epoch that this handle did not take has no claim that could match.
        let claim =
            self.claim.filter(|claim| claim.epoch == epoch).unwrap_or(Claim { epoch, id: Uuid::nil() });
        let before = self.head;
        let batch = Batch::new(&place, epoch, before, entries)?;
        let after = self
            .ask(async |session| {
                if batch.is_empty() {
                    return confirm(session, &place, claim, &before).await.map(|()| before);
                }
                session.signals.take_warning();
                let appended = batch.append(session, &place, claim.id).await?;
                match session.signals.take_warning() {
                    None if appended => Ok(batch.after),
                    // Durable on this server if it is `appended`, or else perhaps from a try whose answer was lost.
                    _ => confirm(session, &place, claim, &batch.after).await.map(|()| batch.after),
                }
            })
            .await;
        let after = match after {
            Ok(after) => after,
            Err(JournalError::Fenced { current, .. }) => {
                if self.claim.is_some_and(|claim| claim.epoch == epoch && current <= epoch) {
                    // What this handle took is not there any more, and nobody took it after.
                    return Err(self.lost_now().await?);
                }
                return Err(JournalError::Fenced { ours: epoch, current });
            }
            Err(JournalError::Lost { found, .. }) => return Err(self.lost(found)),
            Err(error) => return Err(error),
        };
        self.head = after;
        if let Some(session) = self.session.clone() {
            // The lock is a hint for others; an append that is durable does not fail for it.
            if let Err(Failure::Lost(_) | Failure::Final(_)) = self.lock(&session).await {
                self.session = None;
            }
        }
        Ok(after.position)
    }

    async fn lost_now(&mut self) -> Result<JournalError, JournalError> {
        let place = self.place.clone();
        let row = self.ask(async |session| leader_row(session, &place).await).await?;
        Ok(self.lost(row.head.position))
    }

    pub(super) async fn wait(&mut self, position: u64, patience: Duration) -> Result<(), JournalError> {
        let place = self.place.clone();
        let row = self.ask(async |session| leader_row(session, &place).await).await?;
        if row.head.position > position {
            return Ok(());
        }
        if let Some(session) = &self.session {
            // Whatever was notified since the row was read is kept: nothing is missed in between.
            let _ = timeout(patience, session.signals.changed.notified()).await;
        }
        Ok(())
    }
}

/// Shows a sign of life and checks that epoch, claim and head stand. It is a commit: when it is answered, everything before it
/// is where this one is, on the synchronous stand-by too.
async fn confirm(session: &Session, place: &str, claim: Claim, head: &Mark) -> Result<(), Failure> {
    session.signals.take_warning();
    let id = claim.id.as_bytes().as_slice();
    let parameters: [&(dyn ToSql + Sync); 4] =
        [&integer(claim.epoch), &id, &integer(head.position), &head.hash.as_slice()];
    let beat = session.client.query_opt(&session.statements.beat, &parameters).await;
    let beat = beat.map_err(of_statement(place))?;
    if let Some(warning) = session.signals.take_warning() {
        return Err(Failure::Lost(warning));
    }
    if beat.is_some() {
        return Ok(());
    }
    let row = leader_row(session, place).await?;
    if (row.epoch, &row.claim[..]) != (claim.epoch, id) {
        return Err(JournalError::Fenced { ours: claim.epoch, current: row.epoch }.into());
    }
    let (place, known, found) = (place.to_owned(), head.position, row.head.position);
    Err(JournalError::Lost { place, known, found }.into())
}

pub(super) async fn leader_row(session: &Session, place: &str) -> Result<LeaderRow, Failure> {
    let row = session.client.query_opt(&session.statements.leader, &[]).await.map_err(of_statement(place))?;
    LeaderRow::read(row.as_ref(), place)
}

/// The hash of a record, or of the one that the journal begins after.
pub(super) async fn hash_of(
    session: &Session,
    place: &str,
    row: &LeaderRow,
    position: u64,
) -> Result<Option<[u8; 32]>, Failure> {
    if position == row.anchor.position {
        return Ok(Some(row.anchor.hash));
    }
    let found = page(session, place, position, 1).await?;
    Ok(found.first().filter(|record| record.position == position).map(Record::hash))
}

/// Up to `count` records from a position on, as they lie there.
pub(super) async fn page(
    session: &Session,
    place: &str,
    from: u64,
    count: usize,
) -> Result<Vec<Record>, Failure> {
    let (count, bytes) = (count as i64, MAX_READ_BYTES as i64);
    let parameters: [&(dyn ToSql + Sync); 3] = [&integer(from), &count, &bytes];
    let rows = session.client.query(&session.statements.read, &parameters).await;
    rows.map_err(of_statement(place))?.iter().map(|row| record(row, place)).collect()
}
