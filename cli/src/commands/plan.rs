//! `slipway plan`: what would run for an event, and for what would not, why.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value as Json, json};
use slipway_workflow::plan::{Plan as Planned, PlannedJob, SkippedStep};

use crate::failure::{Exit, Failure};
use crate::occasion::{Occasion, OccasionArgs};
use crate::output::table::{Table, text};
use crate::output::{Out, escape, style};
use crate::settings::pair;

/// Characters of a matrix in the table.
const MATRIX_CHARS: usize = 60;

/// Flags of `slipway plan`.
#[derive(Debug, Args)]
pub struct Plan {
    #[command(flatten)]
    occasion: OccasionArgs,
    /// A workflow_dispatch input
    #[arg(long = "input", value_name = "K=V", value_parser = pair)]
    inputs: Vec<(String, String)>,
    /// A configuration variable (`vars`)
    #[arg(long = "var", value_name = "K=V", value_parser = pair)]
    vars: Vec<(String, String)>,
    /// One JSON object; what only the run can tell is null
    #[arg(long)]
    json: bool,
}

impl Plan {
    pub(crate) fn run(self, out: &mut Out) -> Result<Exit, Failure> {
        let given: BTreeMap<String, String> = self.inputs.into_iter().collect();
        let vars: BTreeMap<String, String> = self.vars.into_iter().collect();
        let occasion = Occasion::find(&self.occasion, &given)?;
        let has_event = occasion.workflow.triggers.iter().any(|trigger| trigger.event == occasion.event_name);
        let inputs = if has_event { occasion.inputs(&given)? } else { Json::Null };
        let plan = occasion.explain(&occasion.workflow, &inputs, &json!(vars))?;
        if self.json {
            out.json(&plan)?;
        } else {
            out.text(&for_people(&occasion, &plan, out.colours))?;
        }
        Ok(Exit::Success)
    }
}

fn for_people(occasion: &Occasion, plan: &Planned, colours: bool) -> String {
    let name = style::bold(&escape::name(occasion.workflow.display_name()), colours);
    // A workflow without a name bears its file's.
    let named = occasion.workflow.display_name() != occasion.file.in_repository;
    let file = if named { format!("{} ", occasion.file.shown) } else { String::new() };
    let about = escape::name(&format!("{file}for {} at {}", occasion.event_name, occasion.git_ref));
    let mut shown = format!("{name}  {about}\n");
    if !plan.triggered {
        let reason = escape::name(plan.reason.as_deref().unwrap_or("no reason given"));
        shown.push_str(&format!("\nnothing runs: {reason}\n"));
        return shown;
    }
    let mut table = Table::new(&["JOB", "NAME", "RUNS", "RUNS ON", "NEEDS", "MATRIX"]);
    for job in &plan.jobs {
        table.row(vec![
            text(&job.id),
            text(job.name.as_deref().unwrap_or("?")),
            text(match job.skipped {
                Some(true) => "no",
                Some(false) => "yes",
                None => "?",
            }),
            text(match (&job.uses, &job.runs_on) {
                (Some(uses), _) => uses.clone(),
                (None, labels) => labels.as_ref().map_or("?".to_owned(), |labels| labels.join(", ")),
            }),
            text(if job.needs.is_empty() { "-".to_owned() } else { job.needs.join(", ") }),
            text(match job.skipped {
                Some(true) => "-".to_owned(),
                _ => escape::fit(&matrix(job.matrix.as_ref()), MATRIX_CHARS),
            }),
        ]);
    }
    shown.push_str(&format!("\n{}", table.render(colours)));
    for PlannedJob { id, name, skipped, reason, .. } in &plan.jobs {
        let Some(reason) = reason else { continue };
        let verdict = match skipped {
            Some(true) => "is skipped",
            Some(false) => "runs",
            None => "may run",
        };
        let name = escape::name(name.as_deref().unwrap_or(id));
        shown.push_str(&format!("\n{name} {verdict}: {}", escape::name(reason)));
    }
    for (name, steps) in skipped_steps(&plan.jobs) {
        for step in steps {
            let (step, line, reason) = (escape::name(&step.step), step.line, escape::name(&step.reason));
            shown.push_str(&format!("\n{name}: step `{step}` (line {line}) is skipped: {reason}"));
        }
    }
    if plan.jobs.iter().any(|job| job.reason.is_some() || !job.skipped_steps.is_empty()) {
        shown.push('\n');
    }
    shown
}

/// The skipped steps of each job: once, by its id, where they are the same in all its instances.
fn skipped_steps(jobs: &[PlannedJob]) -> Vec<(String, &[SkippedStep])> {
    let mut told: Vec<(String, &[SkippedStep])> = Vec::new();
    for (at, job) in jobs.iter().enumerate() {
        let instances = || jobs.iter().filter(|other| other.id == job.id);
        let alike = instances().all(|other| other.skipped_steps == job.skipped_steps);
        let first = jobs.iter().position(|other| other.id == job.id) == Some(at);
        if alike && !first {
            continue;
        }
        let name = match (alike && instances().count() > 1, &job.name) {
            (false, Some(name)) => name,
            _ => &job.id,
        };
        told.push((escape::name(name), &job.skipped_steps));
    }
    told
}

/// `os=linux, node=18`
fn matrix(matrix: Option<&Json>) -> String {
    let Some(matrix) = matrix else { return "?".to_owned() };
    let entries = matrix.as_object().into_iter().flatten();
    let shown: Vec<String> = entries
        .map(|(key, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("{key}={value}")
        })
        .collect();
    if shown.is_empty() { "-".to_owned() } else { shown.join(", ") }
}
