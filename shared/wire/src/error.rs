//! What can be wrong with a message.

use thiserror::Error;

/// A message that does not say what its protocol asks for. The text names the field and what it must be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WireError {
    /// A field that must be there is not.
    #[error("`{field}` is missing")]
    Missing {
        /// The field, with its message.
        field: &'static str,
    },
    /// A field holds something else than it must.
    #[error("`{field}` is `{value}`; it must be {expected}")]
    Invalid {
        /// The field, with its message.
        field: &'static str,
        /// What it holds, shortened.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A field is larger than its limit.
    #[error("`{field}` has {actual}; at most {limit} are accepted")]
    TooLarge {
        /// The field, with its message.
        field: &'static str,
        /// Its size or number.
        actual: u64,
        /// The limit, in the same unit.
        limit: u64,
    },
    /// The peer speaks a protocol that this build does not.
    #[error("the peer speaks protocol {theirs}, this build speaks {ours}; upgrade the older of the two")]
    Protocol {
        /// The peer's version.
        theirs: u32,
        /// Ours.
        ours: u32,
    },
}

impl WireError {
    /// An [`WireError::Invalid`] that quotes at most 64 characters of the value.
    pub(crate) fn invalid(field: &'static str, value: impl ToString, expected: &'static str) -> Self {
        let value = value.to_string().chars().take(64).flat_map(char::escape_debug).collect();
        Self::Invalid { field, value, expected }
    }

    /// Refuses what is larger than its limit.
    pub(crate) fn check_limit(field: &'static str, actual: usize, limit: usize) -> Result<(), Self> {
        if actual > limit {
            return Err(Self::TooLarge { field, actual: actual as u64, limit: limit as u64 });
        }
        Ok(())
    }
}
