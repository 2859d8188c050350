//! Steps that use an action, and what actions do before and after the steps.
//!
//! Invariant: an action is loaded once a use, and what was read of it is kept in the job's folder: another process goes
//! on with the same text, whatever steps have done to the files since.
//!
//! Deliberately absent: how actions get to this machine ([`crate::actions`]).

pub(super) mod built_in;
mod composite;
mod context;
mod docker;
mod dockerfile;
mod header;
mod load;
mod node;

use std::sync::Arc;

use slipway_workflow::action::{self, Manifest, Runs};
use slipway_workflow::job_spec::{Entry, StepAction, StepSpec, Text};

pub(super) use built_in::BuiltIn;
pub(super) use load::{kept_manifests, put};

use super::attempt::{Attempt, End};
use super::course::{Activity, Around, Fixed, Stage};
use super::exec::Ran;
use super::step::blocking;
use super::vessel::Vessel;
use crate::records::log::JobLog;
use crate::steps::annotations::Level;
use crate::steps::contexts::{Contexts, EvaluationError, Scope};
use crate::steps::values::Values;

/// What a use of an action has been evaluated to.
pub(super) struct Use<'a> {
    /// Index of the action.
    pub(super) action: usize,
    /// What its file says.
    pub(super) manifest: Arc<Manifest>,
    /// The scope with the step's own `env`, in the action's file.
    pub(super) scope: Scope<'a>,
    /// The step's own `env`.
    pub(super) env: Values,
    /// The action's inputs, defaults included.
    pub(super) inputs: Values,
}

impl Attempt {
    /// Runs an activity's action. None when the action's own steps come first.
    pub(super) async fn run_action(
        &mut self,
        log: &mut JobLog,
        vessel: &mut Vessel,
        contexts: &Contexts,
        activity: &Activity,
    ) -> Result<Option<Ran>, End> {
        let known = self.saved.running.as_ref().and_then(|running| running.action);
        let first = known.is_none();
        let index = match known.or(activity.around.as_ref().map(|around| around.action)) {
            Some(index) => index,
            None => match self.load(log, contexts, activity).await? {
                Ok(index) => index,
                Err(ran) => return Ok(Some(ran)),
            },
        };
        let using = match blocking(|| self.evaluate_use(contexts, activity, index)) {
            Ok(using) => using,
            Err(message) => return Ok(Some(Ran::told(log, message))),
        };
        if first {
            self.begin_action(log, activity, &using);
            self.commit(log, Some(vessel)).await?;
        }
        match &using.manifest.runs {
            Runs::Composite { .. } => self.enter_action(log, vessel, activity, &using).await,
            Runs::Node { .. } if self.is_built_in(index) => {
                Ok(Some(self.run_carried(log, vessel, contexts, activity, &using).await?))
            }
            Runs::Node { .. } => Ok(Some(self.run_node(log, vessel, contexts, activity, &using).await?)),
            Runs::Docker { .. } => Ok(Some(self.run_docker(log, contexts, activity, &using).await?)),
        }
    }

    fn is_built_in(&self, action: usize) -> bool {
        self.common.action(action).is_some_and(|loaded| loaded.built_in)
    }

