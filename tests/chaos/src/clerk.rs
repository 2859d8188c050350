//! Submits runs all the time, follows each to its end, and writes down what was promised and what came of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::Value;

use crate::door::Door;
use crate::told::Told;
use crate::workload::Executions;

/// Runs under way at once: enough for every slot to have a job, and some that wait.
const OPEN_RUNS: usize = 4;

/// How often open runs are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// How long after the last blow everything may take to finish.
const HEALED_PATIENCE: Duration = Duration::from_secs(300);

/// What the clerk found out.
#[derive(Default)]
pub(crate) struct Books {
    /// What was told of each run that has finished.
    pub(crate) told: Vec<Told>,
    /// Runs that were accepted and never finished, or that are not there.
    pub(crate) lost: Vec<String>,
    /// Submissions without a clear answer.
    pub(crate) unclear: usize,
}

pub(crate) struct Clerk {
    stop: Arc<AtomicBool>,
    finished: Arc<AtomicUsize>,
    thread: JoinHandle<Books>,
}

impl Clerk {
    pub(crate) fn start(door: Door, executions: Arc<Executions>, seed: u64) -> Self {
        let (stop, finished) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (stopped, count) = (stop.clone(), finished.clone());
        let random = Rng::with_seed(seed);
        let desk = Desk { door, executions, random, open: BTreeSet::new(), seen: BTreeSet::new() };
        let thread = std::thread::spawn(move || desk.work(&stopped, &count));
        Self { stop, finished, thread }
    }

    /// How many runs have finished so far.
    pub(crate) fn finished(&self) -> usize {
        self.finished.load(Ordering::Relaxed)
    }

    /// Whether it works still; it ends early only by a panic.
    pub(crate) fn works(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Submits no more, waits for what is open, and closes the books.
    ///
    /// # Panics
    /// When the clerk did.
    pub(crate) fn close(self) -> Books {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the clerk's books are whole")
    }
}

struct Desk {
    door: Door,
    executions: Arc<Executions>,
    random: Rng,
    open: BTreeSet<String>,
    /// Every run whose end was told.
    seen: BTreeSet<String>,
}

impl Desk {
    fn work(mut self, stop: &AtomicBool, finished: &AtomicUsize) -> Books {
        let mut books = Books::default();
        while !stop.load(Ordering::Relaxed) {
            while self.open.len() < OPEN_RUNS && self.submit(&mut books) {}
            self.look(&mut books);
            finished.store(books.told.len(), Ordering::Relaxed);
            std::thread::sleep(LOOK_EVERY);
        }
        let began = Instant::now();
        loop {
            self.take_up_unknown();
            if self.open.is_empty() || began.elapsed() > HEALED_PATIENCE {
                break;
            }
            self.look(&mut books);
            std::thread::sleep(LOOK_EVERY);
        }
        books.lost = self.open.into_iter().collect();
        books
    }

    fn anyone(&mut self) -> usize {
        self.random.usize(0..self.door.count())
    }

    fn submit(&mut self, books: &mut Books) -> bool {
        let number = self.anyone();
        let answer = self.door.post(number, "/api/v1/runs", &self.executions.submission());
        match answer.as_ref().and_then(|answer| answer["run"].as_str()) {
            Some(run) => self.open.insert(run.to_owned()),
            None => {
                books.unclear += 1;
                false
            }
        }
    }

    /// Runs whose submission had no answer are promised to nobody, but what they did counts, too.
    fn take_up_unknown(&mut self) {
        let number = self.anyone();
        let Some(listed) = self.door.json(number, "/api/v1/runs?limit=1000") else { return };
        let runs = listed["runs"].as_array().cloned().unwrap_or_default();
        let ids = runs.iter().filter_map(|run| run["run"].as_str()).map(str::to_owned);
        self.open.extend(ids.filter(|id| !self.seen.contains(id)));
    }

    fn look(&mut self, books: &mut Books) {
        for run in self.open.clone() {
            let number = self.anyone();
            let shown = self.door.json(number, &format!("/api/v1/runs/{run}"));
            let Some(shown) = shown.filter(|shown| shown["state"] == "finished") else { continue };
            let Some(told) = self.examine(&run, shown) else { continue };
            self.open.remove(&run);
            self.seen.insert(run);
            books.told.push(told);
        }
    }

    /// All that is told of a finished run; `None` when it has to be asked for again.
    fn examine(&mut self, run: &str, shown: Value) -> Option<Told> {
        let number = self.anyone();
        let events = self.door.get(number, &format!("/api/v1/runs/{run}/events"))?;
        let records = self.door.json(number, &format!("/api/v1/runs/{run}/records"))?;
        let mut told = Told::of(run, &shown, &events)?;
        if records["complete"] != true {
            told.findings.push(format!("run {run}: records are not complete: {records}"));
        }
        told.check_logs();
        Some(told)
    }
}
