//! The four roles.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What somebody may do; each role includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserRole {
    /// Looks at runs, logs and the fleet.
    Viewer,
    /// Starts, cancels and repeats runs.
    Developer,
    /// Lets jobs into environments.
    Approver,
    /// Everything.
    Admin,
}

impl UserRole {
    /// In one word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Developer => "developer",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for UserRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
