//! The format of a spool file: frames, one after the other, addressed by logical offsets that only grow.
//!
//! The logical offset of a frame is its offset in the file. The agent gives the space of frames that it no longer needs
//! back to the file system by punching holes, so the file's used size stays within the window while its length grows.
//!
//! ```text
//! offset  bytes  field
//!      0      4  length of the whole frame, header included
//!      4      4  CRC-32 (IEEE) over bytes 0..4 and 8..length
//!      8      1  0x53
//!      9      1  kind
//!     10      2  zero
//!     12      4  step number
//!     16      8  time, Unix milliseconds
//!     24      …  payload of the kind
//! ```

mod frame;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

pub use crate::fields::DecodeError;
pub use frame::{Body, Exit, ExitStatus, Frame, SpawnStage, StepEnd, Stream, decode, seal_output};