    fn evaluate_use<'a>(
        &self,
        contexts: &'a Contexts,
        activity: &Activity,
        action: usize,
    ) -> Result<Use<'a>, String> {
        let manifest = self.common.manifest(action);
        let manifest =
            manifest.ok_or_else(|| "the action's file is gone from the job's folder".to_owned())?;
        let evaluated = (|| {
            let scope = self.activity_scope(contexts, activity)?;
            let env = self.own_env(&scope, activity)?;
            let scope = scope.with_env(&env);
            let inputs = match activity.around.as_ref().and_then(|around| around.fixed.as_ref()) {
                Some(fixed) => fixed.inputs.clone(),
                None => self.inputs(&scope, action, &activity.step)?,
            };
            Ok::<_, EvaluationError>((scope, env, inputs))
        })();
        let (scope, env, inputs) = evaluated.map_err(|error| error.to_string())?;
        let scope = scope.in_file(&manifest.file);
        Ok(Use { action, manifest, scope, env, inputs })
    }

    fn in_action<'a>(&self, scope: Scope<'a>, action: usize) -> Scope<'a> {
        match self.common.manifest(action) {
            Some(manifest) => scope.in_file(&manifest.file),
            None => scope,
        }
    }

    /// Inputs of an action that a step uses.
    pub(super) fn inputs(
        &self,
        scope: &Scope<'_>,
        action: usize,
        step: &StepSpec,
    ) -> Result<Values, EvaluationError> {
        let none: &[Entry] = &[];
        let given = match &step.action {
            StepAction::Uses { with, .. } => with.as_slice(),
            StepAction::Run { .. } | StepAction::Wait { .. } | StepAction::Cancel { .. } => none,
        };
        let with = scope.inputs(given)?;
        match self.common.manifest(action) {
            Some(manifest) => self.in_action(scope.clone(), action).action_inputs(&manifest.inputs, &with),
            None => Ok(with),
        }
    }

    /// Notes that the running step's action begins, and what is to be done after it.
    fn begin_action(&mut self, log: &mut JobLog, activity: &Activity, using: &Use<'_>) {
        let Some(running) = &mut self.saved.running else { return };
        running.action = Some(using.action);
        if activity.around.is_some() {
            return;
        }
        if let Some(around) = using.manifest.around().filter(|around| around.post.is_some()) {
            let name = format!("Post {}", running.name);
            self.saved.course.posts.push(Around {
                key: activity.key.clone(),
                step: step_around(&activity.step, &name, around.post_if.as_ref(), true),
                name,
                action: using.action,
                fixed: Some(Fixed { inputs: using.inputs.clone(), env: using.env.clone() }),
                callers: Vec::new(),
            });
        }
        warn_about_inputs(log, &activity.step, &using.manifest);
    }
}

/// What a JavaScript action runs in a stage; none: nothing.
fn of_stage<'a>(stage: Stage, main: &'a str, around: &'a action::Around) -> Option<&'a str> {
    match stage {
        Stage::Pre => around.pre.as_deref(),
        Stage::Main => Some(main),
        Stage::Post => around.post.as_deref(),
    }
}

/// A step as it is before or after the steps: with a name of its own and the action's condition. `fixed`: its `env` is
/// known by then.
fn step_around(step: &StepSpec, name: &str, condition: Option<&Text>, fixed: bool) -> StepSpec {
    let text = |text: &str| Text { text: text.to_owned(), line: step.line, column: 1 };
    let always = text("always()");
    let mut step = StepSpec { name: Some(text(name)), ..step.clone() };
    step.condition = Some(condition.cloned().unwrap_or(always));
    if fixed {
        step.env = Vec::new();
        if let StepAction::Uses { with, .. } = &mut step.action {
            with.clear();
        }
    }
    step
}

/// Inputs that the action does not know, lacks, or wants no more.
fn warn_about_inputs(log: &mut JobLog, step: &StepSpec, manifest: &Manifest) {
    let StepAction::Uses { with, .. } = &step.action else { return };
    let docker = matches!(manifest.runs, Runs::Docker { .. });
    let image = manifest.file.starts_with("docker://");
    let known = |name: &str| {
        manifest.inputs.iter().any(|input| input.name.eq_ignore_ascii_case(name))
            || (docker && (name.eq_ignore_ascii_case("args") || name.eq_ignore_ascii_case("entrypoint")))
    };
    let unexpected: Vec<String> = with
        .iter()
        .filter(|entry| !image && !known(&entry.key))
        .map(|entry| format!("'{}'", entry.key))
        .collect();
    if !unexpected.is_empty() {
        let valid: Vec<String> = manifest.inputs.iter().map(|input| format!("'{}'", input.name)).collect();
        let message =
            format!("Unexpected input(s) {}, valid inputs are [{}]", unexpected.join(", "), valid.join(", "));
        log.remark(Level::Warning, &message);
    }
    for input in &manifest.inputs {
        let given = with.iter().any(|entry| entry.key.eq_ignore_ascii_case(&input.name));
        if let (true, Some(why)) = (given, &input.deprecation) {
            let message = format!("Input '{}' has been deprecated with message: {why}", input.name);
            log.remark(Level::Warning, &message);
        }
    }
}
