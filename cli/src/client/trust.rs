//! Whom the command line trusts to be the coordinator.
//!
//! The machine's certificates, unless somebody says better: a file of authorities, or the fingerprint of one. For a coordinator on this
//! machine the certificate of its own authority is found in the data directory, as its token is. Nothing turns the check off.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use slipway_tls::{Fingerprint, Trust, roots};

use crate::failure::Failure;

/// What somebody said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// The authorities of this file and no others.
    File(PathBuf),
    /// The one authority with this fingerprint.
    Fingerprint(Fingerprint),
}

impl Said {
    /// Reads `--server-ca` and `--server-fingerprint`.
    ///
    /// # Errors
    /// Both are given, or the fingerprint is none.
    pub(super) fn read(file: Option<&Path>, fingerprint: Option<&str>) -> Result<Option<Self>, Failure> {
        match (file, fingerprint) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => {
                Err(Failure::usage("--server-fingerprint: is given besides --server-ca; give one of them"))
            }
            (Some(file), None) => Ok(Some(Self::File(file.to_owned()))),
            (None, Some(text)) => {
                // As `openssl x509 -fingerprint` writes it.
                let digits: String = text.trim().chars().filter(|digit| *digit != ':').collect();
                let found = Fingerprint::parse(&digits).map(Self::Fingerprint);
                let found = found.ok_or_else(|| {
                    Failure::usage(format!(
                        "--server-fingerprint: `{}` is no SHA-256 of a certificate: it has 64 hexadecimal digits, as after the \
                         dot of what `slipway agents token` prints",
                        text.escape_debug()
                    ))
                });
                found.map(Some)
            }
        }
    }

    /// The flag that says it.
    pub(super) fn flag(&self) -> &'static str {
        match self {
            Self::File(_) => "--server-ca",
            Self::Fingerprint(_) => "--server-fingerprint",
        }
    }
}

/// Whom a target trusts, and the authority of the coordinator's own, where it is known.
#[derive(Clone)]
pub(super) struct Trusted {
    pub(super) trust: Trust,
    pub(super) authority: Option<Fingerprint>,
}

/// Whom to trust by what was said.
///
/// # Errors
/// The file cannot be used.
pub(super) fn as_said(said: &Said) -> Result<Trusted, Failure> {
    match said {
        Said::Fingerprint(fingerprint) => {
            Ok(Trusted { trust: Trust::Pinned(*fingerprint), authority: Some(*fingerprint) })
        }
        Said::File(file) => {
            let failed = |reason| Failure::usage(format!("--server-ca: {}: {reason}", file.display()));
            let found = roots::of_file(file).map_err(failed)?;
            let from = format!("{} (--server-ca)", file.display());
            Ok(Trusted { trust: by(found, from), authority: only(file) })
        }
    }
}

/// Whom to trust where nothing was said: the machine's store, and what is in `own` if that is there.
///
/// # Errors
/// There is neither.
pub(super) fn unsaid(own: Option<&Path>) -> Result<Trusted, Failure> {
    let own = own.and_then(|file| Some((file, roots::certificates(file).ok()?)));
    let (mut found, mut from, why) = match roots::of_machine() {
        Ok(found) => (found, vec!["this machine's store".to_owned()], String::new()),
        Err(why) => (RootCertStore::empty(), Vec::new(), why),
    };
    if let Some((file, certificates)) = &own {
        found.add_parsable_certificates(certificates.iter().cloned());
        from.push(file.display().to_string());
    }
    if found.is_empty() {
        return Err(Failure::usage(format!(
            "--server-ca is missing: this machine has no root certificates{why}; install its package `ca-certificates`, or give \
             `ca.pem` of the coordinator's data directory"
        )));
    }
    let authority = own.and_then(|(file, _)| only(file));
    Ok(Trusted { trust: by(found, from.join(" or ")), authority })
}

fn by(found: RootCertStore, from: String) -> Trust {
    Trust::Roots { roots: Arc::new(found), from }
}

/// The fingerprint of a file's only certificate.
fn only(file: &Path) -> Option<Fingerprint> {
    match roots::certificates(file).ok()?.as_slice() {
        [one] => Some(Fingerprint::of(one)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_tools_write_it() {
        let digits = "0123456789abcdef".repeat(4);
        let wanted = Some(Said::Fingerprint(Fingerprint::parse(&digits).unwrap()));
        let colons = digits
            .to_uppercase()
            .as_bytes()
            .chunks(2)
            .map(|pair| std::str::from_utf8(pair).unwrap())
            .collect::<Vec<_>>()
            .join(":");
        for text in [digits.clone(), colons, format!(" {digits}\n")] {
            assert_eq!(Said::read(None, Some(&text)).unwrap(), wanted, "{text}");
        }
        for wrong in ["", "abc", &digits[1..], &format!("{digits}0"), &"x".repeat(64)] {
            let message = Said::read(None, Some(wrong)).unwrap_err().to_string();
            assert!(
                message.starts_with("--server-fingerprint: ") && message.contains("agents token"),
                "{message}"
            );
        }
        let both = Said::read(Some(Path::new("ca.pem")), Some(&digits)).unwrap_err().to_string();
        assert!(both.contains("give one of them"), "{both}");
    }

    #[test]
    fn a_file_without_certificates_is_refused_where_it_was_named_and_left_out_where_it_was_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        for text in [None, Some("nonsense")] {
            if let Some(text) = text {
                std::fs::write(&file, text).unwrap();
            }
            let message = as_said(&Said::File(file.clone())).err().unwrap().to_string();
            assert!(message.starts_with("--server-ca: ") && message.contains("ca.pem"), "{message}");
            if let Ok(trusted) = unsaid(Some(&file)) {
                assert!(trusted.authority.is_none());
            }
        }
    }
}
