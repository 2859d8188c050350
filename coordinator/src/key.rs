//! Keys: 32 random bytes, in a file of mode 0600 or derived from another key for one purpose.
//!
//! Tokens and addresses are signed with keys derived from it, so that neither can be taken for the other. A coordinator
//! that is started again knows what it signed before.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::secret_file;

/// Length of a key, in bytes.
pub(crate) const KEY_BYTES: usize = 32;

/// Length of a block of SHA-256, in bytes.
const BLOCK_BYTES: usize = 64;

/// Signs texts of one kind.
#[derive(Clone)]
pub(crate) struct SigningKey(Arc<[u8; KEY_BYTES]>);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl SigningKey {
    /// The key in this file; a new one is made and written when there is no file.
    ///
    /// # Errors
    /// When the file can't be read or written, or holds no key.
    pub(crate) fn load_or_create(path: &Path) -> io::Result<Self> {
        match fs::read(path) {
            Ok(bytes) => {
                let key = <[u8; KEY_BYTES]>::try_from(bytes).map_err(|_| {
                    io::Error::new(io::ErrorKind::InvalidData, "it holds no key; delete it to get a new one")
                })?;
                Ok(Self(Arc::new(key)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = Self::random();
                secret_file::write(path, &key.0[..])?;
                Ok(key)
            }
            Err(error) => Err(error),
        }
    }

    /// These bytes.
    pub(crate) fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Arc::new(bytes))
    }

    /// The key in a file that several coordinators have alike: 64 hexadecimal digits.
    ///
    /// # Errors
    /// One sentence that says what is wrong and what to do.
    pub(crate) fn read_shared(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut key = [0; KEY_BYTES];
        hex::decode_to_slice(text.trim(), &mut key).map_err(|_| {
            format!(
                "{} holds no key of {} hexadecimal digits; make one with `openssl rand -hex {KEY_BYTES}`, once for all \
                 coordinators",
                path.display(),
                2 * KEY_BYTES
            )
        })?;
        Ok(Self(Arc::new(key)))
    }

    /// A key of 244 random bits.
    pub(crate) fn random() -> Self {
        let mut key = [0; KEY_BYTES];
        let (first, second) = key.split_at_mut(KEY_BYTES / 2);
        first.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        second.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        Self(Arc::new(key))
    }

    /// The key for one purpose.
    #[must_use]
    pub(crate) fn derive(&self, purpose: &str) -> Self {
        Self(Arc::new(self.sign(purpose.as_bytes())))
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    fn mac(&self) -> Hmac<Sha256> {
        // HMAC fills a key up to a block of its hash with zeros (RFC 2104, section 2).
        let mut block = [0; BLOCK_BYTES];
        for (to, from) in block.iter_mut().zip(self.0.iter()) {
            *to = *from;
        }
        Hmac::<Sha256>::new(&block.into())
    }

    /// The text's signature.
    #[must_use]
    pub(crate) fn sign(&self, text: &[u8]) -> [u8; KEY_BYTES] {
        let mut mac = self.mac();
        mac.update(text);
        mac.finalize().into_bytes().into()
    }

    /// Whether this signs the text. Compares in constant time.
    #[must_use]
    pub(crate) fn is_signed(&self, text: &[u8], signature: &[u8]) -> bool {
        let mut mac = self.mac();
        mac.update(text);
        mac.verify_slice(signature).is_ok()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_private_and_signs_by_purpose() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.key");
        let key = SigningKey::load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = SigningKey::load_or_create(&path).unwrap();
        let signature = key.derive("token").sign(b"text");
        assert!(again.derive("token").is_signed(b"text", &signature));
        assert!(!again.derive("address").is_signed(b"text", &signature));
        assert!(!again.derive("token").is_signed(b"test", &signature));
        assert!(!again.derive("token").is_signed(b"text", &signature[..31]));
        fs::write(&path, "short").unwrap();
        assert!(SigningKey::load_or_create(&path).is_err());
    }

    #[test]
    fn a_shared_key_is_hexadecimal_and_a_wrong_one_is_told_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.key");
        for wrong in ["", "abc", &"g".repeat(64), &"a".repeat(62)] {
            fs::write(&path, wrong).unwrap();
            let error = SigningKey::read_shared(&path).unwrap_err();
            assert!(error.contains("cluster.key") && error.contains("openssl rand -hex 32"), "{error}");
        }
        fs::write(&path, format!("{}\n", "a1".repeat(32))).unwrap();
        assert_eq!(SigningKey::read_shared(&path).unwrap().bytes(), &[0xa1; 32]);
    }
}
