//! The programs that are measured, built as this one was, so that one command measures what lies in the checkout.

use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// What the figures start.
const PACKAGES: [&str; 3] = ["slipway", "slipway-coordinator", "slipway-agent"];

/// Builds the programs into the folder that this one lies in; a moment when they are there. With `SLIPWAY_BIN_DIR` they come from there,
/// as they are.
///
/// # Errors
/// When cargo is missing or fails; it says why itself.
pub fn build() -> anyhow::Result<()> {
    if std::env::var_os("SLIPWAY_BIN_DIR").is_some() {
        return Ok(());
    }
    let this = std::env::current_exe()?;
    // target/release/slipway-bench
    let folder = this.parent().context("this program lies in a folder")?;
    let profile =
        folder.file_name().and_then(|name| name.to_str()).context("it lies in a profile's folder")?;
    let profile = if profile == "debug" { "dev" } else { profile };
    let target = folder.parent().context("it lies in cargo's target folder")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--locked", "--bins", "--profile", profile, "--target-dir"]).arg(target);
    build.args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")]);
    build.args(PACKAGES.iter().flat_map(|package| ["--package", package]));
    // The figures alone are this program's output; what cargo does, which may take long, it says as ever.
    let status = build.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.context(
        "cargo could not be started; build the programs and name their folder with SLIPWAY_BIN_DIR",
    )?;
    if !status.success() {
        bail!("the programs to be measured could not be built");
    }
    Ok(())
}
