//! Bearer tokens: made once, kept in the data directory, compared in constant time.
//!
//! Three of them: whoever has the *admin* token may use the API, whoever has the *agent* token may be an agent, whoever has the
//! *cache* token may use the cache of build tools. A token's text is never logged, and `Debug` hides it.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use slipway_wire::enrolment;
use subtle::ConstantTimeEq as _;

use crate::key::SigningKey;
use crate::secret_file;

/// What an `authorization` header carries as a bearer token.
pub(crate) fn given(authorization: Option<&[u8]>) -> Option<&str> {
    let (scheme, token) = authorization?.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| std::str::from_utf8(token).ok()).flatten()
}

/// SHA-256 of a token's text, in hexadecimal: what is kept of those that only their owners know. They are random and long, so
/// that nothing slower is needed.
pub(crate) fn sha256(token: &str) -> String {
    slipway_cas::Digest::of(token.as_bytes()).hash_hex()
}

/// The id of a new token, for people.
pub(crate) fn short_id() -> String {
    uuid::Uuid::new_v4().simple().to_string().chars().take(12).collect()
}

/// What the text of every token for the API begins with, but for the admin token.
pub(crate) const ACCESS_PREFIX: &str = "slipapi_";

/// The longest token that is read from a file, in bytes.
const MAX_TOKEN_BYTES: usize = 1_024;

/// A bearer token.
#[derive(Clone)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// A token of 244 random bits.
    #[must_use]
    pub fn random() -> Self {
        let half = || uuid::Uuid::new_v4().simple().to_string();
        Self(format!("slip_{}{}", half(), half()))
    }

    /// A token for enrolment.
    #[must_use]
    pub fn for_enrolment() -> Self {
        let half = || uuid::Uuid::new_v4().simple().to_string();
        Self(format!("{}{}{}", enrolment::TOKEN_PREFIX, half(), half()))
    }

    /// The same token with the fingerprint of the authority that its agent is to trust.
    #[must_use]
    pub(crate) fn naming(&self, fingerprint: &str) -> Self {
        Self(enrolment::with_fingerprint(&self.0, fingerprint))
    }

    /// A token of somebody's for the API and the pages.
    #[must_use]
    pub fn for_access() -> Self {
        let half = || uuid::Uuid::new_v4().simple().to_string();
        Self(format!("{ACCESS_PREFIX}{}{}", half(), half()))
    }

    /// The token that follows from a key.
    #[must_use]
    pub(crate) fn derived(key: &SigningKey) -> Self {
        Self(format!("slip_{}", hex::encode(key.bytes())))
    }

    /// Writes it into a file that only its owner may read, unless it is there already.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        match fs::read_to_string(path) {
            Ok(text) if text.trim() == self.0 => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => secret_file::write(path, self.0.as_bytes()),
        }
    }

    /// The token in this file; a new one is made and written when there is no file.
    ///
    /// # Errors
    /// When the file cannot be read or written, or holds no token.
    pub fn load_or_create(path: &Path) -> io::Result<Self> {
        match fs::read_to_string(path) {
            Ok(text) if (1..=MAX_TOKEN_BYTES).contains(&text.trim().len()) => {
                Ok(Self(text.trim().to_owned()))
            }
            Ok(_) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it holds no token; delete it to get a new one",
            )),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let token = Self::random();
                secret_file::write(path, token.0.as_bytes())?;
                Ok(token)
            }
            Err(error) => Err(error),
        }
    }

    /// The text, to hand to whoever may have it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether an `authorization` header carries this token. Takes the same time for every wrong token of its length.
    #[must_use]
    pub fn matches(&self, authorization: Option<&[u8]>) -> bool {
        let Some((scheme, token)) = authorization.and_then(|value| value.split_at_checked(7)) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(token.ct_eq(self.0.as_bytes()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_matches() {
        let token = Token::random();
        let header = format!("Bearer {}", token.reveal());
        assert!(token.matches(Some(header.as_bytes())));
        assert!(token.matches(Some(header.replace("Bearer", "bearer").as_bytes())));
        for wrong in
            ["", "Bearer ", "Bearer", token.reveal(), &header[..header.len() - 1], &format!("{header}x")]
        {
            assert!(!token.matches(Some(wrong.as_bytes())), "{wrong}");
        }
        assert!(!token.matches(None));
        assert!(!format!("{token:?}").contains(token.reveal()));
    }

    #[test]
    fn a_token_is_made_once_and_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.token");
        let token = Token::load_or_create(&path).unwrap();
        assert_eq!(Token::load_or_create(&path).unwrap().reveal(), token.reveal());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "\n").unwrap();
        assert!(Token::load_or_create(&path).is_err());
    }
}
