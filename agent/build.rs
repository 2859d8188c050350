//! Builds the job container's init as a static program for the agent's own target, so that the agent can carry it.
//!
//! A nested build, because a static binary needs other flags than the agent, and a target folder of its own, because
//! cargo holds a lock on the one this build runs in. It uses nothing that the agent's build has not fetched already,
//! so it works offline.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What cargo, clippy, coverage tools and people set for the outer build and what must not reach the inner one: other
/// flags, other target folders, and wrappers that replace the compiler.
const NOT_INHERITED: [&str; 9] = [
    "RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_BUILD_BUILD_DIR",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CLIPPY_ARGS",
];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("cannot build the container's init: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let target = variable("TARGET")?;
    let workspace = manifest.parent().ok_or("the agent is not in a workspace")?;
    for input in [manifest.join("init"), workspace.join("Cargo.toml"), workspace.join("Cargo.lock")] {
        println!("cargo:rerun-if-changed={}", input.display());
    }
    let folder = out.join("init-target");
    run_cargo(workspace, &folder, &target)?;
    let program = folder.join(&target).join("init").join("slipway-init");
    println!("cargo:rustc-env=SLIPWAY_INIT_PROGRAM={}", program.display());
    Ok(())
}

fn run_cargo(workspace: &Path, folder: &Path, target: &str) -> Result<(), String> {
    let mut cargo = Command::new(variable("CARGO")?);
    cargo.current_dir(workspace).args(["build", "--package", "slipway-init", "--bin", "slipway-init"]);
    cargo.args(["--profile", "init", "--target", target, "--target-dir"]).arg(folder);
    if workspace.join("Cargo.lock").is_file() {
        cargo.arg("--locked");
    }
    for name in NOT_INHERITED {
        cargo.env_remove(name);
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static");
    let status = cargo.status().map_err(|error| format!("cannot run cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("cargo ended with {status}; its messages are above")) }
}

fn variable(name: &str) -> Result<String, String> {
    println!("cargo:rerun-if-env-changed={name}");
    env::var(name).map_err(|error| format!("{name}: {error}"))
}
