//! Protobuf messages to core types and back.
//!
//! Everything that arrives is validated here, once, at the edge: ids are ids, digests are digests, sizes are within
//! their limits. Behind this crate no generated type and no unchecked string goes on. Deliberately absent: decisions,
//! IO, and any knowledge of who is connected.

pub mod digest;
pub mod enrolment;
mod error;
pub mod hello;
pub mod lease;
pub mod limits;
pub mod record;
pub mod record_digest;
pub mod records;
pub mod report;
mod report_files;
pub mod result;

pub use error::WireError;

#[cfg(test)]
#[allow(clippy::panic)]
mod tests;
