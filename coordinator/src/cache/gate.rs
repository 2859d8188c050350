//! Who may see what of the cache: by the token that a call carries.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use slipway_cache::{Access, Accounts, Asking, Gate, Refusal};

use super::Users;
use super::scopes::{self, JobRef, Places};

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
        let bearer = asking.authorization.and_then(as_bearer);
        let shown = bearer.as_deref().map(str::as_bytes);
        if self.users.cache_token.matches(shown) || self.users.admin_token.matches(shown) {
            return Ok((scopes::of_instance(asking.instance), String::new()));
        }
        let text = bearer.as_deref().and_then(|bearer| bearer.strip_prefix("Bearer "));
        if let Some(admitted) = text.and_then(|token| self.users.passes.admit(token, asking.instance)) {
            return Ok((admitted?, String::new()));
        }
        match self.users.results.job_of(shown) {
            Ok(job) => {
                let refs = job.refs.into_iter().map(|(name, reads, writes)| JobRef { name, reads, writes });
                let places = scopes::of_job(&job.repository, &refs.collect::<Vec<_>>(), asking.instance);
                Ok((places, job.repository))
            }
            Err(_) => Err(Refusal::Unauthenticated(
                "the cache needs `authorization: Bearer <token>`, with one that `slipway cache token` made, that of \
                 `cache.token` in the coordinator's data directory, or that of a job that goes on"
                    .to_owned(),
            )),
        }
    }
}

impl Gate for Tokens {
    fn admit(&self, asking: Asking<'_>) -> Result<Access, Refusal> {
        let (Places { read, write }, repository) = self.places(asking)?;
        let account = self.accounts.of(&repository, asking.door, asking.client);
        Ok(Access { read, write, account })
    }
}

/// The header as one with `Bearer`. Tools that take only a user and a password in an address send the token as the latter.
fn as_bearer(header: &str) -> Option<String> {
    match header.split_once(' ')? {
        (scheme, token) if scheme.eq_ignore_ascii_case("bearer") => Some(format!("Bearer {}", token.trim())),
        (scheme, secret) if scheme.eq_ignore_ascii_case("basic") => {
            let secret = String::from_utf8(STANDARD.decode(secret.trim()).ok()?).ok()?;
            let (_, password) = secret.split_once(':')?;
            Some(format!("Bearer {password}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_a_token_too() {
        assert_eq!(as_bearer("Bearer t").as_deref(), Some("Bearer t"));
        assert_eq!(as_bearer("bearer  t ").as_deref(), Some("Bearer t"));
        let basic = format!("Basic {}", STANDARD.encode("anyone:a:b"));
        assert_eq!(as_bearer(&basic).as_deref(), Some("Bearer a:b"));
        for header in ["", "t", "Basic", "Basic !", "Digest x", &format!("Basic {}", STANDARD.encode("t"))] {
            assert_eq!(as_bearer(header), None, "{header}");
        }
    }
}
