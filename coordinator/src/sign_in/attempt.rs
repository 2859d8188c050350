//! Somebody who went to a provider: a signed cookie of theirs, and nothing that is kept. State, nonce and PKCE verifier follow from its
//! random word with the coordinators' key, so that neither a restart nor another coordinator is a reason to begin again.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::limits::{ATTEMPT, ATTEMPT_MAX_BYTES};
use crate::key::SigningKey;

/// The cookie's name.
const COOKIE: &str = "slipway_signing_in";

/// Makes and knows attempts.
#[derive(Debug, Clone)]
pub(super) struct Attempts {
    cookies: SigningKey,
    states: SigningKey,
    nonces: SigningKey,
    verifiers: SigningKey,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// Where they wanted to go; whoever sends them there checks it.
    pub(super) next: String,
    /// Comes back as it is.
    pub(super) state: String,
    /// Stands in the identity token.
    pub(super) nonce: String,
    /// Proves to the provider that the one who has the code is the one who asked (RFC 7636).
    pub(super) verifier: String,
}

impl Attempt {
    /// Whether an answer is to this one.
    pub(super) fn is_of(&self, state: &str) -> bool {
        bool::from(self.state.as_bytes().ct_eq(state.as_bytes()))
    }

    /// The S256 challenge of the verifier.
    pub(super) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.as_bytes()))
    }
}

impl Attempts {
    pub(super) fn new(key: &SigningKey) -> Self {
        let key = key.derive("signing in elsewhere");
        let of = |purpose| key.derive(purpose);
        Self { cookies: of("cookie"), states: of("state"), nonces: of("nonce"), verifiers: of("verifier") }
    }

    fn attempt(&self, said: &str, next: String) -> Attempt {
        let word = |key: &SigningKey| URL_SAFE_NO_PAD.encode(key.sign(said.as_bytes()));
        Attempt {
            next,
            state: word(&self.states),
            nonce: word(&self.nonces),
            verifier: word(&self.verifiers),
        }
    }

    /// A new attempt, and the value of its cookie.
    pub(super) fn begin(&self, provider: &str, next: &str, now_ms: u64) -> (Attempt, String) {
        let until_s = (now_ms / 1_000).saturating_add(ATTEMPT.as_secs());
        let random = uuid::Uuid::new_v4().simple();
        let said = format!("{until_s}.{random}.{provider}.{}", URL_SAFE_NO_PAD.encode(next));
        let signature = URL_SAFE_NO_PAD.encode(self.cookies.sign(said.as_bytes()));
        (self.attempt(&said, next.to_owned()), format!("{said}.{signature}"))
    }

    /// The attempt at this provider that one of a request's cookies proves.
    pub(super) fn of(&self, headers: &HeaderMap, provider: &str, now_ms: u64) -> Option<Attempt> {
        let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut values = cookies.flat_map(|value| value.split(';')).filter_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == COOKIE && value.len() <= ATTEMPT_MAX_BYTES).then_some(value)
        });
        values.find_map(|value| self.read(value, provider, now_ms))
    }

    fn read(&self, value: &str, provider: &str, now_ms: u64) -> Option<Attempt> {
        let (said, signature) = value.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        if !self.cookies.is_signed(said.as_bytes(), &signature) {
            return None;
        }
        let [until_s, _, of, next] = said.split('.').collect::<Vec<_>>()[..] else { return None };
        let until_s: u64 = until_s.parse().ok()?;
        if of != provider || now_ms / 1_000 >= until_s {
            return None;
        }
        let next = String::from_utf8(URL_SAFE_NO_PAD.decode(next).ok()?).ok()?;
        Some(self.attempt(said, next))
    }
}

/// The `set-cookie` of an attempt; none: it is over. Lax, for the provider's page is what sends people back.
pub(crate) fn set_cookie(value: Option<&str>, secure: bool) -> String {
    let for_s = value.map_or(0, |_| ATTEMPT.as_secs());
    let secure = if secure { "; Secure" } else { "" };
    format!(
        "{COOKIE}={}; Path=/sign-in; Max-Age={for_s}; HttpOnly; SameSite=Lax{secure}",
        value.unwrap_or_default()
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, format!("a=b; {COOKIE}={value}").parse().unwrap());
        headers
    }

    #[test]
    fn an_attempt_comes_back_to_whoever_has_the_key_and_to_its_provider_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::load_or_create(&folder.path().join("key")).unwrap();
        let attempts = Attempts::new(&key);
        let (begun, cookie) = attempts.begin("sso", "/runs/1?a=b", 5_000);
        let end_ms = 5_000 + 600_000;
        let again = Attempts::new(&key);
        assert_eq!(again.of(&headers(&cookie), "sso", end_ms - 1).as_ref(), Some(&begun));
        assert_eq!(again.of(&headers(&cookie), "sso", end_ms), None);
        assert_eq!(again.of(&headers(&cookie), "other", 5_000), None);
        assert_eq!(again.of(&HeaderMap::new(), "sso", 5_000), None);
        let other = SigningKey::load_or_create(&folder.path().join("other")).unwrap();
        assert_eq!(Attempts::new(&other).of(&headers(&cookie), "sso", 5_000), None);
        for wrong in [cookie.replacen("605.", "999.", 1), cookie[..cookie.len() - 1].into(), "...".into()] {
            assert_eq!(again.of(&headers(&wrong), "sso", 5_000), None, "{wrong}");
        }
        assert!(begun.is_of(&begun.state) && !begun.is_of("") && !begun.is_of(&begun.nonce));
        let (another, _) = attempts.begin("sso", "/", 5_000);
        assert_ne!(another.state, begun.state);
        // RFC 7636 asks for 43 to 128 characters.
        assert_eq!(begun.verifier.len(), 43);
        assert_eq!(begun.challenge().len(), 43);
    }

    #[test]
    fn the_cookie_comes_along_from_the_provider() {
        let cookie = set_cookie(Some("v"), true);
        assert_eq!(
            cookie,
            "slipway_signing_in=v; Path=/sign-in; Max-Age=600; HttpOnly; SameSite=Lax; Secure"
        );
        assert!(set_cookie(None, false).starts_with("slipway_signing_in=; Path=/sign-in; Max-Age=0;"));
    }
}
