//! The keys under which kept secrets are sealed: the first seals, all open.
//!
//! A coordinator that stands alone makes its key by itself, in `vault.key` of its data directory: 32 bytes, and while a rotation goes on the
//! old one behind the new one. Where somebody gives keys (a file, which may be a credential of systemd, or a variable), theirs come first.
//! Coordinators that share a journal derive one from their key file until they are given any.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::key::{KEY_BYTES, SigningKey};
use crate::secret_file;

/// How many keys there may be: the one that seals, and those of before.
const KEYS_MAX: usize = 8;

/// The largest file of keys, in bytes.
const FILE_BYTES_MAX: u64 = 4096;

/// Keys that somebody gives: 64 hexadecimal digits each, separated by line ends, spaces or commas, the newest first.
#[derive(Clone, PartialEq, Eq)]
pub enum GivenKeys {
    /// In this file, which is read again when the keys are rotated.
    File(PathBuf),
    /// This text.
    Text(String),
}

impl std::fmt::Debug for GivenKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Text(_) => f.write_str("Text(…)"),
        }
    }
}

impl GivenKeys {
    fn read(&self) -> Result<Vec<SigningKey>, String> {
        let read;
        let text = match self {
            Self::File(path) => {
                let at = |error: io::Error| format!("{}: {error}", path.display());
                if fs::metadata(path).map_err(at)?.len() > FILE_BYTES_MAX {
                    return Err(format!("{} has more than {FILE_BYTES_MAX} bytes", path.display()));
                }
                read = fs::read_to_string(path).map_err(at)?;
                &read
            }
            Self::Text(text) => text,
        };
        let place = match self {
            Self::File(path) => path.display().to_string(),
            Self::Text(_) => "SLIPWAY_VAULT_KEYS".to_owned(),
        };
        let words = text.split([',', ' ', '\t', '\r', '\n']).filter(|word| !word.is_empty());
        let mut keys = Vec::new();
        for (number, word) in (1..).zip(words) {
            let mut key = [0; KEY_BYTES];
            hex::decode_to_slice(word, &mut key).map_err(|_| {
                format!(
                    "{place}: its key number {number} is not {} hexadecimal digits; make one with `openssl rand -hex {KEY_BYTES}`",
                    2 * KEY_BYTES
                )
            })?;
            keys.push(SigningKey::from_bytes(key));
        }
        match keys.len() {
            0 => Err(format!("{place} has no key; make one with `openssl rand -hex {KEY_BYTES}`")),
            1..=KEYS_MAX => Ok(keys),
            _ => Err(format!(
                "{place} has more than {KEYS_MAX} keys; the oldest are not needed after a rotation"
            )),
        }
    }
}

/// See the module.
pub(crate) struct VaultKeys {
    given: Option<GivenKeys>,
    /// `vault.key`, where there is one.
    own: Option<PathBuf>,
    keys: Vec<SigningKey>,
}

impl std::fmt::Debug for VaultKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VaultKeys")
            .field("given", &self.given)
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

impl VaultKeys {
    /// Those of a coordinator that stands alone. Where keys are given, it makes none of its own, and opens with one that it had made.
    ///
    /// # Errors
    /// One sentence that says what is wrong and what to do.
    pub(crate) fn alone(given: Option<GivenKeys>, own: &Path) -> Result<Self, String> {
        let mut keys = given.as_ref().map_or_else(|| Ok(Vec::new()), GivenKeys::read)?;
        let made = read_own(own).map_err(|error| format!("{}: {error}", own.display()))?;
        let own = (given.is_none() || made.is_some()).then(|| own.to_owned());
        match (made, &own) {
            (Some(made), _) => keys.extend(made),
            (None, Some(own)) => {
                let key = SigningKey::random();
                write_own(own, std::slice::from_ref(&key))
                    .map_err(|error| format!("{}: {error}", own.display()))?;
                keys.push(key);
            }
            (None, None) => {}
        }
        Ok(Self { given, own, keys })
    }

    /// Those of one of several coordinators.
    ///
    /// # Errors
    /// As [`Self::alone`].
    pub(crate) fn shared(given: Option<GivenKeys>, derived: SigningKey) -> Result<Self, String> {
        let mut keys = given.as_ref().map_or_else(|| Ok(Vec::new()), GivenKeys::read)?;
        keys.push(derived);
        Ok(Self { given, own: None, keys })
    }

    pub(crate) fn keys(&self) -> &[SigningKey] {
        &self.keys
    }

    /// Puts a new key in front: one that is made, or the first of those that are given now.
    ///
    /// # Errors
    /// There is none to be had; or see [`Self::alone`].
    pub(crate) fn renew(&mut self) -> Result<(), String> {
        match (&self.given, &self.own) {
            (Some(given), _) => {
                let mut keys = given.read()?;
                let known = |key: &SigningKey| keys.iter().any(|other| other.bytes() == key.bytes());
                let before: Vec<SigningKey> = self.keys.iter().filter(|key| !known(key)).cloned().collect();
                keys.extend(before);
                self.keys = keys;
            }
            (None, Some(own)) => {
                let mut keys = vec![SigningKey::random()];
                keys.extend(self.keys.iter().take(KEYS_MAX - 1).cloned());
                write_own(own, &keys).map_err(|error| format!("{}: {error}", own.display()))?;
                self.keys = keys;
            }
            (None, None) => {
                return Err(
                    "the key follows from the coordinators' key file: give all of them --vault-key FILE with a new key first"
                        .to_owned(),
                );
            }
        }
        Ok(())
    }

