//! What names an entry: its keys, its paths and its version.

use sha2::{Digest as _, Sha256};

use crate::failure::Failure;
use crate::limits::{KEY_MAX_CHARS, KEYS_MAX};

/// How an entry is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// By `zstd`, without a long window.
    Zstd,
    /// By `gzip`, in images without `zstd`.
    Gzip,
}

impl Compression {
    fn word(self) -> &'static str {
        match self {
            Self::Zstd => "zstd-without-long",
            Self::Gzip => "gzip",
        }
    }
}

/// The lines of an input, without blanks around them and behind `!`; empty ones go.
#[must_use]
pub fn paths(text: &str) -> Vec<String> {
    let line = |line: &str| {
        // Only a `!` that begins the line, before any blank.
        let line = match line.strip_prefix('!') {
            Some(rest) if rest.starts_with(char::is_whitespace) => format!("!{}", rest.trim_start()),
            _ => line.to_owned(),
        };
        line.trim().to_owned()
    };
    text.split('\n').map(line).filter(|line| !line.is_empty()).collect()
}

/// The version of an entry of these paths. Archives of other systems are made for Windows alone, so whether they are
/// allowed makes no difference here.
#[must_use]
pub fn version(paths: &[String], compression: Compression) -> String {
    let mut parts: Vec<&str> = paths.iter().map(String::as_str).collect();
    parts.extend([compression.word(), "1.0"]);
    hex::encode(Sha256::digest(parts.join("|")))
}

/// Whether there are paths at all.
///
/// # Errors
/// In the original's words.
pub(super) fn check_paths(paths: &[String]) -> Result<(), Failure> {
    if paths.is_empty() {
        return Err(Failure::new("Path Validation Error: At least one directory or file path is required"));
    }
    Ok(())
}

/// Whether these can be the keys of one look-up.
///
/// # Errors
/// In the original's words.
pub fn check_keys(keys: &[&str]) -> Result<(), Failure> {
    if keys.len() > KEYS_MAX {
        return Err(Failure::new(format!(
            "Key Validation Error: Keys are limited to a maximum of {KEYS_MAX}."
        )));
    }
    for key in keys {
        // As JavaScript counts.
        if key.encode_utf16().count() > KEY_MAX_CHARS {
            return Err(Failure::new(format!(
                "Key Validation Error: {key} cannot be larger than {KEY_MAX_CHARS} characters."
            )));
        }
        if key.contains(',') {
            return Err(Failure::new(format!("Key Validation Error: {key} cannot contain commas.")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn paths_are_trimmed_as_the_original_trims_them() {
        assert_eq!(paths(" a \n\n!  b\n ! c\n#d"), ["a", "!b", "! c", "#d"]);
    }

    /// The digests are those of `@actions/cache` 6.3.0's `getCacheVersion`.
    #[test]
    fn versions_are_the_original_s() {
        let version = |paths: &[&str], compression| {
            let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
            version(&paths, compression)
        };
        assert_eq!(version(&["data"], Compression::Zstd), DATA_ZSTD);
        assert_eq!(version(&["data"], Compression::Gzip), DATA_GZIP);
        assert_eq!(version(&["~/.cargo", "!~/.cargo/x"], Compression::Zstd), TWO_ZSTD);
    }

    const DATA_ZSTD: &str = "3ad75f27293d65a135214b8c82b296080f911dc107e52f1e7ec871a2eda46e69";
    const DATA_GZIP: &str = "d603b013f22c8e30817c9ff51eada3c319f1ee747f362db3bb3d583b5c6153ff";
    const TWO_ZSTD: &str = "e0da0bd381c566644377f70f360394e59e6d7f2ba8bf65ca233dbce4c5438d8b";

    #[test]
    fn keys_have_rules() {
        assert!(check_keys(&[&"k".repeat(512)]).is_ok());
        let long = check_keys(&[&"k".repeat(513)]).unwrap_err().to_string();
        assert!(long.ends_with("cannot be larger than 512 characters."), "{long}");
        let comma = check_keys(&["a", "b,c"]).unwrap_err().to_string();
        assert_eq!(comma, "Key Validation Error: b,c cannot contain commas.");
        let many = check_keys(&["k"; 11]).unwrap_err().to_string();
        assert_eq!(many, "Key Validation Error: Keys are limited to a maximum of 10.");
    }
}
