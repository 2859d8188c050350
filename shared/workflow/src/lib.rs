//! The workflow language: parsing, expressions, matrix and planning.
//!
//! Pure: no IO, no clock, no async, no hash-ordered map. The coordinator plans with it, the agent evaluates step
//! expressions with it, the command line lints with it.

pub mod job_spec;
