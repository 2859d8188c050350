//! A repository as its author has it: a git checkout in a folder of its own, with workflows to run.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::{Outcome, RUNNER_IMAGE, program};

/// A git checkout with one commit, removed when dropped.
pub struct Checkout {
    folder: TempDir,
    /// The home of whoever works in it: what programs keep for their user lies here.
    home: TempDir,
}

impl Default for Checkout {
    fn default() -> Self {
        Self::new()
    }
}

impl Checkout {
    /// An empty repository with its first commit.
    #[must_use]
    pub fn new() -> Self {
        let folder = || tempfile::Builder::new().prefix("slipway-test-").tempdir().unwrap();
        let checkout = Self { folder: folder(), home: folder() };
        checkout.git(&["init", "--quiet", "--initial-branch=main"]);
        checkout.git(&["config", "user.name", "Tester"]);
        checkout.git(&["config", "user.email", "tester@example.com"]);
        checkout.write("README.md", "A repository to test with.\n");
        checkout.commit("Begin");
        checkout
    }

    /// One whose workflow `.github/workflows/ci.yml` is this.
    #[must_use]
    pub fn with_workflow(text: &str) -> Self {
        let checkout = Self::new();
        checkout.write(".github/workflows/ci.yml", text);
        checkout.commit("Add the workflow");
        checkout
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The folder in which its user's programs keep what may be lost.
    #[must_use]
    pub fn cache_home(&self) -> PathBuf {
        self.home.path().join("cache")
    }

    /// The folder in which they keep what should stay.
    #[must_use]
    pub fn state_home(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// Writes a file, and the folders that it needs; it is not committed.
    pub fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Commits everything and returns the commit.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs git here and returns what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git").current_dir(self.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// `slipway ARGUMENTS…` in this folder, with no server, no variable and no kept file of the tester's own.
    #[must_use]
    pub fn slipway(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("slipway"));
        command.current_dir(self.path()).args(arguments);
        for name in ["SLIPWAY_SERVER", "SLIPWAY_TOKEN", "GITHUB_ACTIONS", "CI"] {
            command.env_remove(name);
        }
        command.env("XDG_CACHE_HOME", self.cache_home()).env("XDG_STATE_HOME", self.state_home());
        command
    }

    /// `slipway run` of the workflow on a private fleet, to its end.
    #[must_use]
    pub fn run(&self) -> Outcome {
        self.run_with(&[])
    }

    /// The same with more arguments.
    #[must_use]
    pub fn run_with(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(&mut self.run_command(arguments))
    }

    /// The command of [`Checkout::run_with`], for tests that change its environment.
    #[must_use]
    pub fn run_command(&self, arguments: &[&str]) -> Command {
        let image = format!("ubuntu-latest={RUNNER_IMAGE}");
        let mut command = self.slipway(&["run", ".github/workflows/ci.yml", "--json", "--image", &image]);
        command.args(arguments);
        command
    }
}
