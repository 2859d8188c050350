//! GitHub's own packages, under Node, as one process for a batch of inputs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value as Json;

/// The folder with the packages, made by `scripts/prepare-tests.sh`.
fn packages() -> PathBuf {
    std::env::var_os("SLIPWAY_GITHUB_PACKAGES").map(PathBuf::from).expect(
        "SLIPWAY_GITHUB_PACKAGES is not set: run the tests with nextest, or scripts/prepare-tests.sh first",
    )
}

/// Runs one of the scripts beside this file on JSON inputs, one a line; its answers, one a line.
pub(crate) fn ask(script: &str, arguments: &[&str], inputs: &[Json]) -> Vec<Json> {
    let packages = packages();
    // Node looks for packages beside the script.
    let here = tempfile::tempdir_in(&packages).unwrap();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("parity/oracle");
    for name in ["json_modules.mjs", script] {
        std::fs::copy(scripts.join(name), here.path().join(name)).unwrap();
    }
    let mut child = Command::new("node")
        .current_dir(here.path())
        .args(["--import", "./json_modules.mjs", script])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node is needed: run scripts/install-deps.sh --for-tests");
    let mut stdin = child.stdin.take().unwrap();
    let lines: Vec<String> = inputs.iter().map(Json::to_string).collect();
    let writer = std::thread::spawn(move || {
        for line in lines {
            // A process that ended is found out below.
            if writeln!(stdin, "{line}").is_err() {
                break;
            }
        }
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{script} failed");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{script}: {error}: {line}")))
        .collect()
}
