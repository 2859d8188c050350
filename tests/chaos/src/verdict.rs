//! What Slipway says held against what the containers really did.

use std::collections::BTreeMap;

use crate::borrower::Borrowed;
use crate::clerk::Books;
use crate::told::{Told, ToldJob};
use crate::workload::{Entry, STRICT};

/// The outcome of a campaign.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) runs: usize,
    pub(crate) jobs: usize,
    pub(crate) attempts: usize,
    /// Containers that began a job's work.
    pub(crate) executions: usize,
    /// Strict jobs that ended with a fleet failure instead of beginning again, as promised.
    pub(crate) strict_given_up: usize,
    /// Ordinary jobs that went on in two places for a while, as they may.
    pub(crate) ordinary_overlaps: usize,
    /// Must be nought.
    pub(crate) lost: usize,
    /// Must be nought.
    pub(crate) counted_twice: usize,
    /// Must be nought.
    pub(crate) strict_overlaps: usize,
    /// Must be nought.
    pub(crate) lines_wrong: usize,
    /// What the cache gave.
    pub(crate) borrowed: Borrowed,
    /// What is wrong, for a person.
    pub(crate) findings: Vec<String>,
}

/// What was written down of one job.
#[derive(Default)]
struct Done<'a> {
    begun: Vec<&'a str>,
    ended: Vec<&'a str>,
    overlaps: usize,
}

impl Verdict {
    pub(crate) fn of(books: &Books, written: &[Entry], borrowed: Borrowed) -> Self {
        let mut verdict = Self { borrowed, ..Self::default() };
        let mut done: BTreeMap<&str, Done<'_>> = BTreeMap::new();
        for entry in written {
            let job = done.entry(&entry.key).or_default();
            match entry.what.as_str() {
                "begin" => job.begun.push(&entry.container),
                "end" => job.ended.push(&entry.container),
                _ => job.overlaps += 1,
            }
        }
        for run in &books.lost {
            verdict.lost += 1;
            verdict.findings.push(format!("run {run} was accepted and has not finished"));
        }
        for told in &books.told {
            verdict.hold(told, &done);
        }
        verdict.executions = done.values().map(|job| job.begun.len()).sum();
        verdict
    }

    /// Whether nothing is wrong.
    pub(crate) fn holds(&self) -> bool {
        self.findings.is_empty()
            && self.lost + self.counted_twice + self.strict_overlaps + self.lines_wrong == 0
            && self.borrowed.wrong + self.borrowed.failures == 0
    }

    fn hold(&mut self, told: &Told, done: &BTreeMap<&str, Done<'_>>) {
        self.runs += 1;
        self.lines_wrong += told.lines_wrong;
        self.counted_twice += told.doubled;
        self.findings.extend(told.findings.iter().cloned());
        // The job at the end always succeeds, and tells what the run is called inside of its containers.
        let Some(called) = told.jobs.iter().find_map(|job| Some(job.key.as_ref()?.split_once('/')?.0)) else {
            self.lost += 1;
            let ends: Vec<_> = told.jobs.iter().map(|job| (&job.job, &job.result)).collect();
            self.findings.push(format!("run {}: no job did anything: {ends:?}", told.run));
            return;
        };
        for job in &told.jobs {
            self.jobs += 1;
            self.attempts += job.attempts;
            let key = match (&job.key, job.job == STRICT) {
                (Some(key), _) => key.clone(),
                (None, true) => format!("{called}/{STRICT}/1"),
                (None, false) => String::new(),
            };
            let nothing = Done::default();
            let done = done.get(key.as_str()).unwrap_or(&nothing);
            match job.job == STRICT {
                true => self.hold_strict(&told.run, job, done),
                false => self.hold_ordinary(&told.run, job, done),
            }
            self.hold_executions(&told.run, job, done);
        }
    }

    fn hold_ordinary(&mut self, run: &str, job: &ToldJob, done: &Done<'_>) {
        self.ordinary_overlaps += done.overlaps;
        if job.result != "success" {
            self.lost += 1;
            let (id, result, cause) = (&job.job, &job.result, &job.cause);
            self.findings.push(format!("run {run}: {id} ended as {result}, cause {cause:?}"));
        }
    }

    fn hold_strict(&mut self, run: &str, job: &ToldJob, done: &Done<'_>) {
        self.strict_overlaps += done.overlaps;
        if done.overlaps > 0 || done.begun.len() > 1 {
            self.strict_overlaps += usize::from(done.overlaps == 0);
            self.findings.push(format!("run {run}: the strict job began in {:?}", done.begun));
        }
        match (job.result.as_str(), &job.cause) {
            ("success", _) => {}
            (_, Some(_)) => self.strict_given_up += 1,
            (result, None) => {
                self.lost += 1;
                self.findings.push(format!("run {run}: the strict job ended as {result} without a cause"));
            }
        }
    }

