//! Docker actions: a container of their own beside the job's, with the job's folders at GitHub's places.
//!
//! Its PID 1 is init, as in the job's container, so that its output has no gap when the agent restarts, and signals and
//! time limits work the same way.
//!
//! Deliberately absent: the engine's socket, which GitHub's runner mounts: it would make every such action the owner of
//! the machine. Where jobs have an engine (`--job-engine`), actions have that one.

use std::path::{Path, PathBuf};

use slipway_workflow::action::Runs;
use slipway_workflow::job_spec::{Entry, Text};

use super::{Use, context, dockerfile, header};
use crate::docker::build::{BuildError, BuildPlace, REPOSITORY};
use crate::docker::container::{ContainerPlan, Main, init_place};
use crate::docker::folders::{Folder, WRONG_FOLDER_MESSAGE};
use crate::docker::image::Image;
use crate::docker::options::{CreateOptions, split_words};
use crate::failure::{Cause, Failure};
use crate::init::{self, Carried};
use crate::records::log::JobLog;
use crate::runner::attempt::{Attempt, End};
use crate::runner::course::{Activity, Stage};
use crate::runner::errand;
use crate::runner::exec::Ran;
use crate::runner::folder::JobFolder;
use crate::runner::program::{Program, lines};
use crate::runner::saved::OwnContainer;
use crate::runner::vessel::{Connected, Vessel};
use crate::steps::contexts::Contexts;
use crate::steps::environment::{EnvironmentParts, environment};
use crate::tunnel::variables::Access;

/// Largest Dockerfile.
const DOCKERFILE_MAX_BYTES: u64 = 1024 * 1024;

/// Where the workspace is in a Docker action.
const WORKSPACE: &str = "/github/workspace";

/// Its home folder.
const HOME: &str = "/github/home";

impl Attempt {
    pub(super) async fn run_docker(
        &mut self,
        log: &mut JobLog,
        contexts: &Contexts,
        activity: &Activity,
        using: &Use<'_>,
    ) -> Result<Ran, End> {
        let Runs::Docker { image, .. } = &using.manifest.runs else {
            return Ok(Ran::told(log, "this action has no image".to_owned()));
        };
        let own = self.saved.running.as_ref().and_then(|running| running.container.clone());
        let (image, mut own_vessel) = match own {
            Some(own) => {
                let Some(image) = self.machine.engine.image(&own.image).await? else {
                    return Err(Failure::new(Cause::ContainerStart, "the action's image is gone").into());
                };
                (image, self.own_vessel_again(log, &own).await?)
            }
            None => {
                for line in header::lines(&activity.step, &using.inputs, using.scope.env()) {
                    log.say(&line);
                }
                let image = match self.action_image(log, contexts, activity, using.action, image).await? {
                    Ok(image) => image,
                    Err(ran) => return Ok(ran),
                };
                match self.own_vessel(log, &image).await? {
                    Ok(own_vessel) => (image, own_vessel),
                    Err(ran) => return Ok(ran),
                }
            }
        };
        let opened = self.open_results(log, &own_vessel, &self.own_folder()).await?;
        let access = opened.as_ref().map(|(_, access)| access);
        let program = self.docker_program(contexts, activity, using, &image, access)?;
        self.run_program(log, &mut own_vessel, contexts, activity, program).await
    }

    /// Removes the container of an action that has ended. What stays goes with the job.
    pub(in crate::runner) async fn remove_own(&self, own: &OwnContainer) {
        if let Err(failure) = self.machine.engine.remove_container(&own.id).await {
            tracing::warn!(%failure, "an action's container stays until its job ends");
        }
        if let Err(error) = self.own_folder().remove() {
            tracing::warn!(%error, "an action's folder stays until its job ends");
        }
    }

    /// Where socket and spool of an action's own container are.
    fn own_folder(&self) -> JobFolder {
        JobFolder::new(self.lane_place("action"))
    }

