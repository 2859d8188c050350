//! While a job's image is pulled, the code that it will check out is fetched into the agent's mirror: the slower of both is what a job waits for, not
//! their sum.
//!
//! It is a guess, and costs nothing when it is wrong: a job whose first checkout has an `if`, or inputs that only the run can tell, fetches as ever.

use std::sync::Arc;

use slipway_workflow::job_spec::{Entry, JobSpec, Source, StepAction};

use super::action::built_in::BuiltIn;
use super::attempt::{AbortOnDrop, Attempt};
use super::prepare::Wanted;
use crate::checkout::{Fetch, Inputs, needs_original};
use crate::steps::values::Values;

impl Attempt {
    /// Begins to fetch, if the image is not here. The checkout waits for what was begun; it ends with the job.
    pub(super) async fn fetch_ahead(&mut self, wanted: &Wanted) {
        let Some(fetch) = self.first_checkout() else { return };
        // What an engine does not tell is told by who pulls.
        if !matches!(self.machine.engine.image(&wanted.image).await, Ok(None)) {
            return;
        }
        let kept = Arc::clone(&self.machine.checkouts);
        self.ahead = Some(AbortOnDrop(tokio::spawn(async move { kept.fetch_ahead(&fetch).await })));
    }

    /// What the job's first checkout fetches, as far as the file says it.
    fn first_checkout(&self) -> Option<Fetch> {
        let Source::Git { clone_url, repository, git_ref, sha } = &self.spec.source else { return None };
        if self.machine.options.original_actions {
            return None;
        }
        let inputs = Inputs::read(&first_checkout(&self.spec)?).ok()?.or_token(self.run_token().as_deref());
        inputs.fetch(clone_url, repository, git_ref, sha).ok()
    }
}

/// The inputs of the first step that checks out, if nothing about them is evaluated.
fn first_checkout(spec: &JobSpec) -> Option<Values> {
    let checkouts = spec.steps.iter().filter_map(|step| match &step.action {
        StepAction::Uses { action, with, .. } if BuiltIn::of(action) == Some(BuiltIn::Checkout) => {
            Some((step, with))
        }
        _ => None,
    });
    let (step, with) = { checkouts }.next()?;
    let is_plain = |entry: &Entry| !entry.value.text.contains("${{");
    if step.condition.is_some() || !with.iter().all(is_plain) {
        return None;
    }
    let inputs: Values = with.iter().map(|entry| (entry.key.as_str(), entry.value.text.as_str())).collect();
    (!needs_original(&inputs)).then_some(inputs)
}
