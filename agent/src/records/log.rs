//! The writing end of a job's log.
//!
//! Records collect in memory until [`JobLog::commit`] writes them, together with what became true with them: the job's
//! state, and where reading the spool goes on. What was not committed is derived again from the spool.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use slipway_cas::Digest;
use slipway_kit::clock::{Clock, SystemClock};
use slipway_proto::v1;
use slipway_proto::v1::record::Record as Kind;
use slipway_wire::limits::MAX_ENVIRONMENT_URL_BYTES;
use slipway_wire::records::RecordsBuffer;
use slipway_workflow::job_spec::StepSpec;
use tokio::time::Instant;

use super::ledger::{JobStates, Ledger, LogStates, MAIN, Snapshot, State, bytes, decode, encode};
use super::wire;
use crate::failure::{Cause, Failure};
use crate::init::{Claim, Stream};
use crate::journal::{Journal, Progress, Recovered};
use crate::limits::{JOURNAL_ROOM_LOOK, JOURNAL_ROOM_PATIENCE};
use crate::steps::annotations::Level;
use crate::steps::commands::{CommandOptions, Effect, LineOutcome};
use crate::steps::lines;
use crate::steps::mask::Masks;
use crate::steps::outcome::StepEnd;
use crate::steps::output::{Item, MatcherFiles, StepOutput};

/// Where a lane's log stands, as the journal keeps it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Position {
    /// End of the last frame whose records are in the journal.
    spool_offset: u64,
    /// The interpretation of the running step's output.
    output: StepOutput,
}

/// The log of one lane of a job (see [`super::ledger`]); the lanes write into one journal.
pub struct JobLog {
    ledger: Arc<Mutex<Ledger>>,
    masks: Arc<Mutex<Masks>>,
    lane: u32,
    position: Position,
    /// Index of the step that records belong to.
    step: u32,
    options: CommandOptions,
    pending: RecordsBuffer,
    effects: Vec<Effect>,
    /// Set when the position moved since the last commit.
    moved: bool,
    clock: SystemClock,
}

/// A step's use of the machine, for its last record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Exit code, when a process ended it.
    pub exit_code: Option<i32>,
    /// CPU time in milliseconds.
    pub cpu_ms: u64,
    /// Largest resident size of one process, in bytes.
    pub max_rss_bytes: u64,
}

impl JobLog {
    /// Starts the journal of a job in `folder`, which is made.
    ///
    /// # Errors
    /// `disk_full` or `internal`.
    pub fn create(folder: &Path, job: Snapshot) -> Result<Self, Failure> {
        let states = JobStates { common: job.common, lanes: BTreeMap::from([(MAIN, job.lane)]) };
        let position = Position::default();
        let lanes = BTreeMap::from([(MAIN, encode(&position)?)]);
        let (job, log) = (bytes(&states)?, bytes(&LogStates::new(lanes))?);
        let journal = Journal::create(folder, job.clone(), log.clone())
            .map_err(|error| Failure::io("cannot start the job's journal", &error))?;
        Ok(Self::with(Ledger::new(journal, &job, &log)?, position))
    }

    /// Goes on with what an earlier process wrote: the log of the job's own lane.
    ///
    /// # Errors
    /// `internal` when a state is not one of this version.
    pub fn open(recovered: Recovered) -> Result<Self, Failure> {
        let Recovered { journal, job, stream } = recovered;
        let ledger = Ledger::new(journal, &job, &stream)?;
        let position = position(&ledger, MAIN)?;
        Ok(Self::with(ledger, position))
    }

    fn with(ledger: Ledger, position: Position) -> Self {
        Self {
            ledger: Arc::new(Mutex::new(ledger)),
            masks: Arc::default(),
            lane: MAIN,
            position,
            step: 0,
            options: CommandOptions::default(),
            pending: RecordsBuffer::default(),
            effects: Vec::new(),
            moved: false,
            clock: SystemClock,
        }
    }

    /// The log of another lane, which begins in this state: with the problem matchers that count here.
    pub fn begin_lane(&self, lane: u32, state: State) -> Self {
        self.ledger().open(lane, state);
        let mut output = self.position.output.clone();
        output.next_step();
        self.beside(lane, Position { spool_offset: 0, output })
    }

    /// The log of a lane that an earlier process began.
    ///
    /// # Errors
    /// `internal` when its state is not one of this version.
    pub fn resume_lane(&self, lane: u32, files: MatcherFiles) -> Result<Self, Failure> {
        let mut position = position(&self.ledger(), lane)?;
        position.output.read_matchers_from(files);
        Ok(self.beside(lane, position))
    }

