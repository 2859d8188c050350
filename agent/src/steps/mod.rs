//! What GitHub Actions means by a step: shells, environment files, workflow commands, masks, contexts, outcomes.
//!
//! Bytes and values in, decisions out. Nothing here starts a process, opens a connection or reads a clock; the only
//! module that touches the disk is [`hash_files`]. The runner drives it: it writes the script that [`shell`] makes,
//! hands the environment of [`environment`] to the job's init, feeds the spool to [`output`] and, when the step has
//! ended, its files to [`env_files`]; [`state`] is what it must remember between steps and over its own restart.
//!
//! Invariants: the same spool gives the same records ([`output`] has no other input), and no text leaves unmasked
//! except through the types that say so.
//!
//! Deliberately absent: what an action is; for this module its process is one like others.

pub mod annotations;
pub mod commands;
pub mod contexts;
pub mod env_files;
pub mod environment;
pub mod hash_files;
pub mod header;
pub mod lines;
pub mod mask;
pub mod matchers;
pub mod outcome;
pub mod output;
pub mod shell;
pub mod state;
pub mod values;
