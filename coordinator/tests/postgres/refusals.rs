//! What cannot be used is said in one clear line, and at once.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use slipway_coordinator::journal::postgres::PostgresOptions;
use slipway_coordinator::journal::{Journal as _, JournalError};
use slipway_tests::postgres::PostgresServer;

use crate::support::{entry, leader, open, refused, texts, try_open};

#[test]
fn login_and_database_are_checked_in_words() {
    let server = PostgresServer::start();
    let message = refused(&server.url("").replace("p%40ss", "wrong"));
    assert!(message.contains("password authentication failed for user \"slipway\""), "{message}");
    let message = refused(&server.url("").replace("/slipway?", "/none?"));
    assert!(message.contains("database \"none\" does not exist; create it"), "{message}");
    let message = refused(&format!("postgres://slipway@127.0.0.1:{}/slipway", server.port()));
    assert!(message.contains("it asks for a password"), "{message}");
    let message = refused(&server.url("sslmode=require"));
    assert!(message.contains("it has no TLS"), "{message}");
    // Nobody may make a schema here.
    server.sql("postgres", "CREATE DATABASE others");
    let message = refused(&server.url("").replace("/slipway?", "/others?"));
    assert!(message.contains("permission denied") && message.contains("docs/POSTGRESQL.md"), "{message}");
}

#[test]
fn a_server_that_is_not_there_is_named_with_the_reason() {
    let mut server = PostgresServer::start();
    let url = server.url("");
    server.kill();
    let message = refused(&url);
    assert!(message.contains(&format!("127.0.0.1:{}", server.port())), "{message}");
    assert!(message.contains("refused"), "{message}");
}

#[test]
fn a_newer_format_and_another_programs_schema_are_refused() {
    let server = PostgresServer::start();
    let (mut journal, epoch) = leader(&server.url(""));
    journal.append(epoch, &[entry("kept")]).unwrap();
    drop(journal);
    server.sql("slipway", "UPDATE slipway.meta SET format = 9");
    let error = try_open(&server.url("")).unwrap_err();
    assert!(matches!(error, JournalError::Newer { found: 9, .. }), "{error}");
    server.sql("slipway", "UPDATE slipway.meta SET format = 2");
    assert_eq!(texts(&mut open(&server.url(""))), ["kept"]);

    server.sql("postgres", "CREATE DATABASE theirs OWNER slipway");
    server.sql("theirs", "CREATE SCHEMA slipway CREATE TABLE ships (name text)");
    let error = try_open(&server.url("").replace("/slipway?", "/theirs?")).unwrap_err();
    assert!(matches!(error, JournalError::Foreign { .. }), "{error}");
    assert_eq!(server.sql("theirs", "SELECT count(*) FROM slipway.ships"), "0", "and it is left alone");
}

#[test]
fn whatever_was_changed_shows() {
    let server = PostgresServer::start();
    let (mut journal, epoch) = leader(&server.url(""));
    for n in 1..=5 {
        journal.append(epoch, &[entry(n)]).unwrap();
    }
    drop(journal);
    server.sql("slipway", "CREATE TABLE copies AS SELECT * FROM slipway.record");
    for (change, position) in [
        ("UPDATE slipway.record SET payload = 'x' WHERE position = 3", 3),
        ("UPDATE slipway.record SET time_ms = 6 WHERE position = 4", 4),
        ("DELETE FROM slipway.record WHERE position = 2", 2),
        ("DELETE FROM slipway.record WHERE position = 5", 5),
    ] {
        server.sql("slipway", change);
        let checked = try_open(&server.url(""))
            .and_then(|mut journal| slipway_coordinator::journal::verify(&mut journal));
        let error = checked.unwrap_err();
        assert!(
            matches!(error, JournalError::Damaged { position: p, .. } if p == position),
            "{change}: {error}"
        );
        server.sql("slipway", "TRUNCATE slipway.record");
        server.sql("slipway", "INSERT INTO slipway.record SELECT * FROM copies");
    }
    assert_eq!(texts(&mut open(&server.url(""))).len(), 5);
}

