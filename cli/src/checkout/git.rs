//! Questions to the git program.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::failure::Failure;

/// A git repository with a working tree.
#[derive(Debug, Clone)]
pub struct Git {
    root: PathBuf,
}

impl Git {
    /// Checks that git is there and accepts the repository.
    ///
    /// # Errors
    /// git is missing or refuses, in its own words.
    pub fn open(root: &Path) -> Result<Self, Failure> {
        let git = Git { root: root.to_path_buf() };
        let answer = git.run(&["rev-parse", "--is-inside-work-tree"])?;
        if answer.status.success() { Ok(git) } else { Err(git.refusal("rev-parse", &answer)) }
    }

    /// The answer's text without surrounding blanks; `None` where git has no answer or an empty one.
    pub fn ask(&self, arguments: &[&str]) -> Option<String> {
        let answer = self.run(arguments).ok().filter(|answer| answer.status.success())?;
        let text = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// The paths of a NUL-separated answer.
    ///
    /// # Errors
    /// git fails.
    pub fn paths(&self, arguments: &[&str]) -> Result<Vec<PathBuf>, Failure> {
        let answer = self.run(arguments)?;
        if !answer.status.success() {
            return Err(self.refusal(arguments.first().copied().unwrap_or_default(), &answer));
        }
        let parts = answer.stdout.split(|byte| *byte == 0).filter(|part| !part.is_empty());
        Ok(parts.map(|part| PathBuf::from(OsString::from_vec(part.to_vec()))).collect())
    }

    /// Runs git in the repository; it never asks on the terminal and takes no optional lock.
    ///
    /// # Errors
    /// git cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Result<Output, Failure> {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.root).args(arguments);
        // A hook that calls us sets these; they would point git elsewhere.
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
            command.env_remove(name);
        }
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_OPTIONAL_LOCKS", "0").stdin(Stdio::null());
        command.output().map_err(|error| {
            let root = self.root.display();
            Failure::usage(format!(
                "{root} is a git repository, but git cannot be started ({error}): install git"
            ))
        })
    }

    fn refusal(&self, what: &str, answer: &Output) -> Failure {
        let said = String::from_utf8_lossy(&answer.stderr);
        let said = said.lines().next().unwrap_or("no reason given").trim_start_matches("fatal: ");
        Failure::usage(format!("git {what} fails in {}: {said}", self.root.display()))
    }
}
