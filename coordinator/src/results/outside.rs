//! The readers of what clients send, without a service behind them: for the fuzzer, which is a program of its own.

use super::error::ResultsError;
use super::{block_list, range, twirp};

/// The blocks that an Azure block list names.
///
/// # Errors
/// [`ResultsError::Invalid`], [`ResultsError::TooLarge`].
pub fn block_list(body: &str) -> Result<Vec<String>, ResultsError> {
    block_list::parse(body)
}

/// First byte, and the one after the last, that a `Range` wants of so many; `None`: there is none such, or the header counts as
/// none.
#[must_use]
pub fn range(header: &str, size_bytes: u64) -> Option<(u64, u64)> {
    range::range(header).and_then(|range| range.of(size_bytes))
}

/// Reads a body as each message that a Twirp method takes, writes each that could be read and reads that again.
///
/// # Errors
/// The name of a message that came back as another one.
pub fn twirp(body: &[u8], json: bool) -> Result<usize, &'static str> {
    twirp::messages::there_and_back(body, json)
}
