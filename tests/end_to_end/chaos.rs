//! Short chaos campaigns: every kind of blow once, in an order of its own each time. `slipway-chaos` deals a thousand.

use std::process::{Command, Output, Stdio};

use serde_json::Value;
use slipway_tests::postgres::signal;
use slipway_tests::{Server, program, wait_until};

fn campaign(arguments: &[&str]) -> Command {
    let campaign = program("slipway-chaos");
    let mut command = match rustix::process::geteuid().is_root() {
        true => Command::new(campaign),
        // It makes network namespaces and mounts small disks.
        false => {
            let mut command = Command::new("sudo");
            command.args(["--non-interactive", "--preserve-env"]).arg(campaign);
            command
        }
    };
    command.args(arguments);
    command
}

fn holds(output: &Output, kinds: usize) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}", String::from_utf8_lossy(&output.stdout));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["kinds"].as_object().unwrap().len(), kinds, "{told}");
    for nought in
        ["lost", "counted_twice", "strict_overlaps", "lines_missing", "cache_wrong", "cache_failures"]
    {
        assert_eq!(told[nought], 0, "{told}");
    }
    // What holds of nothing says nothing.
    let count = |name: &str| told[name].as_u64().unwrap();
    assert!(count("executions") >= count("jobs") / 2, "{told}");
    assert!(count("jobs") >= 8 && count("cache_puts") > 0 && count("cache_hits") > 0, "{told}");
}

#[test]
fn every_kind_of_blow_once() {
    let kinds = kinds(&[]);
    let output = campaign(&["--json", "--kills", &kinds.to_string()]).output().unwrap();
    holds(&output, kinds);
}

#[test]
fn every_kind_of_blow_once_at_a_single_coordinator() {
    let kinds = kinds(&["--single"]);
    let output = campaign(&["--single", "--json", "--kills", &kinds.to_string()]).output().unwrap();
    holds(&output, kinds);
}

#[test]
fn an_interrupted_campaign_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut server = Server::start(&mut campaign(&["--single", "--kills", "100000"]), &log);
    let said = || std::fs::read_to_string(&log).unwrap();
    let left = |marks: &[String]| {
        let listed = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).stderr(Stdio::null()).output().unwrap();
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let all =
            [listed("mount", &[]), listed("ip", &["netns", "list"]), listed("ps", &["-eo", "args"])].concat();
        let found = all.lines().filter(|line| marks.iter().any(|mark| line.contains(mark)));
        found.map(str::to_owned).collect::<Vec<_>>()
    };
    let folder = wait_until("a blow was dealt", || {
        let said = said();
        said.contains("runs finished").then_some(())?;
        Some(said.lines().find_map(|line| line.split_once("logs in ")).unwrap().1.to_owned())
    });
    let pid = own_pid(server.pid());
    let marks = [folder.clone(), format!("slipway-chaos-{pid}")];
    assert!(left(&marks).len() > 5, "{:?}", left(&marks));
    signal("-INT", &[pid]);
    wait_until("it has ended", || (!server.runs()).then_some(()));
    assert!(said().contains("interrupted"), "{}", said());
    assert_eq!(left(&marks), Vec::<String>::new());
    assert!(!std::path::Path::new(&folder).exists());
}

/// The campaign's own process, which may be the child of `sudo`.
fn own_pid(pid: u32) -> u32 {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    match name.trim() {
        "sudo" => own_pid(children.split_whitespace().next().unwrap().parse().unwrap()),
        _ => pid,
    }
}

/// How many kinds it can deal, from what it says of one that it does not know.
fn kinds(shape: &[&str]) -> usize {
    let mut command = Command::new(program("slipway-chaos"));
    let output = command.args(shape).args(["--kinds", "none-such"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    let (_, names) = said.split_once("use some of ").unwrap_or_else(|| panic!("no names: {said}"));
    names.lines().next().unwrap().split(", ").count()
}
