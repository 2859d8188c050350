//! Getting actions: those of other repositories before the job's container starts, local ones when their step is reached.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _};
use slipway_workflow::action::{
    ActionReference, Around, MANIFEST_NAMES, MAX_COMPOSITE_DEPTH, Manifest, Runs,
};
use slipway_workflow::diagnostics::Diagnostic;
use slipway_workflow::job_spec::{StepAction, StepSpec};
use slipway_workflow::syntax::parse_action;

use super::{BuiltIn, step_around};
use crate::actions::{FetchError, Fetched, place};
use crate::checkout::{CheckoutError, Target, checkout};
use crate::docker::passwd::ContainerUser;
use crate::failure::{Cause, Failure};
use crate::limits::{ACTION_FETCHES, ACTION_FILE_MAX_BYTES};
use crate::records::log::JobLog;
use crate::runner::attempt::{Attempt, End};
use crate::runner::course::{self, Activity, Caller, Loaded};
use crate::runner::errand;
use crate::runner::exec::Ran;
use crate::runner::folder::JobFolder;
use crate::runner::inside::Inside;
use crate::steps::contexts::Contexts;
use crate::steps::values::Values;

/// Below the job's work folder, as GitHub's runner has it.
const FOLDER: &str = "_actions";

/// Where the run's own repository stands there: no owner has such a name.
const OWN: &str = "_self";

/// A repository at a version.
type Version = (String, String);

impl Attempt {
    /// Fetches the actions of the job's steps, and those that they use, to this machine, and reads them.
    pub(in crate::runner) async fn fetch_actions(
        &mut self,
        log: &mut JobLog,
    ) -> Result<Vec<(Loaded, Fetched)>, End> {
        self.saved.course = course::Course::default();
        self.common.forget_actions();
        let mut wanted = references(&self.spec.steps);
        let mut fetched: BTreeMap<Version, Fetched> = BTreeMap::new();
        let mut placed = Vec::new();
        for _ in 0..MAX_COMPOSITE_DEPTH {
            let original = self.machine.options.original_actions;
            wanted.retain(|reference| {
                self.known(reference).is_none() && (original || BuiltIn::of(reference).is_none())
            });
            if wanted.is_empty() {
                break;
            }
            self.fetch_versions(log, &wanted, &mut fetched).await?;
            let mut next = Vec::new();
            for reference in std::mem::take(&mut wanted) {
                if self.known(&reference).is_some() {
                    continue;
                }
                let Some(version) = version(&reference) else { continue };
                let Some(found) = fetched.get(&version) else { continue };
                let (loaded, manifest) = read_fetched(&reference, found).map_err(End::Work)?;
                if let Runs::Composite { steps } = &manifest.runs {
                    next.extend(references(steps));
                }
                placed.push((loaded.clone(), found.clone()));
                self.common.add(&self.folder, loaded, manifest)?;
            }
            wanted = next;
        }
        self.saved.course.pres = self.pres();
        Ok(placed)
    }

    /// Fetches each repository's version once, a few side by side.
    async fn fetch_versions(
        &self,
        log: &mut JobLog,
        wanted: &[ActionReference],
        fetched: &mut BTreeMap<Version, Fetched>,
    ) -> Result<(), End> {
        let mut versions: Vec<Version> = Vec::new();
        for version in wanted.iter().filter_map(version) {
            if !fetched.contains_key(&version) && !versions.contains(&version) {
                versions.push(version);
            }
        }
        let fetching = versions.into_iter().map(|version| async move {
            let mut lines = Vec::new();
            let found = self.fetch(&version, &mut |line| lines.push(line)).await;
            found.map(|found| (version, found, lines))
        });
        let all: Vec<_> = futures_util::stream::iter(fetching).buffered(ACTION_FETCHES).try_collect().await?;
        for (version, found, lines) in all {
            let commit = found.commit.as_ref().map(|commit| format!(" (SHA:{commit})")).unwrap_or_default();
            log.say(&format!("Download action repository '{}@{}'{commit}", version.0, version.1));
            for line in lines {
                log.say(&line);
            }
            fetched.insert(version, found);
        }
        Ok(())
    }

    async fn fetch(&self, version: &Version, say: &mut (dyn FnMut(String) + Send)) -> Result<Fetched, End> {
        let (repository, git_ref) = version;
        let pin = self.spec.action_pins.get(&format!("{repository}@{git_ref}").to_ascii_lowercase());
        let fetched = self.machine.actions.fetch(repository, git_ref, pin.map(String::as_str), say).await;
        fetched.map_err(|error| match error {
            FetchError::Missing(message) => End::Work(message),
            FetchError::Fleet(failure) => End::Fleet(failure),
        })
    }

