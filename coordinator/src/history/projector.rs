//! Keeps the tables up with the journal, one transaction after another.
//!
//! Invariant: what it knows of the cursor is what the tables have. After any error it is thrown away, and another begins with the
//! cursor that it finds.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use slipway_scheduler::{AgentId, Event, InstanceId, RunId};

use super::feed::Committed;
use super::handle::Counts;
use super::limits::{
    AGENT_FRESH, AGENTS_REMEMBERED, CATCH_UP_RECORDS, INSTANCES_REMEMBERED, TRANSACTION_ENTRIES,
    TRANSACTION_STATEMENTS,
};
use super::rows;
use super::source::{AgentRow, Source};
use super::sql;
use super::tables::{Cursor, HistoryError, Statement, Tables};
use crate::driver::Stretch;
use crate::driver::payload::Payload;
use crate::journal::Mark;
use crate::records::AttemptKey;

/// An entry of the journal.
struct Item {
    position: u64,
    time_ms: u64,
    payload: Vec<u8>,
    /// Where the cursor is after it, if it may stop there.
    mark: Option<Mark>,
}

pub(crate) struct Projector<S> {
    source: S,
    tables: Box<dyn Tables>,
    epoch: u64,
    cursor: Cursor,
    /// Runs of instances that have not finished; the tables know all of them, once they are written.
    runs: HashMap<InstanceId, RunId>,
    /// Agents that were looked up, and when.
    looked_up: HashMap<AgentId, Instant>,
}

impl<S: Source> Projector<S> {
    /// Goes on where the tables are.
    ///
    /// # Errors
    /// As [`Tables::claim`].
    pub(crate) async fn begin(
        source: S,
        mut tables: Box<dyn Tables>,
        epoch: u64,
    ) -> Result<Self, HistoryError> {
        let cursor = tables.claim(epoch).await?;
        Ok(Self { source, tables, epoch, cursor, runs: HashMap::new(), looked_up: HashMap::new() })
    }

    /// For whoever looks at what was written.
    pub(crate) fn tables(&mut self) -> &mut dyn Tables {
        &mut *self.tables
    }

