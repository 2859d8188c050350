//! The coordinator's certificate: who made it, for whom, and for how long it is good; or that there is none.

use std::time::SystemTime;

use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::{Finding, Status};
use crate::client::Target;

/// With fewer days left somebody should have renewed it: the coordinator renews its own with 30 left, ACME clients theirs with 30, too.
const DAYS_LOW: i64 = 14;

/// Longest list of names that is shown, in characters.
const NAMES_SHOWN_CHARS: usize = 200;

const DAY_S: i64 = 24 * 3_600;

/// How it stands with TLS to this coordinator, which has answered and shown this certificate (DER). Nothing to say of one on this machine
/// that has no TLS.
pub(super) fn look(target: &Target, shown: Option<&[u8]>) -> Option<Finding> {
    if target.trust().is_none() {
        let hint = "start the coordinator with --http-tls, or put a proxy with TLS before it, and write https:// in --server";
        let found = "there is none: the token goes over the network in clear text";
        return (!target.is_loopback()).then(|| Finding::new("certificate", Status::Warning, found, hint));
    }
    let now_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    let mut finding = read(shown?, i64::try_from(now_s).ok()?)?;
    if let Some(authority) = target.authority() {
        finding.message = format!("{}; its authority's fingerprint is {authority}", finding.message);
    }
    Some(finding)
}

/// What a verified certificate says.
fn read(der: &[u8], now_s: i64) -> Option<Finding> {
    let (_, certificate) = parse_x509_certificate(der).ok()?;
    let names = certificate.subject_alternative_name().ok().flatten();
    let names: Vec<String> =
        names.map(|names| names.value.general_names.iter().filter_map(name).collect()).unwrap_or_default();
    let names: String = names.join(", ").chars().take(NAMES_SHOWN_CHARS).collect();
    let issuer = certificate.issuer().to_string();
    let days = (certificate.validity().not_after.timestamp() - now_s).div_euclid(DAY_S);
    let found = format!("good for {days} days more, over TLS 1.3, for {names}, made by `{issuer}`");
    let hint = "renew its files, which the coordinator reads again by itself; one of its own authority it renews by itself: its log says \
                why it did not";
    Some(match days {
        DAYS_LOW.. => Finding::ok("certificate", found),
        _ => Finding::new("certificate", Status::Warning, found, hint),
    })
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
            let sixteen =
                || <[u8; 16]>::try_from(*bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
            four.or_else(|_| sixteen()).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;

    /// 2030-01-01.
    const NOW_S: i64 = 1_893_456_000;

    fn certificate(end: (i32, u8, u8)) -> Vec<u8> {
        let mut params = CertificateParams::new(["ci.example.com".into(), "10.0.0.7".into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "An authority");
        params.not_before = date_time_ymd(2029, 1, 1);
        params.not_after = date_time_ymd(end.0, end.1, end.2);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn days_names_and_issuer_are_told_and_few_days_warned_of() {
        let good = read(&certificate((2030, 1, 15)), NOW_S).unwrap();
        assert_eq!(good.status, Status::Ok, "{good:?}");
        for part in ["good for 14 days", "ci.example.com, 10.0.0.7", "An authority", "TLS 1.3"] {
            assert!(good.message.contains(part), "{good:?}");
        }
        let low = read(&certificate((2030, 1, 14)), NOW_S).unwrap();
        assert_eq!(low.status, Status::Warning, "{low:?}");
        assert!(low.message.contains("good for 13 days") && low.hint.contains("renew"), "{low:?}");
        assert!(read(b"nonsense", NOW_S).is_none());
    }
}
