//! What a process needs before it can start: its command, its files, its environment.

use slipway_kit::telemetry;
use slipway_workflow::job_spec::StepAction;

use super::attempt::{Attempt, End};
use super::course::Activity;
use super::exec::Ran;
use super::folder::Layout;
use super::job_engine::VARIABLE;
use super::saved::Prepared;
use super::vessel::Vessel;
use crate::docker::passwd::ContainerUser;
use crate::failure::{Cause, Failure};
use crate::init::Start;
use crate::options::job_engine::Kind;
use crate::records::log::JobLog;
use crate::steps::contexts::{Contexts, Scope};
use crate::steps::env_files::{self, EnvFile};
use crate::steps::environment::{EnvironmentParts, environment};
use crate::steps::header::header;
use crate::steps::shell::{Semantics, launch};
use crate::steps::values::Values;
use crate::tunnel::variables::Access;

/// A step's process, evaluated.
pub(super) struct Program {
    pub(super) argv: Vec<String>,
    /// Tried when the program of `argv` does not exist.
    pub(super) fallback: Option<Vec<String>>,
    /// A file that it reads, in the temporary folder: name and content.
    pub(super) script: Option<(String, Vec<u8>)>,
    /// `NAME=value`
    pub(super) env: Vec<Vec<u8>>,
    pub(super) cwd: String,
    /// The lines with which its log begins.
    pub(super) header: Vec<String>,
    /// Whom its files belong to.
    pub(super) user: ContainerUser,
}

