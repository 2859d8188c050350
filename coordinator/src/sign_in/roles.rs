//! What somebody may do here, by the rules of the provider that they signed in at.

use super::{Person, Refusal, told};
use crate::access::UserRole;
use crate::options::SignInProvider;

/// Somebody with a name and a role here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entitled {
    /// What environments' reviewers are known by.
    pub(crate) name: String,
    /// The highest role that a rule gives them.
    pub(crate) role: UserRole,
}

/// # Errors
/// No rule names them.
pub(super) fn entitle(provider: &SignInProvider, person: Person) -> Result<Entitled, Refusal> {
    let Person { name, groups } = person;
    let name = provider.names.get(&name).cloned().unwrap_or(name);
    // As reviewers are compared, and GitHub compares.
    let same = |one: &String, other: &String| one.eq_ignore_ascii_case(other);
    let fits = provider.roles.iter().filter(|rule| {
        rule.everyone
            || rule.users.iter().any(|user| same(user, &name))
            || rule.groups.iter().any(|group| groups.iter().any(|theirs| same(group, theirs)))
    });
    match fits.map(|rule| rule.role).max() {
        Some(role) => Ok(Entitled { name, role }),
        None => Err(Refusal::Nobody(told(&format!(
            "{} knows you as {name}, and no rule here gives you a role; an administrator adds one under [[sign_in.role]]",
            provider.label
        )))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::options::{ProviderKind, RoleRule};

    fn rule(role: UserRole, users: &[&str], groups: &[&str], everyone: bool) -> RoleRule {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        RoleRule { role, users: owned(users), groups: owned(groups), everyone }
    }

    fn provider(roles: Vec<RoleRule>) -> SignInProvider {
        SignInProvider {
            name: "sso".into(),
            label: "SSO".into(),
            kind: ProviderKind::Github { url: String::new(), api: String::new() },
            client_id: "id".into(),
            client_secret: None,
            names: [("ada@example.com".to_owned(), "ada".to_owned())].into(),
            roles,
        }
    }

    fn role(provider: &SignInProvider, name: &str, groups: &[&str]) -> Result<Entitled, Refusal> {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        entitle(provider, Person { name: name.into(), groups })
    }

    #[test]
    fn the_highest_role_that_fits_counts() {
        let provider = provider(vec![
            rule(UserRole::Admin, &["ada"], &[], false),
            rule(UserRole::Approver, &[], &["Org/Release"], false),
            rule(UserRole::Developer, &["ada", "grace"], &["org"], false),
        ]);
        let ada = role(&provider, "ada@example.com", &["org"]).unwrap();
        assert_eq!((ada.name.as_str(), ada.role), ("ada", UserRole::Admin));
        assert_eq!(role(&provider, "Grace", &["org/release"]).unwrap().role, UserRole::Approver);
        assert_eq!(role(&provider, "alan", &["ORG"]).unwrap().role, UserRole::Developer);
        let Refusal::Nobody(why) = role(&provider, "mallory", &["organ", "org/"]).unwrap_err() else {
            panic!()
        };
        assert!(why.contains("SSO knows you as mallory"), "{why}");
    }

    #[test]
    fn everyone_is_whoever_can_sign_in() {
        let provider = provider(vec![rule(UserRole::Viewer, &[], &[], true)]);
        assert_eq!(role(&provider, "anybody", &[]).unwrap().role, UserRole::Viewer);
    }
}
