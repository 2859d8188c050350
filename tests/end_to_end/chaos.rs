//! A short chaos campaign: every kind of blow once, in an order of its own each time. `slipway-chaos` deals a thousand.

use std::process::Command;

use serde_json::Value;
use slipway_tests::program;

#[test]
fn every_kind_of_blow_once() {
    let campaign = program("slipway-chaos");
    let kinds = campaign_kinds(&campaign);
    let mut command = match rustix::process::geteuid().is_root() {
        true => Command::new(campaign),
        // It makes network namespaces and mounts small disks.
        false => {
            let mut command = Command::new("sudo");
            command.args(["--non-interactive", "--preserve-env"]).arg(campaign);
            command
        }
    };
    let output = command.args(["--json", "--kills", &kinds.to_string()]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}", String::from_utf8_lossy(&output.stdout));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["kinds"].as_object().unwrap().len(), kinds, "{told}");
    for nought in ["lost", "counted_twice", "strict_overlaps", "lines_missing"] {
        assert_eq!(told[nought], 0, "{told}");
    }
    // What holds of nothing says nothing.
    assert!(told["executions"].as_u64().unwrap() >= told["jobs"].as_u64().unwrap() / 2, "{told}");
    assert!(told["jobs"].as_u64().unwrap() >= 16, "{told}");
}

/// How many kinds it knows, from what it says to one that it does not.
fn campaign_kinds(campaign: &std::path::Path) -> usize {
    let output = Command::new(campaign).args(["--kinds", "none-such"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    let (_, names) = said.split_once("use some of ").unwrap_or_else(|| panic!("no names: {said}"));
    names.lines().next().unwrap().split(", ").count()
}