    /// The image: pulled, or built from the action's folder.
    async fn action_image(
        &mut self,
        log: &mut JobLog,
        contexts: &Contexts,
        activity: &Activity,
        action: usize,
        image: &str,
    ) -> Result<Result<Image, Ran>, End> {
        let machine = std::sync::Arc::clone(&self.machine);
        let (said, lines) = errand::lines();
        let platform = machine.platform();
        if let Some(name) = image.strip_prefix("docker://") {
            let tell = move |line| said.line(line);
            let working = machine.kept_images.ensure(&machine.engine, name, platform, None, tell);
            return match self.errand(log, contexts, activity, lines, working).await? {
                None => Ok(Err(self.stopped(log))),
                Some(Ok(image)) => Ok(Ok(image)),
                Some(Err(failure)) if failure.cause == Cause::ImageNotFound => {
                    Ok(Err(Ran::told(log, failure.message)))
                }
                Some(Err(failure)) => Err(failure.into()),
            };
        }
        let Some(loaded) = self.common.action(action) else {
            return Ok(Err(Ran::told(log, "the action is gone".to_owned())));
        };
        let dockerfile = Path::new(&loaded.folder).join(image);
        let (Some(folder), Some(name)) = (dockerfile.parent(), dockerfile.file_name()) else {
            return Ok(Err(Ran::told(log, format!("`image: {image}` names no Dockerfile"))));
        };
        let (work, folder, name) =
            (self.folder.work(), folder.to_owned(), name.to_string_lossy().into_owned());
        let place = self.lane_place("build.tar");
        let building =
            BuildPlace { network: self.prepared()?.network.clone(), limits: self.limits(), platform };
        let working = async move {
            let (archived, shown) = (folder.clone(), folder.display().to_string());
            let packed = place.clone();
            let archive =
                tokio::task::spawn_blocking(move || context::archive(&work, &archived, &packed)).await;
            let archive = archive.map_err(|error| Failure::new(Cause::Internal, error.to_string()))?;
            let mut archive = archive.map_err(|error| match error.kind() {
                std::io::ErrorKind::StorageFull => {
                    BuildError::Fleet(Failure::io("cannot pack the action's folder", &error))
                }
                _ => BuildError::Work(format!("{shown} can't be built from: {error}")),
            })?;
            let tag = format!("{REPOSITORY}:{}", archive.digest.get(..40).unwrap_or_default());
            if machine.options.accept_untrusted && machine.engine.image(&tag).await?.is_none() {
                let text = archive.text(&name, DOCKERFILE_MAX_BYTES);
                let text = text.map_err(|error| Failure::io("cannot read the action's folder", &error))?;
                let missing =
                    || BuildError::Work(format!("{name} is no file of {shown}, or larger than 1 MiB"));
                dockerfile::vet(&machine.engine, platform, &text.ok_or_else(missing)?).await?;
            }
            let hold = machine.kept_images.hold(&tag).await;
            machine.kept_images.bring(&tag)?;
            let built =
                machine.engine.build(&tag, &name, archive.file, &building, move |line| said.line(line)).await;
            // It goes with the job's folder at the latest.
            let _ = std::fs::remove_file(&place);
            built.map(|image| Image { held: Some(hold), ..image })
        };
        match self.errand(log, contexts, activity, lines, working).await? {
            None => Ok(Err(self.stopped(log))),
            Some(Ok(image)) => Ok(Ok(image)),
            Some(Err(BuildError::Work(message))) => Ok(Err(Ran::told(log, message))),
            Some(Err(BuildError::Fleet(failure))) => Err(failure.into()),
        }
    }

