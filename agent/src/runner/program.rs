//! What a `run` step needs before its process can start: its script, its environment files, its environment.

use std::path::PathBuf;

use slipway_kit::telemetry;
use slipway_workflow::job_spec::{StepAction, StepSpec};
use slipway_workflow::value::Value;

use super::attempt::{Attempt, End};
use super::folder::Layout;
use super::saved::Prepared;
use crate::failure::{Cause, Failure};
use crate::init::Start;
use crate::records::log::JobLog;
use crate::steps::contexts::{Contexts, Scope, StepPlaces, Workspace};
use crate::steps::env_files::{self, EnvFile};
use crate::steps::environment::{EnvironmentParts, environment};
use crate::steps::header::header;
use crate::steps::shell::{Launch, Semantics, launch};
use crate::tunnel::variables::Started;

/// A step's process, evaluated.
pub(super) struct Script {
    launch: Launch,
    env: Vec<Vec<u8>>,
    cwd: String,
}

impl Script {
    /// What init is to start, as the process of this number; `fallback`: with the other shell.
    pub(super) fn start(&self, process: u32, fallback: bool) -> Start {
        let argv = match (&self.launch.fallback, fallback) {
            (Some(argv), true) => argv,
            _ => &self.launch.argv,
        };
        Start {
            step: process,
            argv: argv.iter().map(|text| text.clone().into_bytes()).collect(),
            env: self.env.clone(),
            cwd: self.cwd.clone().into_bytes(),
        }
    }

    /// Whether another shell may be tried when the first does not exist.
    pub(super) fn has_fallback(&self) -> bool {
        self.launch.fallback.is_some()
    }
}

impl Attempt {
    pub(super) fn in_container(&self) -> bool {
        self.saved.prepared.as_ref().is_some_and(|prepared| prepared.in_container)
    }

    pub(super) fn layout(&self, in_container: bool) -> Layout {
        let semantics = if in_container { Semantics::Container } else { Semantics::Host };
        Layout::new(semantics, &self.repository)
    }

    pub(super) fn prepared(&self) -> Result<&Prepared, End> {
        let missing = || Failure::new(Cause::Internal, "the job's container is not prepared");
        self.saved.prepared.as_ref().ok_or_else(|| missing().into())
    }

