//! `owner/name` of a repository.

/// A repository's name, such that it can be part of an address and of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryName {
    /// As written.
    pub owner: String,
    /// As written, without `.git`.
    pub name: String,
}

/// It is no such name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of a repository; write owner/name")]
pub struct NameError(String);

/// Longest owner and name: GitHub's own are shorter.
const PART_MAX_BYTES: usize = 100;

impl RepositoryName {
    /// Reads `owner/name`.
    ///
    /// # Errors
    /// [`NameError`]: it has characters that GitHub's names never have.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let plain = |part: &str| {
            (1..=PART_MAX_BYTES).contains(&part.len())
                && !part.starts_with('-')
                && part.bytes().any(|byte| byte != b'.')
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        match text.split_once('/') {
            // An owner never begins with a dot: what does is the store's own.
            Some((owner, name)) if plain(owner) && !owner.starts_with('.') && plain(name) => {
                let name = name.strip_suffix(".git").filter(|name| plain(name)).unwrap_or(name);
                Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
            }
            _ => Err(NameError(text.escape_debug().to_string())),
        }
    }

    /// `owner/name` in lower case: GitHub tells no names apart by case.
    #[must_use]
    pub fn key(&self) -> String {
        self.to_string().to_ascii_lowercase()
    }
}

impl std::fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}
