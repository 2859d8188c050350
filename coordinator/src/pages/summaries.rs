//! `/runs/{run}/summaries`: what the jobs of a run sum up (`GITHUB_STEP_SUMMARY`), job by job and step by step.
//!
//! A page of its own, for each log has to be looked through once to know.

use axum::extract::{Path, State};
use maud::{Markup, html};
use slipway_proto::v1::record;
use slipway_scheduler::RunId;

use super::error::PageError;
use super::gate::Visitor;
use super::layout::{Frame, Html, Place, page as whole};
use super::limits::{SUMMARIES_SHOWN_BYTES, SUMMARY_JOBS};
use super::words::{Mark, count, name};
use super::{find_run, markdown};
use crate::driver::View;
use crate::records::AttemptKey;
use crate::services::Services;
use crate::view::{self, Detail, InstanceView, RunView};

/// What one step says.
struct Said {
    step: String,
    markdown: String,
}

/// What one job says.
struct OfJob<'a> {
    instance: &'a InstanceView,
    said: Vec<Said>,
    /// Something of it is left out.
    cut: bool,
}

pub(super) async fn page(
    State(services): State<Services>,
    visitor: Visitor,
    Path(text): Path<String>,
) -> Result<Html, PageError> {
    let id = find_run(&services, text).await?;
    let look = move |view: View<'_>| view::run(view, id, Detail::Full);
    let run = services.driver.query(look).await?;
    let run = run.ok_or_else(|| PageError::not_found("This run is not kept any more."))?;
    let mut room = SUMMARIES_SHOWN_BYTES;
    let mut jobs = Vec::new();
    let begun: Vec<&InstanceView> =
        run.instances.iter().flatten().filter(|instance| !instance.attempts.is_empty()).collect();
    for instance in begun.iter().take(SUMMARY_JOBS) {
        let said = of_job(&services, id, instance, &mut room).await;
        // What cannot be read is left out: the job's own page says why.
        jobs.extend(said.filter(|said| !said.said.is_empty() || said.cut));
    }
    let main = shown(&run, &jobs, begun.len().saturating_sub(SUMMARY_JOBS));
    let frame = Frame {
        title: "Summaries",
        session: Some(&visitor.session),
        here: Some(Place::Overview),
        live: None,
        now_ms: services.clock.unix_ms(),
    };
    Ok(whole(&frame, main))
}

async fn of_job<'a>(
    services: &Services,
    run: RunId,
    instance: &'a InstanceView,
    room: &mut usize,
) -> Option<OfJob<'a>> {
    let last = instance.attempts.last()?;
    let key = AttemptKey { run, instance: instance.instance_id.parse().ok()?, attempt: last.attempt };
    let over = last.finished_ms.is_some();
    let outline = services.pages.outlines.of(&services.records, key, over).await.ok()?;
    let mut said: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut cut = outline.more;
    for (step, place) in &outline.summaries {
        if *room == 0 {
            cut = true;
            break;
        }
        let mut reader = services.records.reader(key, *place, over).await.ok()?;
        let first = reader.next().await.ok()?.into_iter().next();
        let Some(record::Record::Summary(summary)) = first.and_then(|record| record.record) else { continue };
        let whole = summary.markdown.len();
        let taken = whole.min(*room);
        cut |= taken < whole;
        *room -= taken;
        let piece = summary.markdown.get(..taken).unwrap_or_default();
        // One step's pieces follow each other.
        match said.last_mut().filter(|(known, _)| known == step) {
            Some((_, text)) => text.extend_from_slice(piece),
            None => said.push((*step, piece.to_vec())),
        }
    }
    let said = said.into_iter().map(|(step, text)| Said {
        step: outline.steps.get(&step).map(|step| step.name.clone()).unwrap_or_default(),
        markdown: String::from_utf8_lossy(&text).into_owned(),
    });
    Some(OfJob { instance, said: said.collect(), cut })
}

fn shown(run: &RunView, jobs: &[OfJob<'_>], left_out: usize) -> Markup {
    html! {
        nav.path aria-label="Where this is" { a href={ "/runs/" (run.run) } { (name(&run.workflow_name)) " #" (run.run_number) } }
        h1 { "Summaries" }
        @if jobs.is_empty() {
            p.nothing { "No job of this run has summed anything up. Steps do by writing Markdown to the file " code { "$GITHUB_STEP_SUMMARY" } "." }
        }
        @for (number, job) in jobs.iter().enumerate() {
            section aria-labelledby={ "job-" (number) } {
                h2 id={ "job-" (number) } {
                    (Mark::of(job.instance.state, job.instance.result).short()) " "
                    a href={ "/runs/" (run.run) "/jobs/" (job.instance.instance_id) } { (name(&job.instance.name)) }
                }
                @for (at, said) in job.said.iter().enumerate() {
                    div.markdown.scroll tabindex="0" role="region" aria-label={ "Summary " (at + 1) " of " (job.instance.name) } {
                        // Headings of what is said are of the level below.
                        h3 { (name(&said.step)) }
                        (markdown::render(&said.markdown))
                    }
                }
                @if job.cut { p.hint { "More than is shown here was said; the rest is in the records of the job." } }
            }
        }
        @if left_out > 0 { p.hint { (count(left_out as u64, "more job is", "more jobs are")) " not looked at here." } }
    }
}
