//! Workflow files against `@actions/workflow-parser`: what is accepted, and the jobs, needs and steps of what is.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use slipway_workflow::job_spec::{BACKGROUND_DEFAULT_NAMES, StepAction, StepSpec};
use slipway_workflow::syntax::{self, Workflow};

use crate::listed;
use crate::oracle::ask;
use crate::random::{Random, seed};

/// Mutated files.
const MUTATED: usize = 3_000;

pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) content: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn files(folder: &Path) -> Vec<Source> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    let read = |path: &PathBuf| Source {
        name: path.file_name().unwrap().to_string_lossy().into_owned(),
        content: std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    };
    paths.iter().map(read).collect()
}

/// The files of this repository that are workflows.
fn own_files() -> Vec<Source> {
    ["benches/workflows", "examples", ".github/workflows", "fuzz/corpus"]
        .iter()
        .flat_map(|folder| files(&root().join(folder)))
        .collect()
}

/// Jobs as the oracle tells them. A `run` with an expression is not compared: the package rewrites it.
fn jobs(workflow: &Workflow) -> Json {
    let steps = |steps: &[StepSpec]| -> Json {
        let name = BACKGROUND_DEFAULT_NAMES.group;
        let is_group = |step: &StepSpec| matches!(&step.action, StepAction::Wait { default_name, .. } if default_name == name);
        let grouped = steps.iter().any(is_group);
        let id_of = |place: &u32| steps[*place as usize].id.as_str();
        let one = |step: &StepSpec| {
            let id = Some(step.id.as_str()).filter(|id| !grouped || !id.starts_with("__"));
            match &step.action {
                StepAction::Run { script, .. } => {
                    let run = Some(script.text.as_str()).filter(|text| !text.contains("${{"));
                    json!({"id": id, "background": step.background, "run": run})
                }
                StepAction::Uses { uses, .. } => {
                    json!({"id": id, "background": step.background, "uses": uses})
                }
                StepAction::Wait { steps, .. } if is_group(step) => {
                    json!({"id": id, "group": steps.as_ref().map(Vec::len)})
                }
                StepAction::Wait { steps, .. } => {
                    let ids: Option<Vec<&str>> =
                        steps.as_ref().map(|steps| steps.iter().map(id_of).collect());
                    json!({"id": id, "wait": ids})
                }
                StepAction::Cancel { steps, .. } => json!({"id": id, "cancel": steps.first().map(id_of)}),
            }
        };
        steps.iter().map(one).collect()
    };
    let job = |job: &syntax::Job| {
        json!({
            "id": job.id,
            "needs": job.needs.iter().map(|need| need.id.as_str()).collect::<Vec<_>>(),
            "uses": job.call.as_ref().map(|call| call.uses.text.as_str()),
            "steps": steps(&job.steps),
        })
    };
    workflow.jobs.iter().map(job).collect()
}

/// Why the two differ on a file, unless they agree or the difference is listed.
fn difference(source: &Source, theirs: &Json) -> Option<String> {
    let refusals: Vec<&str> = theirs["errors"].as_array().unwrap().iter().filter_map(Json::as_str).collect();
    match syntax::parse(&source.name, &source.content) {
        Ok(workflow) if refusals.is_empty() => {
            let ours = jobs(&workflow);
            (ours != theirs["jobs"])
                .then(|| format!("jobs differ\n  ours:   {ours}\n  theirs: {}", theirs["jobs"]))
        }
        // What Slipway warns of and never starts may be an error to the package.
        Ok(workflow)
            if workflow
                .warnings
                .iter()
                .any(|warning| listed::contains("- Workflow, warned: `", &warning.code)) =>
        {
            None
        }
        Ok(_) => {
            let unlisted =
                refusals.iter().find(|error| !listed::contains("- Workflow, accepted: `", error))?;
            Some(format!("only GitHub's package refuses it: {unlisted}"))
        }
        Err(_) if !refusals.is_empty() => None,
        Err(found) => {
            let unlisted =
                found.iter().find(|finding| !listed::contains("- Workflow, refused: `", &finding.message))?;
            Some(format!("only Slipway refuses it: {unlisted}"))
        }
    }
}

