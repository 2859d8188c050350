#![allow(clippy::unwrap_used)]

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

use super::*;

fn message(server: &str, ca_file: Option<&Path>, allow_plaintext: bool) -> String {
    Server::new(server, ca_file, allow_plaintext).unwrap_err().to_string()
}

#[test]
fn clear_text_stays_on_this_machine_unless_allowed() {
    for server in ["http://127.0.0.1:7443", "http://[::1]:7443", "http://[::1]", "http://localhost"] {
        assert!(!Server::new(server, None, false).unwrap().is_tls(), "{server}");
    }
    for server in ["http://ci.example:7443", "http://localhost.example", "http://10.0.0.1:7443"] {
        assert!(message(server, None, false).contains("--allow-plaintext"), "{server}");
        assert!(!Server::new(server, None, true).unwrap().is_tls(), "{server}");
    }
}

#[test]
fn what_is_no_address_is_refused() {
    for server in [
        "",
        "ci.example:7443",
        "ftp://127.0.0.1",
        "http://",
        "http://127.0.0.1:7443@ci.example",
        "https://ci.example/path",
        "https://ci.example/?query",
    ] {
        assert!(message(server, None, true).contains("is not an address"), "{server}");
    }
}

#[test]
fn a_ca_file_has_to_hold_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let refused = || message("https://localhost:7443", Some(&file), false);
    assert!(refused().contains("can't be read"), "{}", refused());
    let key = KeyPair::generate().unwrap();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned();
    let cases = [
        (String::new(), "no certificate"),
        (key.serialize_pem(), "no certificate"),
        (broken, "certificate 1"),
        (" ".repeat(roots::FILE_MAX_BYTES as usize + 1), "larger than"),
    ];
    for (text, named) in cases {
        std::fs::write(&file, text).unwrap();
        assert!(refused().contains(named) && refused().contains("--ca-file"), "{}", refused());
    }

    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    std::fs::write(&file, ca.self_signed(&key).unwrap().pem()).unwrap();
    let server = Server::new("https://localhost:7443", Some(&file), false).unwrap();
    assert!(server.is_tls() && server.tls().unwrap().is_some());
    assert_eq!(server.to_string(), "https://localhost:7443");
    assert!(message("http://localhost:7443", Some(&file), false).contains("without TLS"));
}
