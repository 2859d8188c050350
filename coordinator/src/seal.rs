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

/// Seals and opens under one key.
#[derive(Clone)]
pub(crate) struct Seal(Option<Arc<LessSafeKey>>);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal(…)")
    }
}

impl Seal {
    pub(crate) fn new(key: &SigningKey) -> Self {
        // A key of 32 bytes is what the cipher takes, so there always is one.
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.bytes());
        Self(key.ok().map(|key| Arc::new(LessSafeKey::new(key))))
    }

    fn key(&self) -> io::Result<&LessSafeKey> {
        self.0.as_deref().ok_or_else(|| io::Error::other("the key cannot be used"))
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
        self.key()?.seal_in_place_append_tag(sealing, Aad::from(name), &mut body).map_err(failed)?;
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
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let text = self.key()?.open_in_place(nonce, Aad::from(name), &mut body).map_err(|_| wrong())?;
        Ok(text.to_vec())
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
