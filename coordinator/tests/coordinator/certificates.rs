//! Certificates of agents, and doors with TLS.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use slipway_coordinator::options::TlsOptions;
use slipway_proto::v1;
use slipway_proto::v1::agents_client::AgentsClient;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto, version};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};

use crate::fake_agent::{FIRST, SECOND};
use crate::fixture::Fixture;

type Client = AgentsClient<InterceptedService<Channel, Bearer>>;

#[derive(Clone)]
struct Bearer(MetadataValue<Ascii>);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

async fn fixture() -> Fixture {
    Fixture::start_with(|options| {
        options.tls = Some(TlsOptions::Own { names: vec!["localhost".into()] });
    })
    .await
}

fn ca(fixture: &Fixture) -> String {
    std::fs::read_to_string(fixture.folder.path().join("data/ca.pem")).unwrap()
}

/// A key, and what was certified of it.
struct Agent {
    id: &'static str,
    credential: String,
    key: KeyPair,
    certificate: Vec<u8>,
}

impl Agent {
    fn shown(&self) -> Identity {
        let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &self.certificate);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        Identity::from_pem(pem, self.key.serialize_pem())
    }
}

/// A connection that shows this.
fn connect(fixture: &Fixture, bearer: &str, shown: Option<Identity>) -> Client {
    let port = fixture.handle().grpc_addr.port();
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca(fixture)));
    if let Some(shown) = shown {
        tls = tls.identity(shown);
    }
    let endpoint = Endpoint::try_from(format!("https://localhost:{port}")).unwrap().tls_config(tls).unwrap();
    let bearer = Bearer(format!("Bearer {bearer}").parse().unwrap());
    AgentsClient::with_interceptor(endpoint.connect_lazy(), bearer)
}

fn request(key: &KeyPair) -> Vec<u8> {
    CertificateParams::default().serialize_request(key).unwrap().der().to_vec()
}

async fn token(fixture: &Fixture) -> String {
    let made = fixture.call(Method::POST, "/api/v1/agents/tokens", Some(json!({}))).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    made.json::<Value>().await.unwrap()["token"].as_str().unwrap().to_owned()
}

async fn enrol(fixture: &Fixture, id: &'static str) -> Agent {
    let token = token(fixture).await;
    let secret = token.split('.').next().unwrap();
    let (key, credential) = (KeyPair::generate().unwrap(), format!("slipagent_{}", uuid::Uuid::new_v4()));
    let asked = v1::EnrolRequest {
        agent_id: id.to_owned(),
        name: "host".to_owned(),
        credential_sha256: slipway_cas::Digest::of(credential.as_bytes()).hash_hex(),
        csr: request(&key).into(),
    };
    let answer = connect(fixture, secret, None).enrol(asked).await.unwrap().into_inner();
    assert_eq!(answer.good_for_ms, 24 * 3_600_000);
    Agent { id, credential, key, certificate: answer.certificate.to_vec() }
}

/// Whether whoever calls is let in: what is asked for is not there.
async fn is_let_in(mut client: Client) -> Result<(), Status> {
    let digest = v1::Digest { sha256: "0".repeat(64), size_bytes: 1 };
    let asked = v1::GetBlobRequest { digest: Some(digest), ..v1::GetBlobRequest::default() };
    let refused = match client.get_blob(asked).await {
        Ok(mut answer) => answer.get_mut().message().await.unwrap_err(),
        Err(status) => status,
    };
    if refused.code() == Code::NotFound { Ok(()) } else { Err(refused) }
}

