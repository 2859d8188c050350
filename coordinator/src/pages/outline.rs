//! What a log is made of: its steps, where their rows are, and what is wrong in it.
//!
//! An outline is made by reading an attempt's records once, from the first to the last, and goes on where it ended when more
//! came. It keeps places and no text of the log, so that any page of a log of millions of lines is read by itself.
//! Outlines are bounded and made again when they were forgotten.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use slipway_proto::v1::{Record, annotation, record};
use slipway_scheduler::JobResult;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};

use super::limits::{
    LOOKS_AT_ONCE, OUTLINE_RECORDS, OUTLINES_KEPT, PAGE_ROWS, PAGES_KEPT, PROBLEMS_KEPT, STEPS_KEPT,
    SUMMARIES_KEPT,
};
use crate::records::{AttemptKey, Records, RecordsError};

/// A place in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The record there.
    pub(super) record: u64,
    /// The number of the line there, or of the next one: counted from 1 over the attempt's whole lines.
    pub(super) line: u64,
}

/// A step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// What people see; empty for what came before the first step.
    pub(super) name: String,
    pub(super) started_ms: Option<u64>,
    pub(super) finished_ms: Option<u64>,
    pub(super) conclusion: Option<JobResult>,
    pub(super) exit_code: Option<i32>,
    /// How many rows it has: pieces of lines, and annotations.
    pub(super) rows: u64,
    /// Where each of its pages begins.
    pub(super) pages: Vec<Place>,
    /// Where its first error is.
    pub(super) error: Option<Place>,
}

/// How bad an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Notice,
    Warning,
    Error,
}

/// An annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) level: Level,
    pub(super) step: u32,
    pub(super) place: Place,
    pub(super) message: String,
    pub(super) title: String,
    pub(super) file: String,
    pub(super) line: u32,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outline {
    /// The first place that was not looked at.
    pub(super) next: Place,
    /// By number.
    pub(super) steps: BTreeMap<u32, Step>,
    /// The first of them.
    pub(super) problems: Vec<Problem>,
    /// Where a step sums something up, and which.
    pub(super) summaries: Vec<(u32, u64)>,
    /// Whether the log goes on behind what one request may look through.
    pub(super) more: bool,
}

impl Default for Outline {
    fn default() -> Self {
        let next = Place { record: 1, line: 1 };
        Self { next, steps: BTreeMap::new(), problems: Vec::new(), summaries: Vec::new(), more: false }
    }
}

