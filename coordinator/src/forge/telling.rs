//! Tells one report, as far as it is to be told now.
//!
//! Invariant: a report's id is journaled before anything else of it is told, and one whose making is uncertain is looked for first. The forge
//! adds each request's annotations to those that it has, so their number there says which are still to be told: a request that is sent again
//! after a lost answer adds none twice.

use super::desired::{Key, Wanted};
use super::details::Details;
use super::told::ReportEvent;
use super::{Annotation, Forge, ForgeError, Report, Stage, deployments, findings, output};
use crate::driver::DriverError;
use crate::records::RecordsError;
use crate::services::Services;

/// What is to be told.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) wanted: Wanted,
    /// The forge's id, if it is known.
    pub(super) id: Option<u64>,
    /// Whether something may have been told that nobody remembers.
    pub(super) uncertain: bool,
    /// What was read of the attempt's records.
    pub(super) details: Details,
}

/// Why it was not told.
#[derive(Debug, thiserror::Error)]
pub(super) enum TellError {
    #[error(transparent)]
    Forge(#[from] ForgeError),
    #[error("the log cannot be read: {0}")]
    Records(#[from] RecordsError),
    #[error(transparent)]
    Driver(#[from] DriverError),
}

/// Tells it; the task knows the forge's id afterwards, whatever else went wrong.
pub(super) async fn tell(services: &Services, forge: &dyn Forge, task: &mut Task) -> Result<(), TellError> {
    if let Some(deploys) = task.wanted.deploys.clone() {
        return deployments::tell(services, forge, task, &deploys).await;
    }
    let mut annotations = Vec::new();
    let mut details = None;
    if let Some(source) = task.wanted.source {
        task.details.read_on(&services.records, source).await?;
        if task.wanted.stage.is_done() {
            annotations.clone_from(&task.details.annotations);
            annotations.append(&mut findings::of_job(services, &task.wanted, &mut task.details).await?);
        }
        details = Some(&task.details);
    }
    let report = output::report(&task.wanted, details, services.options.public_url.as_deref());
    let place = task.wanted.place.clone();
    let (mut seen, mut has) = (None, 0);
    let id = match task.id {
        Some(id) => {
            // Only the last word is worth a look: anything else is told again.
            if task.uncertain && task.wanted.stage.is_done() {
                seen = Some(forge.look(&place, id).await?);
            }
            id
        }
        None => {
            if task.uncertain {
                seen = forge.find(&place, &report.name, &report.external_id).await?;
            }
            match seen {
                Some(seen) => {
                    task.id = Some(seen.id);
                    services.driver.report(made(&task.wanted.key, seen.id, false)).await?;
                    seen.id
                }
                None if task.wanted.only_if_there => {
                    services.driver.report(settled(&task.wanted.key)).await?;
                    return Ok(());
                }
                None => {
                    let first = batch(&report, &annotations, 0, forge.annotations_at_once());
                    has = first.annotations.len();
                    let whole = report.stage.is_done() && !report.stage.goes_on() && has == annotations.len();
                    let id = forge.make(&place, &first).await?;
                    task.id = Some(id);
                    services.driver.report(made(&task.wanted.key, id, whole)).await?;
                    if whole || !report.stage.is_done() || report.stage.goes_on() {
                        return Ok(());
                    }
                    id
                }
            }
        }
    };
    if let Some(seen) = seen {
        has = seen.annotations;
        if seen.done
            && report.stage.is_done()
            && !report.stage.goes_on()
            && !task.wanted.was_held
            && has >= annotations.len()
        {
            services.driver.report(settled(&task.wanted.key)).await?;
            return Ok(());
        }
    }
    loop {
        let next = batch(&report, &annotations, has, forge.annotations_at_once());
        has += next.annotations.len();
        forge.change(&place, id, &next).await?;
        if has >= annotations.len() {
            break;
        }
    }
    if report.stage.is_done() && !report.stage.goes_on() {
        services.driver.report(settled(&task.wanted.key)).await?;
    }
    Ok(())
}

/// The report with the annotations that come after so many; not over yet while more of them are to come.
fn batch(report: &Report, annotations: &[Annotation], told: usize, at_once: usize) -> Report {
    let rest = annotations.get(told..).unwrap_or_default();
    let now = &rest[..rest.len().min(at_once)];
    let stage = if now.len() < rest.len() { Stage::Running } else { report.stage };
    Report { stage, annotations: now.to_vec(), ..report.clone() }
}

pub(super) fn made(key: &Key, id: u64, settled: bool) -> ReportEvent {
    match key.clone() {
        Key::Part(run, part) => ReportEvent::Made { run, part, id, settled },
        Key::Sum(place, generation) => ReportEvent::SumMade { place, id, generation, settled },
        Key::Rules(place, event, generation) => {
            ReportEvent::RulesMade { place, event, id, generation, settled }
        }
    }
}

/// That the last word was told, or never will be.
pub(super) fn settled(key: &Key) -> ReportEvent {
    match key.clone() {
        Key::Part(run, part) => ReportEvent::Settled { run, part },
        Key::Sum(place, generation) => ReportEvent::SumSettled { place, generation },
        Key::Rules(place, event, generation) => ReportEvent::RulesSettled { place, event, generation },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge::{Conclusion, Level};

    #[test]
    fn annotations_go_in_batches_and_the_end_with_the_last() {
        let annotation = |n: u32| Annotation {
            path: "a".into(),
            lines: (n, n),
            columns: None,
            level: Level::Notice,
            title: String::new(),
            message: "m".into(),
        };
        let all: Vec<Annotation> = (1..=120).map(annotation).collect();
        let report = Report {
            name: "n".into(),
            external_id: "e".into(),
            details_url: None,
            stage: Stage::Done(Conclusion::Success),
            started_ms: None,
            finished_ms: None,
            title: String::new(),
            summary: String::new(),
            annotations: Vec::new(),
            buttons: Vec::new(),
        };
        let (mut told, mut batches) = (0, Vec::new());
        while told < all.len() {
            let next = batch(&report, &all, told, 50);
            told += next.annotations.len();
            batches.push((next.annotations.len(), next.stage.is_done()));
        }
        assert_eq!(batches, [(50, false), (50, false), (20, true)]);
        assert_eq!(batch(&report, &all, 500, 50).annotations.len(), 0);
        assert!(batch(&report, &[], 0, 50).stage.is_done());
    }
}
