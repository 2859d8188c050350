//! Builds the programs that run inside of job containers, init and the built-in actions, as static programs for the
//! agent's own target, so that the agent can carry them.
//!
//! Nested builds, because a static binary needs other flags than the agent, and a target folder of their own, because
//! cargo holds a lock on the one this build runs in. They use nothing that the agent's build has not fetched already,
//! so they work offline.

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

/// A program, which is a package's; its profile is named after it.
struct Program {
    package: &'static str,
    profile: &'static str,
    /// Where this build tells the agent's code its path.
    variable: &'static str,
    /// What it is made of, below the workspace.
    sources: &'static [&'static str],
}

const PROGRAMS: [Program; 2] = [
    Program {
        package: "slipway-init",
        profile: "init",
        variable: "SLIPWAY_INIT_PROGRAM",
        sources: &["agent/init"],
    },
    Program {
        package: "slipway-actions",
        profile: "actions",
        variable: "SLIPWAY_ACTIONS_PROGRAM",
        sources: &["agent/actions", "shared/glob"],
    },
];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("cannot build the container's programs: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let target = variable("TARGET")?;
    let workspace = manifest.parent().ok_or("the agent is not in a workspace")?;
    let sources = PROGRAMS.iter().flat_map(|program| program.sources);
    for input in sources.chain(&["Cargo.toml", "Cargo.lock"]) {
        println!("cargo:rerun-if-changed={}", workspace.join(input).display());
    }
    let folder = out.join("programs-target");
    for program in &PROGRAMS {
        run_cargo(workspace, &folder, &target, program)?;
        let path = folder.join(&target).join(program.profile).join(program.package);
        println!("cargo:rustc-env={}={}", program.variable, path.display());
    }
    Ok(())
}

fn run_cargo(workspace: &Path, folder: &Path, target: &str, program: &Program) -> Result<(), String> {
    let mut cargo = Command::new(variable("CARGO")?);
    cargo.current_dir(workspace).args(["build", "--package", program.package, "--bin", program.package]);
    cargo.args(["--profile", program.profile, "--target", target, "--target-dir"]).arg(folder);
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

/// A variable that cargo itself sets for this program. Nobody is to build it again because cargo's own surroundings have another one: `CARGO`
/// is there where a tool started cargo, and is not where a person did.
fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}
