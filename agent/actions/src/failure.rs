//! What went wrong, in the words that the log shows.

use std::fmt;
use std::io;
use std::path::Path;

/// A failure. It travels through [`io::Error`] and comes out again as itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    message: String,
    /// Whether the service itself failed (5xx).
    pub of_server: bool,
}

impl Failure {
    /// One sentence.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), of_server: false }
    }

    /// The same, of a service that answered 5xx.
    #[must_use]
    pub fn of_server(message: impl Into<String>) -> Self {
        Self { message: message.into(), of_server: true }
    }

    /// What became of a file.
    #[must_use]
    pub fn at(path: &Path, error: io::Error) -> Self {
        match Self::inside(&error) {
            Some(failure) => failure,
            None => Self::new(format!("{}: {error}", path.display())),
        }
    }

    /// The same sentence, with more before it.
    #[must_use]
    pub fn after(self, prefix: &str) -> Self {
        Self { message: format!("{prefix}{}", self.message), ..self }
    }

    fn inside(error: &io::Error) -> Option<Self> {
        error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()).cloned()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::inside(&error).unwrap_or_else(|| Self::new(error.to_string()))
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        io::Error::other(failure)
    }
}