    /// Forgets the keys of before: nothing is sealed under them any more. Where keys are given, `vault.key` goes.
    ///
    /// # Errors
    /// The file cannot be written or removed.
    pub(crate) fn retire(&mut self) -> io::Result<()> {
        self.keys.truncate(1);
        match (&self.given, &self.own) {
            (None, Some(own)) => write_own(own, &self.keys),
            (Some(_), Some(own)) => {
                fs::remove_file(own)?;
                self.own = None;
                Ok(())
            }
            (_, None) => Ok(()),
        }
    }
}

fn read_own(path: &Path) -> io::Result<Option<Vec<SigningKey>>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let (keys, rest) = bytes.as_chunks::<KEY_BYTES>();
    if keys.is_empty() || !rest.is_empty() || keys.len() > KEYS_MAX {
        let reason =
            "it holds no keys; put back the file of a backup, or delete it and set all kept secrets again";
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    Ok(Some(keys.iter().copied().map(SigningKey::from_bytes).collect()))
}

fn write_own(path: &Path, keys: &[SigningKey]) -> io::Result<()> {
    secret_file::write(path, &keys.iter().flat_map(|key| *key.bytes()).collect::<Vec<u8>>())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn bytes(keys: &VaultKeys) -> Vec<[u8; KEY_BYTES]> {
        keys.keys().iter().map(|key| *key.bytes()).collect()
    }

    #[test]
    fn a_key_of_its_own_is_made_once_and_rotates_over_a_death() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.key");
        let mut keys = VaultKeys::alone(None, &path).unwrap();
        let first = bytes(&keys);
        assert_eq!(first.len(), 1);
        keys.renew().unwrap();
        let both = bytes(&keys);
        assert_eq!((both.len(), both[1]), (2, first[0]));
        let mut again = VaultKeys::alone(None, &path).unwrap();
        assert_eq!(bytes(&again), both, "both are there after a death");
        again.retire().unwrap();
        assert_eq!(bytes(&VaultKeys::alone(None, &path).unwrap()), [both[0]]);
        fs::write(&path, [0; 33]).unwrap();
        assert!(VaultKeys::alone(None, &path).err().unwrap().contains("holds no keys"));
    }

    #[test]
    fn given_keys_come_first_and_take_the_place_of_ones_own() {
        let folder = tempfile::tempdir().unwrap();
        let (own, file) = (folder.path().join("vault.key"), folder.path().join("given"));
        let made = bytes(&VaultKeys::alone(None, &own).unwrap())[0];
        fs::write(&file, format!("{}\n", "a1".repeat(32))).unwrap();
        let mut keys = VaultKeys::alone(Some(GivenKeys::File(file.clone())), &own).unwrap();
        assert_eq!(bytes(&keys), [[0xa1; 32], made]);
        // The file is read again.
        fs::write(&file, format!("{}\n{}\n", "b2".repeat(32), "a1".repeat(32))).unwrap();
        keys.renew().unwrap();
        assert_eq!(bytes(&keys), [[0xb2; 32], [0xa1; 32], made]);
        keys.retire().unwrap();
        assert_eq!(bytes(&keys), [[0xb2; 32]]);
        assert!(!own.exists(), "the key that the machine had is gone");
        let mut fresh = VaultKeys::alone(Some(GivenKeys::Text("c3".repeat(32))), &own).unwrap();
        assert!(!own.exists(), "none is made where keys are given");
        fresh.retire().unwrap();
        assert_eq!(bytes(&fresh), [[0xc3; 32]]);
    }

    #[test]
    fn coordinators_that_share_a_journal_begin_with_a_derived_key() {
        let derived = SigningKey::from_bytes([7; 32]);
        let mut keys = VaultKeys::shared(None, derived.clone()).unwrap();
        assert!(keys.renew().unwrap_err().contains("--vault-key"));
        keys = VaultKeys::shared(Some(GivenKeys::Text("a1".repeat(32))), derived).unwrap();
        keys.renew().unwrap();
        assert_eq!(bytes(&keys), [[0xa1; 32], [7; 32]]);
    }

    #[test]
    fn what_is_no_key_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("given");
        let many = vec!["a1".repeat(32); KEYS_MAX + 1].join(",");
        for (text, expected) in [
            ("", "has no key; make one with `openssl rand -hex 32`"),
            ("\n \n", "has no key"),
            ("abc", "its key number 1 is not 64 hexadecimal digits"),
            (&format!("{} {}", "a1".repeat(32), "g".repeat(64)), "its key number 2"),
            (&many, "more than 8 keys"),
            (&"a".repeat(5000), "more than 4096 bytes"),
        ] {
            fs::write(&file, text).unwrap();
            let told = GivenKeys::File(file.clone()).read().err().unwrap();
            assert!(told.contains(expected) && told.contains("given"), "{told}");
        }
        assert!(!format!("{:?}", GivenKeys::Text("a1".repeat(32))).contains("a1a1"));
        assert!(GivenKeys::File(folder.path().join("none")).read().is_err());
    }
}
