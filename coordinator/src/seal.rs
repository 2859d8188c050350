//! Sealing: what lies where others could read or change it, encrypted and bound to its name.
//!
//! ChaCha20-Poly1305 (RFC 8439) under a random nonce. With 96 bits of nonce and far fewer than 2^32 texts under a key, two
//! alike do not happen. The name is authenticated with it, so that one text cannot be put in another's place.

use std::io;
use std::sync::Arc;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::key::SigningKey;

/// Form of a sealed text: this byte, the nonce, the encrypted text with its tag.
const VERSION: u8 = 1;

/// Seals under the first of its keys, and opens what any of them sealed.
#[derive(Clone)]
pub(crate) struct Seal(Arc<[LessSafeKey]>);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal(…)")
    }
}

impl Seal {
    pub(crate) fn new(key: &SigningKey) -> Self {
        Self::ring(std::slice::from_ref(key))
    }

    /// The first seals.
    pub(crate) fn ring(keys: &[SigningKey]) -> Self {
        // A key of 32 bytes is what the cipher takes, so none is left out.
        let keys = keys.iter().filter_map(|key| UnboundKey::new(&CHACHA20_POLY1305, key.bytes()).ok());
        Self(keys.map(LessSafeKey::new).collect())
    }

    /// Seals a text under a name.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub(crate) fn seal(&self, name: &str, text: &[u8]) -> io::Result<Vec<u8>> {
        let failed = |_| io::Error::other("the text cannot be sealed");
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(failed)?;
        let mut body = text.to_vec();
        let sealing = Nonce::assume_unique_for_key(nonce);
        let key = self.0.first().ok_or_else(|| io::Error::other("there is no key"))?;
        key.seal_in_place_append_tag(sealing, Aad::from(name), &mut body).map_err(failed)?;
        Ok([&[VERSION][..], &nonce, &body].concat())
    }

    /// Opens what was sealed under this name.
    ///
    /// # Errors
    /// When it was not, or was changed, or the key is another.
    pub(crate) fn open(&self, name: &str, sealed: &[u8]) -> io::Result<Vec<u8>> {
        let wrong = || {
            let reason = format!("what is sealed as {name} was changed, or sealed under another key");
            io::Error::new(io::ErrorKind::InvalidData, reason)
        };
        let body = sealed.strip_prefix(&[VERSION]).ok_or_else(wrong)?;
        let (nonce, body) = body.split_first_chunk::<NONCE_LEN>().ok_or_else(wrong)?;
        let open = |key: &LessSafeKey| {
            let mut body = body.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let text = key.open_in_place(nonce, Aad::from(name), &mut body).ok()?;
            Some(text.to_vec())
        };
        self.0.iter().find_map(open).ok_or_else(wrong)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn seal(key: char) -> Seal {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, key.to_string().repeat(64)).unwrap();
        Seal::new(&SigningKey::read_shared(&path).unwrap())
    }

    #[test]
    fn a_ring_seals_under_its_first_key_and_opens_under_all() {
        let key = |digit: char| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("key");
            std::fs::write(&path, digit.to_string().repeat(64)).unwrap();
            SigningKey::read_shared(&path).unwrap()
        };
        let old = seal('a').seal("one", b"old").unwrap();
        let ring = Seal::ring(&[key('b'), key('a')]);
        assert_eq!(ring.open("one", &old).unwrap(), b"old");
        let new = ring.seal("one", b"new").unwrap();
        assert_eq!(seal('b').open("one", &new).unwrap(), b"new");
        assert!(seal('a').open("one", &new).is_err());
        assert!(Seal::ring(&[key('c'), key('d')]).open("one", &old).is_err());
        assert!(Seal::ring(&[]).seal("one", b"text").is_err());
    }

    #[test]
    fn only_the_same_key_name_and_bytes_open() {
        let sealed = seal('a').seal("one", b"s3cret").unwrap();
        assert_eq!(seal('a').open("one", &sealed).unwrap(), b"s3cret");
        assert!(!sealed.windows(6).any(|part| part == b"s3cret"));
        assert_ne!(sealed, seal('a').seal("one", b"s3cret").unwrap(), "each has a nonce of its own");
        assert!(seal('b').open("one", &sealed).is_err());
        assert!(seal('a').open("two", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(seal('a').open("one", &changed).is_err(), "byte {at}");
            assert!(seal('a').open("one", &sealed[..at]).is_err(), "cut at {at}");
        }
    }
}
