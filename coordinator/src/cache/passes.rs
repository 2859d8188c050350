//! Passes: tokens for people's machines that say by themselves which cache they are for, whether they may write, and until when.
//!
//! A pass is signed and kept nowhere: every coordinator of a cluster takes it. It cannot be taken back before it ends, short of a
//! new key; so it ends soon.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use slipway_cache::Refusal;
use slipway_kit::clock::Clock;

use super::scopes::{self, Places};
use crate::key::SigningKey;

/// What each begins with, so that a person and a scanner for leaked secrets know it.
const PREFIX: &str = "slipc_";

/// The longest that is read, in bytes.
const PASS_MAX_BYTES: usize = 2_048;

/// The longest time that one is good for, in days.
pub(crate) const PASS_DAYS_MAX: u32 = 366;

const DAY_S: u64 = 24 * 3600;

/// What a pass allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pass {
    /// The only cache that it is for; none: all of them.
    pub(crate) instance: Option<String>,
    /// Whether it may write.
    pub(crate) write: bool,
    /// Until when, Unix seconds.
    pub(crate) until_s: u64,
}

/// Makes and takes passes; cheap to clone.
#[derive(Clone)]
pub(crate) struct Passes {
    key: SigningKey,
    clock: Arc<dyn Clock>,
}

impl Passes {
    /// Those that this key signs.
    pub(crate) fn new(key: &SigningKey, clock: Arc<dyn Clock>) -> Self {
        Self { key: key.derive("cache pass"), clock }
    }

    fn now_s(&self) -> u64 {
        self.clock.unix_ms() / 1_000
    }

    /// A pass that is good for so many days from now, and what it says.
    pub(super) fn make(&self, instance: Option<String>, write: bool, days: u32) -> (String, Pass) {
        let until_s = self.now_s().saturating_add(u64::from(days.min(PASS_DAYS_MAX)) * DAY_S);
        let pass = Pass { instance, write, until_s };
        // Texts, numbers and flags are always JSON.
        let said = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&pass).unwrap_or_default());
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(said.as_bytes()));
        (format!("{PREFIX}{said}.{signature}"), pass)
    }

    /// What this token allows in an instance; `None`: it is no pass at all.
    pub(super) fn admit(&self, token: &str, instance: &str) -> Option<Result<Places, Refusal>> {
        let pass = self.read(token)?;
        if pass.until_s <= self.now_s() {
            return Some(Err(Refusal::Unauthenticated(
                "this pass is over; make another with `slipway cache token`".to_owned(),
            )));
        }
        let place = match pass.instance.as_deref() {
            None => instance,
            // Whoever cannot name a cache gets the one that its pass is for.
            Some(only) if instance.is_empty() || instance == only => only,
            Some(only) => {
                let why = format!("this pass is for the cache `{only}` and no other");
                return Some(Err(Refusal::Forbidden(why)));
            }
        };
        let mut places = scopes::of_instance(place);
        if !pass.write {
            places.write = None;
        }
        Some(Ok(places))
    }

    fn read(&self, token: &str) -> Option<Pass> {
        let (said, signature) = token.strip_prefix(PREFIX)?.split_once('.')?;
        if token.len() > PASS_MAX_BYTES {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        if !self.key.is_signed(said.as_bytes(), &signature) {
            return None;
        }
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(said).ok()?).ok()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Hands(AtomicU64);

    impl Clock for Hands {
        fn unix_ms(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
        fn boottime_ms(&self) -> u64 {
            self.unix_ms()
        }
    }

    fn passes() -> (Passes, Arc<Hands>) {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::load_or_create(&folder.path().join("key")).unwrap();
        let clock = Arc::<Hands>::default();
        (Passes::new(&key, clock.clone()), clock)
    }

    #[test]
    fn a_pass_opens_its_own_cache_until_it_ends() {
        let (passes, clock) = passes();
        let (token, _) = passes.make(Some("team/app".to_owned()), false, 2);
        let access = passes.admit(&token, "team/app").unwrap().unwrap();
        assert_eq!(access.read, scopes::of_instance("team/app").read);
        assert_eq!(access.write, None);
        assert_eq!(passes.admit(&token, "").unwrap().unwrap(), access, "it need not be named");
        assert!(matches!(passes.admit(&token, "team/other"), Some(Err(Refusal::Forbidden(_)))));
        clock.0.store(2 * DAY_S * 1_000 - 1, Ordering::Relaxed);
        assert!(passes.admit(&token, "team/app").unwrap().is_ok());
        clock.0.store(2 * DAY_S * 1_000, Ordering::Relaxed);
        assert!(matches!(passes.admit(&token, "team/app"), Some(Err(Refusal::Unauthenticated(_)))));
    }

    #[test]
    fn a_pass_for_all_writes_where_it_is_asked_to() {
        let (passes, _) = passes();
        let (token, pass) = passes.make(None, true, 10_000);
        assert_eq!(pass.until_s, u64::from(PASS_DAYS_MAX) * DAY_S);
        for instance in ["", "team/app"] {
            assert_eq!(passes.admit(&token, instance).unwrap().unwrap(), scopes::of_instance(instance));
        }
    }

    #[test]
    fn what_is_changed_or_anothers_is_no_pass() {
        let (ours, theirs) = (passes().0, passes().0);
        let (token, _) = ours.make(Some("a".to_owned()), false, 1);
        assert!(theirs.admit(&token, "a").is_none());
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            // The last digit of base64 has bits that say nothing.
            if at + 1 < token.len() {
                assert!(ours.admit(&changed, "a").is_none(), "{at}");
            }
            assert!(ours.admit(&token[..at], "a").is_none(), "{at}");
        }
        assert!(ours.admit(&format!("{token}{}", "A".repeat(PASS_MAX_BYTES)), "a").is_none());
    }
}
