//! What Slipway says about a finished run.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::workload::{JOBS, LINES};

/// One job's instance.
#[derive(Debug, Default)]
pub(crate) struct ToldJob {
    /// The job's id in the file.
    pub(crate) job: String,
    pub(crate) result: String,
    /// What of the fleet failed.
    pub(crate) cause: Option<String>,
    pub(crate) attempts: usize,
    /// How often its result was told.
    results: usize,
    log: Vec<String>,
    /// What its log says about where it was, and as what.
    pub(crate) container: Option<String>,
    pub(crate) key: Option<String>,
}

/// One run.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) run: String,
    pub(crate) jobs: Vec<ToldJob>,
    /// Lines that are missing, told twice or out of order.
    pub(crate) lines_wrong: usize,
    /// Results that were told more than once.
    pub(crate) doubled: usize,
    /// What is wrong, for a person.
    pub(crate) findings: Vec<String>,
}

impl Told {
    /// Reads a run and its stream of events; `None` when the stream does not reach the run's end.
    pub(crate) fn of(run: &str, shown: &Value, events: &str) -> Option<Self> {
        let mut told = Self { run: run.to_owned(), ..Self::default() };
        let mut jobs: BTreeMap<String, ToldJob> = BTreeMap::new();
        for instance in shown["instances"].as_array().into_iter().flatten() {
            let job = ToldJob {
                job: text(&instance["job"]),
                result: text(&instance["result"]),
                cause: instance["cause"].as_str().map(str::to_owned),
                attempts: instance["attempts"].as_array().map_or(0, Vec::len),
                ..ToldJob::default()
            };
            jobs.insert(text(&instance["instance_id"]), job);
        }
        let mut ends = 0;
        for line in events.lines() {
            let event: Value = serde_json::from_str(line).ok()?;
            let job = jobs.get_mut(&text(&event["instance"]));
            match (event["type"].as_str(), job) {
                (Some("run"), _) => ends += 1,
                (Some("job"), Some(job)) => job.results += 1,
                (Some("log"), Some(job)) if event["stream"] == "stdout" => job.log.push(text(&event["line"])),
                _ => {}
            }
        }
        if ends == 0 {
            return None;
        }
        told.doubled += ends - 1;
        for (id, count) in JOBS {
            let found = jobs.values().filter(|job| job.job == id).count();
            if found != count {
                told.findings.push(format!("run {run}: {found} instances of {id}, not {count}"));
            }
        }
        for (instance, job) in &jobs {
            if job.results != 1 {
                told.doubled += job.results.saturating_sub(1);
                told.findings.push(format!("run {run}: {} results of {instance}", job.results));
            }
        }
        told.jobs = jobs.into_values().collect();
        Some(told)
    }

    /// Looks at the logs of the jobs that succeeded: every numbered line once, in order, in one container.
    pub(crate) fn check_logs(&mut self) {
        for job in &mut self.jobs {
            // Every attempt says first where it is; the lines of earlier ones stand before those of the last.
            let last = job.log.iter().rposition(|line| line.starts_with("in ")).unwrap_or_default();
            let said = job.log.iter().filter_map(|line| line.strip_prefix("in ")?.split_once(" as "));
            let places: Vec<(&str, &str)> = said.collect();
            let (container, key) = places.last().copied().unzip();
            let again =
                places.iter().filter(|(place, _)| Some(*place) == container).count().saturating_sub(1);
            (job.container, job.key) = (container.map(str::to_owned), key.map(str::to_owned));
            if job.result != "success" {
                continue;
            }
            let numbers: Vec<usize> = job.log[last..].iter().filter_map(|line| line.parse().ok()).collect();
            let wrong = numbers.iter().zip(1..).filter(|(found, wanted)| *found != wanted).count()
                + LINES.abs_diff(numbers.len())
                + again
                + usize::from(job.container.is_none());
            if wrong > 0 {
                self.lines_wrong += wrong;
                let first = numbers.iter().zip(1..).find(|(found, wanted)| *found != wanted);
                self.findings.push(format!(
                    "run {}: the log of {} has {} of {LINES} lines, the first wrong one (found, wanted) {first:?}",
                    self.run,
                    job.job,
                    numbers.len()
                ));
            }
            // They are looked at once; a campaign has many.
            job.log = Vec::new();
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