/// A certificate authority of the test.
struct Authority {
    ca_file: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(folder: &Path, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_file = folder.join(name);
        std::fs::write(&ca_file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { ca_file, issuer: Issuer::new(params, key) }
    }

    /// Writes a certificate for `name` and its key where the server finds them.
    fn certify(&self, server: &PostgresServer, name: &str) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        server.keep_secret("server.pem", &certificate.pem());
        server.keep_secret("server.key", &key.serialize_pem());
    }
}

#[test]
fn tls_is_what_the_mode_says() {
    let server = PostgresServer::start();
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ca.pem");
    let other = Authority::new(folder.path(), "other.pem");
    authority.certify(&server, "localhost");
    for (name, file) in [("ssl_cert_file", "server.pem"), ("ssl_key_file", "server.key")] {
        server.set(name, server.folder().join(file).to_str().unwrap());
    }
    server.set("ssl", "on");
    let url = |mode: &str, ca: Option<&Path>, host: &str| {
        let ca = ca.map_or_else(String::new, |ca| format!("&sslrootcert={}", ca.display()));
        server.url(&format!("sslmode={mode}{ca}")).replace("127.0.0.1", host)
    };
    let (ours, theirs) = (Some(authority.ca_file.as_path()), Some(other.ca_file.as_path()));
    let encrypted =
        "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'slipway'";
    for (url, tls) in [
        (url("verify-full", ours, "localhost"), "t"),
        (url("verify-ca", ours, "127.0.0.1"), "t"),
        (url("require", None, "127.0.0.1"), "t"),
        (url("prefer", None, "127.0.0.1"), "t"),
        (url("disable", None, "127.0.0.1"), "f"),
    ] {
        let journal = slipway_tests::wait_until("the server has read its settings", || try_open(&url).ok());
        assert_eq!(server.sql("postgres", encrypted), tls, "{url}");
        drop(journal);
        // Its session ends after its value.
        slipway_tests::wait_until("the session is gone", || {
            server.sql("postgres", encrypted).is_empty().then_some(())
        });
    }
    let message = refused(&url("verify-full", ours, "127.0.0.1"));
    assert!(message.contains("its certificate is not for `127.0.0.1`"), "{message}");
    for mode in ["verify-full", "verify-ca", "require"] {
        let message = refused(&url(mode, theirs, "localhost"));
        assert!(
            message.contains("its certificate is not from a CA of") && message.contains("other.pem"),
            "{message}"
        );
    }
    let message = refused(&url("verify-full", Some(Path::new("/none.pem")), "localhost"));
    assert!(message.contains("sslrootcert: /none.pem"), "{message}");
    // A certificate of a file is needed, or the machine's store does not know this authority.
    let message = refused(&url("verify-full", None, "localhost"));
    assert!(message.contains("its certificate is not from a CA of this machine's store"), "{message}");
}

#[test]
fn a_url_is_refused_without_its_password() {
    for (url, part) in [
        ("postgres://u:secret@h/d?sslmode=maybe", "sslmode"),
        ("postgres://u:secret@h/d?sslcrl=x", "`sslcrl`"),
        ("postgres://u:sec@ret@h/d", "%40"),
        ("postgres://u:secret@/d", "no host"),
        ("postgres://u:secret@h:port/d", "port"),
        ("postgres://u:secret@h/d?sslrootcert=/ca.pem", "sslmode=verify-full"),
        ("postgres://u:secret@h/d?target_session_attrs=any", "read-write"),
        ("postgres://u:secret@h/d?x", "KEY=VALUE"),
    ] {
        let message = PostgresOptions::parse(url).unwrap_err();
        assert!(message.contains(part), "{url}: {message}");
        assert!(!message.contains("secret") && !message.contains("ret@h"), "{message}");
    }
    let options = PostgresOptions::parse("postgres://u:secret@a:1,b/d?sslmode=verify-full").unwrap();
    assert_eq!(options.to_string(), "postgres://a:1,b:5432/d");
    assert!(!format!("{options:?}").contains("secret"));
}
