//! HTTP clients for programs and tests. One that is made without the TLS that it is given here panics: see the workspace's `Cargo.toml`.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// A client for servers without TLS.
///
/// # Panics
/// When the system offers no network at all.
#[must_use]
pub fn http_client() -> reqwest::Client {
    http_client_builder().build().unwrap()
}

/// The same with settings of one's own.
pub fn http_client_builder() -> reqwest::ClientBuilder {
    trusting(RootCertStore::empty())
}

/// A client for servers whose certificates are of the authorities in this file (PEM). It offers HTTP/2 and HTTP/1.1, as browsers do,
/// and follows no redirect.
///
/// # Panics
/// When there is no certificate in the file.
#[must_use]
pub fn https_client(ca_file: &Path) -> reqwest::Client {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca_file).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    trusting(roots).redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

fn trusting(roots: RootCertStore) -> reqwest::ClientBuilder {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    reqwest::Client::builder().tls_backend_preconfigured(config)
}
