//! Which workflow a command is about: found by path or name, or the only one that fits the event.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use slipway_workflow::calls::Files;
use slipway_workflow::syntax;

use crate::checkout::Checkout;
use crate::failure::Failure;
use crate::input::{WORKFLOW_LIMIT_BYTES, read_text};
use crate::output::escape;

/// Where GitHub looks for workflows.
pub const FOLDER: &str = ".github/workflows";

/// Most files looked at in that folder.
const FILE_LIMIT: usize = 1000;

/// A workflow's text and its two names.
#[derive(Debug, Clone)]
pub struct WorkflowFile {
    /// As a person would write it from here; for messages.
    pub shown: String,
    /// Path in its repository, `.github/workflows/ci.yml`.
    pub in_repository: String,
    /// The text.
    pub text: String,
}

/// All workflow files of a checkout, by name.
///
/// # Errors
/// The folder is there and cannot be read.
pub fn all(checkout: &Checkout) -> Result<Vec<PathBuf>, Failure> {
    let folder = checkout.root.join(FOLDER);
    let explain = |error| Failure::usage(format!("cannot read {}: {error}", folder.display()));
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(explain)?.take(FILE_LIMIT) {
        let path = entry.map_err(explain)?.path();
        let is_yaml = path.extension().is_some_and(|end| end == "yml" || end == "yaml");
        if is_yaml && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Workflows by name, without those that are not valid.
#[must_use]
pub fn parsed(texts: &BTreeMap<String, String>) -> Files {
    let valid = texts
        .iter()
        .filter_map(|(name, text)| Some((name.clone(), Arc::new(syntax::parse(name, text).ok()?))));
    valid.collect()
}

/// The workflow a person named: a path, or a name in [`FOLDER`] with or without its ending.
///
/// # Errors
/// There is none, or it cannot be read.
pub fn named(checkout: &Checkout, name: &str) -> Result<WorkflowFile, Failure> {
    let folder = checkout.root.join(FOLDER);
    let mut candidates = vec![PathBuf::from(name), checkout.root.join(name), folder.join(name)];
    if !name.is_empty() {
        candidates.extend(["yml", "yaml"].map(|end| folder.join(format!("{name}.{end}"))));
    }
    match candidates.iter().find(|path| path.is_file()) {
        Some(path) => load(checkout, path),
        None => {
            let found: Vec<String> = all(checkout)?.iter().map(|path| file_name(path)).collect();
            let found = match found.len() {
                0 => format!("{FOLDER} of {} has none", checkout.root.display()),
                _ => format!("{FOLDER} has {}", found.join(", ")),
            };
            Err(Failure::usage(format!("no workflow `{}`: {found}", escape::name(name))))
        }
    }
}

/// Reads a workflow.
///
/// # Errors
/// It cannot be read.
pub fn load(checkout: &Checkout, path: &Path) -> Result<WorkflowFile, Failure> {
    let text = read_text(path, WORKFLOW_LIMIT_BYTES)?;
    let full = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let in_repository = match full.strip_prefix(&checkout.root) {
        Ok(inside) => inside.display().to_string(),
        Err(_) => format!("{FOLDER}/{}", file_name(path)),
    };
    Ok(WorkflowFile { shown: shown(path), in_repository, text })
}

/// A workflow that fits, and its `name` where it has one.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The file.
    pub file: WorkflowFile,
    /// What its author calls it.
    pub name: Option<String>,
}

/// The one that fits, or the one a person chooses on a terminal; by its place in the list.
///
/// # Errors
/// None fits, or several and nobody to ask; the message lists them.
pub fn choose(fitting: &[Choice], what_for: &str) -> Result<usize, Failure> {
    let listed = || {
        let names = fitting.iter().map(|choice| escape::name(&choice.file.in_repository));
        names.collect::<Vec<String>>().join(", ")
    };
    match fitting.len() {
        0 => Err(Failure::usage(format!("no workflow in {FOLDER} {what_for}"))),
        1 => Ok(0),
        _ if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() => {
            ask(fitting, &mut std::io::stdin().lock(), &mut std::io::stderr().lock()).map_err(|error| {
                Failure::usage(format!("no workflow was chosen ({error}); name one of: {}", listed()))
            })
        }
        _ => Err(Failure::usage(format!("several workflows {what_for}; name one of: {}", listed()))),
    }
}

/// Asks until a number of the list comes, or one of its names.
fn ask(fitting: &[Choice], answers: &mut impl BufRead, screen: &mut impl Write) -> std::io::Result<usize> {
    for (index, choice) in fitting.iter().enumerate() {
        let name = choice.name.as_deref().map_or(String::new(), |name| format!("  {}", escape::name(name)));
        writeln!(screen, "{:>3}  {}{name}", index + 1, escape::name(&choice.file.in_repository))?;
    }
    loop {
        write!(screen, "Which workflow? [1-{}] ", fitting.len())?;
        screen.flush()?;
        let mut answer = String::new();
        if answers.read_line(&mut answer)? == 0 {
            writeln!(screen)?;
            return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "no answer"));
        }
        match chosen(fitting, answer.trim()) {
            Some(index) => return Ok(index),
            None => writeln!(screen, "A number from 1 to {} or one of the names, please.", fitting.len())?,
        }
    }
}

