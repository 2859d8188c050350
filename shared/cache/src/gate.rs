//! Who a client is and what it may see: the host's answer to each call.

use std::pin::Pin;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use slipway_cas::cache::Namespace;

use crate::accounts::{Account, Door};

/// A place in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Where its blobs lie. Their content is their name, so many scopes may share it.
    pub blobs: Namespace,
    /// Where its entries lie: what an action resulted in, what a name stands for. Who writes here decides what readers get.
    pub entries: Namespace,
}

/// What a client may do.
#[derive(Debug, Clone)]
pub struct Access {
    /// Where it reads, nearest first.
    pub read: Vec<Scope>,
    /// Where it writes; `None`: nowhere.
    pub write: Option<Scope>,
    /// Where what it does is counted.
    pub account: Arc<Account>,
}

/// What a client shows.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// The `authorization` header, as it came.
    pub authorization: Option<&'a str>,
    /// What the client calls the cache that it wants: REAPI's `instance_name`, or the part of a URL's path. Empty: its own.
    pub instance: &'a str,
    /// The door it came by.
    pub door: Door,
    /// What it calls itself: the `user-agent` header.
    pub client: Option<&'a str>,
}

/// Why a client is turned away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It shows nothing, or nothing that is known.
    #[error("{0}")]
    Unauthenticated(String),
    /// It is known, and may not.
    #[error("{0}")]
    Forbidden(String),
}

/// A gate's answer, later: an agent asks its coordinator.
pub type Admitted<'a> = Pin<Box<dyn Future<Output = Result<Access, Refusal>> + Send + 'a>>;

/// Decides. Asked for every call: a token that was good a moment ago may be over.
pub trait Gate: Send + Sync + 'static {
    /// What this client may do.
    ///
    /// # Errors
    /// [`Refusal`], whose words the client sees.
    fn admit<'a>(&'a self, asking: Asking<'a>) -> Admitted<'a>;
}

/// The token of an `authorization` header. Tools that take only a user and a password in an address send it as the latter.
#[must_use]
pub fn token_of(header: &str) -> Option<String> {
    match header.split_once(' ')? {
        (scheme, token) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim().to_owned()),
        (scheme, secret) if scheme.eq_ignore_ascii_case("basic") => {
            let secret = String::from_utf8(STANDARD.decode(secret.trim()).ok()?).ok()?;
            secret.split_once(':').map(|(_, password)| password.to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_a_token_too() {
        assert_eq!(token_of("Bearer t").as_deref(), Some("t"));
        assert_eq!(token_of("bearer  t ").as_deref(), Some("t"));
        let basic = format!("Basic {}", STANDARD.encode("anyone:a:b"));
        assert_eq!(token_of(&basic).as_deref(), Some("a:b"));
        for header in ["", "t", "Basic", "Basic !", "Digest x", &format!("Basic {}", STANDARD.encode("t"))] {
            assert_eq!(token_of(header), None, "{header}");
        }
    }
}
