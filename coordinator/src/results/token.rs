//! A job's token (`ACTIONS_RUNTIME_TOKEN`): a JWT whose claims the clients read, as GitHub's has them.
//!
//! Invariants: it is good for one lease of one attempt, and refused as soon as that is over; what it allows stands in it,
//! signed. There is one algorithm and one header: a token that names another is no token of ours.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use slipway_scheduler::command::LeaseRef;
use slipway_scheduler::ids::{FencingToken, InstanceId, RunId};

use super::error::ResultsError;
use super::limits::{CLOCKS_APART, TOKEN_MAX_BYTES};
use super::scopes::Scope;
use crate::driver::message::RunLease;
use crate::key::SigningKey;

/// The only header there is.
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// Who makes and takes the tokens.
const ISSUER: &str = "slipway";

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    iss: String,
    /// `Actions.Results:<run>:<instance>`: the ids that `@actions/artifact` puts into its calls.
    scp: String,
    /// The cache scopes, JSON in a string.
    ac: String,
    /// Not before, Unix seconds.
    nbf: u64,
    /// Until, Unix seconds.
    exp: u64,
    /// The run.
    pub(super) run: RunId,
    /// The job's instance.
    pub(super) instance: InstanceId,
    /// Its attempt.
    pub(super) attempt: u32,
    epoch: u64,
    sequence: u64,
    /// Forge and repository.
    pub(super) repository: String,
    /// The workflow file and the run's number, which the attempts of one run share.
    pub(super) family: String,
    /// `github.run_attempt`
    pub(super) run_attempt: u64,
    /// The code comes from outside: a fork's pull request.
    #[serde(default)]
    pub(super) outside: bool,
}

/// What a token is made of.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    /// The lease.
    pub(super) lease: RunLease,
    /// Forge and repository.
    pub(super) repository: String,
    /// What the attempts of one run share.
    pub(super) family: String,
    /// `github.run_attempt`
    pub(super) run_attempt: u64,
    /// The code comes from outside.
    pub(super) outside: bool,
    /// The cache scopes, in order.
    pub(super) scopes: Vec<Scope>,
}

fn refused() -> ResultsError {
    ResultsError::Unauthorized("the call needs `authorization: Bearer <ACTIONS_RUNTIME_TOKEN>`".to_owned())
}

impl Claims {
    /// The claims of a grant that hold for so long from now.
    #[must_use]
    pub(super) fn new(grant: &Grant, now_s: u64, for_s: u64) -> Self {
        let LeaseRef { instance, attempt, token } = grant.lease.lease;
        let run = grant.lease.run;
        Self {
            iss: ISSUER.to_owned(),
            scp: format!("Actions.Results:{run}:{instance}"),
            // Strings and numbers are always JSON.
            ac: serde_json::to_string(&grant.scopes).unwrap_or_default(),
            nbf: now_s.saturating_sub(CLOCKS_APART.as_secs()),
            exp: now_s.saturating_add(for_s),
            run,
            instance,
            attempt,
            epoch: token.epoch,
            sequence: token.sequence,
            repository: grant.repository.clone(),
            family: grant.family.clone(),
            run_attempt: grant.run_attempt,
            outside: grant.outside,
        }
    }

    /// Signs them.
    #[must_use]
    pub(super) fn token(&self, key: &SigningKey) -> String {
        let payload = serde_json::to_vec(self).unwrap_or_default();
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(payload));
        let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// The claims of an `authorization` header. Whether the lease is live is for the caller to ask.
    ///
    /// # Errors
    /// [`ResultsError::Unauthorized`].
    pub(super) fn read(
        key: &SigningKey,
        authorization: Option<&[u8]>,
        now_s: u64,
    ) -> Result<Self, ResultsError> {
        let token = authorization.and_then(|value| value.split_at_checked(7)).ok_or_else(refused)?;
        if !token.0.eq_ignore_ascii_case(b"bearer ") || token.1.len() > TOKEN_MAX_BYTES {
            return Err(refused());
        }
        let token = std::str::from_utf8(token.1).map_err(|_| refused())?;
        let (signed, signature) = token.rsplit_once('.').ok_or_else(refused)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| refused())?;
        if !key.is_signed(signed.as_bytes(), &signature) {
            return Err(refused());
        }
        let (header, payload) = signed.split_once('.').ok_or_else(refused)?;
        if header != URL_SAFE_NO_PAD.encode(HEADER) {
            return Err(refused());
        }
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| refused())?;
        let claims: Self = serde_json::from_slice(&payload).map_err(|_| refused())?;
        if claims.iss != ISSUER || claims.exp <= now_s {
            return Err(ResultsError::Unauthorized("the job's token has run out".to_owned()));
        }
        Ok(claims)
    }

    /// The lease it was given under.
    #[must_use]
    pub(super) fn lease(&self) -> RunLease {
        let token = FencingToken { epoch: self.epoch, sequence: self.sequence };
        RunLease { run: self.run, lease: LeaseRef { instance: self.instance, attempt: self.attempt, token } }
    }

    /// The cache scopes, in order.
    #[must_use]
    pub(super) fn scopes(&self) -> Vec<Scope> {
        // Signed, so it is what was written.
        serde_json::from_str(&self.ac).unwrap_or_default()
    }

    /// The scope in which it makes cache entries.
    #[must_use]
    pub(super) fn writes(&self) -> Option<String> {
        self.scopes().into_iter().find(Scope::is_writable).map(|scope| scope.scope)
    }
}

