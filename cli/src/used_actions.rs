//! Which versions of actions and reusable workflows files use: those of workflows, and of the composite actions of the
//! same repository that they use.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use slipway_workflow::action::ActionReference;
use slipway_workflow::action::lock::pin_key;
use slipway_workflow::yaml::{self, Node, NodeKind};

use crate::failure::Failure;
use crate::input::{WORKFLOW_LIMIT_BYTES, read_text};

/// Most files that are looked at.
const FILES_MAX: usize = 10_000;

/// Names of an action's own file.
const ACTION_FILES: [&str; 2] = ["action.yml", "action.yaml"];

/// A version in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// `owner/repo`, as first written.
    pub repository: String,
    /// The ref, as first written.
    pub git_ref: String,
    /// The file that uses it, for messages.
    pub user: String,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.repository, self.git_ref)
    }
}

/// The versions that these files (name and text) use, by [`pin_key`].
///
/// # Errors
/// A file is no YAML, or a local action cannot be read.
pub fn used(root: &Path, files: Vec<(String, String)>) -> Result<BTreeMap<String, Version>, Failure> {
    let mut versions = BTreeMap::new();
    let mut waiting = files;
    let mut seen = BTreeSet::new();
    while let Some((name, text)) = waiting.pop() {
        let Some(file) = yaml::parse_quietly(&text) else {
            return Err(Failure::usage(format!("{name} is not valid YAML; see `slipway lint`")));
        };
        for uses in uses_of(&file) {
            match ActionReference::parse(uses.trim()) {
                Ok(ActionReference::Repository { repository, git_ref, .. }) => {
                    let version = Version { repository, git_ref, user: name.clone() };
                    versions.entry(pin_key(&version.repository, &version.git_ref)).or_insert(version);
                }
                Ok(ActionReference::Local { path } | ActionReference::Own { path }) => {
                    if seen.len() >= FILES_MAX {
                        return Err(Failure::usage(format!(
                            "more than {FILES_MAX} local actions are in use"
                        )));
                    }
                    if seen.insert(path.clone()) {
                        waiting.extend(local(root, &path)?);
                    }
                }
                // An image has no commit; what names nothing is told by `lint`.
                Ok(_) | Err(_) => {}
            }
        }
    }
    Ok(versions)
}

/// The file of a local action; none where there is no action (a workflow, or a folder that only a run makes).
fn local(root: &Path, path: &str) -> Result<Option<(String, String)>, Failure> {
    let relative = Path::new(path);
    let below = relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let folder = root.join(relative);
    let Some(file) = ACTION_FILES.iter().map(|name| folder.join(name)).find(|file| below && file.is_file())
    else {
        return Ok(None);
    };
    let text = read_text(&file, WORKFLOW_LIMIT_BYTES)?;
    Ok(Some((file.display().to_string(), text)))
}

/// `jobs.*.uses`, `jobs.*.steps[*].uses` and `runs.steps[*].uses`.
fn uses_of(file: &Node) -> Vec<String> {
    let jobs = match entry(file, "jobs").map(|jobs| &jobs.kind) {
        Some(NodeKind::Mapping(jobs)) => jobs.iter().map(|(_, job)| job).collect(),
        _ => Vec::new(),
    };
    let mut uses = Vec::new();
    for part in jobs.into_iter().chain(entry(file, "runs")) {
        let steps = match entry(part, "steps").map(|steps| &steps.kind) {
            Some(NodeKind::Sequence(steps)) => steps.iter().collect(),
            _ => Vec::new(),
        };
        let all = std::iter::once(part).chain(steps);
        uses.extend(all.filter_map(|node| Some(entry(node, "uses")?.scalar_text()?.to_string())));
    }
    uses
}

fn entry<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    let NodeKind::Mapping(entries) = &node.kind else { return None };
    entries.iter().find(|(key, _)| &*key.text == name).map(|(_, value)| value)
}
