//! What a called workflow's jobs may do: what their caller may, or less.

use serde::{Deserialize, Serialize};

use crate::syntax::{Job, Permissions, SCOPES, Workflow};

/// How much a scope allows; the order is that of the rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    None,
    Read,
    Write,
}

impl Level {
    fn of(text: &str) -> Self {
        match text {
            "write" => Self::Write,
            "read" => Self::Read,
            _ => Self::None,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// Scopes and levels (`read`, `write`); what is not named is `none`, and the scope `*` stands for all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rights(pub Vec<(String, String)>);

impl Rights {
    /// What a job asks for, by its own `permissions` or its workflow's; `None`: it asks for nothing in particular.
    #[must_use]
    pub fn asked(workflow: &Workflow, job: &Job) -> Option<Self> {
        let all = |level: &str| Self(vec![("*".to_owned(), level.to_owned())]);
        Some(match job.permissions.as_ref().or(workflow.permissions.as_ref())? {
            Permissions::ReadAll => all("read"),
            Permissions::WriteAll => all("write"),
            Permissions::Scopes(scopes) => {
                Self(scopes.iter().filter(|(_, level)| level != "none").cloned().collect())
            }
        })
    }

    /// GitHub's restricted default, for a job that asks for nothing in particular and is called by nobody.
    #[must_use]
    pub fn restricted() -> Self {
        Self(["contents", "packages"].map(|scope| (scope.to_owned(), "read".to_owned())).to_vec())
    }

    fn level(&self, scope: &str) -> Level {
        let found = self.0.iter().find(|(name, _)| name == scope || name == "*");
        found.map_or(Level::None, |(_, level)| Level::of(level))
    }

    /// These, but no more than the caller's.
    #[must_use]
    pub fn lowered(&self, caller: &Self) -> Self {
        if caller.level("*") == Level::Write {
            return self.clone();
        }
        let scopes = SCOPES.iter().filter_map(|scope| {
            let level = self.level(scope).min(caller.level(scope));
            (level > Level::None).then(|| ((*scope).to_owned(), level.as_str().to_owned()))
        });
        Self(scopes.collect())
    }

    /// The first scope in which these are more than the caller's: it, what is asked, and what is allowed.
    pub(super) fn excess(&self, caller: &Self) -> Option<(&'static str, &'static str, &'static str)> {
        let more = |scope: &&&'static str| self.level(scope) > caller.level(scope);
        let scope = SCOPES.iter().find(more)?;
        Some((scope, self.level(scope).as_str(), caller.level(scope).as_str()))
    }
}
