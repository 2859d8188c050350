//! How the doors are served with TLS.

use std::path::PathBuf;
use std::time::Duration;

use tokio_rustls::rustls::pki_types::ServerName;

use super::{OptionsError, wrong};
use crate::authority::AGENT_LIFE;

/// Names of a certificate beyond this are a mistake.
const NAMES_MAX: usize = 100;

/// The flags.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TlsFlags {
    /// TLS certificate chain (PEM); gRPC needs TLS on any address but loopback
    #[arg(long, value_name = "FILE", env = "SLIPWAY_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", env = "SLIPWAY_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// Instead of files: serve with a certificate of the coordinator's own authority for this name or address, which agents know by their
    /// tokens for enrolment; may be repeated
    #[arg(long = "tls-name", value_name = "NAME", env = "SLIPWAY_TLS_NAMES", value_delimiter = ',')]
    pub tls_names: Vec<String>,
    /// Serve HTTP with the same certificate, too; the other coordinators of a cluster then pass requests on over HTTPS
    #[arg(long, env = "SLIPWAY_HTTP_TLS")]
    pub http_tls: bool,
    /// For how many seconds the certificate of an agent is good; it asks for another in time [default: 86400, a day]
    #[arg(long, value_name = "SECONDS", env = "SLIPWAY_AGENT_CERTIFICATES")]
    pub agent_certificates: Option<u64>,
}

/// The least and the most that may be said of that, in seconds: less keeps agents busy with it, and what is good for longer has a reason
/// of its own to be checked.
const AGENT_CERTIFICATES_S: std::ops::RangeInclusive<u64> = 10..=30 * 24 * 3_600;

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsOptions {
    /// Files, which are read again when they change.
    Files {
        /// The certificate chain, PEM.
        certificate: PathBuf,
        /// Its private key, PEM.
        key: PathBuf,
    },
    /// The coordinator's own authority.
    Own {
        /// Names and addresses of the coordinator.
        names: Vec<String>,
    },
}

/// What was given; checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tls {
    pub(super) doors: Option<TlsOptions>,
    /// Whether HTTP has it, too.
    pub(super) http: bool,
    /// For how long agents' certificates are good.
    pub(super) agent_certificates: Duration,
}

/// Checks what was given.
///
/// # Errors
/// [`OptionsError`] names the flag.
pub(super) fn load(flags: TlsFlags) -> Result<Tls, OptionsError> {
    let TlsFlags { tls_cert, tls_key, tls_names, http_tls, agent_certificates } = flags;
    let tls = match (tls_cert, tls_key) {
        (Some(_), None) => return Err(wrong("--tls-cert", "needs --tls-key too")),
        (None, Some(_)) => return Err(wrong("--tls-key", "needs --tls-cert too")),
        (Some(_), Some(_)) if !tls_names.is_empty() => {
            return Err(wrong("--tls-name", "is given besides --tls-cert; give one of them"));
        }
        (Some(certificate), Some(key)) => Some(TlsOptions::Files { certificate, key }),
        (None, None) if tls_names.is_empty() => None,
        (None, None) if tls_names.len() > NAMES_MAX => {
            return Err(wrong("--tls-name", format!("is given more than {NAMES_MAX} times")));
        }
        (None, None) => {
            if let Some(wrong_one) =
                tls_names.iter().find(|name| ServerName::try_from(name.as_str()).is_err())
            {
                return Err(wrong("--tls-name", format!("`{wrong_one}` is no host's name or address")));
            }
            Some(TlsOptions::Own { names: tls_names })
        }
    };
    if http_tls && tls.is_none() {
        return Err(wrong("--http-tls", "needs a certificate: give --tls-cert and --tls-key, or --tls-name"));
    }
    let seconds = agent_certificates.unwrap_or(AGENT_LIFE.as_secs());
    if !AGENT_CERTIFICATES_S.contains(&seconds) {
        let (least, most) = (AGENT_CERTIFICATES_S.start(), AGENT_CERTIFICATES_S.end());
        let reason = format!("{seconds} is not from {least} to {most} seconds");
        return Err(wrong("--agent-certificates", reason));
    }
    Ok(Tls { doors: tls, http: http_tls, agent_certificates: Duration::from_secs(seconds) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_comes_from_one_place() {
        let flags = |cert: Option<&str>, key: Option<&str>, names: &[&str], http_tls| TlsFlags {
            tls_cert: cert.map(PathBuf::from),
            tls_key: key.map(PathBuf::from),
            tls_names: names.iter().map(|name| (*name).to_owned()).collect(),
            http_tls,
            agent_certificates: None,
        };
        let of = |flags: TlsFlags| load(flags).map(|tls| (tls.doors, tls.http)).unwrap();
        assert_eq!(of(flags(None, None, &[], false)), (None, false));
        let own = TlsOptions::Own { names: vec!["ci.example.com".into()] };
        assert_eq!(of(flags(None, None, &["ci.example.com"], true)), (Some(own), true));
        let files = TlsOptions::Files { certificate: "c".into(), key: "k".into() };
        assert_eq!(of(flags(Some("c"), Some("k"), &[], false)), (Some(files), false));
        let short = TlsFlags { agent_certificates: Some(9), ..TlsFlags::default() };
        for (wrong, part) in [
            (flags(Some("c"), None, &[], false), "--tls-cert: needs --tls-key"),
            (flags(None, Some("k"), &[], false), "--tls-key: needs --tls-cert"),
            (flags(Some("c"), Some("k"), &["n"], false), "--tls-name: is given besides"),
            (flags(None, None, &["n"; 101], false), "--tls-name: is given more than 100"),
            (flags(None, None, &["a", "a b"], false), "--tls-name: `a b` is no host's name"),
            (flags(None, None, &[], true), "--http-tls: needs a certificate"),
            (short, "--agent-certificates: 9 is not from 10"),
        ] {
            let error = load(wrong).unwrap_err().to_string();
            assert!(error.starts_with(part), "{error}");
        }
    }
}
