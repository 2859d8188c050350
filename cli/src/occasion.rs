//! Why a workflow runs: which workflow, which event, and the event's payload. What `plan` and `run` have in common.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::{Map, Value as Json};
use slipway_workflow::action::lock::{LOCK_FILE, LOCK_MAX_BYTES};
use slipway_workflow::calls::Files;
use slipway_workflow::filter;
use slipway_workflow::plan::{self, ExplainInput, Plan, RunFacts, dispatch_inputs, github_context};
use slipway_workflow::syntax::{self, Workflow};
use slipway_workflow::value::Value;

use crate::checkout::event::{self, Wishes};
use crate::checkout::{Checkout, Identity};
use crate::commands::lint::explain_invalid;
use crate::failure::Failure;
use crate::input::{EVENT_LIMIT_BYTES, read_json_object, read_text};
use crate::output;
use crate::output::escape;
use crate::workflow_file::{self, Choice, WorkflowFile};

/// `[WORKFLOW] [--dir D] [--event NAME] [--event-file F]`.
#[derive(Debug, Default, Args)]
pub struct OccasionArgs {
    /// A workflow file, or a name in .github/workflows with or without its ending
    #[arg(value_name = "WORKFLOW")]
    pub workflow: Option<String>,
    /// The checkout
    #[arg(long, value_name = "D", default_value = ".")]
    pub dir: PathBuf,
    /// The event; push where the workflow has it, else workflow_dispatch, else its first
    #[arg(long, value_name = "NAME")]
    pub event: Option<String>,
    /// A file with the event's payload (JSON); else one is made up from git
    #[arg(long, value_name = "F")]
    pub event_file: Option<PathBuf>,
}

/// A workflow and the event it runs for.
pub struct Occasion {
    /// The file.
    pub file: WorkflowFile,
    /// What it says.
    pub workflow: Workflow,
    /// The event.
    pub event_name: String,
    /// Its payload.
    pub event: Map<String, Json>,
    /// The full ref.
    pub git_ref: String,
    /// The commit.
    pub sha: String,
    /// Who and what it is about.
    pub identity: Identity,
    /// Where it lies.
    pub checkout: Checkout,
}

impl Occasion {
    /// Finds workflow and event.
    ///
    /// # Errors
    /// Nothing fits, or a file is wrong. Findings of an invalid workflow are told on standard error.
    pub fn find(args: &OccasionArgs, inputs: &BTreeMap<String, String>) -> Result<Self, Failure> {
        let checkout = Checkout::open(&args.dir)?;
        let wanted = match (&args.event, inputs.is_empty()) {
            (Some(event), _) => Some(event.as_str()),
            (None, false) => Some("workflow_dispatch"),
            (None, true) => None,
        };
        let (file, workflow) = match &args.workflow {
            Some(name) => {
                let file = workflow_file::named(&checkout, name)?;
                let workflow = parse(&file)?;
                (file, workflow)
            }
            None => only_one(&checkout, wanted)?,
        };
        let event_name = event_of(&workflow, wanted);
        if !inputs.is_empty() && event_name != "workflow_dispatch" {
            return Err(Failure::usage("--input is for --event workflow_dispatch"));
        }
        let identity = checkout.identity();
        let event = match &args.event_file {
            Some(path) => read_json_object(path, EVENT_LIMIT_BYTES)?,
            None => made_up(&event_name, &workflow, &file, &identity, inputs),
        };
        let text = |pointer: &[&str]| {
            let start = event.get(*pointer.first()?)?;
            pointer.iter().skip(1).try_fold(start, |value, key| value.get(key))?.as_str().map(str::to_owned)
        };
        let git_ref = match event_name.as_str() {
            "push" | "workflow_dispatch" => text(&["ref"]),
            _ => None,
        };
        let sha = match event_name.as_str() {
            "push" => text(&["after"]),
            "pull_request_target" => text(&["pull_request", "base", "sha"]),
            _ => None,
        };
        Ok(Occasion {
            git_ref: git_ref.unwrap_or_else(|| event::git_ref(&event_name, &identity)),
            sha: sha.unwrap_or_else(|| identity.sha.clone()),
            file,
            workflow,
            event_name,
            event,
            identity,
            checkout,
        })
    }

