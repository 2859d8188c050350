//! The built command line against coordinators with TLS: whom it trusts, and what it says of those that it does not.
#![allow(clippy::unwrap_used, clippy::panic)]

mod program;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use program::{Done, Place, finish, refuses};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::Value as Json;
use slipway_coordinator::options::{Options, TlsOptions};
use slipway_coordinator::{Coordinator, Handle};

/// A coordinator with ports of its own, in this process.
struct Served {
    place: Place,
    handle: Handle,
    _runtime: tokio::runtime::Runtime,
}

impl Served {
    fn start(tls: Option<TlsOptions>) -> Self {
        let place = Place::new();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let mut options = Options::embedded(place.path().join("data"));
        options.http_tls = tls.is_some();
        options.tls = tls;
        let handle = runtime.block_on(Coordinator::start(options)).unwrap();
        Self { place, handle, _runtime: runtime }
    }

    /// With a certificate of its own authority for this name.
    fn own(name: &str) -> Self {
        Self::start(Some(TlsOptions::Own { names: vec![name.to_owned()] }))
    }

    fn url(&self, scheme: &str, host: &str) -> String {
        format!("{scheme}://{host}:{}", self.handle.http_addr.port())
    }

    fn ca_file(&self) -> PathBuf {
        self.place.path().join("data/ca.pem")
    }

    /// A command of somebody elsewhere: with the token, and without the coordinator's data directory.
    fn command(&self, url: &str, arguments: &[&str]) -> Command {
        let mut command = self.place.command(arguments);
        command.env("SLIPWAY_SERVER", url).env("SLIPWAY_TOKEN", self.handle.admin_token.reveal());
        command
    }

    fn run(&self, url: &str, arguments: &[&str]) -> Done {
        finish(self.command(url, arguments))
    }

    /// `slipway agents token` on the coordinator's own machine; what stands after the dot.
    fn fingerprint(&self) -> String {
        let mut command = self.place.command(&["agents", "token"]);
        command.env("SLIPWAY_SERVER", self.url("https", "localhost"));
        let made = finish(at_home(command, &self.place));
        assert_eq!(made.code, 0, "{made:?}");
        made.out.trim().split_once('.').unwrap().1.to_owned()
    }
}

/// The same command on the coordinator's machine.
fn at_home(mut command: Command, place: &Place) -> Command {
    command.env("SLIPWAY_DATA_DIR", place.path().join("data"));
    command
}

