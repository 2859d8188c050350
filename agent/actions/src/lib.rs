//! `actions/cache`, `actions/upload-artifact` and `actions/download-artifact` without Node: the same inputs, outputs,
//! messages and stored formats as the originals, so that either side of a save and a restore may be the original.
//!
//! The program (`src/bin/slipway-actions.rs`) runs inside of a job's container, as the job's user, in place of Node and a
//! script; the agent carries it and places it there. It speaks to the job's own results service (docs/RESULTS.md) over
//! the container's loopback, blocking, on a few threads.
//!
//! Invariant: memory is bounded by the limits in [`limits`], whatever the size of caches and artifacts.
//!
//! Deliberately absent: TLS, redirects, name resolution, GitHub's REST API. What needs these runs as the original.

pub mod artifact;
pub mod cache;
pub mod environment;
pub mod failure;
pub mod files;
pub mod limits;
pub mod say;
pub mod service;

use environment::Environment;
use failure::Failure;

/// Runs one of the actions: `command` is what the agent's manifest of it names, such as `cache restore`.
///
/// # Errors
/// What fails the step; the caller tells it.
pub fn run(command: &str, environment: &Environment) -> Result<(), Failure> {
    match command {
        "cache main" => cache::restore_action(environment, cache::Memory::State),
        "cache post" => {
            cache::save_action(environment, cache::Memory::State);
            Ok(())
        }
        "cache restore" => cache::restore_action(environment, cache::Memory::Outputs),
        "cache save" => {
            cache::save_action(environment, cache::Memory::Outputs);
            Ok(())
        }
        "artifact upload" => artifact::upload_action(environment),
        "artifact download" => artifact::download_action(environment),
        other => Err(Failure::new(format!("there is no action `{other}` in this program"))),
    }
}
