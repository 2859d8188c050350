//! The whole control plane in one thread: three coordinators with the *real* driver over one journal, agents with the real
//! lease guard and their logs, clients that submit until they are answered, and a network between them.
//!
//! Real code: scheduler, driver (batches, sessions, effects, recovery, snapshots), the journal's records with their chain, the
//! watermark, the agent's guard, the digest of log records. Models: the journal's server ([`disk`]), connections
//! ([`link`]), what an agent does beside its guard ([`agent`]), the log store ([`logs`]). Deliberately absent: the engines'
//! SQL, gRPC's bytes, containers; docs/SIMULATOR.md says what is not covered here and by which tests it is.

mod agent;
mod batch;
mod chaos;
mod client;
mod disk;
mod handle;
mod host;
mod jobs;
mod link;
mod logs;
mod site;
mod truth;
mod world;

pub(crate) use world::run;