    /// Loads the action of an activity that has begun; an error of the workflow ends the step.
    pub(super) async fn load(
        &mut self,
        log: &mut JobLog,
        contexts: &Contexts,
        activity: &Activity,
    ) -> Result<Result<usize, Ran>, End> {
        let StepAction::Uses { action, .. } = &activity.step.action else {
            return Ok(Err(Ran::told(log, "this step has no action".to_owned())));
        };
        if let Some(index) = self.load_built_in(contexts, activity, action)? {
            return Ok(Ok(index));
        }
        match action {
            ActionReference::Docker { image } => {
                let loaded = Loaded {
                    key: key(action),
                    folder: String::new(),
                    repository: None,
                    commit: None,
                    built_in: false,
                };
                self.common.add(&self.folder, loaded, Manifest::of_image(image)).map(Ok)
            }
            ActionReference::Local { path } => {
                self.load_placed(log, action, &self.workspace_inside(), path, None)
            }
            ActionReference::Own { path } => self.load_own(log, contexts, activity, action, path).await,
            ActionReference::Repository { .. } => match self.known(action) {
                Some(index) => Ok(Ok(index)),
                None => self.load_late(log, contexts, activity, action).await,
            },
        }
    }

    /// Loads an action of the repository whose file names it: that of the action under way, or the run's own, which is
    /// fetched once a job.
    async fn load_own(
        &mut self,
        log: &mut JobLog,
        contexts: &Contexts,
        activity: &Activity,
        action: &ActionReference,
        path: &str,
    ) -> Result<Result<usize, Ran>, End> {
        let around = self.saved.course.frames.last().map(|frame| frame.action);
        let around = around.and_then(|index| self.common.action(index));
        if let Some(repository) = around.and_then(|loaded| loaded.repository) {
            let root = Path::new(FOLDER).join(&repository.0).join(&repository.1);
            return self.load_placed(log, action, &root, path, Some(repository));
        }
        let root = Path::new(FOLDER).join(OWN);
        let _placing = self.common.placing().await;
        if !self.common.has_own() {
            let (said, lines) = errand::lines();
            let mut say = move |line| said.line(line);
            let machine = Arc::clone(&self.machine);
            let (work, source) = (self.folder.work(), self.spec.source.clone());
            let user = self.prepared()?.user.clone();
            let with: Values = [("persist-credentials", "false")].into_iter().collect();
            let target = Target {
                staging: self.lane_place("checkout"),
                work: &work,
                workspace: root.clone(),
                user: &user,
                kept: &machine.checkouts,
            };
            let token = self.run_token();
            let working = checkout(&machine.coordinator, &source, &with, token.as_deref(), &target, &mut say);
            match self.errand(log, contexts, activity, lines, working).await? {
                None => return Ok(Err(self.stopped(log))),
                Some(Ok(_)) => self.common.set_own(),
                Some(Err(CheckoutError::Step(message))) => return Ok(Err(Ran::told(log, message))),
                Some(Err(CheckoutError::Fleet(failure))) => return Err(failure.into()),
            }
        }
        self.load_placed(log, action, &root, path, None)
    }

    /// Fetches an action that a local one uses: nobody knew of it before.
    async fn load_late(
        &mut self,
        log: &mut JobLog,
        contexts: &Contexts,
        activity: &Activity,
        action: &ActionReference,
    ) -> Result<Result<usize, Ran>, End> {
        let Some(version) = version(action) else {
            return Ok(Err(Ran::told(log, "this step has no action".to_owned())));
        };
        let _placing = self.common.placing().await;
        // Another lane may have been first.
        if let Some(index) = self.known(action) {
            return Ok(Ok(index));
        }
        let (said, lines) = errand::lines();
        let machine = Arc::clone(&self.machine);
        let pin =
            self.spec.action_pins.get(&format!("{}@{}", version.0, version.1).to_ascii_lowercase()).cloned();
        let (work, user) = (self.folder.work(), self.prepared()?.user.clone());
        let working = async {
            let mut say = move |line| said.line(line);
            let fetched = machine.actions.fetch(&version.0, &version.1, pin.as_deref(), &mut say).await;
            let fetched = fetched.map_err(|error| match error {
                FetchError::Missing(message) => End::Work(message),
                FetchError::Fleet(failure) => End::Fleet(failure),
            })?;
            let (loaded, manifest) = read_fetched(action, &fetched).map_err(End::Work)?;
            put(&loaded, &fetched, &work, &user).await?;
            Ok::<_, End>((loaded, manifest))
        };
        match self.errand(log, contexts, activity, lines, working).await? {
            None => Ok(Err(self.stopped(log))),
            Some(Ok((loaded, manifest))) => self.common.add(&self.folder, loaded, manifest).map(Ok),
            Some(Err(End::Work(message))) => Ok(Err(Ran::told(log, message))),
            Some(Err(end)) => Err(end),
        }
    }