    /// Starts the action's own container.
    async fn own_vessel(&mut self, log: &mut JobLog, image: &Image) -> Result<Result<Vessel, Ran>, End> {
        let machine = std::sync::Arc::clone(&self.machine);
        let facts = self.image_facts(image).await?;
        let Some(user) = facts.users.resolve(&image.user) else {
            return Err(End::Work(format!("the action's image has no user `{}`", image.user)));
        };
        let folder = self.own_folder();
        folder.create()?;
        machine
            .programs
            .place(Carried::Init, &folder.run())
            .map_err(|error| Failure::new(Cause::Internal, error.to_string()))?;
        let mut vessel = Vessel::create(&folder, self.link.orders.clone())?;
        let prepared = self.prepared()?;
        let attempt = self.saved.lease.attempt;
        let number = self.saved.course.files;
        let sequence = self.saved.lease.token.sequence;
        let name = format!("slipway-{}-{sequence}-action-{number}", attempt.folder_name());
        // An earlier process may have come as far as a container and not to saying so.
        machine.engine.remove_container(&name).await?;
        // As they are now; should the job change them meanwhile, that is seen before anything of it runs.
        let place = init_place();
        let folders = match self.own_folders(&folder, &place) {
            Ok(folders) => folders,
            Err(failure) => return Ok(Err(Ran::told(log, failure.message))),
        };
        let plan = ContainerPlan {
            name: name.clone(),
            image: image.id.clone(),
            platform: machine.platform().map(str::to_owned),
            lease: Some(self.saved.lease),
            main: Main::Init(place),
            aliases: Vec::new(),
            user: Some(format!("{}:{}", user.uid, user.gid)),
            env: Vec::new(),
            folders: folders.clone(),
            binds: Vec::new(),
            ports: Vec::new(),
            network: prepared.network.clone(),
            limits: self.limits(),
            no_new_privileges: machine.options.accept_untrusted,
            runtime: machine.options.isolation.runtime.clone(),
            options: CreateOptions {
                group_add: user.groups.iter().map(u32::to_string).collect(),
                ..CreateOptions::default()
            },
        };
        let started = async {
            let id = machine.engine.create_container(plan).await?;
            machine.engine.start_container(&id).await.map(|()| id)
        };
        vessel.container = match started.await {
            Ok(id) => id,
            Err(failure) if folders.iter().any(|folder| folder.is_blamed(&failure)) => {
                machine.engine.remove_container(&name).await?;
                return Ok(Err(Ran::told(log, WRONG_FOLDER_MESSAGE.to_owned())));
            }
            Err(failure) => return Err(failure.into()),
        };
        let connected = vessel.connect(&machine).await?;
        if !matches!(connected, Connected::Yes) {
            let message = "the init of the action's container ended at once";
            return Err(Failure::new(Cause::ContainerStart, message).into());
        }
        if !vessel.has(&folders)? {
            machine.engine.remove_container(&vessel.container).await?;
            return Ok(Err(Ran::told(log, WRONG_FOLDER_MESSAGE.to_owned())));
        }
        let own = OwnContainer { id: vessel.container.clone(), image: image.id.clone(), user };
        if let Some(running) = &mut self.saved.running {
            running.container = Some(own);
        }
        self.commit(log, Some(&vessel)).await?;
        Ok(Ok(vessel))
    }

    /// The action's own container, which an earlier process started.
    async fn own_vessel_again(&mut self, log: &JobLog, own: &OwnContainer) -> Result<Vessel, End> {
        let orders = self.link.orders.clone();
        let mut vessel = Vessel::adopt(&self.own_folder(), log.spool_offset(), own.id.clone(), orders)?;
        if self.saved.running.as_ref().is_some_and(|running| running.process > 0) {
            vessel.read_from(log.spool_offset());
        }
        // A container that has ended is seen by who follows its process.
        vessel.connect(&self.machine).await?;
        Ok(vessel)
    }

    fn own_folders(&self, folder: &JobFolder, place: &str) -> Result<Vec<Folder>, Failure> {
        let work = self.folder.work();
        let run = [init::limits::MOUNT_PATH, place].map(|at| Ok(Folder::fixed(folder.run(), at).read_only()));
        let places = self.places_in_action().into_iter();
        let places = places.map(|(inside, _, at)| Folder::of_job(&work, &inside, at));
        // GitHub's runner mounts it, too.
        let engine = self.engine_socket().map(Ok);
        run.into_iter().chain(places).chain(engine).collect()
    }

