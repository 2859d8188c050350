//! What reports in JSON have in common: typed reading that keeps what is asked for, with lists of at most so many entries.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::ReportError;

/// A list of which at most `MOST` entries are kept; how many more there were is counted.
#[derive(Debug)]
pub(super) struct Some<T, const MOST: usize> {
    pub(super) kept: Vec<T>,
    pub(super) left_out: u64,
}

impl<T, const MOST: usize> Default for Some<T, MOST> {
    fn default() -> Self {
        Self { kept: Vec::new(), left_out: 0 }
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Some<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Entries<T, const MOST: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Entries<T, MOST> {
            type Value = Some<T, MOST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            /// Some tools write `null` for an empty list.
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Some::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut found = Some::default();
                while found.kept.len() < MOST {
                    match entries.next_element()? {
                        Option::Some(entry) => found.kept.push(entry),
                        None => return Ok(found),
                    }
                }
                while entries.next_element::<IgnoredAny>()?.is_some() {
                    found.left_out += 1;
                }
                Ok(found)
            }
        }

        from.deserialize_any(Entries::<T, MOST>(PhantomData))
    }
}

/// Whether what begins like this may be JSON.
pub(super) fn begins(head: &[u8]) -> bool {
    without_mark(head).trim_ascii_start().starts_with(b"{")
}

/// Reads a whole document.
///
/// # Errors
/// [`ReportError::Broken`]
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ReportError> {
    serde_json::from_slice(without_mark(bytes)).map_err(|error| ReportError::Broken {
        line: error.line().max(1),
        column: error.column().max(1),
        what: error.to_string(),
    })
}

/// Tools on Windows put a byte order mark first.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}
