//! What the suite's projector reads, and all that it wrote.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use slipway_proto::v1;
use slipway_scheduler::{AgentId, JobResult};

use crate::driver::Stretch;
use crate::history::source::{AgentRow, Source};
use crate::history::steps::{StepEnd, StepRow, Steps};
use crate::history::{HistoryError, Tables};
use crate::journal::memory::MemoryJournal;
use crate::records::AttemptKey;
use crate::reports::Gathered;
use crate::test_cases::{Outcome, TestCase};

/// A journal, and records as they follow from attempts' ids.
#[derive(Clone)]
pub(super) struct Books {
    journal: Arc<Mutex<MemoryJournal>>,
    removed: Arc<AtomicBool>,
}

impl Books {
    pub(super) fn of(journal: &MemoryJournal) -> Self {
        Self { journal: Arc::new(Mutex::new(journal.clone())), removed: Arc::default() }
    }

    /// As `--keep-logs` does.
    pub(super) fn remove_records(&self) {
        self.removed.store(true, Ordering::SeqCst);
    }
}

/// Coverage in each, and findings in some.
fn summary(sum: u32) -> v1::Summary {
    let (lines, covered) = (u64::from(sum), u64::from(sum / 2));
    let files = vec![v1::FileCoverage { path: "sums.rs".to_owned(), lines, covered }];
    let coverage = v1::CoverageReport { files, ..v1::CoverageReport::default() };
    let one = v1::Finding { severity: 4, fingerprint: sum.to_string(), ..v1::Finding::default() };
    let found = v1::FindingsReport { findings: vec![one], ..v1::FindingsReport::default() };
    let findings = (sum % 3 == 2).then_some(found);
    v1::Summary { coverage: Some(coverage), findings, ..v1::Summary::default() }
}

impl Source for Books {
    async fn stretch(&self, position: u64, most: usize) -> Result<Stretch, HistoryError> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        // Few at a time, so that there are many transactions.
        let read = Stretch::read(&mut *journal, position, most.min(50));
        read.map_err(|error| HistoryError::Source(error.to_string()))
    }

    async fn steps(&self, key: AttemptKey) -> Result<Option<Steps>, HistoryError> {
        if self.removed.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let count = 1 + key.instance.to_string().bytes().map(u32::from).sum::<u32>() % 4;
        let row = |step: u32| StepRow {
            step,
            step_id: format!("__run_{step}"),
            name: ["Check out", "Build", "Test", "Clean up"][step as usize % 4].to_owned(),
            started_ms: Some(1_767_225_600_000 + u64::from(step) * 1_000),
            ended: (step + 1 < count || count == 1).then(|| StepEnd {
                finished_ms: 1_767_225_600_000 + u64::from(step + key.attempt) * 1_000,
                outcome: if step == 2 { JobResult::Failure } else { JobResult::Success },
                conclusion: JobResult::Success,
                exit_code: (step > 0).then_some(0),
                cpu_ms: u64::from(step) * 100,
                max_rss_bytes: u64::from(step) << 20,
            }),
            lines: u64::from(step),
        };
        let sum: u32 = key.instance.to_string().bytes().map(u32::from).sum();
        let case = |ordinal: u32| TestCase {
            ordinal,
            report: "junit.xml".to_owned(),
            suite: "sums".to_owned(),
            class: "org.example.Sums".to_owned(),
            name: ["adds", "loads 'quoted' \u{1f600}", "stores", "tells"][ordinal as usize % 4].to_owned(),
            file: if ordinal == 1 { String::new() } else { "sums.rs".to_owned() },
            line: ordinal,
            outcome: Outcome::ALL[(sum + ordinal) as usize % 5],
            duration_us: (ordinal != 2).then_some(u64::from(sum * 1_000 + ordinal)),
            // Longer than other columns are.
            message: "m".repeat(if ordinal == 0 { 4_000 } else { 0 }),
        };
        let tests = (0..sum % 5).map(case).collect();
        let mut reports = Gathered::default();
        if !sum.is_multiple_of(3) {
            reports.take(summary(sum));
        }
        let rows = (0..count).map(row).collect();
        Ok(Some(Steps { rows, tests, reports: reports.finish(), whole: true }))
    }

    async fn agents(&self, agents: Vec<AgentId>) -> Result<Vec<AgentRow>, HistoryError> {
        let row = |agent: AgentId| AgentRow {
            agent,
            name: format!("agent-{}", &agent.to_string()[35..]),
            arch: if agent.to_string().ends_with('1') { "ARM64" } else { "X64" }.to_owned(),
            labels: "self-hosted, linux".to_owned(),
            seen_ms: 1,
        };
        Ok(agents.into_iter().map(row).collect())
    }
}

/// Every row of every table, in an order of their own.
pub(super) async fn dump(tables: &mut dyn Tables) -> Vec<String> {
    let mut rows = Vec::new();
    for table in ["runs", "jobs", "attempts", "steps", "tests", "reports", "usage", "audit", "agents"] {
        let found = tables.query(&format!("SELECT * FROM {table}")).await;
        let found = found.unwrap_or_default();
        rows.extend(found.into_iter().map(|row| format!("{table}: {row:?}")));
    }
    rows.sort();
    rows
}

/// Both have the same rows.
pub(super) fn same(found: &[String], expected: &[String], why: &str) {
    let only = |these: &[String], those: &[String]| {
        these.iter().filter(|row| !those.contains(row)).take(5).cloned().collect::<Vec<_>>().join("\n")
    };
    assert!(
        found == expected,
        "{why}: of {} rows these are not expected:\n{}\nand of {} these are missing:\n{}",
        found.len(),
        only(found, expected),
        expected.len(),
        only(expected, found)
    );
}
