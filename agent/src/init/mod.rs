//! The agent's side of a job container's init: the programs to mount, the socket to serve, the spool to read.
//!
//! How a job uses it: [`install`] once per agent, [`place`] and [`JobSocket::bind`] per job folder, [`Spool::create`],
//! then create and start the container with the job's run folder mounted read-only at `/.slipway` and `/.slipway/init`
//! as entrypoint, then [`JobSocket::accept`] with the container's pid. Steps are started through the [`InitLink`]; what
//! they do comes out of the [`SpoolReader`], and only there. After an agent restart the same calls, with
//! [`Spool::open`] instead of `create`, go on where the last agent stopped.
//!
//! Invariant: everything that comes from init (messages, offsets, frames) is checked, and what is wrong becomes an
//! error, never a panic and never more memory than the named limits.
//!
//! Deliberately absent: containers, steps' meaning, and what to do when init is lost.

mod error;
mod link;
mod program;
mod reader;
mod socket;
mod spool;

pub use error::{InitError, SpoolError};
pub use link::{Connection, InitEvent, InitEvents, InitLink, Ready};
pub use program::{Carried, Programs, install, place};
pub use reader::{SpoolReader, SpooledFrame};
pub use slipway_init::limits;
pub use slipway_init::protocol::{Rejection, RelayTarget, RunningStep, SpoolCondition, Start, StepPhase};
pub use slipway_init::spool::{Body, Exit, ExitStatus, Frame, SpawnStage, StepEnd, Stream};
pub use socket::{JobSocket, bind_socket};
pub use spool::{Claim, Spool};
