//! Programs of the system.

use std::process::Command;

/// Runs one to its end and gives back what it printed.
///
/// # Panics
/// When it fails.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| {
        panic!("{program}: {error}; scripts/install-deps.sh --for-tests installs what is missing")
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?} failed: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The same where it may fail.
pub(crate) fn attempt(program: &str, arguments: &[&str]) {
    let _ = Command::new(program).args(arguments).output();
}
