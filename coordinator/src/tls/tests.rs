#![allow(clippy::unwrap_used)]

use rcgen::{CertificateParams, KeyPair};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::*;
use crate::authority::AGENT_LIFE;

fn authority() -> Authority {
    Authority::new(&[7; 32], AGENT_LIFE).unwrap()
}

/// Writes a certificate of its own making and its key.
fn write(certificate: &Path, key: &Path) {
    let made = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    std::fs::write(certificate, params.self_signed(&made).unwrap().pem()).unwrap();
    std::fs::write(key, made.serialize_pem()).unwrap();
}

fn served(tls: &ServerTls) -> Arc<CertifiedKey> {
    tls.current.get()
}

#[tokio::test]
async fn files_are_read_again_and_bad_ones_leave_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    write(&certificate, &key);
    let options = TlsOptions::Files { certificate: certificate.clone(), key: key.clone() };
    let tls = ServerTls::open(&options, &authority()).unwrap();
    let (first, stamp) = (served(&tls), options.stamp());
    write(&certificate, &key);
    assert_ne!(options.stamp(), stamp);
    tls.renew().await;
    let second = served(&tls);
    assert_ne!(first.cert, second.cert);
    for bad in [&certificate, &key] {
        let good = std::fs::read(bad).unwrap();
        std::fs::write(bad, "nonsense").unwrap();
        tls.renew().await;
        assert_eq!(served(&tls).cert, second.cert);
        std::fs::write(bad, good).unwrap();
    }
    // Another key than the certificate's.
    write(&folder.path().join("other.pem"), &key);
    tls.renew().await;
    assert_eq!(served(&tls).cert, second.cert);
}

#[test]
fn what_cannot_be_used_is_told_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    let options = TlsOptions::Files { certificate: certificate.clone(), key: key.clone() };
    let refused = || ServerTls::open(&options, &authority()).err().unwrap().to_string();
    assert!(refused().contains("c.pem"), "{}", refused());
    write(&certificate, &key);
    std::fs::write(&certificate, "").unwrap();
    assert!(refused().contains("no certificate"), "{}", refused());
    write(&certificate, &key);
    std::fs::write(&key, "").unwrap();
    assert!(refused().contains("no private key"), "{}", refused());
    let own = TlsOptions::Own { names: vec!["ä b".into()] };
    let refused = ServerTls::open(&own, &authority()).err().unwrap().to_string();
    assert!(refused.starts_with("--tls-name: "), "{refused}");
}
