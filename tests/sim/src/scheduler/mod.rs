//! The scheduler's world: the pure scheduler and its fleet, in a world as hostile as can be.
//!
//! A coordinator that crashes and is followed by another from the journal alone; agents that crash, come back with or without
//! their jobs, are cut off, drain; messages that are lost, repeated and overtake each other, harsher than any connection; a
//! wall clock that jumps; people who submit, cancel, submit the same delivery twice, and ask for what makes no sense.
//!
//! Besides the scheduler's own invariants ([`slipway_scheduler::invariant`]) it knows what *really* happened
//! ([`crate::oracle`]): which agent executed what, how it ended. Deliberately absent: any knowledge of the real driver, which
//! [`crate::whole`] has.

mod agent;
mod chaos;
mod coordinator;
mod message;
mod nonsense;
mod unfair;
mod world;

pub(crate) use world::run;
