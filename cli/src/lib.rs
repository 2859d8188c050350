//! The slipway command line, and everything in one process.
//!
//! [`run`] is the whole program: it reads the command line, does one command and gives the exit code of the
//! contract. One file per command lies in [`commands`]; what several share lies beside it: the checkout, the
//! client of `/api/v1`, the embedded fleet, and output that is safe on any terminal.
//!
//! Invariant: bad input ends with one message and an exit code, never with a panic; standard output carries results
//! only, everything else goes to standard error.

pub mod checkout;
pub mod cli;
pub mod client;
pub mod commands;
pub mod failure;
pub mod fleet;
pub mod follow;
pub mod input;
pub mod local_run;
pub mod occasion;
pub mod output;
pub mod settings;
pub mod used_actions;
pub mod user_folders;
pub mod workflow_file;

pub use cli::run;
