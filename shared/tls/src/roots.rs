//! Certificates of authorities, from a file or of the machine.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Largest file of certificates, in bytes: all public roots together have a quarter of it.
pub const FILE_MAX_BYTES: u64 = 1024 * 1024;

/// The certificates of a PEM file; at least one.
///
/// # Errors
/// What is wrong with the file, without its name.
pub fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read_small(file)?;
    let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| format!("it is not PEM: {error}"))?;
    match found.is_empty() {
        true => Err("it has no certificate; PEM begins with -----BEGIN CERTIFICATE-----".to_owned()),
        false => Ok(found),
    }
}

/// The authorities of a PEM file.
///
/// # Errors
/// What is wrong with the file, without its name.
pub fn of_file(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for (number, certificate) in certificates(file)?.into_iter().enumerate() {
        roots
            .add(certificate)
            .map_err(|error| format!("certificate {} can't be used: {error}", number + 1))?;
    }
    Ok(roots)
}

/// The machine's store, without what cannot be read: an odd certificate among a hundred is not our affair.
///
/// # Errors
/// There is none. Why, in parentheses, if it is known; else nothing.
pub fn of_machine() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    match roots.is_empty() {
        true => Err(found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default()),
        false => Ok(roots),
    }
}

fn read_small(file: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("it can't be read: {error}"))?;
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(format!("it is larger than {FILE_MAX_BYTES} bytes; give the one CA that is needed"));
    }
    Ok(bytes)
}
