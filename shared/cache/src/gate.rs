//! Who a client is and what it may see: the host's answer to each call.

use std::sync::Arc;

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

/// Decides. Asked for every call: a token that was good a moment ago may be over.
pub trait Gate: Send + Sync + 'static {
    /// What this client may do.
    ///
    /// # Errors
    /// [`Refusal`], whose words the client sees.
    fn admit(&self, asking: Asking<'_>) -> Result<Access, Refusal>;
}
