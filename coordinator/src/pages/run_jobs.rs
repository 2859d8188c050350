//! A run's jobs in columns: each stands right of all that it needs.

use std::collections::HashMap;

use maud::{Markup, html};

use super::causes;
use super::limits::INSTANCES_SHOWN;
use super::words::{Mark, count, name, took};
use crate::view::{AttemptView, InstanceView, JobView, RunView};

/// How far right each job stands: behind all that it needs, and jobs of a call behind what their caller needs.
fn depths(jobs: &[JobView]) -> HashMap<&str, usize> {
    let by_id: HashMap<&str, &JobView> = jobs.iter().map(|job| (job.job.as_str(), job)).collect();
    let mut depths: HashMap<&str, usize> = HashMap::new();
    // Jobs that need others may stand before them in the file; each round settles one more column.
    for _ in 0..jobs.len() {
        let mut moved = false;
        for job in jobs {
            let id = job.job.as_str();
            let caller = id.rmatch_indices('/').find_map(|(at, _)| by_id.get_key_value(id.get(..at)?));
            let behind = |id: &str| depths.get(id).copied().unwrap_or(0);
            let needs = job.needs.iter().map(|need| behind(need) + 1).max().unwrap_or(0);
            let depth = needs.max(caller.map_or(0, |(caller, _)| behind(caller)));
            moved |= depths.insert(id, depth) != Some(depth);
        }
        if !moved {
            break;
        }
    }
    depths
}

/// `explain`: what its cause means, which is said once.
fn attempt(attempt: &AttemptView, explain: bool) -> Markup {
    html! {
        li {
            "Attempt " (attempt.attempt) " on " (name(&attempt.agent)) ": "
            @match attempt.outcome {
                Some("timed_out") => "timed out",
                Some("fleet") => @if let Some(cause) = attempt.cause {
                    @if explain { (causes::explained(cause)) } @else { "fleet failure " code { (cause) } }
                },
                Some(outcome) => (outcome),
                None => "running",
            }
            @if let Some(message) = &attempt.message { ". " (name(message)) }
        }
    }
}

fn instance(run: &RunView, instance: &InstanceView, is_only: bool, now_ms: u64) -> Markup {
    let last = instance.attempts.last();
    let fleet_failed = instance.attempts.iter().rposition(|attempt| attempt.cause.is_some());
    html! {
        li {
            div.line {
                (Mark::of(instance.state, instance.result).short())
                @if instance.attempts.is_empty() { span.title { (name(&instance.name)) } }
                @else {
                    a.title href={ "/runs/" (run.run) "/jobs/" (instance.instance_id) } { (name(&instance.name)) }
                }
                @if let Some(last) = last { (took(last.started_ms, last.finished_ms, now_ms)) }
            }
            @if let Some(agent) = &instance.agent {
                div.hint { @if is_only && instance.name != instance.job { (name(&instance.job)) " · " } "on " (name(agent)) }
            } @else if is_only && instance.name != instance.job { div.hint { (name(&instance.job)) } }
            @if let Some(reason) = &instance.waits_for { div.hint { (name(reason)) } }
            @if let Some(told) = &instance.gave_up { div.hint { (name(told)) } }
            @if fleet_failed.is_some() || instance.attempts.len() > 1 {
                ol.attempts { @for (at, each) in instance.attempts.iter().enumerate() { (attempt(each, fleet_failed == Some(at))) } }
            }
        }
    }
}

fn job(run: &RunView, job: &JobView, now_ms: u64) -> Markup {
    let all = run.instances.as_deref().unwrap_or_default();
    let own: Vec<&InstanceView> = all.iter().filter(|instance| instance.job == job.job).collect();
    let is_group = own.len() != 1;
    html! {
        li.card {
            @if is_group {
                h3 {
                    (Mark::of(job.state, job.result).short()) (name(&job.job))
                    @if own.len() > 1 { span.hint { " " (count(own.len() as u64, "job", "jobs")) } }
                }
            } @else { h3.unseen { (name(&job.job)) } }
            @if !own.is_empty() {
                ul.instances {
                    @for each in own.iter().take(INSTANCES_SHOWN) { (instance(run, each, !is_group, now_ms)) }
                }
                @if own.len() > INSTANCES_SHOWN {
                    p.hint { "and " (own.len() - INSTANCES_SHOWN) " more" }
                }
            }
            @if let Some(message) = &job.message { p.hint { (name(message)) } }
            @if own.is_empty() { @if let Some(reason) = &job.waits_for { p.hint { (name(reason)) } } }
            @if !job.needs.is_empty() {
                p.needs { "needs " @for (at, need) in job.needs.iter().enumerate() { @if at > 0 { ", " } (name(need)) } }
            }
        }
    }
}

pub(super) fn section(run: &RunView, now_ms: u64) -> Markup {
    let jobs = run.jobs.as_deref().unwrap_or_default();
    let depths = depths(jobs);
    let columns = depths.values().max().map_or(0, |depth| depth + 1);
    let depths = &depths;
    let of = |column: usize| jobs.iter().filter(move |job| depths.get(job.job.as_str()) == Some(&column));
    html! {
        section #jobs aria-labelledby="jobs-title" {
            h2 #jobs-title { "Jobs" }
            div.graph tabindex="0" role="region" aria-label="Jobs, each right of what it needs" {
                @for column in 0..columns {
                    ul.column { @for each in of(column) { (job(run, each, now_ms)) } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::StateWord;

    fn job(id: &str, needs: &[&str]) -> JobView {
        JobView {
            job: id.to_owned(),
            state: StateWord::Waiting,
            result: None,
            needs: needs.iter().map(|need| (*need).to_owned()).collect(),
            message: None,
            waits_for: None,
        }
    }

    #[test]
    fn each_job_stands_right_of_what_it_needs_whatever_their_order() {
        let jobs = [
            job("ship", &["test", "lint"]),
            job("test", &["build"]),
            job("lint", &[]),
            job("build", &[]),
            job("call", &["build"]),
            job("call/inner", &[]),
            job("call/after", &["call/inner"]),
        ];
        let depths = depths(&jobs);
        let expected = [
            ("ship", 2),
            ("test", 1),
            ("lint", 0),
            ("build", 0),
            ("call", 1),
            ("call/inner", 1),
            ("call/after", 2),
        ];
        for (id, depth) in expected {
            assert_eq!(depths[id], depth, "{id}");
        }
        // Needs that never end, were there any, end here.
        super::depths(&[job("a", &["b"]), job("b", &["a"])]);
    }
}
