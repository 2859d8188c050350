//! Reports that a job's tools write, found in its workspace when its steps have ended, read, and sent with the job's records:
//! test cases in the form of JUnit's XML (docs/TESTS.md), coverage, findings and components (docs/REPORTS.md).
//!
//! [`collect()`] finds ([`find`]) files and tells what each is by what it begins with; there is a reader for each kind
//! ([`mod@junit`], [`lcov`], [`cobertura`], [`sarif`], [`sbom`]); [`records`] makes records of what they say and [`said`] lines of the log.
//! A job that is hostile gains nothing: nothing outside of its workspace is opened, no link is followed, and everything has a
//! limit, beyond which there is a warning and never a failure.
//!
//! Deliberately absent: any influence on the job's result. What a report says was said by a process of the job, whose exit
//! code counts.

pub mod cobertura;
mod collect;
mod find;
mod json;
mod junit;
pub mod lcov;
mod lines;
mod others;
#[cfg(test)]
mod others_tests;
mod patterns;
pub mod place;
pub mod records;
pub mod said;
pub mod sarif;
pub mod sbom;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tools_tests;

pub use collect::{Collected, Report, Wanted, Warning, collect};
pub use junit::{Case, Outcome, Parsed, ReportError, Room, cut, parse};
pub use others::{Bill, Covered, Found, Others};
pub use patterns::{OTHERS_VARIABLE, VARIABLE};
