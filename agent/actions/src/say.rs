//! Lines of the log: plain ones, and GitHub's workflow commands.
//!
//! By `println!`, so that tests keep them to themselves. Init reads them for as long as the container lives.

/// As it is.
pub fn info(message: &str) {
    println!("{message}");
}

/// An annotation.
pub fn warning(message: &str) {
    println!("::warning::{}", escaped(message));
}

/// An annotation.
pub fn error(message: &str) {
    println!("::error::{}", escaped(message));
}

/// Shown when the run is debugged.
pub fn debug(message: &str) {
    println!("::debug::{}", escaped(message));
}

fn escaped(message: &str) -> String {
    message.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}