    /// Who succeeded did its work once in the container that its log names; no attempt began twice.
    fn hold_executions(&mut self, run: &str, job: &ToldJob, done: &Done<'_>) {
        let id = &job.job;
        if done.begun.len() > job.attempts {
            self.counted_twice += done.begun.len() - job.attempts;
            let (begun, attempts) = (&done.begun, job.attempts);
            self.findings.push(format!("run {run}: {id} began in {begun:?}, with {attempts} attempts"));
        }
        if let (Some(container), "success") = (job.container.as_deref(), job.result.as_str()) {
            let times = |entries: &[&str]| entries.iter().filter(|entry| **entry == container).count();
            let (begun, ended) = (times(&done.begun), times(&done.ended));
            if (begun, ended) != (1, 1) {
                self.counted_twice += begun.max(ended).saturating_sub(1);
                self.lost += usize::from(ended == 0);
                self.findings.push(format!(
                    "run {run}: {id} succeeded in {container}, which began {begun} and ended {ended} times"
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ALL: [(&str, &str); 4] = [("a", "ordinary"), ("b", "ordinary"), ("c", "strict"), ("d", "after")];

    fn told(lines: usize, attempts: usize) -> Told {
        let instances: Vec<_> = ALL
            .map(|(id, job)| {
                json!({"instance_id": id, "job": job, "result": "success", "attempts": vec![0; attempts]})
            })
            .into();
        let mut events = String::new();
        for (number, (id, job)) in ALL.iter().enumerate() {
            let log = |line: String| json!({"type": "log", "instance": id, "stream": "stdout", "line": line});
            events += &format!("{}\n", log(format!("in box{number} as 7/{job}/{number}")));
            for line in 1..=lines {
                events += &format!("{}\n", log(line.to_string()));
            }
            events += &format!("{}\n", json!({"type": "job", "instance": id, "result": "success"}));
        }
        events += &json!({"type": "run", "result": "success"}).to_string();
        let mut told = Told::of("r", &json!({"instances": instances}), &events).unwrap();
        told.check_logs();
        told
    }

    fn entry(what: &str, job: &str, number: usize, container: &str) -> Entry {
        let key = format!("7/{job}/{number}");
        Entry { what: what.to_owned(), key, container: container.to_owned() }
    }

    fn written() -> Vec<Entry> {
        let both = |(number, (_, job)): (usize, &(&str, &str))| {
            ["begin", "end"].map(|what| entry(what, job, number, &format!("box{number}")))
        };
        ALL.iter().enumerate().flat_map(both).collect()
    }

    fn verdict(told: Told, written: &[Entry]) -> Verdict {
        Verdict::of(&Books { told: vec![told], ..Books::default() }, written, Borrowed::default())
    }

    #[test]
    fn what_is_as_told_holds() {
        let verdict = verdict(told(crate::workload::LINES, 1), &written());
        assert!(verdict.holds(), "{verdict:#?}");
        assert_eq!((verdict.jobs, verdict.executions), (4, 4));
    }

    #[test]
    fn a_missing_line_is_found() {
        assert_eq!(verdict(told(crate::workload::LINES - 1, 1), &written()).lines_wrong, 4);
    }

    #[test]
    fn a_second_execution_is_found() {
        let mut twice = written();
        twice.push(entry("begin", "ordinary", 0, "elsewhere"));
        assert_eq!(verdict(told(crate::workload::LINES, 1), &twice).counted_twice, 1);
        assert!(verdict(told(crate::workload::LINES, 2), &twice).holds(), "a second attempt may");
        twice.push(entry("begin", "strict", 2, "elsewhere"));
        assert_eq!(
            verdict(told(crate::workload::LINES, 2), &twice).strict_overlaps,
            1,
            "a strict one may not"
        );
    }

    #[test]
    fn work_that_did_not_end_is_found() {
        let mut cut: Vec<_> = written();
        cut.pop();
        assert_eq!(verdict(told(crate::workload::LINES, 1), &cut).lost, 1);
    }

    #[test]
    fn a_cache_that_lies_is_found() {
        for (wrong, failures) in [(1, 0), (0, 1)] {
            let borrowed = Borrowed { wrong, failures, ..Borrowed::default() };
            assert!(!Verdict::of(&Books::default(), &[], borrowed).holds());
        }
    }

    #[test]
    fn a_run_that_never_ends_is_found() {
        let books = Books { lost: vec!["r".to_owned()], ..Books::default() };
        assert_eq!(Verdict::of(&books, &[], Borrowed::default()).lost, 1);
    }
}