/// A certificate authority of the test, in a folder that goes with it.
struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A coordinator with a certificate of it for `localhost`.
    fn serves(&self, change: impl FnOnce(&mut CertificateParams)) -> Served {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        change(&mut params);
        let [certificate, file] = ["server.pem", "server.key"].map(|file| self.folder.path().join(file));
        std::fs::write(&certificate, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        std::fs::write(&file, key.serialize_pem()).unwrap();
        Served::start(Some(TlsOptions::Files { certificate, key: file }))
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[track_caller]
fn works(done: &Done) {
    assert_eq!((done.code, done.out.trim()), (0, "[]"), "{done:?}");
}

#[test]
fn its_own_authority_is_found_here_and_named_elsewhere() {
    let served = Served::own("localhost");
    let url = served.url("https", "localhost");
    let runs = ["runs", "--json"];
    // On its machine nothing has to be said: token and certificate lie in the data directory.
    let mut here = served.place.command(&runs);
    here.env("SLIPWAY_SERVER", &url);
    works(&finish(at_home(here, &served.place)));
    // Elsewhere it is nobody until one says who.
    let others = Authority::new();
    let mut elsewhere = served.command(&url, &runs);
    elsewhere.env("SSL_CERT_FILE", others.ca_file()).env_remove("SSL_CERT_DIR");
    let parts = ["not from a CA of this machine's store", "--server-ca", "--server-fingerprint"];
    refuses(&finish(elsewhere), 3, &parts);
    let (ca, fingerprint) = (served.ca_file(), served.fingerprint());
    works(&served.run(&url, &["runs", "--json", "--server-ca", text(&ca)]));
    works(&served.run(&url, &["runs", "--json", "--server-fingerprint", &fingerprint]));
    for (name, value) in
        [("SLIPWAY_SERVER_CA", text(&ca)), ("SLIPWAY_SERVER_FINGERPRINT", fingerprint.as_str())]
    {
        let mut command = served.command(&url, &runs);
        command.env(name, value);
        works(&finish(command));
    }
    let token = served.handle.admin_token.reveal();
    served.place.write(
        "slipway.toml",
        &format!("server = '{url}'\ntoken = '{token}'\nserver_fingerprint = '{fingerprint}'\n"),
    );
    works(&served.place.run(&["--config", "slipway.toml", "runs", "--json"]));
    // Bytes that take a while, too.
    let saved = served.run(&url, &["backup", "saved.tar", "--server-ca", text(&ca)]);
    assert_eq!(saved.code, 0, "{saved:?}");
    assert!(std::fs::metadata(served.place.path().join("saved.tar")).unwrap().len() > 1_000);
}

#[test]
fn another_authority_and_another_name_are_refused_with_what_to_do() {
    let (served, other) = (Served::own("localhost"), Served::own("localhost"));
    let url = served.url("https", "localhost");
    let by_file = served.run(&url, &["runs", "--server-ca", text(&other.ca_file())]);
    refuses(&by_file, 3, &["not from a CA of", "(--server-ca)", "data directory"]);
    let by_print = served.run(&url, &["runs", "--server-fingerprint", &other.fingerprint()]);
    refuses(&by_print, 3, &["--server-fingerprint names", "somebody in between", "slipway doctor"]);
    // The coordinator is the right one, and is called by a name that it does not have.
    let elsewhere = served.url("https", "127.0.0.1");
    let (ca, fingerprint) = (served.ca_file(), served.fingerprint());
    for flags in [["--server-ca", text(&ca)], ["--server-fingerprint", &fingerprint]] {
        let done = served.run(&elsewhere, &[&["runs"][..], &flags].concat());
        refuses(&done, 3, &["not for `127.0.0.1`", "localhost", "--server"]);
    }
}

#[test]
fn certificate_files_count_by_the_machine_or_a_file() {
    let authority = Authority::new();
    let served = authority.serves(|_| {});
    let url = served.url("https", "localhost");
    works(&served.run(&url, &["runs", "--json", "--server-ca", text(&authority.ca_file())]));
    // As if the machine had it, or another one, or none at all.
    let other = Authority::new();
    let on_machine_with = |store: &Path| {
        let mut command = served.command(&url, &["runs", "--json"]);
        command.env("SSL_CERT_FILE", store).env_remove("SSL_CERT_DIR");
        finish(command)
    };
    works(&on_machine_with(&authority.ca_file()));
    refuses(&on_machine_with(&other.ca_file()), 3, &["not from a CA of this machine's store"]);
    let none = on_machine_with(Path::new("no-such-file.pem"));
    refuses(&none, 2, &["--server-ca is missing", "ca-certificates"]);
}

#[test]
fn certificates_of_another_time_are_refused() {
    let authority = Authority::new();
    for (years, part) in [((2019, 2020), "has expired; renew it"), ((2100, 2101), "is not valid yet")] {
        let served = authority.serves(|params| {
            params.not_before = date_time_ymd(years.0, 1, 1);
            params.not_after = date_time_ymd(years.1, 1, 1);
        });
        let url = served.url("https", "localhost");
        let done = served.run(&url, &["runs", "--server-ca", text(&authority.ca_file())]);
        refuses(&done, 3, &[part, "clock"]);
    }
}

#[test]
fn plain_http_behind_https_and_the_other_way_round_are_told_apart() {
    let (plain, secure) = (Served::start(None), Served::own("localhost"));
    let done = plain.run(&plain.url("https", "localhost"), &["runs", "--server-ca", text(&secure.ca_file())]);
    refuses(&done, 3, &["does not speak TLS", "--http-tls"]);
    let done = secure.run(&secure.url("http", "localhost"), &["runs"]);
    let better = format!("write {} in --server", secure.url("https", "localhost"));
    refuses(&done, 3, &["does not speak plain HTTP", "--http-tls", &better]);
}

/// Answers each connection's first bytes with these and ends it; tells what came.
fn answering(answer: &'static [u8]) -> (u16, std::thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut buffer = vec![0; 16 * 1024];
        let read = connection.read(&mut buffer).unwrap();
        connection.write_all(answer).unwrap();
        buffer.truncate(read);
        buffer
    });
    (port, asked)
}

