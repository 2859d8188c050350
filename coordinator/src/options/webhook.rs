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
}
