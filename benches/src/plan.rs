//! `plan`: workflow files parsed and planned a second, beside GitHub's own parser under Node.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::json;
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

/// Measures both sides on the files of `benches/workflows`.
///
/// # Errors
/// When a file does not parse on either side, or Node or its package can't be had.
pub fn measure() -> anyhow::Result<Vec<Figure>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = workflow_files(&root.join("workflows"))?;
    let ours = ours_per_second(&files)?;
    let theirs = theirs_per_second(&files)?;
    Ok(vec![Figure::new(
        "plan.files_per_s",
        "files/s",
        ours,
        "@actions/workflow-parser (parse only)",
        theirs,
    )])
}

fn workflow_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut files = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    files.sort();
    Ok(files)
}

/// Parses and plans every file again and again. Planning is more than the other side does; it is counted all the same.
fn ours_per_second(files: &[PathBuf]) -> anyhow::Result<f64> {
    let texts = files
        .iter()
        .map(|path| std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display())))
        .collect::<Result<Vec<_>, _>>()?;
    let facts = RunFacts {
        event_name: "push".to_owned(),
        git_ref: "refs/tags/v1.2.3".to_owned(),
        sha: "0".repeat(40),
        repository: "example/project".to_owned(),
        ..RunFacts::default()
    };
    let github = Value::from(&plan::github_context(&facts));
    let empty = json!({});
    let payload = json!({"ref": "refs/tags/v1.2.3"});
    let once = || -> anyhow::Result<()> {
        for (path, text) in files.iter().zip(&texts) {
            let workflow = match syntax::parse(&path.display().to_string(), text) {
                Ok(workflow) => workflow,
                Err(found) => {
                    bail!("{}: {}", path.display(), found.first().map_or("", |first| &first.message))
                }
            };
            let input = ExplainInput {
                event: Event { name: "push", payload: &payload, changed_files: None },
                github: &github,
                inputs: &empty,
                vars: &empty,
                files: &Default::default(),
            };
            if let Err(found) = plan::explain(&workflow, &input) {
                bail!("{}: {}", path.display(), found.first().map_or("", |first| &first.message));
            }
        }
        Ok(())
    };
    once()?;
    let start = Instant::now();
    let mut rounds = 0usize;
    while start.elapsed() < Duration::from_secs(SECONDS) {
        once()?;
        rounds += 1;
    }
    Ok((rounds * files.len()) as f64 / start.elapsed().as_secs_f64())
}

fn theirs_per_second(files: &[PathBuf]) -> anyhow::Result<f64> {
    let mut arguments = vec![SECONDS.to_string()];
    arguments.extend(files.iter().map(|path| path.display().to_string()));
    let run: ParserRun = node::run("parse.mjs", &arguments, "")?;
    if run.errors > 0 {
        bail!("GitHub's parser found {} errors in the measured files", run.errors);
    }
    Ok(run.files / run.seconds)
}