    /// A scope outside of any step.
    pub(super) fn scope<'a>(&self, contexts: &'a Contexts) -> Scope<'a> {
        Scope::new(contexts, &self.saved.state, &StepPlaces::default(), Some(&self.workspace()))
    }

    /// The scope of a step before its own `env`.
    pub(super) fn step_scope<'a>(&self, contexts: &'a Contexts, index: usize, step: &StepSpec) -> Scope<'a> {
        let layout = self.layout(self.in_container());
        let files = EnvFile::ALL.map(|file| {
            let folder = format!("{}/{}", layout.temp(), env_files::FOLDER);
            (file, format!("{folder}/{}", file_name(file, index)))
        });
        let repository = match &step.action {
            StepAction::Uses { uses, .. } => {
                uses.split_once('@').map(|(name, version)| (name.to_owned(), version.to_owned()))
            }
            StepAction::Run { .. } => None,
        };
        let places = StepPlaces { action: step.id.clone(), files: files.to_vec(), repository };
        Scope::new(contexts, &self.saved.state, &places, Some(&self.workspace()))
    }

    fn workspace(&self) -> Workspace {
        let layout = self.layout(self.in_container());
        Workspace { host: self.host_workspace(), seen: layout.workspace() }
    }

    pub(super) fn host_workspace(&self) -> PathBuf {
        self.layout(self.in_container()).host_workspace(&self.folder)
    }

    /// Evaluates a `run` step. An error in it is the step's.
    pub(super) fn script(
        &self,
        scope: &Scope<'_>,
        contexts: &Contexts,
        index: usize,
        step: &StepSpec,
    ) -> Result<Result<(Script, Vec<String>), String>, End> {
        let StepAction::Run { script, shell, working_directory } = &step.action else {
            return Ok(Err("this step has no script".to_owned()));
        };
        let prepared = self.prepared()?;
        let layout = self.layout(prepared.in_container);
        let evaluated = (|| {
            let text = scope.key(script).map_err(|error| error.to_string())?;
            let (shell, folder) = scope
                .run_options(shell.as_ref(), working_directory.as_ref(), &self.spec.defaults)
                .map_err(|error| error.to_string())?;
            let stem = format!("{}/{}", layout.temp(), script_stem(index));
            let launch = launch(shell.as_deref(), layout.semantics, &text, &stem)
                .map_err(|error| error.to_string())?;
            Ok::<_, String>((text, launch, folder))
        })();
        let (text, launch, folder) = match evaluated {
            Ok(evaluated) => evaluated,
            Err(message) => return Ok(Err(message)),
        };
        let workspace = layout.workspace();
        let cwd = match folder {
            Some(folder) if folder.starts_with('/') => folder,
            Some(folder) => format!("{workspace}/{folder}"),
            None => workspace,
        };
        let env: Vec<(&str, &str)> = scope.env().iter().collect();
        let lines = header(&text, &launch.display, scope.env());
        Ok(Ok((Script { launch, env: self.process_env(scope.github(), contexts, &env)?, cwd }, lines)))
    }

    fn process_env(
        &self,
        github: &Value,
        contexts: &Contexts,
        env: &[(&str, &str)],
    ) -> Result<Vec<Vec<u8>>, End> {
        let prepared = self.prepared()?;
        let layout = self.layout(prepared.in_container);
        let mut base = vec![("HOME".to_owned(), layout.home(&prepared.user))];
        // Tools that trace themselves join the run's trace below this step; a workflow may say otherwise.
        if let Some(traceparent) = telemetry::traceparent_or(&self.saved.traceparent) {
            base.push(("TRACEPARENT".to_owned(), traceparent));
        }
        let path: Vec<&str> = self.saved.state.path().collect();
        let parts = EnvironmentParts {
            image: &prepared.env,
            base: &base,
            env,
            github,
            runner: contexts.runner(),
            path: &path,
            forced: &self.results_variables(Started::Script),
        };
        Ok(environment(&parts)
            .into_iter()
            .map(|(name, value)| format!("{name}={value}").into_bytes())
            .collect())
    }

    /// Writes the script and fresh environment files of a step.
    pub(super) fn write_files(&self, index: usize, script: &Script) -> Result<(), End> {
        let user = &self.prepared()?.user;
        let layout = self.layout(self.in_container());
        let io = |error| Failure::io("cannot write a step's files", &error);
        let name = script.launch.script_path.rsplit('/').next().unwrap_or_default();
        layout.inside_temp(&self.folder, "")?.write(name, &script.launch.script, user).map_err(io)?;
        let commands = layout.inside_temp(&self.folder, env_files::FOLDER)?;
        for file in EnvFile::ALL {
            commands.write(&file_name(file, index), b"", user).map_err(io)?;
        }
        Ok(())
    }

    /// Does what the step's environment files ask for.
    pub(super) fn collect_files(&mut self, log: &mut JobLog, index: usize) {
        let layout = self.layout(self.in_container());
        // A step that removed the folder has nothing to say.
        let commands = layout.inside_temp(&self.folder, env_files::FOLDER).ok();
        for file in EnvFile::ALL {
            let read = commands
                .as_ref()
                .map(|folder| folder.read(&file_name(file, index), env_files::MAX_FILE_BYTES));
            let bytes = read.and_then(Result::ok).flatten().unwrap_or_default();
            log.outcome(env_files::process(file, &bytes));
        }
        self.apply_effects(log);
    }

    /// Removes a step's files; what is in them is in the journal by now.
    pub(super) fn remove_files(&self, index: usize) {
        let layout = self.layout(self.in_container());
        if let Ok(commands) = layout.inside_temp(&self.folder, env_files::FOLDER) {
            for file in EnvFile::ALL {
                // They go with the job's folder in any case.
                let _ = commands.remove(&file_name(file, index));
            }
        }
    }
}

fn file_name(file: EnvFile, index: usize) -> String {
    format!("{}{index}", file.file_prefix())
}

fn script_stem(index: usize) -> String {
    format!("step_{index}")
}
