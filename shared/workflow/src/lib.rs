//! The workflow language: parsing, expressions, matrix and planning.
//!
//! Pure: no IO, no clock, no async, no hash-ordered map. The coordinator plans with it, the agent evaluates step
//! expressions with it, the command line lints with it.
//!
//! The way through: [`syntax::parse`] makes a [`syntax::Workflow`] from a file, by way of [`yaml`];
//! [`filter::triggered`] says whether an event starts it; [`plan::prepare`] and [`plan::resolve_job`] make
//! [`job_spec::JobSpec`]s; [`expression`] evaluates what is in them.

pub mod action;
pub mod calls;
pub mod diagnostics;
pub mod expression;
pub mod filter;
pub mod job_spec;
pub mod matrix;
pub mod plan;
pub mod schedule;
pub mod settings;
pub mod syntax;
pub mod value;
pub mod yaml;