    /// Texts of the checkout's lock file of actions, and of its other workflows if this one may call some, by path. Which
    /// it calls, and what those call, the coordinator finds.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn called(&self) -> Result<BTreeMap<String, String>, Failure> {
        let mut called = BTreeMap::new();
        let lock = self.checkout.root.join(LOCK_FILE);
        if lock.exists() {
            called.insert(LOCK_FILE.to_owned(), read_text(&lock, LOCK_MAX_BYTES as u64)?);
        }
        if !self.file.text.contains("/.github/workflows/") {
            return Ok(called);
        }
        for path in workflow_file::all(&self.checkout)? {
            let file = workflow_file::load(&self.checkout, &path)?;
            if file.in_repository != self.file.in_repository {
                called.insert(file.in_repository, file.text);
            }
        }
        Ok(called)
    }

    /// The workflows of the checkout, this one among them; those that are not valid are left out.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn files(&self) -> Result<Files, Failure> {
        let mut files = workflow_file::parsed(&self.called()?);
        files.insert(self.file.in_repository.clone(), Arc::new(self.workflow.clone()));
        Ok(files)
    }

    /// `owner/name`, as the event says it, else as git does.
    pub fn repository(&self) -> String {
        let named = self.event.get("repository").and_then(|repository| repository.get("full_name"));
        named.and_then(Json::as_str).unwrap_or(&self.identity.repository).to_owned()
    }

    /// The `github` context, as far as it is known before the run.
    pub fn github(&self) -> Json {
        github_context(&RunFacts {
            event_name: self.event_name.clone(),
            event: Json::Object(self.event.clone()),
            git_ref: self.git_ref.clone(),
            sha: self.sha.clone(),
            repository: self.repository(),
            actor: self.actor(),
            run_number: 1,
            run_attempt: 1,
            workflow: self.workflow.display_name().to_owned(),
            workflow_file: self.file.in_repository.clone(),
            ..RunFacts::default()
        })
    }

    /// The `inputs` context of a dispatch with these inputs; null for other events.
    ///
    /// # Errors
    /// An input is unknown, missing or of the wrong type.
    pub fn inputs(&self, given: &BTreeMap<String, String>) -> Result<Json, Failure> {
        if self.event_name != "workflow_dispatch" {
            return Ok(Json::Null);
        }
        let mut all: Vec<(String, String)> = match self.event.get("inputs") {
            Some(Json::Object(inputs)) => {
                inputs.iter().map(|(name, value)| (name.clone(), as_text(value))).collect()
            }
            _ => Vec::new(),
        };
        all.retain(|(name, _)| !given.contains_key(name));
        all.extend(given.iter().map(|(name, value)| (name.clone(), value.clone())));
        dispatch_inputs(&self.workflow, &all)
            .map_err(|problems| Failure::usage(format!("{}: {}", self.file.shown, problems.join("; "))))
    }

    /// What would run.
    ///
    /// # Errors
    /// Something cannot be evaluated; told on standard error.
    pub fn explain(&self, workflow: &Workflow, inputs: &Json, vars: &Json) -> Result<Plan, Failure> {
        let event = Json::Object(self.event.clone());
        let event = filter::Event { name: &self.event_name, payload: &event, changed_files: None };
        let files = self.files()?;
        let github = Value::from(&self.github());
        let input = ExplainInput { event, github: &github, inputs, vars, files: &files };
        plan::explain(workflow, &input).map_err(|mut findings| {
            for finding in findings.iter_mut().filter(|found| found.file == self.file.in_repository) {
                finding.file.clone_from(&self.file.shown);
            }
            explain_invalid(&findings, &self.file.text);
            Failure::usage(format!("{} cannot be planned", self.file.shown))
        })
    }

    /// Who caused it, as the event says, else as git does.
    pub fn actor(&self) -> String {
        let named = self.event.get("sender").and_then(|sender| sender.get("login"));
        named.and_then(Json::as_str).unwrap_or(&self.identity.actor).to_owned()
    }
}