impl Program {
    /// What init is to start, as the process of this number; `fallback`: with the other shell.
    pub(super) fn start(&self, process: u32, fallback: bool) -> Start {
        let argv = match (&self.fallback, fallback) {
            (Some(argv), true) => argv,
            _ => &self.argv,
        };
        Start {
            step: process,
            argv: argv.iter().map(|text| text.clone().into_bytes()).collect(),
            env: self.env.clone(),
            cwd: self.cwd.clone().into_bytes(),
        }
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

    /// Evaluates a `run` step. An error in it is the step's.
    fn script(&self, contexts: &Contexts, activity: &Activity) -> Result<Result<Program, String>, End> {
        let StepAction::Run { script, shell, working_directory } = &activity.step.action else {
            return Ok(Err("this step has no script".to_owned()));
        };
        let prepared = self.prepared()?;
        let layout = self.layout(prepared.in_container);
        let evaluated = (|| {
            let scope = self.activity_scope(contexts, activity).map_err(|error| error.to_string())?;
            let env = self.own_env(&scope, activity).map_err(|error| error.to_string())?;
            let scope = scope.with_env(&env);
            let text = scope.key(script).map_err(|error| error.to_string())?;
            // A job's defaults end where an action begins.
            let none = Default::default();
            let defaults = if activity.nested { &none } else { &self.spec.defaults };
            let (shell, folder) = scope
                .run_options(shell.as_ref(), working_directory.as_ref(), defaults)
                .map_err(|error| error.to_string())?;
            let stem = format!("{}/{}", layout.temp(), script_stem(self.saved.course.files));
            let launch = launch(shell.as_deref(), layout.semantics, &text, &stem)
                .map_err(|error| error.to_string())?;
            Ok::<_, String>((scope, text, launch, folder))
        })();
        let (scope, text, launch, folder) = match evaluated {
            Ok(evaluated) => evaluated,
            Err(message) => return Ok(Err(message)),
        };
        let name = launch.script_path.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(Ok(Program {
            header: header(&text, &launch.display, scope.env()),
            env: self.process_env(&scope, contexts, &self.identity_variables())?,
            argv: launch.argv,
            fallback: launch.fallback,
            script: Some((name, launch.script)),
            cwd: self.working_directory(folder),
            user: prepared.user.clone(),
        }))
    }

    /// Runs a step's script.
    pub(super) async fn run_script(
        &mut self,
        log: &mut JobLog,
        vessel: &mut Vessel,
        contexts: &Contexts,
        activity: &Activity,
    ) -> Result<Ran, End> {
        let program = self.script(contexts, activity)?;
        self.run_program(log, vessel, contexts, activity, program).await
    }

    /// A folder relative to the workspace; without one, the workspace.
    pub(super) fn working_directory(&self, folder: Option<String>) -> String {
        let workspace = self.layout(self.in_container()).workspace();
        match folder {
            Some(folder) if folder.starts_with('/') => folder,
            Some(folder) => format!("{workspace}/{folder}"),
            None => workspace,
        }
    }

    /// The environment of a process in the job's container. `forced`: what the workflow has no say in.
    pub(super) fn process_env(
        &self,
        scope: &Scope<'_>,
        contexts: &Contexts,
        forced: &[(String, String)],
    ) -> Result<Vec<Vec<u8>>, End> {
        let prepared = self.prepared()?;
        let layout = self.layout(prepared.in_container);
        let base = self.base_env(layout.home(&prepared.user));
        let path: Vec<&str> = self.saved.state.path().collect();
        let env: Vec<(&str, &str)> = scope.env().iter().collect();
        let parts = EnvironmentParts {
            image: &prepared.env,
            base: &base,
            env: &env,
            github: scope.github(),
            runner: contexts.runner(),
            path: &path,
            forced,
        };
        Ok(lines(environment(&parts)))
    }

    /// What every process has below the workflow's say.
    pub(super) fn base_env(&self, home: String) -> Vec<(String, String)> {
        let mut base = vec![("HOME".to_owned(), home)];
        if self.machine.options.job_engine.kind != Kind::None {
            let (name, address) = VARIABLE;
            base.push((name.to_owned(), address.to_owned()));
        }
        // Tools that trace themselves join the run's trace below this step; a workflow may say otherwise.
        if let Some(traceparent) = telemetry::traceparent_or(&self.saved.traceparent) {
            base.push(("TRACEPARENT".to_owned(), traceparent));
        }
        base
    }

    /// What an action's process has above the workflow's say: where caches and artifacts are, its inputs, and what it
    /// saved before.
    pub(super) fn action_env(
        &self,
        activity: &Activity,
        inputs: &Values,
        access: Option<&Access>,
    ) -> Vec<(String, String)> {
        let mut forced = self.results_variables(access);
        forced.extend(inputs.iter().map(|(name, value)| (input_variable(name), value.to_owned())));
        if let Some(states) = self.saved.course.states.get(&activity.key) {
            forced.extend(states.iter().map(|(name, value)| (format!("STATE_{name}"), value.to_owned())));
        }
        forced
    }

    /// Writes a program's script and fresh environment files.
    pub(super) fn write_files(&self, program: &Program) -> Result<(), End> {
        let layout = self.layout(self.in_container());
        let io = |error| Failure::io("cannot write a step's files", &error);
        if let Some((name, text)) = &program.script {
            layout.inside_temp(&self.folder, "")?.write(name, text, &program.user).map_err(io)?;
        }
        let commands = layout.inside_temp(&self.folder, env_files::FOLDER)?;
        for file in EnvFile::ALL {
            commands.write(&file_name(file, self.saved.course.files), b"", &program.user).map_err(io)?;
        }
        Ok(())
    }

    /// Does what the environment files of this number ask for.
    pub(super) fn collect_files(&mut self, log: &mut JobLog, files: usize) {
        let layout = self.layout(self.in_container());
        // A step that removed the folder has nothing to say.
        let commands = layout.inside_temp(&self.folder, env_files::FOLDER).ok();
        for file in EnvFile::ALL {
            let read = commands
                .as_ref()
                .map(|folder| folder.read(&file_name(file, files), env_files::MAX_FILE_BYTES));
            let bytes = read.and_then(Result::ok).flatten().unwrap_or_default();
            log.outcome(env_files::process(file, &bytes));
        }
        self.apply_effects(log);
    }

    /// Removes the files of this number; what is in them is in the journal by now.
    pub(super) fn remove_files(&self, files: usize) {
        let layout = self.layout(self.in_container());
        if let Ok(commands) = layout.inside_temp(&self.folder, env_files::FOLDER) {
            for file in EnvFile::ALL {
                // They go with the job's folder in any case.
                let _ = commands.remove(&file_name(file, files));
            }
        }
    }
}

/// As `execve` takes them.
pub(super) fn lines(environment: Vec<(String, String)>) -> Vec<Vec<u8>> {
    environment.into_iter().map(|(name, value)| format!("{name}={value}").into_bytes()).collect()
}

/// The variable of an action's input: blanks become `_`, hyphens stay.
pub(super) fn input_variable(name: &str) -> String {
    format!("INPUT_{}", name.replace(' ', "_").to_uppercase())
}

pub(super) fn file_name(file: EnvFile, files: usize) -> String {
    format!("{}{files}", file.file_prefix())
}

fn script_stem(files: usize) -> String {
    format!("step_{files}")
}