/// What an answer stands for: a number of the list, a file with or without folder and ending, or a workflow's name.
fn chosen(fitting: &[Choice], answer: &str) -> Option<usize> {
    if let Ok(number) = answer.parse::<usize>() {
        return number.checked_sub(1).filter(|index| *index < fitting.len());
    }
    let is_meant = |choice: &Choice| {
        let path = Path::new(&choice.file.in_repository);
        let (file, stem) = (path.file_name(), path.file_stem());
        choice.file.in_repository == answer
            || [file, stem].into_iter().flatten().any(|name| name == answer)
            || choice.name.as_deref() == Some(answer)
    };
    let mut meant = fitting.iter().enumerate().filter(|(_, choice)| is_meant(choice)).map(|(index, _)| index);
    match (meant.next(), meant.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned())
}

/// A path from here where that is shorter, so that messages are what an editor can open.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let inside = here.as_deref().and_then(|here| path.strip_prefix(here).ok());
    inside.unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn choices() -> Vec<Choice> {
        [("ci.yml", Some("Build")), ("release.yml", None), ("other.yaml", Some("Build"))]
            .map(|(file, name)| Choice {
                file: WorkflowFile {
                    shown: file.to_owned(),
                    in_repository: format!("{FOLDER}/{file}"),
                    text: String::new(),
                },
                name: name.map(str::to_owned),
            })
            .to_vec()
    }

    #[test]
    fn a_person_answers_with_a_number_or_a_name() {
        let choices = choices();
        for (answer, index) in [
            ("1", Some(0)),
            ("3", Some(2)),
            ("release.yml", Some(1)),
            ("release", Some(1)),
            (".github/workflows/other.yaml", Some(2)),
            ("0", None),
            ("4", None),
            ("", None),
            ("rel", None),
            // Two bear it.
            ("Build", None),
        ] {
            assert_eq!(chosen(&choices, answer), index, "{answer}");
        }
        assert_eq!(chosen(&choices[..2], "Build"), Some(0));
    }

    #[test]
    fn it_is_asked_until_there_is_an_answer_or_none_comes() {
        let choices = choices();
        let mut screen = Vec::new();
        assert_eq!(ask(&choices, &mut "x\n9\n2\n".as_bytes(), &mut screen).unwrap(), 1);
        let screen = String::from_utf8(screen).unwrap();
        assert_eq!(screen.matches("Which workflow? [1-3]").count(), 3, "{screen}");
        assert!(screen.contains("  1  .github/workflows/ci.yml  Build\n"), "{screen}");
        assert!(ask(&choices, &mut "x\n".as_bytes(), &mut Vec::new()).is_err());
    }
}
