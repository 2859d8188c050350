//! Actions: what `uses` names.
//!
//! Deliberately absent: fetching; that is the agent's.

pub mod lock;
mod reference;

pub use reference::{ActionReference, ReferenceError};
