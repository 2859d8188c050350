//! Names of resources, as ByteStream has them.
//!
//! Read: `{instance}/blobs/{hash}/{size}`, or `{instance}/compressed-blobs/zstd/{hash}/{size}`. Write:
//! `{instance}/uploads/{id}/` and one of those, with anything behind it. The instance may be empty or have slashes; the digest's
//! function may stand before the hash.

use slipway_cas::Digest;

use super::re::compressor::Value as Compressor;
use crate::limits::{MAX_BLOB_BYTES, MAX_RESOURCE_BYTES};

/// The only function of digests that is spoken.
const SHA256: &str = "sha256";

/// Functions that a name may have and that are not spoken.
const OTHER_FUNCTIONS: [&str; 8] =
    ["sha1", "md5", "vso", "sha384", "sha512", "murmur3", "sha256tree", "blake3"];

/// A blob to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Which cache.
    pub instance: &'a str,
    /// Which blob.
    pub digest: Digest,
    /// How it is sent.
    pub compressor: Compressor,
}

/// A blob to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upload<'a> {
    /// Which cache.
    pub instance: &'a str,
    /// Which blob.
    pub digest: Digest,
    /// How it is sent.
    pub compressor: Compressor,
}

/// What is wrong with a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the resource name `{name}` {problem}")]
pub struct NameError {
    name: String,
    problem: String,
}

fn error(name: &str, problem: impl Into<String>) -> NameError {
    NameError { name: name.chars().take(200).collect(), problem: problem.into() }
}

/// The name of a blob to be read.
///
/// # Errors
/// [`NameError`].
pub fn wanted(name: &str) -> Result<Wanted<'_>, NameError> {
    let (instance, rest) = split(name, &["blobs", "compressed-blobs"])?;
    let (digest, compressor, behind) = blob(name, rest)?;
    if !behind.is_empty() {
        return Err(error(name, "has more behind its digest than a read may have"));
    }
    Ok(Wanted { instance, digest, compressor })
}

/// The name of a blob to be written.
///
/// # Errors
/// [`NameError`].
pub fn upload(name: &str) -> Result<Upload<'_>, NameError> {
    let (instance, rest) = split(name, &["uploads"])?;
    let Some((_, rest)) = rest.strip_prefix("uploads/").and_then(|rest| rest.split_once('/')) else {
        return Err(error(name, "has no `uploads/<id>/` before its blob"));
    };
    let (digest, compressor, _) = blob(name, rest)?;
    Ok(Upload { instance, digest, compressor })
}

/// Splits a name before the first segment that is one of these words.
fn split<'a>(name: &'a str, words: &[&str]) -> Result<(&'a str, &'a str), NameError> {
    if name.len() > MAX_RESOURCE_BYTES {
        return Err(error(name, format!("is longer than {MAX_RESOURCE_BYTES} bytes")));
    }
    let mut start = 0;
    for segment in name.split('/') {
        if words.contains(&segment) {
            let (instance, rest) = name.split_at(start);
            return Ok((instance.strip_suffix('/').unwrap_or(instance), rest));
        }
        start += segment.len() + 1;
    }
    Err(error(name, format!("has no `{}/`", words.join("/` or `"))))
}

/// `blobs/…` or `compressed-blobs/zstd/…`, and what is behind it.
fn blob<'a>(name: &str, rest: &'a str) -> Result<(Digest, Compressor, &'a str), NameError> {
    let (compressor, rest) = match rest.split_once('/') {
        Some(("blobs", rest)) => (Compressor::Identity, rest),
        Some(("compressed-blobs", rest)) => match rest.split_once('/') {
            Some(("zstd", rest)) => (Compressor::Zstd, rest),
            Some(("identity", rest)) => (Compressor::Identity, rest),
            _ => return Err(error(name, "names a compressor other than `zstd`")),
        },
        _ => return Err(error(name, "has no `blobs/` or `compressed-blobs/` where it should")),
    };
    let mut rest = rest;
    if let Some((function, behind)) = rest.split_once('/') {
        if function == SHA256 {
            rest = behind;
        } else if OTHER_FUNCTIONS.contains(&function) {
            return Err(error(name, format!("has digests by `{function}`; this cache speaks `{SHA256}`")));
        }
    }
    let (hash, rest) = rest.split_once('/').ok_or_else(|| error(name, "has no `<hash>/<size>`"))?;
    let (size, behind) = rest.split_once('/').unwrap_or((rest, ""));
    // `parse` takes a sign.
    let size = size.parse().ok().filter(|_| size.bytes().all(|byte| byte.is_ascii_digit()));
    let size: u64 = size.ok_or_else(|| error(name, "has no number for a size"))?;
    if size > MAX_BLOB_BYTES {
        return Err(error(name, format!("is of a blob longer than {MAX_BLOB_BYTES} bytes")));
    }
    let digest = Digest::from_hex(hash, size).map_err(|_| error(name, "has no SHA-256 in hexadecimal"))?;
    Ok((digest, compressor, behind))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn what_real_clients_send() {
        let digest = Digest::from_hex(HASH, 12).unwrap();
        for (name, instance, compressor) in [
            (format!("blobs/{HASH}/12"), "", Compressor::Identity),
            (format!("main/blobs/{HASH}/12"), "main", Compressor::Identity),
            (format!("a/b/c/blobs/{HASH}/12"), "a/b/c", Compressor::Identity),
            (format!("a/compressed-blobs/zstd/{HASH}/12"), "a", Compressor::Zstd),
            (format!("a/compressed-blobs/zstd/sha256/{HASH}/12"), "a", Compressor::Zstd),
            (format!("/blobs/sha256/{HASH}/12"), "", Compressor::Identity),
        ] {
            assert_eq!(wanted(&name).unwrap(), Wanted { instance, digest, compressor }, "{name}");
        }
        for (name, instance, compressor) in [
            (format!("uploads/u-1/blobs/{HASH}/12"), "", Compressor::Identity),
            (format!("a/b/uploads/u/blobs/{HASH}/12/some/file.o"), "a/b", Compressor::Identity),
            (format!("uploads/u/compressed-blobs/zstd/{HASH}/12/x"), "", Compressor::Zstd),
        ] {
            assert_eq!(upload(&name).unwrap(), Upload { instance, digest, compressor }, "{name}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_problem() {
        for (name, word) in [
            (String::new(), "blobs"),
            (format!("blobs/{HASH}"), "size"),
            (format!("blobs/{HASH}/-1"), "number"),
            (format!("blobs/{HASH}/+1"), "number"),
            (format!("blobs/{HASH}/1x"), "number"),
            (format!("blobs/{}/1", &HASH[1..]), "SHA-256"),
            (format!("blobs/blake3/{HASH}/1"), "blake3"),
            (format!("blobs/{HASH}/1/more"), "behind"),
            (format!("compressed-blobs/deflate/{HASH}/1"), "zstd"),
            (format!("blobs/{HASH}/99999999999999"), "longer"),
            (format!("{}/blobs/{HASH}/1", "x".repeat(MAX_RESOURCE_BYTES)), "longer"),
        ] {
            let error = wanted(&name).unwrap_err().to_string();
            assert!(error.contains(word), "{name}: {error}");
        }
        for name in [format!("blobs/{HASH}/1"), format!("uploads/blobs/{HASH}/1"), "uploads/".to_owned()] {
            assert!(upload(&name).is_err(), "{name}");
        }
    }
}
