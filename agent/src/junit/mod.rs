//! Test reports in the form of JUnit's XML, which nearly every test tool can write: found in a job's workspace when its steps
//! have ended, read, and sent with the job's records (docs/TESTS.md).
//!
//! [`collect`] finds ([`find`]) and reads ([`parse`]) them; [`records`] makes records of them. A job that is hostile gains
//! nothing: nothing outside of its workspace is opened, no link is followed, and everything has a limit, beyond which there is
//! a warning and never a failure.
//!
//! Deliberately absent: any influence on the job's result. What a report says was said by a process of the job, whose exit
//! code counts.

mod collect;
mod find;
mod parse;
mod patterns;
pub mod records;
#[cfg(test)]
mod tests;

pub use collect::{Collected, Report, Wanted, Warning, collect};
pub use parse::{Case, Outcome, Parsed, ReportError, Room, cut, parse};
pub use patterns::VARIABLE;
