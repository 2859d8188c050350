//! The token with which a job asks for identity tokens (`ACTIONS_ID_TOKEN_REQUEST_TOKEN`): its lease, signed.
//!
//! It says nothing of what the job is: that is looked up when it is used. It is good as long as the lease is live, and the same
//! whenever it is asked for, so that an agent which goes on with a job masks what its processes have had from the beginning.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::limits::REQUEST_TOKEN_MAX_BYTES;
use crate::driver::message::RunLease;
use crate::key::SigningKey;
use crate::results::{lease_of_word, lease_word};

/// The token of a lease.
pub(super) fn make(key: &SigningKey, lease: &RunLease) -> String {
    let word = lease_word(lease);
    format!("{}~{word}", URL_SAFE_NO_PAD.encode(key.sign(word.as_bytes())))
}

/// The lease of an `authorization` header that carries such a token. Whether it is live is for the caller to ask.
pub(super) fn read(key: &SigningKey, authorization: Option<&[u8]>) -> Option<RunLease> {
    let (scheme, token) = authorization?.split_at_checked(7)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") || token.len() > REQUEST_TOKEN_MAX_BYTES {
        return None;
    }
    let (signature, word) = std::str::from_utf8(token).ok()?.split_once('~')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    if !key.is_signed(word.as_bytes(), &signature) {
        return None;
    }
    lease_of_word(word)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use slipway_scheduler::command::LeaseRef;
    use slipway_scheduler::ids::{FencingToken, InstanceId, RunId};

    use super::*;

    fn key(purpose: &str) -> SigningKey {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "a1".repeat(32)).unwrap();
        SigningKey::read_shared(&path).unwrap().derive(purpose)
    }

    #[test]
    fn only_what_we_signed_for_this_names_a_lease() {
        let token = FencingToken { epoch: 1, sequence: 2 };
        let lease = LeaseRef { instance: InstanceId::from_u128(3), attempt: 1, token };
        let lease = RunLease { run: RunId::from_u128(4), lease };
        let made = make(&key("identity"), &lease);
        let shown = |token: &str| format!("bearer {token}").into_bytes();
        assert_eq!(read(&key("identity"), Some(&shown(&made))), Some(lease));
        assert_eq!(read(&key("token"), Some(&shown(&made))), None);
        let (signature, word) = made.split_once('~').unwrap();
        let other = word.replace(".1.1.2", ".1.1.3");
        assert_ne!(word, other);
        for wrong in [
            format!("{signature}~{other}"),
            word.to_owned(),
            format!("~{word}"),
            made.replace('~', "."),
            String::new(),
            "é".repeat(600),
        ] {
            assert_eq!(read(&key("identity"), Some(&shown(&wrong))), None, "{wrong}");
        }
        assert_eq!(read(&key("identity"), Some(made.as_bytes())), None, "without its scheme");
        assert_eq!(read(&key("identity"), None), None);
    }
}
