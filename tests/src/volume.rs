//! A volume of the engine, for what jobs and their test tell each other.

use std::process::Command;

use crate::{RUNNER_IMAGE, docker};

/// A volume that goes with its value. Whoever a job's user is may write into it.
pub struct Volume(String);

impl Default for Volume {
    fn default() -> Self {
        Self::new()
    }
}

impl Volume {
    /// An empty one.
    ///
    /// # Panics
    /// When the engine refuses.
    #[must_use]
    pub fn new() -> Self {
        let volume = Self(docker(&["volume", "create"]));
        volume.sh("chmod 0777 /volume");
        volume
    }

    /// What the engine calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Runs a script that finds it in `/volume`, and gives what it printed.
    ///
    /// # Panics
    /// When the script fails.
    #[must_use]
    pub fn read(&self, script: &str) -> String {
        let mount = format!("{}:/volume", self.0);
        docker(&[
            "run",
            "--rm",
            "--network",
            "none",
            "--user",
            "0",
            "--volume",
            &mount,
            RUNNER_IMAGE,
            "sh",
            "-c",
            script,
        ])
    }

    /// The same for what it does alone.
    ///
    /// # Panics
    /// When the script fails.
    pub fn sh(&self, script: &str) {
        let _printed = self.read(script);
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // A container that is just going may still hold it; then it stays.
        let _ = Command::new("docker").args(["volume", "rm", "--force", &self.0]).output();
    }
}
