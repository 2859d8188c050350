//! PID 1 of every job container: takes orders from the agent on a socket, starts steps, reaps orphans, and writes what
//! steps put out and how they end to a spool that the agent reads.
//!
//! Invariants: one thread, and nothing in the loop blocks; memory is bounded by named limits; output that was read from
//! a pipe is in the spool before more is read; nothing here depends on the agent being alive.
//!
//! Deliberately absent: shells, users (steps run as the container's user), networks, and any knowledge of workflows.

mod engine;
mod link;
mod orders;
mod pump;
mod relay;
mod spawn;
mod spool;
mod step;
mod system;
mod turn;

use slipway_init::limits::{CLEAR_FLAG, MOUNT_PATH, PROTOCOL_VERSION, RULES_FLAG, SOCKET_NAME, exit_code};
use std::ffi::OsString;
use std::path::PathBuf;

const USAGE: &str = "usage: init [--version | --rules RANGE | --clear FOLDER | SOCKET]
PID 1 of Slipway's job containers. SOCKET is the agent's control socket, by default /.slipway/control.sock.";

fn main() {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let socket = match arguments.as_slice() {
        [] => PathBuf::from(MOUNT_PATH).join(SOCKET_NAME),
        [flag] if flag == "--version" => {
            println!("slipway-init {} protocol {PROTOCOL_VERSION}", env!("CARGO_PKG_VERSION"));
            return;
        }
        [flag, range] if flag == RULES_FLAG => std::process::exit(add_rules(&range.to_string_lossy())),
        [flag, folder] if flag == CLEAR_FLAG => std::process::exit(clear(folder.as_ref())),
        [path] if !path.as_encoded_bytes().starts_with(b"-") => PathBuf::from(path),
        _ => {
            eprintln!("{USAGE}");
            std::process::exit(2);
        }
    };
    let code = match engine::Engine::new(socket) {
        Ok(mut engine) => engine.run(),
        Err(error) => {
            eprintln!("slipway-init: cannot start: {error}");
            exit_code::CANNOT_START
        }
    };
    std::process::exit(code);
}

/// Likewise, for an agent that may not remove what its jobs' users made.
fn clear(folder: &std::path::Path) -> i32 {
    match slipway_init::removal::empty(folder) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("slipway-init: cannot empty {}: {error}", folder.display());
            exit_code::CANNOT_START
        }
    }
}

/// Not as PID 1 of a job: in a container of its own, with the right to (see [`slipway_init::rules`]).
fn add_rules(range: &str) -> i32 {
    let added = match slipway_init::rules::range(range) {
        Some(range) => slipway_init::rules::add(range).map_err(|error| error.to_string()),
        None => Err(format!("`{range}` is no range of addresses")),
    };
    match added {
        Ok(()) => 0,
        Err(why) => {
            eprintln!("slipway-init: cannot add routing rules: {why}");
            exit_code::CANNOT_START
        }
    }
}
