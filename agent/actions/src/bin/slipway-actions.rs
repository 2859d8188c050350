//! One of the built-in actions as a process; see the library. Its arguments name which one.

use std::process::ExitCode;

use slipway_actions::environment::Environment;
use slipway_actions::{run, say};

fn main() -> ExitCode {
    let command: Vec<String> = std::env::args().skip(1).collect();
    let environment = Environment::of_process();
    match run(&command.join(" "), &environment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say::error(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}
