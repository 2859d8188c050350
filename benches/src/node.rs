//! GitHub's own packages under Node, as baselines.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde::de::DeserializeOwned;

/// The packages that are measured against.
const PACKAGES: [&str; 3] =
    ["@actions/workflow-parser@0.3.61", "@actions/expressions@0.3.61", "@actions/cache@6.3.0"];

/// Where the packages are, installed at the first use.
fn folder() -> anyhow::Result<PathBuf> {
    let folder = std::env::temp_dir().join("slipway-bench-packages");
    if !folder.join("node_modules/@actions/cache").exists() {
        let status = Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
            .arg(&folder)
            .args(PACKAGES)
            .status()
            .context("npm is needed for the baseline: install Node.js 20 or newer")?;
        if !status.success() {
            bail!("npm could not install {}", PACKAGES.join(", "));
        }
    }
    Ok(folder)
}

/// A script of `benches/baseline` beside the packages, as a process that is still to be given its environment.
///
/// # Errors
/// When the packages can't be had.
pub fn command(script: &str) -> anyhow::Result<Command> {
    let folder = folder()?;
    let place = folder.join(script);
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline").join(script), &place)?;
    let mut command = Command::new("node");
    command.arg(place);
    Ok(command)
}

/// Runs a script of `benches/baseline` beside the packages, with `input` on its standard input; its one line of JSON.
///
/// # Errors
/// When Node or the packages can't be had, or the script fails.
pub fn run<T: DeserializeOwned>(script: &str, arguments: &[String], input: &str) -> anyhow::Result<T> {
    let folder = folder()?;
    let baseline = Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline");
    for name in ["json_modules.mjs", script] {
        std::fs::copy(baseline.join(name), folder.join(name))?;
    }
    let mut child = Command::new("node")
        .current_dir(&folder)
        .args(["--import", "./json_modules.mjs", script])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("node is needed for the baseline: install Node.js 20 or newer")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("the baseline {script} failed");
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("{script} printed no figures"))
}
