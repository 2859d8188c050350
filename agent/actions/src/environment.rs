//! What the agent tells an action's process, and what that leaves for it: variables and files, as for any action.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The variables of a process, and where it stands.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    folder: PathBuf,
}

impl Environment {
    /// Of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let variables = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
        let folder = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        Self { variables: variables.collect(), folder }
    }

    /// Of these variables, in this folder.
    #[must_use]
    pub fn new<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>, folder: &Path) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self { variables: variables.into_iter().map(owned).collect(), folder: folder.to_owned() }
    }

    /// A variable; empty when it is not set.
    #[must_use]
    pub fn variable(&self, name: &str) -> &str {
        self.variables.get(name).map(String::as_str).unwrap_or_default()
    }

    /// The folder that relative paths start at.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `GITHUB_WORKSPACE`, or where the process stands.
    #[must_use]
    pub fn workspace(&self) -> &Path {
        match self.variable("GITHUB_WORKSPACE") {
            "" => &self.folder,
            workspace => Path::new(workspace),
        }
    }

    /// An input, without blanks around it; empty when it is not given.
    #[must_use]
    pub fn input(&self, name: &str) -> &str {
        self.variable(&format!("INPUT_{}", name.replace(' ', "_").to_uppercase())).trim()
    }

    /// An input that must be given.
    ///
    /// # Errors
    /// As GitHub's text.
    pub fn required(&self, name: &str) -> Result<&str, Failure> {
        match self.input(name) {
            "" => Err(Failure::new(format!("Input required and not supplied: {name}"))),
            value => Ok(value),
        }
    }

    /// An input that is `true` or `false` in YAML.
    ///
    /// # Errors
    /// As GitHub's text.
    pub fn boolean(&self, name: &str) -> Result<bool, Failure> {
        match self.input(name) {
            "true" | "True" | "TRUE" => Ok(true),
            "false" | "False" | "FALSE" => Ok(false),
            _ => Err(Failure::new(format!(
                "Input does not meet YAML 1.2 \"Core Schema\" specification: {name}\n\
                 Support boolean input list: `true | True | TRUE | false | False | FALSE`"
            ))),
        }
    }

    /// What the action saved before.
    #[must_use]
    pub fn state(&self, name: &str) -> &str {
        self.variable(&format!("STATE_{name}")).trim()
    }

    /// Sets an output of the step.
    ///
    /// # Errors
    /// When its file can't be written.
    pub fn set_output(&self, name: &str, value: &str) -> Result<(), Failure> {
        self.append("GITHUB_OUTPUT", name, value)
    }

    /// Saves something for what the action does after the steps.
    ///
    /// # Errors
    /// When its file can't be written.
    pub fn save_state(&self, name: &str, value: &str) -> Result<(), Failure> {
        self.append("GITHUB_STATE", name, value)
    }

    fn append(&self, file: &str, name: &str, value: &str) -> Result<(), Failure> {
        let path = Path::new(self.variable(file));
        // No value holds it but by chance, and then it is taken anew.
        let delimiter = loop {
            let delimiter = format!("ghadelimiter_{:016x}", RandomState::new().hash_one(name));
            if !value.contains(&delimiter) {
                break delimiter;
            }
        };
        let text = format!("{name}<<{delimiter}\n{value}\n{delimiter}\n");
        let written =
            OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| Failure::at(path, error).after(&format!("cannot write {file}: ")))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn inputs_and_outputs_are_those_of_any_action() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("output");
        std::fs::write(&file, "").unwrap();
        let environment = Environment::new(
            [
                ("INPUT_RESTORE-KEYS", " a\n b "),
                ("INPUT_ENABLECROSSOSARCHIVE", "False"),
                ("INPUT_BAD", "yes"),
                ("GITHUB_OUTPUT", file.to_str().unwrap()),
            ],
            folder.path(),
        );
        assert_eq!(environment.input("restore-keys"), "a\n b");
        assert!(!environment.boolean("enableCrossOsArchive").unwrap());
        let refused = environment.boolean("bad").unwrap_err().to_string();
        assert!(refused.contains("YAML 1.2 \"Core Schema\" specification: bad"), "{refused}");
        let missing = environment.required("key").unwrap_err().to_string();
        assert_eq!(missing, "Input required and not supplied: key");
        environment.set_output("a", "1\n2").unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let delimiter = text.lines().next().unwrap().strip_prefix("a<<").unwrap();
        assert_eq!(text, format!("a<<{delimiter}\n1\n2\n{delimiter}\n"));
        assert!(environment.save_state("a", "1").unwrap_err().to_string().contains("GITHUB_STATE"));
    }
}
