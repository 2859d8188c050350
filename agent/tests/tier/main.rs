//! The agent's disk before a real coordinator's cache, through a job's relay socket.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod doors;
mod job;
mod refused;
mod saved;
mod scopes;
mod trouble;
