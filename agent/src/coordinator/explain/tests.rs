#![allow(clippy::unwrap_used)]

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use slipway_proto::v1;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::coordinator::{Coordinator, Server};

/// What a call says of a server that answers every connection's first bytes with `answer` and ends it.
async fn told(scheme: &str, answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut first = [0; 5];
            connection.read_exact(&mut first).await.unwrap();
            connection.write_all(answer).await.unwrap();
        }
    });
    ask(scheme, port).await
}

async fn ask(scheme: &str, port: u16) -> String {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    std::fs::write(&ca_file, ca.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()).unwrap();
    let ca_file = (scheme == "https").then_some(ca_file.as_path());
    let server = Server::new(&format!("{scheme}://127.0.0.1:{port}"), ca_file, false).unwrap();
    let coordinator = Coordinator::new(std::slice::from_ref(&server), "token").unwrap();
    let status = coordinator.client().get_blob(v1::GetBlobRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
    status.message().to_owned()
}

#[tokio::test]
async fn a_tls_alert_is_noticed_though_the_connection_breaks() {
    for _ in 0..20 {
        let message = told("http", &[21, 3, 1, 0, 2, 2, 10]).await;
        assert!(message.contains("speaks TLS: use https://"), "{message}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_named() {
    let message = told("https", b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert!(message.contains("does not speak TLS") && message.contains("--tls-cert"), "{message}");
    let message = told("https", b"").await;
    assert!(message.contains("where TLS begins") && message.contains("--tls-cert"), "{message}");
}

#[tokio::test]
async fn who_is_not_there_is_no_question_of_tls() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let plain = ask("http", port).await;
    assert!(plain.contains(&format!("cannot connect to 127.0.0.1 port {port}")), "{plain}");
    let tls = ask("https", port).await;
    assert!(!tls.contains("certificate") && !tls.contains("--tls-cert"), "{tls}");
}