impl Level {
    pub(super) fn from_wire(level: i32) -> Self {
        match annotation::Level::try_from(level) {
            Ok(annotation::Level::Error) => Self::Error,
            Ok(annotation::Level::Warning) => Self::Warning,
            _ => Self::Notice,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What a step is called: as the file names it, else by its id where one was written.
fn name(name: &str, id: &str, default_name: bool) -> String {
    let written_id = !id.is_empty() && !id.starts_with("__");
    if name.is_empty() || (default_name && written_id) { id.to_owned() } else { name.to_owned() }
}

impl Outline {
    /// The step of this number, which may be a new one.
    fn step(&mut self, number: u32) -> &mut Step {
        let full = self.steps.len() >= STEPS_KEPT && !self.steps.contains_key(&number);
        let last = self.steps.keys().next_back().copied();
        let number = if full { last.unwrap_or(number) } else { number };
        self.steps.entry(number).or_default()
    }

    fn row(&mut self, number: u32) {
        let place = self.next;
        let step = self.step(number);
        if step.rows.is_multiple_of(PAGE_ROWS) && step.pages.len() < PAGES_KEPT {
            step.pages.push(place);
        }
        step.rows += 1;
    }

    /// Takes the next record.
    pub(super) fn take(&mut self, record: &Record) {
        let (number, place) = (record.step, self.next);
        match &record.record {
            Some(record::Record::StepStarted(started)) => {
                let step = self.step(number);
                step.name = name(&started.name, &started.id, started.default_name);
                step.started_ms = Some(record.time_ms);
            }
            Some(record::Record::StepFinished(finished)) => {
                let step = self.step(number);
                step.name = name(&finished.name, &finished.id, finished.default_name);
                step.finished_ms = Some(record.time_ms);
                step.conclusion = slipway_wire::result::from_wire("result", finished.conclusion).ok();
                step.exit_code = finished.exit_code;
            }
            Some(record::Record::Line(line)) => {
                self.row(number);
                self.next.line += u64::from(!line.partial);
            }
            Some(record::Record::Annotation(found)) => {
                self.row(number);
                let level = Level::from_wire(found.level);
                if level == Level::Error {
                    self.step(number).error.get_or_insert(place);
                }
                // Errors are what people look for: they take the place of what is less.
                if self.problems.len() == PROBLEMS_KEPT
                    && level == Level::Error
                    && let Some(lesser) = self.problems.iter().rposition(|kept| kept.level < Level::Error)
                {
                    self.problems.remove(lesser);
                }
                if self.problems.len() < PROBLEMS_KEPT {
                    self.problems.push(Problem {
                        level,
                        step: number,
                        place,
                        message: found.message.clone(),
                        title: found.title.clone(),
                        file: found.file.clone(),
                        line: found.line,
                    });
                }
            }
            Some(record::Record::Summary(summary)) if !summary.markdown.is_empty() => {
                if self.summaries.len() < SUMMARIES_KEPT {
                    self.summaries.push((number, place.record));
                }
            }
            Some(record::Record::Summary(_)) | None => {}
        }
        self.next.record += 1;
    }

    /// The step that failed first, or the one that runs, or the last one that did something: what people want to see.
    pub(super) fn interesting(&self) -> Option<u32> {
        let failed = |(_, step): &(&u32, &Step)| step.conclusion == Some(JobResult::Failure);
        let open = |(_, step): &(&u32, &Step)| step.started_ms.is_some() && step.finished_ms.is_none();
        let did = |(_, step): &(&u32, &Step)| step.started_ms.is_some() && step.rows > 0;
        let newest = || self.steps.iter().rev();
        let found =
            self.steps.iter().find(failed).or_else(|| newest().find(open)).or_else(|| newest().find(did));
        found.or_else(|| newest().next()).map(|(number, _)| *number)
    }

    /// Step and page of a line.
    pub(super) fn find(&self, line: u64) -> Option<(u32, usize)> {
        let candidates = self.steps.iter().filter_map(|(number, step)| {
            let page = step.pages.partition_point(|place| place.line <= line).checked_sub(1)?;
            Some((*number, page, step.pages.get(page)?.line))
        });
        // Steps beside each other mix: the page that begins last has it, if any does.
        candidates.max_by_key(|(_, _, begins)| *begins).map(|(number, page, _)| (number, page))
    }
}

impl Step {
    /// The page that a place is on.
    pub(super) fn page_of(&self, place: Place) -> usize {
        self.pages.partition_point(|begins| begins.record <= place.record).saturating_sub(1)
    }
}

/// One attempt's outline, locked while it is being made.
type Slot = Arc<AsyncMutex<Outline>>;

#[derive(Debug, Default)]
struct Kept {
    /// How often one was asked for.
    uses: u64,
    /// Each with when it was asked for last, on that count.
    slots: HashMap<AttemptKey, (u64, Slot)>,
}

/// The outlines that were made lately.
#[derive(Debug)]
pub(super) struct Outlines {
    kept: Mutex<Kept>,
    /// Bounds how many logs are looked through at once.
    pub(super) looks: Semaphore,
}

impl Default for Outlines {
    fn default() -> Self {
        Self { kept: Mutex::default(), looks: Semaphore::new(LOOKS_AT_ONCE) }
    }
}

impl Outlines {
    fn slot(&self, key: AttemptKey) -> Slot {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept { uses, slots } = &mut *kept;
        *uses += 1;
        let now = *uses;
        if slots.len() >= OUTLINES_KEPT
            && !slots.contains_key(&key)
            && let Some(oldest) = slots.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| *key)
        {
            slots.remove(&oldest);
        }
        let (used, slot) = slots.entry(key).or_default();
        *used = now;
        Arc::clone(slot)
    }

    /// The outline of an attempt, brought up to what there is; `over`: it has ended. Reads at most [`OUTLINE_RECORDS`] more.
    ///
    /// # Errors
    /// [`RecordsError`].
    pub(super) async fn of(
        &self,
        records: &Records,
        key: AttemptKey,
        over: bool,
    ) -> Result<Outline, RecordsError> {
        let slot = self.slot(key);
        let mut outline = slot.lock().await;
        // Nobody closes it.
        let _look = self.looks.acquire().await;
        let from = outline.next.record;
        let mut reader = records.reader(key, from, over).await?;
        outline.more = false;
        loop {
            let some = reader.next().await?;
            if some.is_empty() {
                break;
            }
            some.iter().for_each(|record| outline.take(record));
            if outline.next.record - from >= OUTLINE_RECORDS {
                outline.more = true;
                break;
            }
            tokio::task::yield_now().await;
        }
        Ok(outline.clone())
    }
}

#[cfg(test)]
#[path = "outline_tests.rs"]
mod tests;
