//! What values are called: a kind, a namespace, and the digest of what they are about.

use std::fmt;
use std::sync::Arc;

use crate::Digest;
use crate::cache::limits::MAX_NAMESPACE_BYTES;

/// Room for what a key's text has beside the namespace.
pub(crate) const KEY_TEXT_BYTES: usize = 96;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Bytes named by their own digest: a chunk, or a blob short enough to be one.
    Chunk,
    /// The list of chunks of the blob named.
    Manifest,
    /// What an action with this digest resulted in.
    Action,
    /// What a caller's name stands for; the key is the digest of the name.
    Named,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Chunk, Self::Manifest, Self::Action, Self::Named];

    /// The letter that stands for the kind in keys.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Chunk => 'c',
            Self::Manifest => 'm',
            Self::Action => 'a',
            Self::Named => 'n',
        }
    }

    /// Whether two values of one key are always equally good. Only these may be answered from a copy.
    #[must_use]
    pub const fn is_immutable(self) -> bool {
        matches!(self, Self::Chunk | Self::Manifest)
    }

    fn from_letter(letter: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| letter.len() == 1 && letter.starts_with(kind.letter()))
    }
}

/// A part of the cache that shares nothing with the others: an instance name, a scope, a client's key space.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(Arc<str>);

/// Why a text is not a namespace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a cache namespace has 1 to {MAX_NAMESPACE_BYTES} of `a-z 0-9 . _ -`; `{0}` has not")]
pub struct NamespaceError(String);

impl Namespace {
    /// A namespace: 1 to [`MAX_NAMESPACE_BYTES`] of `a-z 0-9 . _ -`. Longer names (a branch's) are for the caller to
    /// hash.
    ///
    /// # Errors
    /// [`NamespaceError`] for anything else.
    pub fn new(text: &str) -> Result<Self, NamespaceError> {
        let plain = |b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > MAX_NAMESPACE_BYTES || !text.bytes().all(plain) {
            return Err(NamespaceError(text.chars().take(MAX_NAMESPACE_BYTES).collect()));
        }
        Ok(Self(text.into()))
    }

    /// Whose quota its values count for: what comes before its first dot, or all of it.
    #[must_use]
    pub fn owner(&self) -> &str {
        self.0.split('.').next().unwrap_or_default()
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Namespace({})", self.0)
    }
}

/// The name of one value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// What the value is.
    pub kind: Kind,
    /// Whose it is.
    pub namespace: Namespace,
    /// What it is about.
    pub id: Digest,
}

impl Key {
    /// The key's one text form, `<letter>:<namespace>:<sha256>-<bytes>`.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(KEY_TEXT_BYTES + self.namespace.as_str().len());
        self.push_text(&mut text);
        text
    }

    /// Appends the text form: batches make thousands of them, so that it takes no memory of its own.
    pub(crate) fn push_text(&self, text: &mut String) {
        text.push(self.kind.letter());
        text.push(':');
        text.push_str(self.namespace.as_str());
        text.push(':');
        text.push_str(self.id.hash_digits().as_str());
        // Writing to a `String` does not fail.
        let _ = fmt::Write::write_fmt(text, format_args!("-{}", self.id.size_bytes()));
    }

    /// The key of this text, if it is one.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let kind = Kind::from_letter(parts.next()?)?;
        let namespace = Namespace::new(parts.next()?).ok()?;
        let (hash, size) = parts.next()?.split_once('-')?;
        let key = Self { kind, namespace, id: Digest::from_hex(hash, size.parse().ok()?).ok()? };
        (key.to_text() == text).then_some(key)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_text() {
        for kind in Kind::ALL {
            let key = Key { kind, namespace: Namespace::new("main.x_y-1").unwrap(), id: Digest::of(b"x") };
            assert_eq!(Key::from_text(&key.to_text()), Some(key));
        }
        let text =
            Key { kind: Kind::Chunk, namespace: Namespace::new("a").unwrap(), id: Digest::of(b"") }.to_text();
        assert!(text.starts_with("c:a:e3b0c442") && text.ends_with("-0"), "{text}");
        for other in
            [text.replace("-0", "-00"), text.replace("c:", "z:"), text.replace(":a:", ":A:"), String::new()]
        {
            assert_eq!(Key::from_text(&other), None, "{other}");
        }
    }

    #[test]
    fn a_namespace_cannot_reach_into_another() {
        for text in ["", "a:b", "a/b", "A", "ä", "*", &"x".repeat(MAX_NAMESPACE_BYTES + 1)] {
            assert!(Namespace::new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_part_before_the_first_dot_owns_it() {
        for (text, owner) in [("r-1.b", "r-1"), ("r-1.e.2", "r-1"), ("shared", "shared"), (".x", "")] {
            assert_eq!(Namespace::new(text).unwrap().owner(), owner);
        }
    }
}
