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

/// The one that fits, or the one a person chooses on a terminal.
///
/// # Errors
/// None fits, or several and nobody to ask; the message lists them.
pub fn choose(fitting: Vec<WorkflowFile>, what_for: &str) -> Result<WorkflowFile, Failure> {
    let names: Vec<String> = fitting.iter().map(|file| escape::name(&file.in_repository)).collect();
    let mut fitting = fitting;
    match fitting.len() {
        0 => Err(Failure::usage(format!("no workflow in {FOLDER} {what_for}"))),
        1 => Ok(fitting.remove(0)),
        _ if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() => {
            let chosen = ask(&names).map_err(|error| Failure::usage(format!("cannot ask: {error}")))?;
            Ok(fitting.swap_remove(chosen))
        }
        _ => Err(Failure::usage(format!("several workflows {what_for}; name one of: {}", names.join(", ")))),
    }
}

/// Asks on the terminal until a number of the list comes.
fn ask(names: &[String]) -> std::io::Result<usize> {
    let mut screen = std::io::stderr().lock();
    for (index, name) in names.iter().enumerate() {
        writeln!(screen, "{:>3}  {name}", index + 1)?;
    }
    let mut answers = std::io::stdin().lock();
    loop {
        write!(screen, "Which workflow? [1-{}] ", names.len())?;
        screen.flush()?;
        let mut answer = String::new();
        if answers.read_line(&mut answer)? == 0 {
            return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "no answer"));
        }
        match answer.trim().parse::<usize>() {
            Ok(number) if (1..=names.len()).contains(&number) => return Ok(number - 1),
            _ => writeln!(screen, "A number from 1 to {}, please.", names.len())?,
        }
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
