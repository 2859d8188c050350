//! The pure scheduler: a state machine without clock, randomness, IO or async.
//!
//! [`decide`] turns a command into events or a [`Rejection`]; [`State::apply`] makes an event part of the state. Nothing
//! else changes it, so the journal's events, applied in order, always give the same state, and one seed of the simulator
//! reproduces any failure. Ids and the time arrive with each command.
//!
//! A driver goes: decide → append to the journal, durably → apply → effects (each [`Event`] says which) → answer.
//!
//! Invariants, as executable checks, are in [`invariant`]; bounds in [`limits`]. Deliberately absent: workflow
//! expressions (a planner outside answers [`Event::JobReady`]), log records, agents' sessions in the state (soft: see
//! [`fleet`]), and every way to fail in `apply`.

mod apply;
pub mod command;
mod decide;
pub mod event;
pub mod explain;
pub mod fleet;
pub mod ids;
pub mod invariant;
pub mod label;
pub mod limits;
pub mod outcome;
pub mod policy;
pub mod rejection;
pub mod state;
pub mod time;

pub use command::Command;
pub use decide::decide;
pub use event::Event;
pub use explain::{GaveUp, WaitReason, explain_job, explain_wait, gave_up};
pub use fleet::Fleet;
pub use ids::{AgentId, FencingToken, InstanceId, JobId, RunId};
pub use label::LabelSet;
pub use outcome::{CancelReason, FleetCause, GateVerdict, JobResult, Outcome};
pub use policy::Rules;
pub use rejection::{InvalidJobs, Rejection};
pub use state::State;
pub use time::{Timestamp, Uptime};
