//! Who makes a call.

use super::{AccessToken, UserRole};
use crate::audit::Origin;

/// Somebody whose token is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Whoever has the data directory's admin token.
    Administrator,
    /// Whoever has this token.
    Holder(AccessToken),
}

impl Caller {
    pub(crate) fn role(&self) -> UserRole {
        match self {
            Self::Administrator => UserRole::Admin,
            Self::Holder(token) => token.role,
        }
    }

    /// The name that the token vouches for.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Administrator => None,
            Self::Holder(token) => Some(&token.name),
        }
    }

    /// For the audit trail: a door, and whose token opened it.
    pub(crate) fn through(&self, door: String) -> String {
        match self {
            Self::Administrator => door,
            Self::Holder(token) => format!("{door}, token {}", token.id),
        }
    }

    /// For the audit trail.
    pub(crate) fn origin(&self, door: String) -> Origin {
        match self.name() {
            None => Origin::of_client(door),
            Some(name) => Origin { actor: name.to_owned(), source: door },
        }
    }

    /// Puts the token's name in place of what somebody calls themselves.
    pub(crate) fn sign(&self, actor: &mut String) {
        if let Some(name) = self.name() {
            name.clone_into(actor);
        }
    }

    /// Under which name somebody acts who calls themselves so.
    ///
    /// # Errors
    /// A token's owner acts under no other name than the token's; the message says so.
    pub(crate) fn acts_as(&self, said: Option<&str>) -> Result<Option<String>, String> {
        let said = said.map(str::trim).filter(|said| !said.is_empty());
        match (self.name(), said) {
            (Some(name), Some(said)) if !said.eq_ignore_ascii_case(name) => {
                Err(format!("this token is {name}'s: nothing is done in the name of {said}"))
            }
            (Some(name), _) => Ok(Some(name.to_owned())),
            (None, said) => Ok(said.map(str::to_owned)),
        }
    }
}