    /// Loads an action that lies below the job's work folder: at `path` below `root`.
    fn load_placed(
        &mut self,
        log: &mut JobLog,
        action: &ActionReference,
        root: &Path,
        path: &str,
        repository: Option<(String, String)>,
    ) -> Result<Result<usize, Ran>, End> {
        let Some(relative) = plain(path) else {
            return Ok(Err(Ran::told(log, format!("`uses: {}` leads out of the repository", key(action)))));
        };
        let folder = root.join(&relative);
        let shown = folder.to_string_lossy().into_owned();
        let seen = self.seen(&shown);
        let inside = match Inside::open(&self.folder.work(), &folder) {
            Ok(inside) => inside,
            Err(_) => return Ok(Err(Ran::told(log, not_found(&seen)))),
        };
        let read = |name: &str| inside.read(name, ACTION_FILE_MAX_BYTES);
        match find(&relative.to_string_lossy(), &seen, read) {
            Ok(manifest) => {
                let loaded =
                    Loaded { key: key(action), folder: shown, repository, commit: None, built_in: false };
                self.common.add(&self.folder, loaded, manifest).map(Ok)
            }
            Err(message) => Ok(Err(Ran::told(log, message))),
        }
    }

    /// Index of an action that is loaded.
    fn known(&self, reference: &ActionReference) -> Option<usize> {
        self.common.known(&key(reference))
    }

    /// What is to be done before the first step: what the actions of the steps, and those that they use, say.
    fn pres(&self) -> Vec<course::Around> {
        let mut pres = Vec::new();
        for (index, step) in self.spec.steps.iter().enumerate() {
            self.pres_of(step, index.to_string(), &[], &mut pres);
        }
        pres
    }

    fn pres_of(&self, step: &StepSpec, key: String, callers: &[Caller], pres: &mut Vec<course::Around>) {
        let StepAction::Uses { uses, action: reference, .. } = &step.action else { return };
        let Some(action) =
            self.known(reference).filter(|_| BuiltIn::of(reference) != Some(BuiltIn::Checkout))
        else {
            return;
        };
        let Some(manifest) = self.common.manifest(action) else { return };
        if let Some(Around { pre: Some(_), pre_if, .. }) = manifest.around() {
            let literal = step.name.as_ref().map(|name| &name.text).filter(|name| !name.contains("${{"));
            let name = format!("Pre {}", literal.cloned().unwrap_or_else(|| format!("Run {uses}")));
            pres.push(course::Around {
                key,
                step: step_around(step, &name, pre_if.as_ref(), false),
                name,
                action,
                fixed: None,
                callers: callers.to_vec(),
            });
        } else if let Runs::Composite { steps } = &manifest.runs
            && callers.len() < MAX_COMPOSITE_DEPTH
        {
            let mut callers = callers.to_vec();
            callers.push(Caller { step: step.clone(), action });
            for (index, step) in steps.iter().enumerate() {
                self.pres_of(step, format!("{key}.{index}"), &callers, pres);
            }
        }
    }
}

/// The files of the first `count` actions, as they were kept.
pub(in crate::runner) fn kept_manifests(
    folder: &JobFolder,
    count: usize,
) -> Result<Vec<Arc<Manifest>>, Failure> {
    let read = |index: usize| {
        let place = folder.actions().join(format!("{index}.json"));
        let bytes =
            std::fs::read(&place).map_err(|error| Failure::io("cannot read an action's file", &error))?;
        serde_json::from_slice(&bytes).map(Arc::new).map_err(|error| {
            Failure::new(Cause::Internal, format!("{} is damaged: {error}", place.display()))
        })
    };
    (0..count).map(read).collect()
}

