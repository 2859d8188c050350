//! What a campaign prints at its end.

use std::collections::BTreeMap;

use serde_json::json;

use crate::fault::Fault;
use crate::verdict::Verdict;

/// As text for a person, or as one JSON object.
pub(crate) fn print(blows: &BTreeMap<Fault, usize>, verdict: &Verdict, seconds: f64, as_json: bool) {
    let must = [
        ("jobs lost", verdict.lost),
        ("results counted twice", verdict.counted_twice),
        ("overlaps of strict jobs", verdict.strict_overlaps),
        ("log lines missing", verdict.lines_wrong),
        ("files of the cache with wrong bytes", verdict.borrowed.wrong),
        ("answers of the cache that would fail a build", verdict.borrowed.failures),
    ];
    let all: usize = blows.values().sum();
    if as_json {
        let kinds: BTreeMap<_, _> = blows.iter().map(|(fault, count)| (fault.name(), count)).collect();
        let object = json!({
            "blows": all, "kinds": kinds, "runs": verdict.runs, "jobs": verdict.jobs,
            "attempts": verdict.attempts, "executions": verdict.executions,
            "strict_given_up": verdict.strict_given_up, "ordinary_overlaps": verdict.ordinary_overlaps,
            "lost": verdict.lost, "counted_twice": verdict.counted_twice,
            "strict_overlaps": verdict.strict_overlaps, "lines_missing": verdict.lines_wrong,
            "cache_puts": verdict.borrowed.puts, "cache_hits": verdict.borrowed.hits,
            "cache_misses": verdict.borrowed.misses, "cache_unanswered": verdict.borrowed.unanswered,
            "cache_wrong": verdict.borrowed.wrong, "cache_failures": verdict.borrowed.failures,
            "findings": verdict.findings, "seconds": seconds,
        });
        println!("{object}");
        return;
    }
    for (fault, count) in blows {
        println!("{count:>6}  {:<18} {}", fault.name(), fault.says());
    }
    println!("{all:>6}  blows in {:.0} minutes", seconds / 60.0);
    println!();
    let did = [
        (verdict.runs, "runs"),
        (verdict.jobs, "jobs"),
        (verdict.attempts, "attempts"),
        (verdict.executions, "containers that began a job's work"),
        (verdict.strict_given_up, "strict jobs given up with a cause instead of begun again"),
        (verdict.ordinary_overlaps, "ordinary jobs that went on in two places for a while"),
        (verdict.borrowed.puts, "files put into the cache"),
        (verdict.borrowed.hits, "files that the cache gave back"),
        (verdict.borrowed.misses, "files that it did not have"),
    ];
    for (count, what) in did {
        println!("{count:>6}  {what}");
    }
    println!();
    for (what, count) in must {
        println!("{count:>6}  {what}");
    }
    for finding in &verdict.findings {
        println!("wrong: {finding}");
    }
}
