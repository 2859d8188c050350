//! Who may see what of the cache: by the token that a call carries.

use slipway_cache::gate::token_of;
use slipway_cache::{Access, Accounts, Admitted, Asking, Gate, Refusal};

use super::Users;
use super::scopes::{self, JobRef, Places};
use crate::results::JobOfToken;

/// What whoever shows no token that is good is told.
pub(super) const REFUSED: &str = "the cache needs `authorization: Bearer <token>`, with one that `slipway cache token` made, that of \
     `cache.token` in the coordinator's data directory, or that of a job that goes on";

/// Where a job reads and writes in an instance of its repository's cache.
pub(super) fn of_job(job: &JobOfToken, instance: &str) -> Places {
    let refs = job.refs.iter().map(|(name, reads, writes)| JobRef {
        name: name.clone(),
        reads: *reads,
        writes: *writes,
    });
    scopes::of_job(&job.repository, &refs.collect::<Vec<_>>(), instance)
}

/// Knows all tokens, and counts what each does.
pub(super) struct Tokens {
    users: Users,
    accounts: Accounts,
}

impl Tokens {
    pub(super) fn new(users: Users, accounts: Accounts) -> Self {
        Self { users, accounts }
    }

    /// Where the sender reads and writes, and of which repository it is a job; empty: of none.
    fn places(&self, asking: Asking<'_>) -> Result<(Places, String), Refusal> {
        let bearer = asking.authorization.and_then(token_of).map(|token| format!("Bearer {token}"));
        let shown = bearer.as_deref().map(str::as_bytes);
        if self.users.cache_token.matches(shown) || self.users.admin_token.matches(shown) {
            return Ok((scopes::of_instance(asking.instance), String::new()));
        }
        let text = bearer.as_deref().and_then(|bearer| bearer.strip_prefix("Bearer "));
        if let Some(admitted) = text.and_then(|token| self.users.passes.admit(token, asking.instance)) {
            return Ok((admitted?, String::new()));
        }
        match self.users.results.job_of(shown) {
            Ok(job) => Ok((of_job(&job, asking.instance), job.repository)),
            Err(_) => Err(Refusal::Unauthenticated(REFUSED.to_owned())),
        }
    }
}

impl Gate for Tokens {
    fn admit<'a>(&'a self, asking: Asking<'a>) -> Admitted<'a> {
        let access = self.places(asking).map(|(Places { read, write }, repository)| {
            let account = self.accounts.of(&repository, asking.door, asking.client);
            Access { read, write, account }
        });
        Box::pin(std::future::ready(access))
    }
}