#[test]
fn nothing_older_than_tls_1_3_is_offered() {
    let digits = "0123456789abcdef".repeat(4);
    // `protocol_version` (RFC 8446, section 6.2).
    let (port, asked) = answering(&[21, 3, 3, 0, 2, 2, 70]);
    let server = format!("https://127.0.0.1:{port}");
    let place = Place::new();
    let done =
        place.run(&["runs", "--server", &server, "--token", "secret-word", "--server-fingerprint", &digits]);
    refuses(&done, 3, &["offers no TLS 1.3"]);
    let asked = asked.join().unwrap();
    // A handshake, which offers 1.3 (`supported_versions` with 0x0304 alone) and says no word of what follows.
    assert_eq!(asked.first(), Some(&22));
    assert!(asked.windows(7).any(|part| part == [0, 43, 0, 3, 2, 3, 4]), "{asked:?}");
    assert!(!asked.windows(11).any(|part| part == b"secret-word"));
}

#[test]
fn a_redirect_is_not_followed_with_the_token() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let to = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        elsewhere.local_addr().unwrap()
    );
    let (port, asked) = answering(to.leak().as_bytes());
    let done = Place::new().run(&["runs", "--server", &format!("http://127.0.0.1:{port}"), "--token", "t"]);
    assert_ne!(done.code, 0, "{done:?}");
    assert!(String::from_utf8_lossy(&asked.join().unwrap()).contains("Bearer t"));
    assert_eq!(elsewhere.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_proxy_on_the_way_is_asked_for_a_tunnel_and_told_no_token() {
    let (port, asked) = answering(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
    let digits = "0123456789abcdef".repeat(4);
    let place = Place::new();
    let flags = ["--server", "https://ci.example", "--token", "secret-word", "--server-fingerprint", &digits];
    let mut command = place.command(&[&["runs"][..], &flags].concat());
    for name in ["NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "https_proxy"] {
        command.env_remove(name);
    }
    command.env("HTTPS_PROXY", format!("http://127.0.0.1:{port}"));
    refuses(&finish(command), 3, &["no coordinator answers at https://ci.example"]);
    let asked = String::from_utf8(asked.join().unwrap()).unwrap();
    assert!(asked.starts_with("CONNECT ci.example:443 ") && !asked.contains("secret-word"), "{asked}");
}

/// What the doctor says of the certificate and the coordinator: (state, message, hint).
fn doctor(command: Command) -> Vec<(String, String, String)> {
    let done = finish(command);
    let found: Vec<Json> =
        serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {done:?}"));
    let of = |one: &Json, key: &str| one[key].as_str().unwrap().to_owned();
    found
        .iter()
        .filter(|one| one["check"] == "certificate" || one["check"] == "coordinator")
        .map(|one| (of(one, "status"), of(one, "message"), of(one, "hint")))
        .collect()
}

#[test]
fn the_doctor_looks_at_the_certificate() {
    let served = Served::own("localhost");
    let url = served.url("https", "localhost");
    let mut here = served.place.command(&["doctor", "--json"]);
    here.env("SLIPWAY_SERVER", &url);
    let found = doctor(at_home(here, &served.place));
    let [(ready, _, _), (state, message, _)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((ready.as_str(), state.as_str()), ("ok", "ok"), "{found:?}");
    let fingerprint = served.fingerprint();
    for part in ["TLS 1.3", "for localhost", "Slipway coordinator", fingerprint.as_str()] {
        assert!(message.contains(part), "`{part}` is missing: {message}");
    }
    // Of 90 days the first is over as soon as the clock's second is.
    assert!(["89", "90"].iter().any(|days| message.contains(&format!("good for {days} days"))), "{message}");
    // One that ends soon.
    let authority = Authority::new();
    let soon = authority.serves(|params| {
        let day = 24 * 3_600;
        params.not_after =
            (std::time::SystemTime::now() + std::time::Duration::from_secs(10 * day + day / 2)).into();
    });
    let url = soon.url("https", "localhost");
    let found = doctor(soon.command(&url, &["doctor", "--json", "--server-ca", text(&authority.ca_file())]));
    let [_, (state, message, hint)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(state, "warning", "{found:?}");
    assert!(message.contains("good for 10 days") && hint.contains("renew"), "{found:?}");
    // One that is not trusted fails, with the reason.
    let found = doctor(soon.command(&url, &["doctor", "--json", "--server-ca", text(&served.ca_file())]));
    let [(state, message, _)] = found.as_slice() else { panic!("{found:?}") };
    assert!(state == "failed" && message.contains("not from a CA of"), "{found:?}");
    // Without TLS on this machine there is nothing to say.
    let plain = Served::start(None);
    let found = doctor(plain.command(&plain.url("http", "127.0.0.1"), &["doctor", "--json"]));
    assert_eq!(found.len(), 1, "{found:?}");
}
