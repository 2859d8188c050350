//! Messages on the control socket: [`Order`]s from the agent, [`Report`]s from init.
//!
//! A message is a little-endian `u32` length of what follows, a kind byte, and the fields of that kind. Both ends bound
//! the length before they store anything. Versions are settled in the first two messages (`Hello`, `Welcome`); after
//! that every message is exactly of that version, so unknown kinds and trailing bytes are errors.

mod framing;
mod order;
mod report;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

pub use crate::fields::DecodeError;
pub use framing::MessageBuffer;
pub use order::{Order, RelayTarget, Start};
pub use report::{Rejection, Report, RunningStep, SpoolCondition, StepPhase};

use std::fmt;

/// An order that can't be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EncodeError {
    /// The message would exceed its limit.
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The value is not one that the other end would take, for the named reason.
    BadValue(&'static str),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { length, limit } => {
                write!(f, "arguments and environment take {length} bytes, the limit is {limit}")
            }
            Self::BadValue(what) => write!(f, "{what} has a value that is not allowed"),
        }
    }
}

impl std::error::Error for EncodeError {}

/// Puts the length in front of a body that was appended to four placeholder bytes.
fn seal(mut message: Vec<u8>, limit: usize) -> Result<Vec<u8>, EncodeError> {
    let length = message.len().saturating_sub(4);
    if length > limit {
        return Err(EncodeError::TooLong { length, limit });
    }
    let prefix = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    for (to, from) in message.iter_mut().zip(prefix) {
        *to = from;
    }
    Ok(message)
}
