//! Whether each job of a file will run, as far as can be told beforehand.

use crate::diagnostics::Diagnostic;
use crate::expression::{Condition, StatusFunction};
use crate::syntax::{Job, Workflow};

use super::environment::PlanEnvironment;
use super::instance::expression_diagnostic;
use super::reason;
use super::resolve::{Ancestors, IF_FALSE, NEED_SKIPPED, skip_reason};

/// Whether a job will run, as far as can be told.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fate {
    Runs,
    Skipped(String),
    Unknown(String),
}

/// The fate of every job, decided after those it needs. Jobs form no cycle, so every round decides at least one.
/// `inputs_open`: the values of `inputs` are not known.
pub(super) fn fates(
    workflow: &Workflow,
    base: &PlanEnvironment,
    inputs_open: bool,
) -> Result<Vec<Option<Fate>>, Diagnostic> {
    let mut fates: Vec<Option<Fate>> = vec![None; workflow.jobs.len()];
    let mut ancestry: Vec<Ancestry> = vec![Ancestry::default(); workflow.jobs.len()];
    let index = |id: &str| workflow.jobs.iter().position(|job| job.id == id);
    let needs: Vec<Vec<usize>> = workflow
        .jobs
        .iter()
        .map(|job| job.needs.iter().filter_map(|need| index(&need.id)).collect())
        .collect();
    for _ in 0..workflow.jobs.len() {
        let mut changed = false;
        for (at, job) in workflow.jobs.iter().enumerate() {
            let direct = needs.get(at).map(Vec::as_slice).unwrap_or_default();
            let ready = direct.iter().all(|need| fates.get(*need).is_some_and(Option::is_some));
            if fates.get(at).is_some_and(Option::is_some) || !ready {
                continue;
            }
            let mut above = Ancestry::default();
            for need in direct {
                if let (Some(Some(fate)), Some(further)) = (fates.get(*need), ancestry.get(*need)) {
                    above.add(fate, *further);
                }
            }
            let mut fate = fate(workflow, job, above, base, inputs_open)?;
            if let Fate::Skipped(reason) = &mut fate
                && reason == NEED_SKIPPED
            {
                let id = |at: &usize| workflow.jobs.get(*at).map(|job| &job.id);
                let skipped = |at: &&usize| matches!(fates.get(**at), Some(Some(Fate::Skipped(_))));
                let behind = |at: &&usize| ancestry.get(**at).is_some_and(|line| line.skipped);
                // Which of several: the first that is skipped, else the first before which one is.
                if let Some(need) = direct.iter().find(skipped).and_then(id) {
                    *reason = format!("{NEED_SKIPPED}: `{need}`");
                } else if let Some(need) = direct.iter().find(behind).and_then(id) {
                    *reason = format!("a job before it was skipped, which `{need}` needs");
                }
            }
            if let (Some(slot), Some(line)) = (fates.get_mut(at), ancestry.get_mut(at)) {
                *slot = Some(fate);
                *line = above;
            }
            changed = true;
        }
        if !changed {
            break;
        }
    }
    Ok(fates)
}

/// What is known of a job's ancestors.
#[derive(Debug, Clone, Copy, Default)]
struct Ancestry {
    skipped: bool,
    unknown: bool,
    any: bool,
}

impl Ancestry {
    fn add(&mut self, fate: &Fate, further: Ancestry) {
        self.any = true;
        self.skipped |= further.skipped || matches!(fate, Fate::Skipped(_));
        self.unknown |= further.unknown || matches!(fate, Fate::Unknown(_));
    }
}

fn fate(
    workflow: &Workflow,
    job: &Job,
    above: Ancestry,
    base: &PlanEnvironment,
    inputs_open: bool,
) -> Result<Fate, Diagnostic> {
    let condition = &job.condition;
    let mut environment = base.clone();
    environment.ancestors = Ancestors { skipped: above.skipped, ..Ancestors::default() };
    if condition.needs_success() && above.skipped {
        return Ok(Fate::Skipped(skip_reason(job, &environment)));
    }
    if condition.uses_context("needs") {
        return Ok(Fate::Unknown("its `if` depends on the jobs it needs".to_owned()));
    }
    if inputs_open && condition.uses_context("inputs") {
        return Ok(Fate::Unknown("its `if` depends on inputs that the run gives".to_owned()));
    }
    let evaluate = |condition: &Condition, environment: &PlanEnvironment| {
        condition
            .evaluate(environment)
            .map_err(|error| expression_diagnostic(workflow, job.condition_position, "if", &error))
    };
    if condition.names_jobs() && above.any {
        return Ok(Fate::Unknown("its `if` depends on the jobs it needs".to_owned()));
    }
    let holds = evaluate(condition, &environment)?;
    let open = above.unknown && uses_success(condition);
    if open || (above.any && condition.calls_status(StatusFunction::Failure)) {
        // Would it be otherwise if a needed job failed or was skipped?
        let mut otherwise = environment.clone();
        otherwise.ancestors = Ancestors { failed: true, ..environment.ancestors };
        if evaluate(condition, &otherwise)? != holds {
            return Ok(Fate::Unknown("whether it runs depends on how the jobs it needs end".to_owned()));
        }
    }
    Ok(match skip_reason(job, &environment) {
        _ if holds => Fate::Runs,
        reason if reason == IF_FALSE => Fate::Skipped(reason::is_false(condition, &environment)),
        reason => Fate::Skipped(reason),
    })
}

fn uses_success(condition: &Condition) -> bool {
    condition.needs_success() || condition.calls_status(StatusFunction::Success)
}
