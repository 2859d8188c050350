//! What expressions of an activity see: the job's contexts, those of the actions it is in, and its own.

use std::path::PathBuf;

use slipway_workflow::action::ActionReference;
use slipway_workflow::action::Runs;
use slipway_workflow::job_spec::{StepAction, StepSpec};

use super::attempt::Attempt;
use super::course::{Activity, Stage};
use super::program::file_name;
use crate::steps::contexts::{Contexts, EvaluationError, Scope, StepPlaces};
use crate::steps::env_files::{self, EnvFile};
use crate::steps::hash_files::Workspace;

impl Attempt {
    /// A scope outside of any step.
    pub(super) fn scope<'a>(&self, contexts: &'a Contexts) -> Scope<'a> {
        Scope::new(contexts, &self.saved.state, &StepPlaces::default(), Some(&self.workspace()))
    }

    /// The scope of an activity before its own `env`.
    ///
    /// # Errors
    /// When inputs of an action that is still to come, and which this belongs to, can't be evaluated.
    pub(super) fn activity_scope<'a>(
        &self,
        contexts: &'a Contexts,
        activity: &Activity,
    ) -> Result<Scope<'a>, EvaluationError> {
        let mut scope = self.scope_at(contexts, self.saved.course.frames.len(), &activity.step);
        for caller in activity.around.iter().flat_map(|around| &around.callers) {
            let env = scope.step_env(&caller.step.env)?;
            let outer = scope.with_env(&env);
            let inputs = self.inputs(&outer, caller.action, &caller.step)?;
            scope = outer.with_inputs(&inputs);
            if let Some(manifest) = self.common.manifest(caller.action) {
                scope = scope.in_file(&manifest.file);
            }
        }
        Ok(scope)
    }

    /// The scope of a step inside of the first `depth` actions under way.
    pub(super) fn scope_at<'a>(&self, contexts: &'a Contexts, depth: usize, step: &StepSpec) -> Scope<'a> {
        let places = self.places(depth, step);
        let frames = &self.saved.course.frames;
        let workspace = self.workspace();
        let mut scope = if depth < frames.len() {
            Scope::new(contexts, &self.saved.state.at(depth), &places, Some(&workspace))
        } else {
            Scope::new(contexts, &self.saved.state, &places, Some(&workspace))
        };
        for frame in frames.iter().take(depth) {
            scope = scope.with_env(&frame.env).with_inputs(&frame.inputs);
        }
        let innermost = depth.checked_sub(1).and_then(|index| frames.get(index));
        match innermost.and_then(|frame| self.common.manifest(frame.action)) {
            Some(manifest) => scope.in_file(&manifest.file),
            None => scope,
        }
    }

    fn places(&self, depth: usize, step: &StepSpec) -> StepPlaces {
        let layout = self.layout(self.in_container());
        let files = EnvFile::ALL.map(|file| {
            let folder = format!("{}/{}", layout.temp(), env_files::FOLDER);
            (file, format!("{folder}/{}", file_name(file, self.saved.course.files)))
        });
        let frames = &self.saved.course.frames;
        let innermost = depth.checked_sub(1).and_then(|index| frames.get(index));
        let around = innermost.and_then(|frame| self.common.action(frame.action));
        let own = match &step.action {
            StepAction::Uses { action: ActionReference::Repository { repository, git_ref, .. }, .. } => {
                Some((repository.clone(), git_ref.clone()))
            }
            _ => None,
        };
        StepPlaces {
            action: step.id.clone(),
            files: files.to_vec(),
            repository: own.or_else(|| around.as_ref().and_then(|action| action.repository.clone())),
            action_path: around.map(|action| self.seen(&action.folder)),
        }
    }

    /// A folder below the job's work folder, as its steps see it.
    pub(super) fn seen(&self, folder: &str) -> String {
        format!("{}/{folder}", self.layout(self.in_container()).work())
    }

    /// The step that uses the action of this depth, 0 the outermost.
    pub(super) fn caller(&self, depth: usize) -> Option<StepSpec> {
        let course = &self.saved.course;
        let Some(outer) = depth.checked_sub(1) else {
            return match course.stage {
                Stage::Main => self.spec.steps.get(course.next).cloned(),
                Stage::Pre | Stage::Post => None,
            };
        };
        let frame = course.frames.get(outer)?;
        match &self.common.manifest(frame.action)?.runs {
            Runs::Composite { steps } => steps.get(frame.next).cloned(),
            _ => None,
        }
    }

    fn workspace(&self) -> Workspace {
        let layout = self.layout(self.in_container());
        let (work, inside) = (self.folder.work(), self.workspace_inside());
        Workspace { work, inside, seen: layout.workspace() }
    }

    /// The workspace below the job's work folder.
    pub(super) fn workspace_inside(&self) -> PathBuf {
        let (workspace, work) = (self.host_workspace(), self.folder.work());
        workspace.strip_prefix(&work).map_or_else(|_| PathBuf::new(), PathBuf::from)
    }

    pub(super) fn host_workspace(&self) -> PathBuf {
        self.layout(self.in_container()).host_workspace(&self.folder)
    }

    /// Where records of what is under way stand.
    pub(super) fn record(&self) -> u32 {
        self.saved.course.record(self.spec.steps.len())
    }
}
