//! Starts agents when jobs wait for them and stops those that nobody needs: `[[scaler]]` of the configuration file (docs/FLEET.md).
//!
//! Once a second it looks at the pools, [`decide`] says what to do, the journal takes it ([`ScaleEvent`]), and only then a driver
//! ([`command`], [`webhook`], [`systemd`]) is called. Invariant: an agent is asked for durably before anybody is told to start it, under a name that is
//! its own; so a leader that comes after a crash repeats at most a call, with the same name, and never asks for another in its place. Deliberately
//! absent: knowledge of any cloud, and of machines that it did not ask for; those it counts and leaves alone.

mod call;
mod command;
mod decide;
pub mod limits;
mod shown;
mod state;
mod systemd;
mod task;
mod webhook;
mod world;

pub use shown::{ScaledAgent, ScalerView, Scalers};
pub use state::{Memory, Order, Phase, ScaleEvent, Scaling};
pub(crate) use task::run;
