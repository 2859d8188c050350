//! Actions that are built in: faster than their originals, and without a network.
//!
//! The original runs where an admin asks for it (`--original-actions`), or a workflow with `SLIPWAY_ORIGINAL_ACTIONS: true`
//! in the `env` of the step, its job or the workflow, and where a step asks for what only the original does.

mod native;
mod originals;

use slipway_workflow::action::ActionReference;
use slipway_workflow::job_spec::StepAction;

use crate::checkout;
use crate::runner::attempt::Attempt;
use crate::runner::course::Activity;
use crate::steps::contexts::Contexts;
use crate::steps::values::Values;

/// The variable with which a workflow asks for originals.
const ORIGINALS: &str = "SLIPWAY_ORIGINAL_ACTIONS";

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::runner) enum BuiltIn {
    /// `actions/checkout`, which the agent does itself.
    Checkout,
    /// `actions/cache`
    Cache,
    /// `actions/cache/restore`
    CacheRestore,
    /// `actions/cache/save`
    CacheSave,
    /// `actions/upload-artifact`
    UploadArtifact,
    /// `actions/download-artifact`
    DownloadArtifact,
}

impl BuiltIn {
    /// What takes an action's place, in any version.
    pub(in crate::runner) fn of(action: &ActionReference) -> Option<Self> {
        let known = [
            ("actions/checkout", "", Self::Checkout),
            ("actions/cache", "", Self::Cache),
            ("actions/cache", "restore", Self::CacheRestore),
            ("actions/cache", "save", Self::CacheSave),
            ("actions/upload-artifact", "", Self::UploadArtifact),
            ("actions/download-artifact", "", Self::DownloadArtifact),
        ];
        known.into_iter().find(|(name, folder, _)| action.is_at(name, folder)).map(|(.., found)| found)
    }

    /// Whether a step asks for what only the original does.
    fn needs_original(self, with: &Values, repository: &str) -> bool {
        match self {
            Self::Checkout => checkout::needs_original(with),
            Self::DownloadArtifact => originals::download_needs_original(with, repository),
            Self::Cache | Self::CacheRestore | Self::CacheSave | Self::UploadArtifact => false,
        }
    }
}

impl Attempt {
    /// What takes the place of an activity's action, if anything does.
    pub(in crate::runner) fn built_in(&self, contexts: &Contexts, activity: &Activity) -> Option<BuiltIn> {
        let StepAction::Uses { action, with, .. } = &activity.step.action else { return None };
        // What is done around the steps belongs to an original that ran, or is to run.
        let built_in = BuiltIn::of(action).filter(|_| activity.around.is_none())?;
        if self.machine.options.original_actions {
            return None;
        }
        let asked = self.activity_scope(contexts, activity).and_then(|scope| {
            let env = self.own_env(&scope, activity)?;
            let scope = scope.with_env(&env);
            Ok((scope.env().get(ORIGINALS).map(str::to_owned), scope.inputs(with)?))
        });
        // What can't be evaluated is told by who runs it.
        let Ok((originals, with)) = asked else { return Some(built_in) };
        let asked = originals.is_some_and(|value| value.trim().eq_ignore_ascii_case("true"));
        (!asked && !built_in.needs_original(&with, &self.repository)).then_some(built_in)
    }
}
