//! Identity tokens for jobs (OpenID Connect): a job with `id-token: write` shows a cloud who it is, and no secret has to be kept for it.
//!
//! The coordinator is the issuer. What a token says ([`claims`]) is what was planned and journaled; a job asks with a token of its lease
//! ([`request_token`]) over its agent ([`of_jobs`]), and who verifies one reads [`public`] documents. Keys are RSA ([`key`]), lie sealed in
//! [`crate::vault`], are named in the journal with their public halves, and take turns ([`schedule`], [`keeper`]). docs/OIDC.md is the
//! page for users.
//!
//! Invariants: a token is issued under a live lease only, never to code from outside, and not before its entry in the audit trail is
//! durable; a key is published before and after it signs. The first key is made when one is first needed: most coordinators need none.
//!
//! Deliberately absent: subjects of other forms, and tokens that outlive minutes.

mod allowance;
mod claims;
mod issue;
mod keeper;
mod key;
pub mod limits;
mod of_jobs;
mod public;
mod request_token;
mod schedule;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::key::SigningKey;

pub(crate) use issue::{for_vault, request_token};
pub(crate) use keeper::{RotateError, keep, rotate, whose};
pub(crate) use of_jobs::router as router_of_jobs;
pub(crate) use public::{documents, keys_for_admins};

use allowance::Allowance;
use key::Signer;

/// The issuer; cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<Parts>);

struct Parts {
    /// The issuer's URL, without a slash at its end; none: nobody could find the documents.
    issuer: Option<String>,
    /// Signs the tokens with which jobs ask.
    requests: SigningKey,
    /// Keys that were opened, by their ids.
    signers: Mutex<BTreeMap<String, Arc<Signer>>>,
    /// How many tokens attempts got.
    allowance: Allowance,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("issuer", &self.0.issuer).finish_non_exhaustive()
    }
}

impl Identity {
    /// The issuer at this address, without a slash at its end.
    pub(crate) fn new(issuer: Option<String>, key: &SigningKey) -> Self {
        Self(Arc::new(Parts {
            issuer,
            requests: key.derive("identity tokens"),
            signers: Mutex::default(),
            allowance: Allowance::default(),
        }))
    }

    fn signers(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Signer>>> {
        self.0.signers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