fn differences(sources: &[Source]) -> Vec<String> {
    let inputs: Vec<Json> =
        sources.iter().map(|source| json!({"name": source.name, "content": source.content})).collect();
    let answers = ask("workflows.mjs", &[], &inputs);
    assert_eq!(answers.len(), sources.len());
    let found = sources
        .iter()
        .zip(&answers)
        .filter_map(|(source, theirs)| Some((source, difference(source, theirs)?)));
    found
        .map(|(source, why)| format!("{}: {}", source.name, why.chars().take(600).collect::<String>()))
        .collect()
}

fn expect_agreement(sources: &[Source], show_content: bool) {
    let found = differences(sources);
    let mut shown = found.iter().take(200).cloned().collect::<Vec<_>>().join("\n");
    if show_content && let Some(first) = found.first() {
        let name = first.split(':').next().unwrap();
        let content = sources.iter().find(|source| source.name == name).map_or("", |source| &source.content);
        shown.push_str(&format!("\n--- {name}\n{content}"));
    }
    assert!(
        found.is_empty(),
        "{} of {} files differ (SLIPWAY_SEED={}):\n{shown}",
        found.len(),
        sources.len(),
        seed()
    );
}

/// The folder that `SLIPWAY_WORKFLOWS` names (`scripts/compare-workflows.sh FOLDER`), else this repository's own files.
pub(crate) fn whole_files() -> Vec<Source> {
    match std::env::var_os("SLIPWAY_WORKFLOWS") {
        Some(folder) => files(Path::new(&folder)),
        None => own_files(),
    }
}

#[test]
fn whole_files_agree_with_github() {
    let sources = whole_files();
    println!("{} files", sources.len());
    assert!(sources.len() >= 6, "only {} files", sources.len());
    expect_agreement(&sources, false);
}

#[test]
fn picked_files_agree_with_github() {
    // Files that were hard for one implementation or another.
    let picked = include_str!("picked.txt").split("=====\n");
    let sources: Vec<Source> = picked
        .enumerate()
        .map(|(at, content)| Source { name: format!("picked-{at}"), content: (*content).to_owned() })
        .collect();
    expect_agreement(&sources, true);
}

#[test]
fn mutated_files_agree_with_github() {
    let originals = own_files();
    let mut random = Random::new(seed());
    let sources: Vec<Source> = (0..MUTATED)
        .map(|at| {
            let original = &originals[random.below(originals.len())];
            Source { name: format!("mutated-{at}"), content: mutate(&original.content, &mut random) }
        })
        .collect();
    expect_agreement(&sources, true);
}

const LINES: &[&str] = &[
    "name: x",
    "on: push",
    "env: {A: b}",
    "env:",
    "if: always()",
    "if: ${{ github.ref }}",
    "if: nope",
    "needs: lint",
    "needs: [x]",
    "runs-on: x",
    "runs-on: []",
    "- run: x",
    "- uses: a/b@c",
    "- uses: nope",
    "steps:",
    "with: {a: b}",
    "shell: bash",
    "id: __x",
    "id: a b",
    "timeout-minutes: ${{ 1 }}",
    "timeout-minutes: x",
    "continue-on-error: true",
    "strategy: {matrix: {a: [1]}}",
    "strategy: x",
    "permissions: read-all",
    "permissions: {contents: all}",
    "step: x",
    "branches: [a]",
    "unknown: 1",
    "run: ${{ secrets.A }}",
    "run: ${{ }}",
    "run: ${{ nope.x }}",
    "outputs: {a: b}",
    "container: x",
];

/// A line goes, comes twice, moves in or out, or another one comes.
fn mutate(content: &str, random: &mut Random) -> String {
    let mut lines: Vec<String> = content.lines().map(str::to_owned).collect();
    for _ in 0..=random.below(2) {
        let at = random.below(lines.len());
        match random.below(7) {
            0..=1 => drop(lines.remove(at)),
            2 => lines.insert(at, lines[at].clone()),
            3 => lines[at].insert_str(0, "  "),
            4 => lines[at] = lines[at].strip_prefix("  ").unwrap_or(&lines[at]).to_owned(),
            _ => {
                let indent = lines[at].len() - lines[at].trim_start().len();
                lines.insert(at, format!("{}{}", " ".repeat(indent), random.pick(LINES)));
            }
        }
    }
    lines.join("\n") + "\n"
}