    /// The job's folders: below its work folder, as the job's steps see them, as the action does. Inner ones come first.
    fn places_in_action(&self) -> Vec<(PathBuf, String, &'static str)> {
        let layout = self.layout(self.in_container());
        let temp = PathBuf::from("_temp");
        let seen = layout.temp();
        let below = |name: &str, at| (temp.join(name), format!("{seen}/{name}"), at);
        vec![
            below(crate::steps::env_files::FOLDER, "/github/file_commands"),
            below("_github_workflow", "/github/workflow"),
            below("_github_home", HOME),
            (temp.clone(), seen.clone(), "/github/runner_temp"),
            (self.workspace_inside(), layout.workspace(), WORKSPACE),
        ]
    }

    /// A path of the job's steps as the action sees it; other texts as they are.
    fn translate(places: &[(PathBuf, String, &'static str)], text: String) -> String {
        for (_, seen, at) in places {
            if let Some(rest) = text.strip_prefix(seen.as_str())
                && (rest.is_empty() || rest.starts_with('/'))
            {
                return format!("{at}{rest}");
            }
        }
        text
    }

    /// What runs in the action's container, in which environment.
    fn docker_program(
        &self,
        contexts: &Contexts,
        activity: &Activity,
        using: &Use<'_>,
        image: &Image,
        access: Option<&Access>,
    ) -> Result<Result<Program, String>, End> {
        let Runs::Docker { entrypoint, args, env, around, .. } = &using.manifest.runs else {
            return Ok(Err("this action has no image".to_owned()));
        };
        let entrypoint = match activity.stage {
            Stage::Pre => around.pre.clone(),
            Stage::Post => around.post.clone(),
            Stage::Main => using
                .inputs
                .get("entrypoint")
                .map(str::to_owned)
                .filter(|given| !given.is_empty())
                .or_else(|| entrypoint.clone()),
        };
        let places = self.places_in_action();
        let arguments = match arguments(using, args) {
            Ok(arguments) => arguments,
            Err(message) => return Ok(Err(message)),
        };
        let arguments: Vec<String> =
            arguments.into_iter().map(|argument| Self::translate(&places, argument)).collect();
        let argv = match entrypoint {
            Some(entrypoint) => [vec![entrypoint], arguments].concat(),
            None if arguments.is_empty() => [image.entrypoint.clone(), image.command.clone()].concat(),
            None => [image.entrypoint.clone(), arguments].concat(),
        };
        if argv.is_empty() {
            return Ok(Err("the action's image has neither entrypoint nor command".to_owned()));
        }
        let given = match given_env(using, env) {
            Ok(given) => given,
            Err(message) => return Ok(Err(message)),
        };
        let own: Vec<(&str, &str)> = given
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .chain(using.scope.env().iter())
            .collect();
        let parts = EnvironmentParts {
            image: &image.env,
            base: &self.base_env(HOME.to_owned()),
            env: &own,
            github: using.scope.github(),
            runner: contexts.runner(),
            path: &[],
            forced: &self.action_env(activity, &using.inputs, access),
        };
        let environment = environment(&parts).into_iter();
        let environment = environment.map(|(name, value)| (name, Self::translate(&places, value))).collect();
        let user = match self.saved.running.as_ref().and_then(|running| running.container.as_ref()) {
            Some(own) => own.user.clone(),
            None => self.prepared()?.user.clone(),
        };
        Ok(Ok(Program {
            argv,
            fallback: None,
            script: None,
            env: lines(environment),
            cwd: WORKSPACE.to_owned(),
            header: Vec::new(),
            user,
        }))
    }
}

/// `with.args`, else the action's.
fn arguments(using: &Use<'_>, args: &[Text]) -> Result<Vec<String>, String> {
    if let Some(given) = using.inputs.get("args").filter(|given| !given.is_empty()) {
        return split_words(given).map_err(|error| format!("`args`: {error}"));
    }
    let scope = using.scope.clone().with_inputs(&using.inputs);
    args.iter().map(|text| scope.action_container(text).map_err(|error| error.to_string())).collect()
}

fn given_env(using: &Use<'_>, env: &[Entry]) -> Result<Vec<(String, String)>, String> {
    let scope = using.scope.clone().with_inputs(&using.inputs);
    let mut given = Vec::new();
    for entry in env {
        given.extend(scope.action_container_env(entry).map_err(|error| error.to_string())?);
    }
    Ok(given)
}
