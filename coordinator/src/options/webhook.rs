//! Which webhooks are taken, and where the code of their repositories is.

use serde::Deserialize;

/// A repository whose webhooks are accepted, and where its code is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// `owner/name`, compared without case.
    pub name: String,
    /// What `git clone` takes.
    pub clone_url: String,
}

/// A webhook secret; `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(pub String);

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

/// How webhooks are taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookOptions {
    /// What signs them; none are accepted without.
    pub secret: Option<WebhookSecret>,
    /// Repositories with their own clone URL.
    pub repositories: Vec<Repository>,
    /// The only other repositories that are accepted, with the clone URL of the payload; empty: all, unless
    /// `repositories` names some.
    pub allowed: Vec<String>,
    /// Which forks' pull requests wait for somebody's approval.
    pub approve_forks: ApproveForks,
}

/// Of whose pull requests from forks a run waits until somebody approves it, as GitHub's own setting is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApproveForks {
    /// Of those who never contributed to the repository.
    #[default]
    FirstTime,
    /// Of all who are no member or collaborator.
    Outside,
    /// Of everybody.
    All,
    /// Of nobody.
    Never,
}

impl ApproveForks {
    /// Whether somebody has to approve, by what the forge says of the author (`author_association`). A word that is not known, or none,
    /// is a stranger's.
    #[must_use]
    pub fn asks(self, association: &str) -> bool {
        let inside = matches!(association, "OWNER" | "MEMBER" | "COLLABORATOR");
        match self {
            Self::FirstTime => !inside && association != "CONTRIBUTOR",
            Self::Outside => !inside,
            Self::All => true,
            Self::Never => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ApproveForks::{All, FirstTime, Never, Outside};

    #[test]
    fn who_has_to_wait_is_as_githubs_setting_has_it() {
        for (association, waits) in [
            ("OWNER", [false, false, true, false]),
            ("MEMBER", [false, false, true, false]),
            ("COLLABORATOR", [false, false, true, false]),
            ("CONTRIBUTOR", [false, true, true, false]),
            ("FIRST_TIMER", [true, true, true, false]),
            ("FIRST_TIME_CONTRIBUTOR", [true, true, true, false]),
            ("MANNEQUIN", [true, true, true, false]),
            ("NONE", [true, true, true, false]),
            ("", [true, true, true, false]),
        ] {
            assert_eq!(
                [FirstTime, Outside, All, Never].map(|rule| rule.asks(association)),
                waits,
                "{association}"
            );
        }
    }
}