    pub(crate) fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Takes a few more records from the journal. Notices a journal that is not the one which the tables were made from, and
    /// begins again with what it has. `false`: there were no more.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub(crate) async fn advance(&mut self) -> Result<bool, HistoryError> {
        let stretch = self.source.stretch(self.cursor.mark.position, CATCH_UP_RECORDS).await?;
        if stretch.after != Some(self.cursor.mark.hash) {
            self.tell_other(&stretch);
            self.remove(stretch.anchor, stretch.head).await?;
            return Ok(true);
        }
        let Some(last) = stretch.records.last() else { return Ok(false) };
        let to = last.mark();
        let items = stretch.records.into_iter().map(|record| Item {
            mark: Some(record.mark()),
            position: record.position,
            time_ms: record.time_ms,
            payload: record.payload,
        });
        self.project(items.collect(), to).await?;
        Ok(true)
    }

    fn tell_other(&self, stretch: &Stretch) {
        let (position, anchor, end) =
            (self.cursor.mark.position, stretch.anchor.position, stretch.head.position);
        if position == 0 {
            tracing::info!(anchor, "the projections begin where the journal does");
        } else if position < anchor {
            tracing::warn!(
                position,
                anchor,
                "the journal was pruned past the projections: what is between is missing in them"
            );
        } else {
            tracing::warn!(
                position,
                end,
                "the projections are of entries that the journal does not have; they are made again from it"
            );
        }
    }

    /// Takes batches as the driver handed them over, as far as they follow; the rest is the journal's to tell.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub(crate) async fn take(
        &mut self,
        first: Committed,
        mut more: impl FnMut() -> Option<Committed>,
    ) -> Result<(), HistoryError> {
        let (mut items, mut mark) = (Vec::new(), self.cursor.mark);
        let mut next = Some(first);
        while let Some(batch) = next {
            // Another one was read from the journal already, or comes after a gap.
            if batch.before == mark {
                let entries = (mark.position + 1..).zip(batch.entries);
                items.extend(entries.map(|(position, entry)| Item {
                    position,
                    time_ms: entry.time_ms,
                    payload: entry.payload,
                    mark: None,
                }));
                mark = batch.after;
                if let Some(last) = items.last_mut() {
                    last.mark = Some(mark);
                }
            }
            next = if items.len() < TRANSACTION_ENTRIES { more() } else { None };
        }
        match items.is_empty() {
            true => Ok(()),
            false => self.project(items, mark).await,
        }
    }

    /// Removes all that comes from entries which the journal still has, so that it is made again from them.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub(crate) async fn rebuild(&mut self) -> Result<u64, HistoryError> {
        let stretch = self.source.stretch(self.cursor.mark.position, 1).await?;
        self.remove(stretch.anchor, stretch.head).await?;
        Ok(stretch.head.position)
    }

    async fn remove(&mut self, anchor: Mark, head: Mark) -> Result<(), HistoryError> {
        self.runs.clear();
        self.write(rows::remove_after(anchor.position), anchor, head.position).await
    }

    /// What there is.
    ///
    /// # Errors
    /// [`HistoryError::Engine`].
    pub(crate) async fn counts(&mut self) -> Result<Counts, HistoryError> {
        let rows = self.tables.query(sql::COUNTS).await?;
        let row = rows.into_iter().next().unwrap_or_default();
        let count = |at: usize| row.get(at).and_then(|text| text.as_ref()?.parse().ok()).unwrap_or(0);
        Ok(Counts {
            runs: count(0),
            jobs: count(1),
            attempts: count(2),
            steps: count(3),
            audit: count(4),
            attempts_without_steps: count(5),
            tests: count(6),
        })
    }

    /// Writes what entries say, and the cursor after them; in several transactions where their attempts have many test cases.
    async fn project(&mut self, items: Vec<Item>, to: Mark) -> Result<(), HistoryError> {
        let mut statements = Vec::new();
        let mut agents = BTreeSet::new();
        for Item { position, time_ms, payload, mark } in items {
            let payload: Payload = serde_json::from_slice(&payload).map_err(|error| {
                HistoryError::Source(format!("the journal's entry at position {position}: {error}"))
            })?;
            let mut steps = None;
            match &payload {
                Payload::Scheduler(Event::JobExpanded { run, instances, .. }) => {
                    self.runs.extend(instances.iter().map(|instance| (instance.id, *run)));
                }
                Payload::Scheduler(Event::Leased { agent, .. }) if self.is_due(*agent) => {
                    agents.insert(*agent);
                }
                Payload::Scheduler(Event::AttemptFinished { lease, .. }) => {
                    let (instance, attempt) = (lease.instance, lease.attempt);
                    if let Some(run) = self.run_of(instance).await? {
                        let found = self.source.steps(AttemptKey { run, instance, attempt }).await?;
                        steps = found.map(|found| (run, found));
                    }
                }
                Payload::Scheduler(Event::InstanceFinished { instance, .. }) => {
                    self.runs.remove(instance);
                }
                _ => {}
            }
            let steps = steps.as_ref().map(|(run, steps)| (*run, steps));
            rows::rows(rows::Entry { position, time_ms, payload: &payload, steps }, &mut statements);
            if statements.len() >= TRANSACTION_STATEMENTS
                && let Some(mark) = mark.filter(|mark| *mark != to)
            {
                self.write_all(std::mem::take(&mut agents), std::mem::take(&mut statements), mark).await?;
            }
        }
        self.write_all(agents, statements, to).await?;
        if self.runs.len() > INSTANCES_REMEMBERED {
            self.runs.clear();
        }
        Ok(())
    }

    async fn write_all(
        &mut self,
        agents: BTreeSet<AgentId>,
        mut statements: Vec<Statement>,
        to: Mark,
    ) -> Result<(), HistoryError> {
        let mut all = self.agent_rows(agents).await?;
        all.append(&mut statements);
        self.write(all, to, self.cursor.rebuild_to).await
    }

    async fn write(
        &mut self,
        mut statements: Vec<Statement>,
        to: Mark,
        mut rebuild_to: u64,
    ) -> Result<(), HistoryError> {
        if rebuild_to > 0 && rebuild_to <= to.position {
            // All of the rebuild is done with this transaction.
            statements.extend(rows::forget_orphans());
            rebuild_to = 0;
        }
        let to = Cursor { mark: to, rebuild_to };
        self.tables.apply(self.epoch, self.cursor.mark, &statements, to).await?;
        self.cursor = to;
        Ok(())
    }

    /// The instance's run; `None`: it began before the journal does, and before the tables do.
    async fn run_of(&mut self, instance: InstanceId) -> Result<Option<RunId>, HistoryError> {
        if let Some(run) = self.runs.get(&instance) {
            return Ok(Some(*run));
        }
        let rows = self.tables.query(&rows::run_of(instance)).await?;
        let text = rows.into_iter().flatten().flatten().next();
        Ok(text.and_then(|text| text.parse().ok()))
    }

    /// Whether an agent is to be looked up (again).
    fn is_due(&self, agent: AgentId) -> bool {
        self.looked_up.get(&agent).is_none_or(|at| at.elapsed() >= AGENT_FRESH)
    }

    async fn agent_rows(&mut self, agents: BTreeSet<AgentId>) -> Result<Vec<Statement>, HistoryError> {
        if agents.is_empty() {
            return Ok(Vec::new());
        }
        if self.looked_up.len() > AGENTS_REMEMBERED {
            self.looked_up.clear();
        }
        self.looked_up.extend(agents.iter().map(|agent| (*agent, Instant::now())));
        let found = self.source.agents(agents.into_iter().collect()).await?;
        Ok(found.iter().map(AgentRow::statement).collect())
    }
}