    fn beside(&self, lane: u32, position: Position) -> Self {
        Self {
            ledger: Arc::clone(&self.ledger),
            masks: Arc::clone(&self.masks),
            lane,
            position,
            step: 0,
            options: CommandOptions::default(),
            pending: RecordsBuffer::default(),
            effects: Vec::new(),
            moved: true,
            clock: SystemClock,
        }
    }

    /// The last states of the lanes beside the job's own.
    #[must_use]
    pub fn lanes(&self) -> Vec<(u32, State)> {
        let ledger = self.ledger();
        let others = ledger.lanes().iter().filter(|(lane, _)| **lane != MAIN);
        others.map(|(lane, state)| (*lane, state.clone())).collect()
    }

    /// A lane is over; the next commit of this one leaves it out.
    pub fn close_lane(&mut self, lane: u32) {
        self.ledger().close(lane);
        self.moved = true;
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Masks these values from now on, and those that steps asked for before. Call it before anything is read.
    pub fn mask<'a>(&mut self, secrets: impl IntoIterator<Item = &'a str>) {
        let mut masks = Masks::new(secrets);
        for value in &self.ledger().log.masks {
            masks.add(value);
        }
        *self.masks.lock().unwrap_or_else(PoisonError::into_inner) = masks;
    }

    /// Where files of problem matchers are.
    pub fn read_matchers_from(&mut self, files: MatcherFiles) {
        self.position.output.read_matchers_from(files);
    }

    /// What is masked; in all lanes.
    pub fn masks(&self) -> MutexGuard<'_, Masks> {
        self.masks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, for whoever masks on another thread.
    #[must_use]
    pub fn shared_masks(&self) -> Arc<Mutex<Masks>> {
        Arc::clone(&self.masks)
    }

    /// What a report says, masked.
    pub fn report(&mut self, summary: v1::Summary) {
        self.push(Kind::Summary(summary));
    }

    /// Where what the job deployed can be seen. An address that is too long for a record, or that would show a secret, is left out.
    pub fn deployed_at(&mut self, url: &str) {
        if url.len() <= MAX_ENVIRONMENT_URL_BYTES && self.masks().mask_str(url) == url {
            self.push(Kind::Summary(v1::Summary {
                environment_url: url.to_owned(),
                ..v1::Summary::default()
            }));
        }
    }

