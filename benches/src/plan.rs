//! `plan`: workflow files parsed and planned a second, beside GitHub's own parser under Node.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::json;
use slipway_workflow::diagnostics::Diagnostic;
use slipway_workflow::filter::Event;
use slipway_workflow::plan::{self, ExplainInput, RunFacts};
use slipway_workflow::syntax;
use slipway_workflow::value::Value;

use crate::figure::Figure;
use crate::node;

/// How long each side works.
const SECONDS: u64 = 3;

#[derive(Deserialize)]
struct ParserRun {
    files: f64,
    seconds: f64,
    errors: u64,
}

/// Measures both sides on the workflow files of `folder`, or on those of `benches/workflows`.
///
/// Of a folder of one's own, a file that does not plan by itself (it calls a workflow beside it, say) is told and left out on
/// both sides.
///
/// # Errors
/// When one of `benches/workflows` does not parse on either side, no file is left, or Node or its package can't be had.
pub fn measure(folder: Option<&Path>) -> anyhow::Result<Vec<Figure>> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("workflows");
    let mut files = workflow_files(folder.unwrap_or(&own))?;
    let planner = Planner::new();
    if folder.is_some() {
        files.retain(|file| match planner.plan(file) {
            Ok(()) => true,
            Err(why) => {
                eprintln!("left out: {why}");
                false
            }
        });
    }
    if files.is_empty() {
        bail!("{} has no workflow file to measure", folder.unwrap_or(&own).display());
    }
    let ours = ours_per_second(&planner, &files)?;
    let theirs = theirs_per_second(&files, folder.is_some())?;
    Ok(vec![Figure::new(
        "plan.files_per_s",
        "files/s",
        ours,
        "@actions/workflow-parser (parse only)",
        theirs,
    )])
}

/// A workflow file in memory: reading it from the disk is nobody's figure.
struct Source {
    path: String,
    text: String,
}

fn workflow_files(folder: &Path) -> anyhow::Result<Vec<Source>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml"));
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok(Source { path: path.display().to_string(), text })
        })
        .collect()
}

/// What a push of a tag plans with.
struct Planner {
    github: Value,
    payload: serde_json::Value,
    empty: serde_json::Value,
}

impl Planner {
    fn new() -> Planner {
        let facts = RunFacts {
            event_name: "push".to_owned(),
            git_ref: "refs/tags/v1.2.3".to_owned(),
            sha: "0".repeat(40),
            repository: "example/project".to_owned(),
            ..RunFacts::default()
        };
        Planner {
            github: Value::from(&plan::github_context(&facts)),
            payload: json!({"ref": "refs/tags/v1.2.3"}),
            empty: json!({}),
        }
    }

    /// Parses and plans one file.
    fn plan(&self, file: &Source) -> anyhow::Result<()> {
        let told = |found: &[Diagnostic]| {
            anyhow::anyhow!("{}: {}", file.path, found.first().map_or("", |first| &first.message))
        };
        let workflow = syntax::parse(&file.path, &file.text).map_err(|found| told(&found))?;
        let input = ExplainInput {
            event: Event { name: "push", payload: &self.payload, changed_files: None },
            github: &self.github,
            inputs: &self.empty,
            vars: &self.empty,
            files: &Default::default(),
        };
        plan::explain(&workflow, &input).map_err(|found| told(&found))?;
        Ok(())
    }
}

/// Parses and plans every file again and again. Planning is more than the other side does; it is counted all the same.
fn ours_per_second(planner: &Planner, files: &[Source]) -> anyhow::Result<f64> {
    let once = || files.iter().try_for_each(|file| planner.plan(file));
    once()?;
    let start = Instant::now();
    let mut rounds = 0usize;
    while start.elapsed() < Duration::from_secs(SECONDS) {
        once()?;
        rounds += 1;
    }
    Ok((rounds * files.len()) as f64 / start.elapsed().as_secs_f64())
}

/// Parses every file again and again with GitHub's parser. It refuses some files that GitHub itself runs (`tags` of `create`);
/// in a folder of one's own such a file is told and counts all the same.
fn theirs_per_second(files: &[Source], lenient: bool) -> anyhow::Result<f64> {
    let mut arguments = vec![SECONDS.to_string()];
    arguments.extend(files.iter().map(|file| file.path.clone()));
    let run: ParserRun = node::run("parse.mjs", &arguments, "")?;
    match run.errors {
        0 => {}
        errors if lenient => eprintln!("GitHub's parser found {errors} errors in the measured files"),
        errors => bail!("GitHub's parser found {errors} errors in the measured files"),
    }
    Ok(run.files / run.seconds)
}