/// Puts fetched actions where the job's steps see them.
pub(in crate::runner) async fn put(
    loaded: &Loaded,
    fetched: &Fetched,
    work: &Path,
    user: &ContainerUser,
) -> Result<(), End> {
    let Some((repository, git_ref)) = &loaded.repository else { return Ok(()) };
    let relative = Path::new(FOLDER).join(repository).join(git_ref);
    let placed = place(fetched, work, &relative, user).await;
    placed.map_err(|error| Failure::io(format!("cannot place the action {}", loaded.key), &error).into())
}

/// The actions of other repositories that steps use.
fn references(steps: &[StepSpec]) -> Vec<ActionReference> {
    let used = steps.iter().filter_map(|step| match &step.action {
        StepAction::Uses { action, .. } => Some(action.clone()),
        _ => None,
    });
    used.filter(|action| matches!(action, ActionReference::Repository { .. })).collect()
}

fn version(reference: &ActionReference) -> Option<Version> {
    match reference {
        ActionReference::Repository { repository, git_ref, .. } => {
            Some((repository.to_ascii_lowercase(), git_ref.clone()))
        }
        _ => None,
    }
}

/// Repositories and their owners ignore case; paths and versions do not.
fn key(reference: &ActionReference) -> String {
    match reference {
        ActionReference::Local { path } => path.clone(),
        ActionReference::Own { path } => format!("$/{path}"),
        ActionReference::Docker { image } => format!("docker://{image}"),
        ActionReference::Repository { repository, path, git_ref } => {
            let slash = if path.is_empty() { "" } else { "/" };
            format!("{}{slash}{path}@{git_ref}", repository.to_ascii_lowercase())
        }
    }
}

fn read_fetched(reference: &ActionReference, fetched: &Fetched) -> Result<(Loaded, Manifest), String> {
    let ActionReference::Repository { repository, path, git_ref } = reference else {
        return Err("this is no action of a repository".to_owned());
    };
    let whole =
        [repository.as_str(), git_ref, path].iter().all(|part| part.is_empty() || plain(part).is_some());
    if !whole {
        return Err(format!("`{}` names no folder", key(reference)));
    }
    let place = format!("{repository}/{git_ref}");
    let folder =
        if path.is_empty() { format!("{FOLDER}/{place}") } else { format!("{FOLDER}/{place}/{path}") };
    let read = |name: &str| fetched.read(&Path::new(path).join(name), ACTION_FILE_MAX_BYTES);
    let manifest = find(&key(reference), &key(reference), read)?;
    let loaded = Loaded {
        key: key(reference),
        folder,
        repository: Some((repository.clone(), git_ref.clone())),
        commit: fetched.commit.clone(),
        built_in: false,
    };
    Ok((loaded, manifest))
}

/// A relative path without steps up; `./` is dropped.
fn plain(path: &str) -> Option<PathBuf> {
    let mut kept = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => kept.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(kept)
}

/// Finds and reads an action's file: `action.yml`, `action.yaml`, or a Dockerfile alone.
fn find(
    shown: &str,
    seen: &str,
    read: impl Fn(&str) -> std::io::Result<Option<Vec<u8>>>,
) -> Result<Manifest, String> {
    let unreadable = |name: &str, error: std::io::Error| format!("cannot read {seen}/{name}: {error}");
    for name in MANIFEST_NAMES {
        let Some(bytes) = read(name).map_err(|error| unreadable(name, error))? else { continue };
        let file = if shown.is_empty() { name.to_owned() } else { format!("{shown}/{name}") };
        if bytes.len() > ACTION_FILE_MAX_BYTES {
            return Err(format!("{file} is larger than {ACTION_FILE_MAX_BYTES} bytes"));
        }
        let text = String::from_utf8(bytes).map_err(|_| format!("{file} is not UTF-8 text"))?;
        return parse_action(&file, &text).map_err(|found| sentence(&file, &found));
    }
    for name in ["Dockerfile", "dockerfile"] {
        if read(name).map_err(|error| unreadable(name, error))?.is_some() {
            let mut manifest = Manifest::of_image("");
            manifest.file = format!("{shown}/{name}");
            if let Runs::Docker { image, .. } = &mut manifest.runs {
                name.clone_into(image);
            }
            return Ok(manifest);
        }
    }
    Err(not_found(seen))
}

fn not_found(seen: &str) -> String {
    format!(
        "Can't find 'action.yml', 'action.yaml' or 'Dockerfile' under '{seen}'. Did you forget to run actions/checkout \
         before running your local action?"
    )
}

fn sentence(file: &str, found: &[Diagnostic]) -> String {
    let all: Vec<String> = found.iter().map(ToString::to_string).collect();
    format!("{file} can't be used:\n{}", all.join("\n"))
}
