//! The task that makes the projections, for as long as this coordinator leads.

use slipway_kit::backoff::Backoff;
use tokio::sync::mpsc;

use super::feed::Feed;
use super::handle::{Order, Parts, Progress};
use super::limits::{GATHER, RETRY_FIRST, RETRY_LIMIT};
use super::postgres::PostgresTables;
use super::projector::Projector;
use super::sqlite::{HISTORY_FILE, SqliteTables};
use super::tables::{HistoryError, Tables};
use crate::journal::JournalPlace;
use crate::services::Services;

/// Until the coordinator stops, or another one leads.
pub(crate) async fn run(services: Services, parts: Parts) {
    let Parts { feed, orders } = parts;
    let backoff = Backoff::new(RETRY_FIRST, RETRY_LIMIT);
    let mut task = Task { services, feed, orders, order: None, backoff, failing: None };
    loop {
        let Err(error) = task.project().await;
        match error {
            HistoryError::Stopped => return,
            error => task.failed(&error).await,
        }
    }
}

struct Task {
    services: Services,
    feed: Feed,
    orders: mpsc::Receiver<Order>,
    /// The rebuild that goes on, and where the journal ended when it began.
    order: Option<(Order, u64)>,
    backoff: Backoff,
    /// What was told last of what does not work.
    failing: Option<String>,
}

impl Task {
    /// Follows the journal until something fails.
    async fn project(&mut self) -> Result<std::convert::Infallible, HistoryError> {
        let tables = open(&self.services).await?;
        let epoch = self.services.driver.epoch();
        let mut projector = match Projector::begin(self.services.clone(), tables, epoch).await {
            // The driver hears of it by itself, and ends the process.
            Err(HistoryError::Fenced) => return Err(HistoryError::Stopped),
            begun => begun?,
        };
        self.note(&projector);
        loop {
            if self.order.is_none()
                && let Ok(order) = self.orders.try_recv()
            {
                self.begin_rebuild(&mut projector, order).await?;
            }
            let more = projector.advance().await?;
            self.worked(&mut projector).await?;
            if more {
                continue;
            }
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => self.begin_rebuild(&mut projector, order).await?,
                    None => return Err(HistoryError::Stopped),
                },
                batch = self.feed.next() => match batch {
                    Some(batch) => self.follow(&mut projector, batch).await?,
                    None => return Err(HistoryError::Stopped),
                },
            }
        }
    }

    /// Takes what the driver hands over for as long as that is all there is.
    async fn follow(
        &mut self,
        projector: &mut Projector<Services>,
        first: super::Committed,
    ) -> Result<(), HistoryError> {
        let mut next = Some(first);
        while let Some(batch) = next {
            tokio::time::sleep(GATHER).await;
            projector.take(batch, || self.feed.waiting()).await?;
            self.worked(projector).await?;
            // What found no room is in the journal. Its end is told before a batch is handed over.
            if projector.cursor().mark.position < self.services.metrics.journal_end.get()
                && self.feed.is_empty()
            {
                return Ok(());
            }
            next = tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(order) => return self.begin_rebuild(projector, order).await,
                    None => return Err(HistoryError::Stopped),
                },
                batch = self.feed.next() => Some(batch.ok_or(HistoryError::Stopped)?),
            };
        }
        Ok(())
    }

    async fn begin_rebuild(
        &mut self,
        projector: &mut Projector<Services>,
        order: Order,
    ) -> Result<(), HistoryError> {
        // First: if it fails, whoever asked hears why.
        let (order, _) = self.order.insert((order, 0));
        let end = projector.rebuild().await?;
        tracing::info!(end, "the projections are made again from the journal");
        order.progress.send_modify(|progress| progress.end = end);
        if let Some((_, known)) = &mut self.order {
            *known = end;
        }
        self.worked(projector).await
    }

    /// Something was written, or there was nothing to write.
    async fn worked(&mut self, projector: &mut Projector<Services>) -> Result<(), HistoryError> {
        self.note(projector);
        self.backoff.reset();
        if self.failing.take().is_some() {
            tracing::info!("the projections are written again");
        }
        let cursor = projector.cursor();
        let Some((order, end)) = &self.order else { return Ok(()) };
        let (position, end) = (cursor.mark.position, *end);
        if cursor.rebuild_to > 0 {
            order.progress.send_modify(|progress| progress.position = position);
            return Ok(());
        }
        let done = Some(projector.counts().await?);
        order.progress.send_replace(Progress { position, end, done, error: None });
        tracing::info!(position, "the projections are whole again");
        self.order = None;
        Ok(())
    }

    fn note(&self, projector: &Projector<Services>) {
        self.services.metrics.history_position.set(projector.cursor().mark.position);
    }

    /// Tells once what does not work, and waits. What the driver hands over meanwhile is let go: the journal has it.
    async fn failed(&mut self, error: &HistoryError) {
        self.services.metrics.history_failures.add(1);
        let text = error.to_string();
        if self.failing.as_ref() != Some(&text) {
            tracing::error!(
                error = text,
                "the projections stand still and are tried again; nothing else waits for them"
            );
        }
        let tell = |order: Order| {
            order.progress.send_modify(|progress| progress.error = Some(text.clone()));
        };
        if let Some((order, _)) = self.order.take() {
            tell(order);
        }
        let wait = tokio::time::sleep(self.backoff.next_wait());
        tokio::pin!(wait);
        loop {
            tokio::select! {
                () = &mut wait => break,
                Some(order) = self.orders.recv() => tell(order),
                Some(_) = self.feed.next() => {}
                else => break,
            }
        }
        self.failing = Some(text);
    }
}

/// The engine is the journal's.
async fn open(services: &Services) -> Result<Box<dyn Tables>, HistoryError> {
    match &services.options.journal {
        JournalPlace::Postgres(options) => Ok(Box::new(PostgresTables::open(options).await?)),
        JournalPlace::Sqlite => {
            let path = services.options.data_dir.join(HISTORY_FILE);
            let opened = tokio::task::spawn_blocking(move || SqliteTables::open(&path)).await;
            let defect =
                |error: tokio::task::JoinError| HistoryError::Source(format!("opening them: {error}"));
            Ok(Box::new(opened.map_err(defect)??))
        }
    }
}
