//! Actions: what `uses` names.
//!
//! Deliberately absent: fetching; that is the agent's.

mod reference;

pub use reference::{ActionReference, ReferenceError};
