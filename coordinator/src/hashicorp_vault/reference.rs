//! Where in Vault a value lies: `secret/data/app#password`, a path of its API and a field of what lies there.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::limits::{FIELD_MAX_BYTES, PATH_MAX_BYTES};

/// What a path may not begin with: Vault tells there of itself and of whoever asks, the coordinator's own token included.
const NOT_FOR_SECRETS: [&str; 4] = ["sys", "auth", "cubbyhole", "identity"];

/// Where a value lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VaultReference {
    path: String,
    field: String,
}

/// What is wrong with a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{written}` is no place in Vault: {reason}; write PATH#FIELD, such as secret/data/app#password")]
pub struct ReferenceError {
    written: String,
    reason: &'static str,
}

impl VaultReference {
    /// The path of Vault's API, without `/v1/`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The field of what lies there.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }
}

impl FromStr for VaultReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let wrong = |reason| {
            let written = text.chars().take(100).collect::<String>().escape_debug().to_string();
            Err(ReferenceError { written, reason })
        };
        let Some((path, field)) = text.rsplit_once('#') else {
            return wrong("it names no field");
        };
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_prefix("v1/").unwrap_or(path);
        if path.len() > PATH_MAX_BYTES || field.len() > FIELD_MAX_BYTES {
            return wrong("it is too long");
        }
        if field.is_empty() {
            return wrong("it names no field");
        }
        if text.chars().any(char::is_control) {
            return wrong("it has control characters");
        }
        if path.contains(['?', '#', '%', '\\']) {
            return wrong("the path has one of ? # % \\");
        }
        let mut parts = path.split('/');
        if parts.clone().count() < 2 || parts.clone().any(|part| matches!(part, "" | "." | "..")) {
            return wrong("a path is a mount and what lies below, with one slash between two names");
        }
        let mount = parts.next().unwrap_or_default();
        if NOT_FOR_SECRETS.iter().any(|own| mount.eq_ignore_ascii_case(own)) {
            return wrong("that is Vault's own, not a place of secrets");
        }
        Ok(Self { path: path.to_owned(), field: field.to_owned() })
    }
}

impl fmt::Display for VaultReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.path, self.field)
    }
}

impl TryFrom<String> for VaultReference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, ReferenceError> {
        text.parse()
    }
}

impl From<VaultReference> for String {
    fn from(reference: VaultReference) -> Self {
        reference.to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_a_field() {
        for (text, path, field) in [
            ("secret/data/app#password", "secret/data/app", "password"),
            ("/v1/secret/data/my app#a.b", "secret/data/my app", "a.b"),
            ("team/kv/x/y@z#k", "team/kv/x/y@z", "k"),
        ] {
            let reference: VaultReference = text.parse().unwrap();
            assert_eq!((reference.path(), reference.field()), (path, field));
            assert_eq!(reference.to_string().parse::<VaultReference>().unwrap(), reference);
        }
    }

    #[test]
    fn what_is_none_is_told_why() {
        for (text, why) in [
            ("", "no field"),
            ("secret/data/app", "no field"),
            ("secret/data/app#", "no field"),
            ("app#x", "a mount"),
            ("secret//app#x", "a mount"),
            ("secret/../auth/token/lookup-self#id", "a mount"),
            ("auth/token/lookup-self#id", "Vault's own"),
            ("SYS/raw/core#value", "Vault's own"),
            ("/v1/cubbyhole/x#y", "Vault's own"),
            ("secret/data/app?version=1#x", "one of"),
            ("secret/%2e%2e/x#x", "one of"),
            ("secret/data/a\nb#x", "control"),
            (&format!("secret/{}#x", "a".repeat(2000)), "too long"),
        ] {
            let told = text.parse::<VaultReference>().unwrap_err().to_string();
            assert!(told.contains(why) && told.contains("PATH#FIELD"), "{told}");
        }
    }
}
