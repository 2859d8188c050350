//! Built-in actions that run inside of the job's container: the program that the agent carries, in place of Node and a
//! script. Inputs, state, outputs and what comes after the steps are as of any JavaScript action.

use slipway_workflow::action::{ActionReference, Manifest, Runs};
use slipway_workflow::syntax::parse_action;

use super::BuiltIn;
use crate::failure::{Cause, Failure};
use crate::init::Carried;
use crate::records::log::JobLog;
use crate::runner::action::{Use, header, of_stage};
use crate::runner::attempt::{Attempt, End};
use crate::runner::course::{Activity, Loaded};
use crate::runner::exec::Ran;
use crate::runner::program::Program;
use crate::runner::vessel::Vessel;
use crate::steps::contexts::Contexts;

impl BuiltIn {
    /// The action's file, of those that run as a process.
    fn file(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Checkout => None,
            Self::Cache => Some(("actions/cache", include_str!("cache.yml"))),
            Self::CacheRestore => Some(("actions/cache/restore", include_str!("cache-restore.yml"))),
            Self::CacheSave => Some(("actions/cache/save", include_str!("cache-save.yml"))),
            Self::UploadArtifact => Some(("actions/upload-artifact", include_str!("upload-artifact.yml"))),
            Self::DownloadArtifact => {
                Some(("actions/download-artifact", include_str!("download-artifact.yml")))
            }
        }
    }

    fn manifest(self) -> Option<Result<Manifest, String>> {
        let (name, text) = self.file()?;
        Some(
            parse_action(name, text)
                .map_err(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        )
    }
}

impl Attempt {
    /// Loads what takes the place of an activity's action; none: the original does, or nothing runs as a process.
    pub(in crate::runner::action) fn load_built_in(
        &mut self,
        contexts: &Contexts,
        activity: &Activity,
        action: &ActionReference,
    ) -> Result<Option<usize>, End> {
        let Some(manifest) = self.built_in(contexts, activity).and_then(BuiltIn::manifest) else {
            return Ok(None);
        };
        let manifest = manifest.map_err(|message| Failure::new(Cause::Internal, message))?;
        let ActionReference::Repository { repository, git_ref, .. } = action else { return Ok(None) };
        let key = format!("built-in {}@{git_ref}", manifest.file);
        if let Some(index) = self.common.known(&key) {
            return Ok(Some(index));
        }
        let repository = Some((repository.clone(), git_ref.clone()));
        let loaded = Loaded { key, folder: String::new(), repository, commit: None, built_in: true };
        self.common.add(&self.folder, loaded, manifest).map(Some)
    }

    /// Runs the carried program, as `run_node` runs a script.
    pub(in crate::runner::action) async fn run_carried(
        &mut self,
        log: &mut JobLog,
        vessel: &mut Vessel,
        contexts: &Contexts,
        activity: &Activity,
        using: &Use<'_>,
    ) -> Result<Ran, End> {
        let Runs::Node { main, around, .. } = &using.manifest.runs else {
            return Ok(Ran::told(log, "this action has no program".to_owned()));
        };
        let Some(command) = of_stage(activity.stage, main, around) else {
            return Ok(Ran::told(log, "this action has no program for this stage".to_owned()));
        };
        // Here and not when the container is made: most jobs never need it, and one of an older agent may lack it.
        self.machine
            .programs
            .place(Carried::Actions, &self.folder.run())
            .map_err(|error| Failure::new(Cause::Internal, error.to_string()))?;
        let prepared = self.prepared()?;
        let mut forced = self.action_env(activity, &using.inputs, self.access.as_ref());
        // The name that GitHub's toolkit needs is not for people, who see addresses of artifacts.
        forced.retain(|(name, _)| name != "GITHUB_SERVER_URL");
        let mut argv = vec![Carried::Actions.path_in_container()];
        argv.extend(command.split(' ').map(str::to_owned));
        let program = Program {
            argv,
            fallback: None,
            script: None,
            env: self.process_env(&using.scope, contexts, &forced)?,
            cwd: self.working_directory(None),
            header: header::lines(&activity.step, &using.inputs, using.scope.env()),
            user: prepared.user.clone(),
        };
        self.run_program(log, vessel, contexts, activity, Ok(program)).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_files_of_all_of_them_can_be_read() {
        for (uses, posts) in [
            ("actions/cache@v5", true),
            ("actions/cache/restore@v4", false),
            ("Actions/Cache/Save@v5", false),
            ("actions/upload-artifact@v7", false),
            ("actions/download-artifact@main", false),
        ] {
            let built_in = BuiltIn::of(&ActionReference::parse(uses).unwrap()).unwrap();
            let manifest = built_in.manifest().unwrap().unwrap();
            assert!(manifest.warnings.is_empty(), "{uses}: {:?}", manifest.warnings);
            assert_eq!(manifest.around().unwrap().post.is_some(), posts, "{uses}");
        }
        for uses in
            ["actions/checkout@v4", "actions/upload-artifact/merge@v4", "actions/cache/x@v1", "o/cache@v1"]
        {
            let built_in = BuiltIn::of(&ActionReference::parse(uses).unwrap());
            assert!(built_in.and_then(BuiltIn::manifest).is_none(), "{uses}");
        }
    }
}
