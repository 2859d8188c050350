#![allow(clippy::unwrap_used)]

use std::io;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError as Wrong, Error as Tls, InvalidMessage, RootCertStore};

use super::*;
use crate::Fingerprint;

fn by_file() -> Trust {
    Trust::Roots { roots: Arc::new(RootCertStore::empty()), from: "ca.pem (--server-ca)".to_owned() }
}

fn peer(trust: &Trust) -> Peer<'_> {
    Peer {
        url: "https://ci.example",
        host: "ci.example",
        trust,
        flag: "--server",
        without_tls: "give it TLS",
        unknown: "give another CA",
        pinned_by: "the fingerprint names",
    }
}

#[test]
fn each_thing_that_is_wrong_is_one_sentence_with_what_to_do() {
    let (roots, pinned) = (by_file(), Trust::Pinned(Fingerprint::of(b"one")));
    let certificate = Tls::InvalidCertificate;
    let name = Wrong::NotValidForNameContext {
        expected: "ci.example".try_into().unwrap(),
        presented: vec!["a.example".to_owned(), "b.example".to_owned()],
    };
    for (error, trust, parts) in [
        (
            certificate(Wrong::UnknownIssuer),
            &roots,
            &["not from a CA of ca.pem (--server-ca)", "give another CA"][..],
        ),
        (certificate(Wrong::BadSignature), &roots, &["not from a CA of ca.pem"]),
        (
            certificate(Wrong::UnknownIssuer),
            &pinned,
            &["that the fingerprint names", "somebody in between", "give another CA"],
        ),
        (certificate(Wrong::NotValidForName), &roots, &["not for `ci.example`", "in --server"]),
        (certificate(name), &roots, &["not for `ci.example` but for a.example, b.example", "subjectAltName"]),
        (certificate(Wrong::Expired), &roots, &["has expired", "renew it"]),
        (certificate(Wrong::NotValidYet), &roots, &["not valid yet", "clock"]),
        (certificate(Wrong::BadEncoding), &roots, &["can't be used"]),
        (
            Tls::InvalidMessage(InvalidMessage::InvalidContentType),
            &roots,
            &["does not speak TLS", "give it TLS"],
        ),
        (Tls::AlertReceived(AlertDescription::ProtocolVersion), &roots, &["no TLS 1.3"]),
        (Tls::AlertReceived(AlertDescription::InternalError), &roots, &["TLS to https://ci.example failed"]),
    ] {
        // As it comes from a connection: in an IO error, in an error of whoever connects.
        let wrapped = io::Error::other(io::Error::other(error));
        let told = explain(&wrapped, &peer(trust)).unwrap();
        assert!(told.contains("https://ci.example") && !told.contains('\n'), "{told}");
        for part in parts {
            assert!(told.contains(part), "`{part}` is not in: {told}");
        }
    }
}

#[test]
fn what_is_no_question_of_tls_is_left_to_others() {
    let trust = by_file();
    let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    assert_eq!(explain(&refused, &peer(&trust)), None);
    let ended = explain(&io::Error::from(io::ErrorKind::UnexpectedEof), &peer(&trust)).unwrap();
    assert!(ended.contains("where TLS begins") && ended.contains("give it TLS"), "{ended}");
}

#[test]
fn a_long_list_of_names_is_cut() {
    let presented = (0..1_000).map(|number| format!("host-{number}.example")).collect();
    let error = Tls::InvalidCertificate(Wrong::NotValidForNameContext {
        expected: "ci.example".try_into().unwrap(),
        presented,
    });
    assert!(in_words(&error, &peer(&by_file())).len() < 600);
}