    /// For who uploads.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.ledger().progress()
    }

    /// Number of the last record that was committed.
    #[must_use]
    pub fn last_record(&self) -> u64 {
        self.ledger().last_record()
    }

    /// Digest of all records that were committed; none if an agent began this job that did not count it.
    #[must_use]
    pub fn records_digest(&self) -> Option<Digest> {
        self.ledger().records_digest()
    }

    /// End of the last spool frame whose records are committed.
    #[must_use]
    pub fn spool_offset(&self) -> u64 {
        self.position.spool_offset
    }

    /// What follows belongs to the step of this index.
    pub fn select(&mut self, step: u32, options: CommandOptions) {
        self.step = step;
        self.options = options;
    }

    /// The step of this index begins: a record, and a fresh interpretation.
    pub fn step_started(&mut self, step: u32, options: CommandOptions, spec: &StepSpec, name: &str) {
        self.select(step, options);
        self.position.output.next_step();
        self.moved = true;
        let name = self.masks().mask_str(name);
        let default_name = spec.name.is_none();
        self.push(Kind::StepStarted(v1::StepStarted { id: spec.id.clone(), name, default_name }));
    }

    /// A step of an action begins inside of the step of this index: a fresh interpretation, and no record.
    pub fn nested_step_started(&mut self, step: u32, options: CommandOptions) {
        self.select(step, options);
        self.position.output.restart();
        self.moved = true;
    }

    /// The selected step has ended.
    pub fn step_finished(&mut self, spec: &StepSpec, name: &str, end: StepEnd, usage: Usage) {
        let name = self.masks().mask_str(name);
        self.push(Kind::StepFinished(v1::StepFinished {
            id: spec.id.clone(),
            name,
            outcome: wire::result(end.outcome).into(),
            conclusion: wire::result(end.conclusion).into(),
            exit_code: usage.exit_code,
            cpu_ms: usage.cpu_ms,
            max_rss_bytes: usage.max_rss_bytes,
            default_name: spec.name.is_none(),
        }));
    }

    fn push(&mut self, kind: Kind) {
        let record = v1::Record { time_ms: self.clock.unix_ms(), step: self.step, record: Some(kind) };
        self.pending.push_message(&record);
    }

    /// A line of Slipway's own.
    pub fn say(&mut self, text: &str) {
        let now_ms = self.clock.unix_ms();
        self.feed(now_ms, |output, masks, _, emit| output.say(masks, now_ms, text, emit));
    }

    /// A message of Slipway's own, annotated.
    pub fn remark(&mut self, level: Level, text: &str) {
        let now_ms = self.clock.unix_ms();
        self.feed(now_ms, |output, masks, _, emit| output.remark(masks, now_ms, level, text, emit));
    }

    /// What an environment file asked for.
    pub fn outcome(&mut self, outcome: LineOutcome) {
        let now_ms = self.clock.unix_ms();
        self.feed(now_ms, |output, masks, _, emit| output.outcome(masks, now_ms, outcome, emit));
    }

    /// Output of the selected step; `end_offset` is where its frame ends.
    pub fn output(&mut self, stream: Stream, time_ms: u64, bytes: &[u8], end_offset: u64) {
        let stream = match stream {
            Stream::Stdout => lines::Stream::Stdout,
            Stream::Stderr => lines::Stream::Stderr,
        };
        self.feed(time_ms, |output, masks, options, emit| {
            output.push(options, masks, stream, time_ms, bytes, emit);
        });
        self.skip(end_offset);
    }

    /// A frame without output was read.
    pub fn skip(&mut self, end_offset: u64) {
        self.position.spool_offset = end_offset;
        self.moved = true;
    }

    /// The selected step writes no more: gives out its unterminated lines.
    pub fn output_ended(&mut self) {
        let now_ms = self.clock.unix_ms();
        self.feed(now_ms, |output, masks, options, emit| output.finish(options, masks, emit));
    }

    fn feed(
        &mut self,
        now_ms: u64,
        what: impl FnOnce(&mut StepOutput, &mut Masks, &CommandOptions, &mut &mut dyn FnMut(Item<'_>)),
    ) {
        let (step, pending, effects) = (self.step, &mut self.pending, &mut self.effects);
        let mut emit = |item: Item<'_>| wire::push(pending, effects, step, now_ms, item);
        let mut emit: &mut dyn FnMut(Item<'_>) = &mut emit;
        let mut masks = self.masks.lock().unwrap_or_else(PoisonError::into_inner);
        what(&mut self.position.output, &mut masks, &self.options, &mut emit);
        drop(masks);
        self.moved = true;
    }

    /// What the output asked for since the last call; apply it and commit the state with it.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Whether there is something to commit. Spool offsets alone are not: they are found again.
    #[must_use]
    pub fn has_records(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Writes what collected, with the job's state if it changed; then the spool's space up to there is free. Waits
    /// while too much is not durable yet.
    ///
    /// # Errors
    /// `disk_full` or `internal`.
    pub async fn commit(
        &mut self,
        job: Option<Snapshot>,
        spool: Option<&Claim>,
        sync: bool,
    ) -> Result<(), Failure> {
        if self.pending.is_empty() && job.is_none() && !self.moved {
            return Ok(());
        }
        let progress = self.ledger().progress();
        progress.room().await;
        let position = self.moved.then(|| encode(&self.position)).transpose()?;
        let give_up = Instant::now() + JOURNAL_ROOM_PATIENCE;
        loop {
            match self.write(job.clone(), position.clone(), sync) {
                Ok(()) => break,
                // Whoever fills the disk may be ended meanwhile, and what jobs say waits in their spools.
                Err(failure) if failure.cause == Cause::DiskFull && Instant::now() < give_up => {
                    tokio::time::sleep(JOURNAL_ROOM_LOOK).await;
                }
                Err(failure) => return Err(failure),
            }
        }
        self.moved = false;
        if let Some(spool) = spool {
            spool
                .release(self.position.spool_offset)
                .map_err(|error| Failure::new(Cause::Internal, error.to_string()))?;
        }
        Ok(())
    }

    /// Writes what is pending; what finds no room stays pending.
    fn write(&mut self, job: Option<Snapshot>, position: Option<State>, sync: bool) -> Result<(), Failure> {
        let records = self.pending.take();
        let mut ledger = self.ledger();
        if self.moved {
            ledger.log.masks = self.masks().added().to_vec();
        }
        let written = ledger.append(self.lane, &records, job, position, sync);
        drop(ledger);
        if written.is_err() {
            self.pending.put_back(records);
        }
        written
    }
}

fn position(ledger: &Ledger, lane: u32) -> Result<Position, Failure> {
    match ledger.log.lanes.get(&lane) {
        Some(state) => decode(state.get().as_bytes()),
        // It began, and has not said anything yet.
        None => Ok(Position::default()),
    }
}