async fn is_refused(client: Client, told: &str) {
    let refused = is_let_in(client).await.unwrap_err();
    let for_good = refused.code() == Code::Unauthenticated;
    let for_now = refused.code() == Code::PermissionDenied && told == "did not show it";
    assert!(for_good || for_now, "{refused}");
    assert!(refused.message().contains(told), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_with_a_certificate_is_nobody_without_it() {
    let fixture = fixture().await;
    let text = token(&fixture).await;
    let der = CertificateDer::from_pem_slice(ca(&fixture).as_bytes()).unwrap();
    let fingerprint = slipway_cas::Digest::of(&der).hash_hex();
    assert!(text.ends_with(&format!(".{fingerprint}")), "{text}");
    let (first, second) = (enrol(&fixture, FIRST).await, enrol(&fixture, SECOND).await);
    is_let_in(connect(&fixture, &first.credential, Some(first.shown()))).await.unwrap();
    is_refused(connect(&fixture, &first.credential, None), "did not show it").await;
    is_refused(connect(&fixture, &first.credential, Some(second.shown())), "did not show it").await;
    is_refused(connect(&fixture, "slipagent_other", Some(first.shown())), "agent token").await;
    // The credential alone is good for another certificate, and for nothing else.
    let key = KeyPair::generate().unwrap();
    let asked = v1::RenewCertificateRequest { csr: request(&key).into() };
    let answer = connect(&fixture, &first.credential, None).renew_certificate(asked.clone()).await;
    let certificate = answer.unwrap().into_inner().certificate.to_vec();
    let renewed = Agent { id: FIRST, credential: first.credential.clone(), key, certificate };
    is_let_in(connect(&fixture, &renewed.credential, Some(renewed.shown()))).await.unwrap();
    is_let_in(connect(&fixture, &first.credential, Some(first.shown()))).await.unwrap();
    for (bearer, csr, code) in [
        (first.credential.as_str(), asked.csr.slice(1..), Code::InvalidArgument),
        (&first.credential, vec![0; 9_000].into(), Code::InvalidArgument),
        (fixture.handle().agent_token.reveal(), asked.csr.clone(), Code::PermissionDenied),
        ("slipagent_other", asked.csr.clone(), Code::Unauthenticated),
    ] {
        let refused = connect(&fixture, bearer, None)
            .renew_certificate(v1::RenewCertificateRequest { csr })
            .await
            .unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_dies_with_its_agent_and_with_its_enrolment() {
    let mut fixture = fixture().await;
    let (first, second) = (enrol(&fixture, FIRST).await, enrol(&fixture, SECOND).await);
    // It outlives the coordinator: authority and enrolments are the same.
    let before = ca(&fixture);
    fixture.kill_and_restart().await;
    assert_eq!(ca(&fixture), before);
    is_let_in(connect(&fixture, &first.credential, Some(first.shown()))).await.unwrap();
    // A connection that stands is cut off with the next call.
    let standing = connect(&fixture, &first.credential, Some(first.shown()));
    is_let_in(standing.clone()).await.unwrap();
    let removed = fixture.call(Method::DELETE, &format!("/api/v1/agents/{}", first.id), None).await;
    assert_eq!(removed.status(), StatusCode::OK);
    is_refused(standing, "was removed").await;
    is_refused(connect(&fixture, &first.credential, Some(first.shown())), "was removed").await;
    let asked = v1::RenewCertificateRequest { csr: request(&first.key).into() };
    let refused = connect(&fixture, &first.credential, Some(first.shown())).renew_certificate(asked).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    // The same agent once more: what it had before stays dead, also beside its new credential.
    let again = enrol(&fixture, FIRST).await;
    is_let_in(connect(&fixture, &again.credential, Some(again.shown()))).await.unwrap();
    is_refused(connect(&fixture, &again.credential, Some(first.shown())), "did not show it").await;
    is_let_in(connect(&fixture, &second.credential, Some(second.shown()))).await.unwrap();
}

/// A handshake with what a client may offer.
async fn shakes_hands(
    fixture: &Fixture,
    versions: &[&'static tokio_rustls::rustls::SupportedProtocolVersion],
    shown: Option<(CertificateDer<'static>, KeyPair)>,
) -> bool {
    use tokio::io::AsyncReadExt as _;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca(fixture).as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
            builder.with_client_auth_cert(vec![certificate], key.into()).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = tokio::net::TcpStream::connect(fixture.handle().grpc_addr).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let Ok(mut stream) = TlsConnector::from(Arc::new(config)).connect(name, stream).await else {
        return false;
    };
    // What a client shows is judged after its side of the handshake: a server that goes on begins with its settings.
    matches!(stream.read(&mut [0; 9]).await, Ok(read) if read > 0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_versions_and_certificates_of_others_get_no_connection() {
    let fixture = fixture().await;
    assert!(shakes_hands(&fixture, &[&version::TLS13], None).await);
    assert!(!shakes_hands(&fixture, &[&version::TLS12], None).await);
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::default().self_signed(&key).unwrap().der().clone();
    assert!(!shakes_hands(&fixture, &[&version::TLS13], Some((own, key))).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_begins_no_handshake_holds_nobody_up() {
    let fixture = fixture().await;
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(tokio::net::TcpStream::connect(fixture.handle().grpc_addr).await.unwrap());
    }
    let joined = tokio::time::timeout(Duration::from_secs(30), enrol(&fixture, FIRST)).await;
    assert!(joined.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_tls_nobody_gets_a_certificate_and_credentials_do() {
    let fixture = Fixture::start().await;
    let token = token(&fixture).await;
    assert!(!token.contains('.'), "{token}");
    let address = format!("http://{}", fixture.handle().grpc_addr);
    let plain = |bearer: &str| {
        let endpoint = Endpoint::try_from(address.clone()).unwrap();
        AgentsClient::with_interceptor(
            endpoint.connect_lazy(),
            Bearer(format!("Bearer {bearer}").parse().unwrap()),
        )
    };
    let csr = request(&KeyPair::generate().unwrap());
    let asked = v1::EnrolRequest {
        agent_id: FIRST.to_owned(),
        name: "host".to_owned(),
        credential_sha256: slipway_cas::Digest::of(b"slipagent_1").hash_hex(),
        csr: csr.clone().into(),
    };
    let answer = plain(&token).enrol(asked).await.unwrap().into_inner();
    assert!(answer.certificate.is_empty() && answer.good_for_ms == 0);
    is_let_in(plain("slipagent_1")).await.unwrap();
    let asked = v1::RenewCertificateRequest { csr: csr.into() };
    let refused = plain("slipagent_1").renew_certificate(asked).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
}

/// What `curl` says over HTTP with TLS.
fn curl(fixture: &Fixture, arguments: &[&str], path: &str) -> (bool, String) {
    let url = format!("https://localhost:{}{path}", fixture.handle().http_addr.port());
    let ca = fixture.folder.path().join("data/ca.pem");
    let output = std::process::Command::new("curl")
        .args(["--silent", "--show-error", "--include", "--cacert"])
        .arg(ca)
        .args(arguments)
        .arg(url)
        .output()
        .unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_has_the_same_certificate_where_it_is_asked_for() {
    let fixture = Fixture::start_with(|options| {
        options.tls = Some(TlsOptions::Own { names: vec!["localhost".into()] });
        options.http_tls = true;
    })
    .await;
    let (good, said) = curl(&fixture, &[], "/healthz");
    assert!(good && said.contains("200"), "{said}");
    let admin = format!("authorization: Bearer {}", fixture.handle().admin_token.reveal());
    let body = r#"{"name": "vera", "role": "viewer"}"#;
    let json = "content-type: application/json";
    let (good, said) =
        curl(&fixture, &["--header", &admin, "--header", json, "--data", body], "/api/v1/tokens");
    assert!(good && said.contains("201"), "{said}");
    let (_, said) = curl(&fixture, &["--header", &admin], "/api/v1/audit");
    assert!(said.contains("http 127.0.0.1"), "who asked is known: {said}");
    let token = format!("token={}", fixture.handle().admin_token.reveal());
    let (_, said) = curl(&fixture, &["--data", &token], "/sign-in");
    assert!(said.contains("SameSite=Strict; Secure"), "{said}");
    let (good, said) = curl(&fixture, &["--tls-max", "1.2"], "/healthz");
    assert!(!good, "{said}");
    let plain = fixture.http.get(fixture.url("/healthz")).send().await;
    assert!(plain.is_err(), "it is not served without TLS");
}
