//! What Slipway's container init and the agent say to each other: the protocol on the control socket and the format of
//! the spool file. docs/INIT.md describes both byte by byte; this crate is the one implementation, used on both ends.
//!
//! Invariant: decoding arbitrary bytes never panics and never allocates more than the named limits allow; what has been
//! decoded can be encoded again to the same bytes.
//!
//! Deliberately absent: any IO, clock or process, but for the kernel's routing rules ([`rules`]), which both ends look at, and [`removal`], which either does. The program (`slipway-init`, PID 1 of every job container) is in
//! `src/bin/slipway-init`, the agent's side of the link in the agent's `init` module.

pub mod limits;
pub mod protocol;
pub mod removal;
pub mod rules;
pub mod spool;

mod fields;
