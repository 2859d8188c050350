//! What agents have from the engine.

use std::path::PathBuf;
use std::process::Command;

/// What agents have from the engine goes at the end: nobody will come back for it.
pub(super) struct Leftovers {
    pub(super) identities: Vec<PathBuf>,
}

impl Leftovers {
    pub(super) fn containers(&self, list: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        for file in &self.identities {
            let Ok(id) = std::fs::read_to_string(file) else { continue };
            let filter = format!("label=slipway.agent={}", id.trim());
            let listed = Command::new("docker").args(list).args(["--filter", &filter]).output().unwrap();
            let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
            found.extend(listed.split_whitespace().map(str::to_owned));
        }
        found
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        let removals: [(&[&str], &[&str]); 2] = [
            (&["ps", "--all", "--quiet"], &["rm", "--force", "--volumes"]),
            (&["network", "ls", "--quiet"], &["network", "rm"]),
        ];
        for (list, remove) in removals {
            let found = self.containers(list);
            if !found.is_empty() {
                let _ = Command::new("docker").args(remove).args(found).output();
            }
        }
    }
}
