//! Which secrets are kept, and for whom.

use serde::{Deserialize, Serialize};
use slipway_scheduler::Timestamp;

/// Whose jobs see a secret. Of several with one name the nearest counts: environment, repository, server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "scope", rename_all = "snake_case")]
pub enum SecretPlace {
    /// All jobs.
    Server,
    /// Those of a repository.
    Repository {
        /// `owner/name`.
        repository: String,
    },
    /// Those of a repository that are for an environment.
    Environment {
        /// `owner/name`.
        repository: String,
        /// Its name.
        environment: String,
    },
}

impl SecretPlace {
    /// How near it is to a job: the greater counts.
    pub(super) fn nearness(&self) -> u8 {
        match self {
            Self::Server => 0,
            Self::Repository { .. } => 1,
            Self::Environment { .. } => 2,
        }
    }

    /// Whether a job of this repository and environment sees it. Case does not matter, as on GitHub.
    pub(super) fn reaches(&self, repository: &str, environment: Option<&str>) -> bool {
        match self {
            Self::Server => true,
            Self::Repository { repository: whose } => whose.eq_ignore_ascii_case(repository),
            Self::Environment { repository: whose, environment: which } => {
                whose.eq_ignore_ascii_case(repository)
                    && environment.is_some_and(|environment| environment.eq_ignore_ascii_case(which))
            }
        }
    }
}

/// Names a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretAddress {
    /// In upper case, as GitHub shows them.
    pub name: String,
    /// Whose it is.
    #[serde(flatten)]
    pub place: SecretPlace,
}

impl SecretAddress {
    /// One text for each: no name of a repository or environment has a control character.
    #[must_use]
    pub fn key(&self) -> String {
        let (repository, environment) = match &self.place {
            SecretPlace::Server => ("", ""),
            SecretPlace::Repository { repository } => (repository.as_str(), ""),
            SecretPlace::Environment { repository, environment } => {
                (repository.as_str(), environment.as_str())
            }
        };
        format!("{repository}\n{environment}\n{}", self.name).to_lowercase()
    }

    /// For people.
    #[must_use]
    pub fn describe(&self) -> String {
        let name = &self.name;
        match &self.place {
            SecretPlace::Server => name.clone(),
            SecretPlace::Repository { repository } => format!("{name} of {repository}"),
            SecretPlace::Environment { repository, environment } => {
                format!("{name} of {repository} for {environment}")
            }
        }
    }
}

/// A secret that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSecret {
    /// Which.
    #[serde(flatten)]
    pub address: SecretAddress,
    /// Its sealed value's file: a new one for each value, so that neither is there without the other.
    pub file: String,
    /// When it was set.
    pub at: Timestamp,
}