/// A lease in one word, for signed addresses and the index.
#[must_use]
pub(crate) fn lease_word(lease: &RunLease) -> String {
    let RunLease { run, lease: LeaseRef { instance, attempt, token } } = lease;
    format!("{run}.{instance}.{attempt}.{}.{}", token.epoch, token.sequence)
}

/// The lease of a word.
#[must_use]
pub(crate) fn lease_of_word(word: &str) -> Option<RunLease> {
    let mut parts = word.split('.');
    let run = parts.next()?.parse().ok()?;
    let instance = parts.next()?.parse().ok()?;
    let attempt = parts.next()?.parse().ok()?;
    let token = FencingToken { epoch: parts.next()?.parse().ok()?, sequence: parts.next()?.parse().ok()? };
    parts.next().is_none().then_some(RunLease { run, lease: LeaseRef { instance, attempt, token } })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key(name: &str) -> SigningKey {
        let folder = tempfile::tempdir().unwrap();
        SigningKey::load_or_create(&folder.path().join("key")).unwrap().derive(name)
    }

    fn claims() -> Claims {
        let lease = RunLease {
            run: RunId::from_u128(1),
            lease: LeaseRef {
                instance: InstanceId::from_u128(2),
                attempt: 3,
                token: FencingToken { epoch: 4, sequence: 5 },
            },
        };
        let scopes = vec![Scope { scope: "refs/heads/main".to_owned(), permission: 3 }];
        let (repository, family) = ("github.com/o/n".to_owned(), "ci.yml#7".to_owned());
        Claims::new(&Grant { lease, repository, family, run_attempt: 1, outside: false, scopes }, 1_000, 60)
    }

    #[test]
    fn a_token_says_what_was_granted_until_it_runs_out() {
        let (key, claims) = (key("token"), claims());
        let header = format!("Bearer {}", claims.token(&key));
        let read = Claims::read(&key, Some(header.as_bytes()), 1_059).unwrap();
        assert_eq!(read, claims);
        assert_eq!(read.writes().as_deref(), Some("refs/heads/main"));
        assert_eq!((read.nbf, read.exp), (700, 1_060));
        assert_eq!(lease_of_word(&lease_word(&read.lease())), Some(claims.lease()));
        assert!(Claims::read(&key, Some(header.as_bytes()), 1_060).is_err());
    }

    #[test]
    fn what_is_not_signed_by_us_is_refused() {
        let (key, other) = (key("token"), self::key("token"));
        let token = claims().token(&key);
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let payload = signed.split_once('.').unwrap().1;
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        for wrong in [
            claims().token(&other),
            format!("{none}.{payload}."),
            format!("{none}.{payload}.{signature}"),
            format!(
                "{none}.{payload}.{}",
                URL_SAFE_NO_PAD.encode(key.sign(format!("{none}.{payload}").as_bytes()))
            ),
            signed.to_owned(),
            String::new(),
            "..".to_owned(),
            "é".repeat(10),
            token.replace(payload, &URL_SAFE_NO_PAD.encode("{}")),
        ] {
            assert!(
                Claims::read(&key, Some(format!("Bearer {wrong}").as_bytes()), 1_000).is_err(),
                "{wrong}"
            );
        }
        assert!(Claims::read(&key, Some(token.as_bytes()), 1_000).is_err());
        assert!(Claims::read(&key, None, 1_000).is_err());
        for word in ["", "1.2.3", "x.y.1.1.1"] {
            assert!(lease_of_word(word).is_none());
        }
    }
}
