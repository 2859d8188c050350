//! Actions: what `uses` names, and what an action's own file says.
//!
//! Deliberately absent: fetching; that is the agent's.

pub mod lock;
mod manifest;
mod reference;

pub use manifest::{ActionInput, Around, MANIFEST_NAMES, MAX_COMPOSITE_DEPTH, Manifest, Runs};
pub use reference::{ActionReference, BUILT_IN, ReferenceError};
