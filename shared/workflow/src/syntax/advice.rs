//! What GitHub accepts and is probably wrong: untrusted text in scripts, and commands that GitHub has retired.
//!
//! Invariant: warnings only; nothing here changes what a workflow means.

use crate::diagnostics::{Position, Reporter, locate};
use crate::expression::Template;
use crate::expression::availability::STEP_KEY;
use crate::job_spec::{StepAction, StepSpec, Text};

use super::model::Workflow;

/// What anyone who opens an issue or a pull request can write (GitHub docs, "Script injections"). `*` stands for one name.
const UNTRUSTED: &[&str] = &[
    "github.head_ref",
    "github.event.issue.title",
    "github.event.issue.body",
    "github.event.comment.body",
    "github.event.review.body",
    "github.event.review_comment.body",
    "github.event.discussion.title",
    "github.event.discussion.body",
    "github.event.pages.*.page_name",
    "github.event.commits.*.message",
    "github.event.commits.*.author.email",
    "github.event.commits.*.author.name",
    "github.event.head_commit.message",
    "github.event.head_commit.author.email",
    "github.event.head_commit.author.name",
    "github.event.pull_request.title",
    "github.event.pull_request.body",
    "github.event.pull_request.head.ref",
    "github.event.pull_request.head.label",
    "github.event.pull_request.head.repo.default_branch",
    "github.event.workflow_run.head_branch",
    "github.event.workflow_run.head_commit.message",
    "github.event.workflow_run.head_commit.author.email",
    "github.event.workflow_run.head_commit.author.name",
];

/// Workflow commands that GitHub has retired, and what took their place.
const RETIRED: &[(&str, &str)] = &[
    ("::set-output ", "GITHUB_OUTPUT"),
    ("::save-state ", "GITHUB_STATE"),
    ("::set-env ", "GITHUB_ENV"),
    ("::add-path::", "GITHUB_PATH"),
];

/// Looks through a workflow.
pub(super) fn advise(report: &mut Reporter<'_>, workflow: &Workflow) {
    for job in &workflow.jobs {
        for step in &job.steps {
            if report.is_full() {
                return;
            }
            self::step(report, step);
        }
    }
}

fn step(report: &mut Reporter<'_>, step: &StepSpec) {
    match &step.action {
        StepAction::Run { script, .. } => {
            untrusted(report, script);
            retired(report, script);
        }
        StepAction::Uses { action, with, .. } => {
            if action.is("actions/github-script") {
                for entry in with.iter().filter(|entry| entry.key.eq_ignore_ascii_case("script")) {
                    untrusted(report, &entry.value);
                }
            }
        }
        StepAction::Wait { .. } | StepAction::Cancel { .. } => {}
    }
}

/// Text from outside that becomes part of a script, where it can be a command.
fn untrusted(report: &mut Reporter<'_>, text: &Text) {
    if !text.text.contains("${{") {
        return;
    }
    let Ok(template) = Template::parse(&text.text, &STEP_KEY) else { return };
    for reference in template.expressions().flat_map(|expression| expression.references()) {
        if UNTRUSTED.iter().any(|pattern| matches(pattern, &reference)) {
            let shown = reference.replace(".*", "[…]");
            let offset = text.text.to_ascii_lowercase().find(&reference).unwrap_or(0);
            report.warning(
                locate(report.source(), start(text), &text.text, offset),
                "untrusted-input",
                format!("anyone can choose `{shown}`, and here it becomes part of a script"),
                "pass it through `env` and use the variable, quoted",
            );
        }
    }
}

/// Whether a pattern's names are those of a path; `*` on either side fits any one name.
fn matches(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('.'), path.split('.'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(wanted), Some(found)) if wanted == found || wanted == "*" || found == "*" => {}
            _ => return false,
        }
    }
}

fn retired(report: &mut Reporter<'_>, script: &Text) {
    for (command, file) in RETIRED {
        if let Some(offset) = script.text.find(command) {
            let name = command.trim_matches(|c| c == ':' || c == ' ');
            report.warning(
                locate(report.source(), start(script), &script.text, offset),
                "retired-command",
                format!("the workflow command `{name}` is retired"),
                format!("write to the file `${file}` instead"),
            );
        }
    }
}

fn start(text: &Text) -> Position {
    Position { line: text.line, column: text.column }
}
