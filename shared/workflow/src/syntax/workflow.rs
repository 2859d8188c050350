//! The top level of a file.

use crate::diagnostics::{Position, Reporter};
use crate::expression::availability::{NOTHING, RUN_NAME, WORKFLOW_ENV};
use crate::job_spec::RunDefaults;
use crate::yaml::{self, Node};

use super::graph;
use super::identifier::problem;
use super::model::{Job, Workflow};
use super::reader::{Keys, Reader};

const WORKFLOW: Keys = Keys {
    of: "a workflow",
    known: &[
        "name",
        "run-name",
        "on",
        "env",
        "defaults",
        "permissions",
        "concurrency",
        "jobs",
        "description",
    ],
};

/// Reads a file. `None`, or a workflow that lacks something, only when an error is recorded.
pub(super) fn read(report: &mut Reporter<'_>) -> Option<Workflow> {
    let root = yaml::parse(report)?;
    let mut reader = Reader { report };
    let entries = reader.mapping(&root, "a workflow")?;
    let mut workflow = Workflow {
        file: reader.report.file().to_owned(),
        name: None,
        run_name: None,
        triggers: Vec::new(),
        env: Vec::new(),
        defaults: RunDefaults::default(),
        permissions: None,
        concurrency: None,
        jobs: Vec::new(),
        warnings: Vec::new(),
    };
    let (mut on, mut jobs) = (false, false);
    for (key, value) in entries {
        match &*key.text {
            "name" => {
                let name = reader.text(value, "name", &NOTHING).map(|text| text.text);
                workflow.name = name.filter(|name| !name.is_empty());
            }
            "description" => drop(reader.text(value, "description", &NOTHING)),
            "run-name" => workflow.run_name = reader.templated(value, "run-name", &RUN_NAME),
            "on" => {
                on = true;
                workflow.triggers = reader.triggers(value);
            }
            "env" => workflow.env = reader.entries(value, "env", &WORKFLOW_ENV),
            "defaults" => workflow.defaults = reader.defaults(value, &NOTHING),
            "permissions" => workflow.permissions = reader.permissions(value),
            "concurrency" => workflow.concurrency = reader.concurrency(value, &RUN_NAME),
            "jobs" => {
                jobs = true;
                workflow.jobs = read_jobs(&mut reader, value);
            }
            _ => reader.unknown_key(key, &WORKFLOW),
        }
    }
    let start = Position { line: root.position.line, column: root.position.column };
    for (there, key) in [(on, "on"), (jobs, "jobs")] {
        if !there {
            reader.report.error(start, "missing-key", format!("a workflow needs `{key}`"));
        }
    }
    Some(workflow)
}

fn read_jobs(reader: &mut Reader<'_, '_>, node: &Node) -> Vec<Job> {
    let Some(entries) = reader.mapping(node, "jobs") else {
        return Vec::new();
    };
    if entries.is_empty() {
        reader.report.error(node.position, "missing-value", "`jobs` must hold at least one job");
    }
    let mut jobs = Vec::with_capacity(entries.len());
    let mut all = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        if let Some(problem) = problem(&key.text) {
            reader.report.error(key.position, "invalid-id", problem);
        }
        all.push(key.text.to_string());
        jobs.extend(reader.job(key, value));
    }
    graph::check(reader.report, &mut jobs, &all);
    jobs
}
