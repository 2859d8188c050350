//! The machine: disk, memory, network, emulation, programs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use slipway_agent::disk::decide::Level;
use slipway_agent::disk::mark::Marks;
use slipway_agent::disk::space::Space;

use super::{Finding, Status};

/// Below this much available memory jobs are killed, in bytes.
const MEMORY_LOW_BYTES: u64 = 1 << 30;

/// How long a name may take to be resolved.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A name that most workflows need.
const FORGE: &str = "github.com:443";

const GIB: f64 = (1_u64 << 30) as f64;

/// All that is found.
pub(super) async fn look(data_dir: &Path, engine_root: Option<&Path>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for place in [Some(data_dir), engine_root].into_iter().flatten() {
        let place = existing(place);
        // Two folders of one disk are one finding.
        let device = std::fs::metadata(&place).map(|about| std::os::unix::fs::MetadataExt::dev(&about)).ok();
        if device.is_none_or(|device| seen.insert(device)) {
            findings.push(disk(&place));
        }
    }
    findings.push(memory());
    findings.push(network().await);
    findings.push(emulation());
    findings.push(git());
    findings
}

/// The folder, or the nearest one above it that there is.
fn existing(place: &Path) -> PathBuf {
    place.ancestors().find(|place| place.exists()).unwrap_or_else(|| Path::new("/")).to_owned()
}

fn disk(place: &Path) -> Finding {
    let space = match Space::of(place) {
        Ok(space) => space,
        Err(error) => {
            return Finding::new("disk", Status::Failed, format!("{}: {error}", place.display()), "");
        }
    };
    // An agent's own marks, unless it was given others.
    let level = Marks::default().level(Level::Roomy, &space);
    let status = match level {
        Level::Roomy => return Finding::ok("disk", space.words(place)),
        Level::Low => Status::Warning,
        Level::Full => Status::Failed,
    };
    let hint = "an agent takes no new jobs until there is more: remove unused images with `docker system prune`, or enlarge the disk";
    Finding::new("disk", status, space.told(level, place), hint)
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

fn memory() -> Finding {
    let read = std::fs::read_to_string("/proc/meminfo").ok();
    let Some(bytes) = read.as_deref().and_then(available) else {
        return Finding::new("memory", Status::Note, "cannot be told: /proc/meminfo is not as expected", "");
    };
    let found = format!("{:.1} GiB available", bytes as f64 / GIB);
    match bytes < MEMORY_LOW_BYTES {
        true => Finding::new("memory", Status::Warning, found, "give the machine fewer slots or more memory"),
        false => Finding::ok("memory", found),
    }
}

async fn network() -> Finding {
    let forwards = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward");
    if forwards.is_ok_and(|forwards| forwards.trim() == "0") {
        return Finding::new(
            "network",
            Status::Warning,
            "this machine does not forward packets: containers reach nobody",
            "sysctl -w net.ipv4.ip_forward=1 (Docker sets it when it starts)",
        );
    }
    let name = FORGE.split(':').next().unwrap_or(FORGE);
    let resolved = tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host(FORGE)).await;
    match resolved.is_ok_and(|resolved| resolved.is_ok_and(|found| found.count() > 0)) {
        true => Finding::ok("network", format!("{name} is resolved")),
        false => Finding::new(
            "network",
            Status::Note,
            format!("{name} is not resolved"),
            "without it actions come from a mirror: --actions-source (docs/ACTIONS.md)",
        ),
    }
}

/// Whether programs of the other architecture run here, in containers too: the flag F opens the emulator beforehand.
fn emulation() -> Finding {
    let (other, name) = match std::env::consts::ARCH {
        "aarch64" => ("X64", "qemu-x86_64"),
        _ => ("ARM64", "qemu-aarch64"),
    };
    let entry = std::fs::read_to_string(Path::new("/proc/sys/fs/binfmt_misc").join(name)).ok();
    match entry.as_deref().map(usable) {
        Some(true) => Finding::ok("emulation", format!("{other} programs run here, emulated")),
        Some(false) => Finding::new(
            "emulation",
            Status::Note,
            format!("{name} is registered, but off or without the flag F: {other} containers cannot start"),
            format!("update-binfmts --enable {name}"),
        ),
        None => Finding::new(
            "emulation",
            Status::Note,
            format!("{other} programs do not run here; only an agent with --arch {other} would need it"),
            "",
        ),
    }
}

/// Whether an entry of binfmt_misc works inside containers.
fn usable(entry: &str) -> bool {
    let flags = entry.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or_default();
    entry.lines().next() == Some("enabled") && flags.contains('F')
}

fn git() -> Finding {
    match std::process::Command::new("git").arg("--version").output() {
        Ok(output) if output.status.success() => {
            Finding::ok("git", String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        _ => Finding::new(
            "git",
            Status::Warning,
            "there is no git: agents cannot check anything out, and the coordinator cannot read workflows",
            "apt-get install git",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read() {
        assert_eq!(available("MemTotal: 10 kB\nMemAvailable:   2048 kB\n"), Some(2 << 20));
        assert_eq!(available("MemTotal: 10 kB\n"), None);
        assert_eq!(available("MemAvailable: lots\n"), None);
    }

    #[test]
    fn an_emulator_has_to_be_on_and_opened_beforehand() {
        assert!(usable("enabled\ninterpreter /usr/bin/qemu\nflags: PF\n"));
        assert!(!usable("enabled\ninterpreter /usr/bin/qemu\nflags: P\n"));
        assert!(!usable("disabled\nflags: PF\n"));
        assert!(!usable(""));
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_looked_at_above() {
        assert_eq!(existing(Path::new("/no/such/folder")), Path::new("/"));
    }
}
