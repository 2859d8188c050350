//! Names of what is kept for jobs, secrets and variables, and whose jobs see it.

use serde::{Deserialize, Serialize};

/// The longest name, in bytes.
pub const KEPT_NAME_BYTES_MAX: usize = 255;

/// Whose jobs see something. Of several with one name the nearest counts: environment, repository, server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "scope", rename_all = "snake_case")]
pub enum Scope {
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

impl Scope {
    /// Repository and environment, where it has them.
    #[must_use]
    pub fn parts(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::Server => (None, None),
            Self::Repository { repository } => (Some(repository), None),
            Self::Environment { repository, environment } => (Some(repository), Some(environment)),
        }
    }

    /// What keys of this scope's addresses begin with.
    pub(super) fn key(&self) -> String {
        let (repository, environment) = self.parts();
        format!("{}\n{}\n", repository.unwrap_or_default(), environment.unwrap_or_default()).to_lowercase()
    }

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

/// Names a secret or a variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// In upper case, as GitHub shows them.
    pub name: String,
    /// Whose it is.
    #[serde(flatten)]
    pub scope: Scope,
}

impl Address {
    /// One text for each: no name of a repository or environment has a control character.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}{}", self.scope.key(), self.name.to_lowercase())
    }

    /// For people.
    #[must_use]
    pub fn describe(&self) -> String {
        let name = &self.name;
        match &self.scope {
            Scope::Server => name.clone(),
            Scope::Repository { repository } => format!("{name} of {repository}"),
            Scope::Environment { repository, environment } => {
                format!("{name} of {repository} for {environment}")
            }
        }
    }
}

/// A name as GitHub takes it, in upper case. `what`: of what kind.
///
/// # Errors
/// What is wrong with it.
pub fn checked_name(what: &str, name: &str) -> Result<String, String> {
    let invalid = |why: &str| Err(format!("`{}` cannot be a {what}'s name: {why}", name.escape_debug()));
    let begins = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    if name.is_empty() || name.len() > KEPT_NAME_BYTES_MAX {
        return invalid("it has 1 to 255 characters");
    }
    if !name.bytes().next().is_some_and(begins)
        || !name.bytes().all(|byte| begins(byte) || byte.is_ascii_digit())
    {
        return invalid("letters, digits and _ make one, and no digit comes first");
    }
    if name.get(..7).is_some_and(|prefix| prefix.eq_ignore_ascii_case("GITHUB_")) {
        return invalid("GITHUB_ is for GitHub's own");
    }
    Ok(name.to_ascii_uppercase())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_github_has_them() {
        assert_eq!(checked_name("secret", "npm_Token1").unwrap(), "NPM_TOKEN1");
        for wrong in ["", "1A", "A-B", "GITHUB_TOKEN", "github_x", "É", "A B", &"A".repeat(256)] {
            let told = checked_name("variable", wrong).unwrap_err();
            assert!(told.contains("cannot be a variable's name"), "{told}");
        }
    }
}