/// An input as text, as a form would give it.
fn as_text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Reads a workflow; its findings go to standard error.
fn parse(file: &WorkflowFile) -> Result<Workflow, Failure> {
    syntax::parse(&file.in_repository, &file.text).map_err(|mut findings| {
        for finding in &mut findings {
            finding.file.clone_from(&file.shown);
        }
        explain_invalid(&findings, &file.text);
        Failure::usage(format!("{} is not a valid workflow", file.shown))
    })
}

/// The workflow to take where none is named: the only one for the event.
fn only_one(checkout: &Checkout, wanted: Option<&str>) -> Result<(WorkflowFile, Workflow), Failure> {
    let paths: Vec<PathBuf> = workflow_file::all(checkout)?;
    let mut files = Vec::new();
    for path in &paths {
        files.push(workflow_file::load(checkout, Path::new(path))?);
    }
    if let [only] = files.as_slice() {
        let workflow = parse(only)?;
        return Ok((only.clone(), workflow));
    }
    let valid: Vec<(WorkflowFile, Workflow)> = files
        .into_iter()
        .filter_map(|file| match syntax::parse(&file.in_repository, &file.text) {
            Ok(workflow) => Some((file, workflow)),
            Err(_) => {
                output::note(&format!("note: {} is not valid and left out; see `slipway lint`", file.shown));
                None
            }
        })
        .collect();
    let known: Vec<String> = valid
        .iter()
        .map(|(file, workflow)| {
            let events: Vec<&str> = workflow.triggers.iter().map(|trigger| trigger.event.as_str()).collect();
            format!("{} ({})", escape::name(&file.shown), events.join(", "))
        })
        .collect();
    let events = wanted.map_or(vec!["push", "workflow_dispatch"], |wanted| vec![wanted]);
    let has =
        |workflow: &Workflow, event: &str| workflow.triggers.iter().any(|trigger| trigger.event == event);
    let fitting = |event: &str| valid.iter().filter(|(_, workflow)| has(workflow, event)).count();
    let event = events.iter().copied().find(|event| fitting(event) > 0).or(wanted);
    let (mut candidates, what_for) = match event {
        Some(event) => (
            valid.into_iter().filter(|(_, workflow)| has(workflow, event)).collect::<Vec<_>>(),
            format!("for the event {}", escape::name(event)),
        ),
        None => (valid, "of this checkout".to_owned()),
    };
    if let [(only, _)] = candidates.as_slice() {
        output::note(&format!(
            "note: the workflow is {}, the only one {what_for}",
            escape::name(&only.shown)
        ));
    }
    if candidates.is_empty() && !known.is_empty() {
        let folder = workflow_file::FOLDER;
        return Err(Failure::usage(format!("no workflow in {folder} {what_for}, only {}", known.join(", "))));
    }
    let choices: Vec<Choice> = candidates
        .iter()
        .map(|(file, workflow)| Choice { file: file.clone(), name: workflow.name.clone() })
        .collect();
    let chosen = workflow_file::choose(&choices, &what_for)?;
    Ok(candidates.swap_remove(chosen))
}

/// The event to run for: the wanted one, else `push`, `workflow_dispatch` or the first the workflow has.
fn event_of(workflow: &Workflow, wanted: Option<&str>) -> String {
    let has = |event: &&str| workflow.triggers.iter().any(|trigger| trigger.event == *event);
    let usual = || ["push", "workflow_dispatch"].into_iter().find(has);
    let first = || workflow.triggers.first().map(|trigger| trigger.event.as_str());
    wanted.or_else(usual).or_else(first).unwrap_or("push").to_owned()
}

fn made_up(
    event_name: &str,
    workflow: &Workflow,
    file: &WorkflowFile,
    identity: &Identity,
    inputs: &BTreeMap<String, String>,
) -> Map<String, Json> {
    let trigger = workflow.triggers.iter().find(|trigger| trigger.event == event_name);
    let wishes = Wishes {
        inputs: inputs.clone(),
        workflow_file: file.in_repository.clone(),
        activity: trigger.and_then(|trigger| trigger.types.as_ref()?.first().cloned()),
        cron: trigger.and_then(|trigger| Some(trigger.schedules.first()?.cron.clone())),
    };
    event::payload(event_name, identity, &wishes)
}
