//! The graph of `needs`: unknown jobs and cycles.

use std::collections::BTreeMap;

use crate::diagnostics::Reporter;
use crate::value::fold;

use super::model::Job;
use super::suggest::nearest;

/// Checks every `needs`, and spells the ids as the needed jobs do. `all` are the ids of all jobs of the file, also of
/// those that could not be read.
pub(super) fn check(report: &mut Reporter<'_>, jobs: &mut [Job], all: &[String]) {
    let known: BTreeMap<String, &String> = all.iter().map(|id| (fold(id), id)).collect();
    for job in jobs.iter_mut() {
        let id = job.id.clone();
        job.needs.retain_mut(|need| match known.get(&fold(&need.id)) {
            Some(spelled) => {
                need.id.clone_from(spelled);
                true
            }
            None => {
                let hint = match nearest(&need.id, all.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("jobs of this file: {}", all.join(", ")),
                };
                let message = format!("the job `{id}` needs the unknown job `{}`", need.id);
                report.error_hint(need.position, "unknown-need", message, hint);
                false
            }
        });
        let mut seen: Vec<String> = Vec::with_capacity(job.needs.len());
        job.needs.retain(|need| {
            let new = !seen.contains(&need.id);
            seen.push(need.id.clone());
            new
        });
    }
    report_cycle(report, jobs);
}

/// Takes away jobs whose needs are all gone, until none is left or a cycle is.
fn report_cycle(report: &mut Reporter<'_>, jobs: &[Job]) {
    let index: BTreeMap<&str, usize> =
        jobs.iter().enumerate().map(|(at, job)| (job.id.as_str(), at)).collect();
    let needs: Vec<Vec<usize>> = jobs
        .iter()
        .map(|job| job.needs.iter().filter_map(|need| index.get(need.id.as_str()).copied()).collect())
        .collect();
    let mut waiting: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); jobs.len()];
    for (at, list) in needs.iter().enumerate() {
        for need in list {
            if let Some(dependents) = needed_by.get_mut(*need) {
                dependents.push(at);
            }
        }
    }
    let mut free: Vec<usize> = (0..jobs.len()).filter(|at| waiting.get(*at) == Some(&0)).collect();
    while let Some(done) = free.pop() {
        for dependent in needed_by.get(done).map(Vec::as_slice).unwrap_or_default() {
            if let Some(count) = waiting.get_mut(*dependent) {
                *count -= 1;
                if *count == 0 {
                    free.push(*dependent);
                }
            }
        }
    }
    // Every job that is left needs one that is left, so following those leads around a cycle.
    let Some(mut at) = waiting.iter().position(|count| *count > 0) else {
        return;
    };
    let mut path: Vec<usize> = Vec::new();
    while !path.contains(&at) {
        path.push(at);
        let next = needs.get(at).and_then(|list| list.iter().find(|need| waiting.get(**need) > Some(&0)));
        match next {
            Some(next) => at = *next,
            None => return,
        }
    }
    let cycle = path.iter().skip_while(|step| **step != at).chain([&at]);
    let names: Vec<&str> = cycle.filter_map(|step| jobs.get(*step)).map(|job| job.id.as_str()).collect();
    if let Some(job) = jobs.get(at) {
        let place = job.needs.first().map_or(job.position, |need| need.position);
        report.error_hint(
            place,
            "needs-cycle",
            format!("these jobs need each other: {}", names.join(" -> ")),
            "remove one of these `needs`",
        );
    }
}
