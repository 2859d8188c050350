//! `slipway lint`: what is wrong with workflows and `.slipway.yml`, for people, scripts, code scanning and GitHub's annotations.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use slipway_workflow::calls::{FileName, Files, check};
use slipway_workflow::diagnostics::{Diagnostic, Severity, render_github, render_sarif, render_text};
use slipway_workflow::{settings, syntax};

use crate::checkout::Checkout;
use crate::failure::{Exit, Failure};
use crate::output::{self, Out, escape, style};
use crate::workflow_file::{self, FOLDER, WorkflowFile};

/// Flags of `slipway lint`.
#[derive(Debug, Args)]
pub struct Lint {
    /// Workflow files, or .slipway.yml; none: all of .github/workflows, and .slipway.yml
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How findings are written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people: each finding with its line and a hint
    Text,
    /// One array of {"file","line","column","severity","code","message","hint"}
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Workflow commands that GitHub shows as annotations
    Github,
}

impl Lint {
    pub(crate) fn run(self, out: &mut Out) -> Result<Exit, Failure> {
        let files = self.files()?;
        let texts = called()?;
        let called = workflow_file::parsed(&texts);
        let findings: Vec<Vec<Diagnostic>> = files.iter().map(|file| lint(file, &texts, &called)).collect();
        let all: Vec<Diagnostic> = findings.iter().flatten().cloned().collect();
        match self.format {
            Format::Text => {
                for (file, findings) in files.iter().zip(&findings) {
                    for finding in findings {
                        out.line(&for_people(finding, &file.text, out.colours))?;
                    }
                }
                out.line(&tally(&all, files.len()))?;
            }
            Format::Json => out.json(&all)?,
            Format::Sarif => out.json(&render_sarif(&all))?,
            Format::Github => {
                for finding in &all {
                    out.line(&render_github(finding))?;
                }
            }
        }
        let failed = all.iter().any(|finding| finding.severity == Severity::Error);
        Ok(if failed { Exit::WorkFailed } else { Exit::Success })
    }

    fn files(&self) -> Result<Vec<WorkflowFile>, Failure> {
        let checkout = Checkout::folder(&std::path::PathBuf::from("."))?;
        if !self.files.is_empty() {
            return self.files.iter().map(|path| workflow_file::load(&checkout, path)).collect();
        }
        let found = workflow_file::all(&checkout)?;
        if found.is_empty() {
            return Err(Failure::usage(format!(
                "{} has no workflow in {FOLDER}: name a file",
                checkout.root.display()
            )));
        }
        // The repository's own settings stand beside them, if there are any.
        let settings = Some(checkout.root.join(settings::FILE)).filter(|path| path.is_file());
        found.iter().chain(&settings).map(|path| workflow_file::load(&checkout, path)).collect()
    }
}

/// The texts of the checkout's workflows: what a file there may call.
fn called() -> Result<BTreeMap<String, String>, Failure> {
    let checkout = Checkout::folder(&PathBuf::from("."))?;
    let mut texts = BTreeMap::new();
    for path in workflow_file::all(&checkout)? {
        let file = workflow_file::load(&checkout, &path)?;
        texts.insert(file.in_repository, file.text);
    }
    Ok(texts)
}

/// What is to say about a file, and about its calls of files that are known.
fn lint(file: &WorkflowFile, texts: &BTreeMap<String, String>, called: &Files) -> Vec<Diagnostic> {
    if file.in_repository == settings::FILE {
        return settings::parse(&file.shown, &file.text).err().unwrap_or_default();
    }
    let workflow = match syntax::parse_with_advice(&file.shown, &file.text) {
        Ok(workflow) => workflow,
        Err(found) => return found,
    };
    let mut findings = workflow.warnings.clone();
    findings.extend(syntax::advice(&workflow, &file.text));
    findings.sort_by_key(|finding| (finding.line, finding.column));
    if workflow.jobs.iter().all(|job| job.call.is_none()) {
        return findings;
    }
    let mut files = called.clone();
    files.insert(file.in_repository.clone(), Arc::new(workflow));
    // A file elsewhere may be meant for another repository. One that is not valid has findings of its own.
    let inside = texts.contains_key(&file.in_repository);
    let missing = |name: &FileName| {
        inside && matches!(name, FileName::Local { .. }) && !texts.contains_key(&name.to_string())
    };
    // What is wrong further down is told where it stands.
    let found = check(&FileName::local(&file.in_repository), &files, &missing);
    findings.extend(found.into_iter().filter(|found| found.file == file.shown));
    findings.sort_by_key(|found| (found.line, found.column));
    findings
}

/// A finding with its line, coloured by its weight.
fn for_people(finding: &Diagnostic, source: &str, colours: bool) -> String {
    let text = escape::paragraph(&render_text(finding, source));
    let (word, sgr) = match finding.severity {
        Severity::Error => ("error", 31),
        Severity::Warning => ("warning", 33),
    };
    match text.strip_prefix(word) {
        Some(rest) => format!("{}{rest}", style::paint(word, sgr, colours)),
        None => text,
    }
}

fn tally(all: &[Diagnostic], files: usize) -> String {
    let errors = all.iter().filter(|finding| finding.severity == Severity::Error).count();
    let count = |number: usize, thing: &str| match number {
        1 => format!("1 {thing}"),
        _ => format!("{number} {thing}s"),
    };
    format!(
        "{}, {} in {}",
        count(errors, "error"),
        count(all.len() - errors, "warning"),
        count(files, "file")
    )
}

/// Tells what is wrong with a workflow that was to be used.
pub(crate) fn explain_invalid(findings: &[Diagnostic], source: &str) {
    for finding in findings.iter().filter(|finding| finding.severity == Severity::Error) {
        output::note(render_text(finding, source).trim_end());
    }
}
