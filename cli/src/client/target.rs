//! Which coordinator a command talks to, and with which token.

use std::path::{Path, PathBuf};

use clap::Args;
use slipway_tls::{Fingerprint, Trust};

use super::trust::{self, Said, Trusted};
use crate::failure::Failure;
use crate::settings::{DEFAULT_HTTP, Settings, default_data_dir, is_loopback};

/// Longest token that is read from a file.
const TOKEN_LIMIT_BYTES: u64 = 4096;

/// `--server` and `--token`.
#[derive(Debug, Clone, Default, Args)]
pub struct ServerArgs {
    /// The coordinator's HTTP address: https://HOST[:PORT], or http:// on this machine
    #[arg(long, value_name = "URL", env = "SLIPWAY_SERVER")]
    pub server: Option<String>,
    /// The API token; for a coordinator on this machine, the one in the default data directory is found
    #[arg(long, value_name = "TOKEN", env = "SLIPWAY_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Trust the authorities in this file (PEM) and no others to certify the coordinator: `ca.pem` of its data directory, where it has
    /// an authority of its own [default: this machine's]
    #[arg(long, value_name = "FILE", env = "SLIPWAY_SERVER_CA")]
    pub server_ca: Option<PathBuf>,
    /// Instead: trust the one authority whose certificate has this fingerprint
    #[arg(long, value_name = "SHA256", env = "SLIPWAY_SERVER_FINGERPRINT")]
    pub server_fingerprint: Option<String>,
    /// Send the token in clear text to a coordinator on another machine
    #[arg(long, env = "SLIPWAY_ALLOW_PLAINTEXT")]
    pub allow_plaintext: bool,
}

impl ServerArgs {
    /// These, and what they leave open from others: flags of a subcommand win over those before it.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        // One of the two says it all.
        let (server_ca, server_fingerprint) = match (&self.server_ca, &self.server_fingerprint) {
            (None, None) => (others.server_ca, others.server_fingerprint),
            _ => (self.server_ca, self.server_fingerprint),
        };
        Self {
            server: self.server.or(others.server),
            token: self.token.or(others.token),
            server_ca,
            server_fingerprint,
            allow_plaintext: self.allow_plaintext || others.allow_plaintext,
        }
    }
}

/// A coordinator's address and the token for it.
#[derive(Clone)]
pub struct Target {
    url: String,
    host: String,
    /// None: it is spoken to without TLS.
    trusted: Option<Trusted>,
    token: String,
    token_origin: String,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Target({})", self.url)
    }
}

impl Target {
    /// The coordinator of this process: no TLS, and its token is known.
    ///
    /// # Errors
    /// The address is none.
    pub fn embedded(server: &str, token: &str, token_origin: &str) -> Result<Self, Failure> {
        let Address { url, host, .. } = Address::read(server)?;
        let (token, token_origin) = (token.trim().to_owned(), token_origin.to_owned());
        Ok(Target { url, host, trusted: None, token, token_origin })
    }

    /// What flags, variables and the configuration file say; else the coordinator of this machine.
    ///
    /// # Errors
    /// The address is none, or it is another machine's and no token is given or nothing allows to send it in clear text; whom to trust
    /// cannot be read, or is said of an address without TLS.
    pub fn resolve(args: &ServerArgs, settings: &Settings) -> Result<Self, Failure> {
        let server = args.server.as_deref().or(settings.server.as_deref()).unwrap_or(DEFAULT_HTTP);
        let Address { url, host, tls } = Address::read(server)?;
        let given = args.token.as_deref().or(settings.token.as_deref());
        let is_here = is_loopback(&host);
        if given.is_some() && !tls && !is_here && !args.allow_plaintext && !settings.allow_plaintext {
            return Err(Failure::usage(format!(
                "--server: {url} is another machine, and http sends the token and the run's secrets there in clear text: use \
                 https:// with a coordinator that has --http-tls, or a tunnel to an address of this machine, or add \
                 --allow-plaintext on a network you trust"
            )));
        }
        if given.is_none() && !is_here {
            return Err(Failure::usage(format!("no token for {url}: give --token or set SLIPWAY_TOKEN")));
        }
        let said = said(args, settings)?;
        let folder = if is_here { Some(own_folder(settings)?) } else { None };
        let trusted = match (tls, said) {
            (false, None) => None,
            (false, Some(said)) => {
                return Err(Failure::usage(format!(
                    "{}: {url} is spoken to without TLS, and nobody's certificate is checked; write https:// in --server, or leave \
                     it away",
                    said.flag()
                )));
            }
            (true, Some(said)) => Some(trust::as_said(&said)?),
            (true, None) => {
                Some(trust::unsaid(folder.as_ref().map(|folder| folder.join("ca.pem")).as_deref())?)
            }
        };
        let (token, token_origin) = match (given, folder) {
            (Some(token), _) => (token.to_owned(), "the given token".to_owned()),
            (None, None) => (String::new(), "no token".to_owned()),
            (None, Some(folder)) => {
                let file = folder.join("admin.token");
                match token_file(&file) {
                    Ok(token) => (token, format!("the token of {}", file.display())),
                    // Perhaps no coordinator runs at all, and then that is what to say: the first call tells.
                    Err(reason) => (String::new(), format!("a missing token ({reason})")),
                }
            }
        };
        Ok(Target { url, host, trusted, token: token.trim().to_owned(), token_origin })
    }

    /// `http://host:port` or `https://host:port`, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The API token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Where the token came from, for messages.
    pub fn token_origin(&self) -> &str {
        &self.token_origin
    }

    /// Whether the coordinator is on this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    /// The coordinator's host, which its certificate has to name: no brackets.
    pub fn host(&self) -> &str {
        self.host.trim_matches(['[', ']'])
    }

    /// Whose certificates are good; none: it is spoken to without TLS.
    pub fn trust(&self) -> Option<&Trust> {
        self.trusted.as_ref().map(|trusted| &trusted.trust)
    }

    /// The fingerprint of the coordinator's own authority, where it is known.
    pub fn authority(&self) -> Option<Fingerprint> {
        self.trusted.as_ref()?.authority
    }
}

fn token_file(path: &Path) -> Result<String, String> {
    let text = crate::input::read_text(path, TOKEN_LIMIT_BYTES).map_err(|failure| failure.to_string())?;
    if text.trim().is_empty() { Err(format!("{} is empty", path.display())) } else { Ok(text) }
}

/// Whom flags and variables say to trust; else the configuration file.
fn said(args: &ServerArgs, settings: &Settings) -> Result<Option<Said>, Failure> {
    match Said::read(args.server_ca.as_deref(), args.server_fingerprint.as_deref())? {
        Some(said) => Ok(Some(said)),
        None => Said::read(settings.server_ca.as_deref(), settings.server_fingerprint.as_deref()),
    }
}

/// Where the coordinator of this machine has its token and certificate.
fn own_folder(settings: &Settings) -> Result<PathBuf, Failure> {
    let folder =
        std::env::var_os("SLIPWAY_DATA_DIR").map(PathBuf::from).or_else(|| settings.data_dir.clone());
    folder.map_or_else(default_data_dir, Ok)
}

/// A coordinator's address.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    /// `http://HOST[:PORT]` or `https://HOST[:PORT]`.
    url: String,
    host: String,
    tls: bool,
}

impl Address {
    /// From `HOST:PORT`, which is spoken to without TLS, or a URL without a path.
    fn read(server: &str) -> Result<Self, Failure> {
        let refuse = |why: &str| {
            Failure::usage(format!(
                "--server: `{}` {why}; write it like https://ci.example.com, or http://{DEFAULT_HTTP} on this machine",
                server.escape_debug()
            ))
        };
        let text = server.trim();
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = reqwest::Url::parse(&text).map_err(|_| refuse("is not an address"))?;
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(refuse("is not an http or https address")),
        };
        let named = !url.username().is_empty() || url.password().is_some();
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() || named {
            return Err(refuse("has more than host and port"));
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        let port = url.port().map_or(String::new(), |port| format!(":{port}"));
        let scheme = url.scheme();
        Ok(Self { url: format!("{scheme}://{host}{port}"), host, tls })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_address_is_host_and_port() {
        for (given, url, host, tls) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080", "127.0.0.1", false),
            ("http://build.example:8080/", "http://build.example:8080", "build.example", false),
            ("[::1]:80", "http://[::1]", "[::1]", false),
            ("localhost:1", "http://localhost:1", "localhost", false),
            ("https://build.example", "https://build.example", "build.example", true),
            ("https://build.example:443/", "https://build.example", "build.example", true),
            (" HTTPS://Build.Example:8443", "https://build.example:8443", "build.example", true),
            ("https://[::1]:8443", "https://[::1]:8443", "[::1]", true),
            ("https://10.0.0.7", "https://10.0.0.7", "10.0.0.7", true),
        ] {
            let wanted = Address { url: url.to_owned(), host: host.to_owned(), tls };
            assert_eq!(Address::read(given).unwrap(), wanted, "{given}");
        }
        for wrong in [
            "",
            "http://",
            "https://",
            "ftp://x",
            "ssh://x",
            "https:x:y",
            "http://x/y",
            "https://x/y",
            "https://x?y",
            "https://x#y",
            "http://u@x",
            "https://u:p@x",
            "https://:p@x",
            "https://x:99999",
            "https://[::1",
            "a b",
        ] {
            let told = Address::read(wrong).unwrap_err().to_string();
            assert!(
                told.starts_with("--server: ") && told.contains("https://ci.example.com"),
                "{wrong}: {told}"
            );
        }
    }

    #[test]
    fn over_tls_the_token_may_go_to_another_machine_and_nothing_else_changes_for_it() {
        let digits = "0123456789abcdef".repeat(4);
        let args = |server: &str, token: Option<&str>| ServerArgs {
            server: Some(server.to_owned()),
            token: token.map(str::to_owned),
            server_fingerprint: Some(digits.clone()),
            ..ServerArgs::default()
        };
        let target =
            Target::resolve(&args("https://build.example", Some("t")), &Settings::default()).unwrap();
        assert!(target.trust().is_some_and(Trust::is_pinned) && !target.is_loopback());
        assert_eq!((target.url(), target.token()), ("https://build.example", "t"));
        let message =
            |args: &ServerArgs| Target::resolve(args, &Settings::default()).unwrap_err().to_string();
        let without = message(&args("https://build.example", None));
        assert!(without.contains("no token for https://build.example"), "{without}");
        let plain = message(&args("http://localhost:1", Some("t")));
        assert!(plain.starts_with("--server-fingerprint: ") && plain.contains("https://"), "{plain}");
    }

    #[test]
    fn what_a_flag_says_of_trust_replaces_all_that_others_say_of_it() {
        let of = |ca: Option<&str>, fingerprint: Option<&str>| ServerArgs {
            server_ca: ca.map(PathBuf::from),
            server_fingerprint: fingerprint.map(str::to_owned),
            ..ServerArgs::default()
        };
        let both = of(None, Some("f")).or(of(Some("ca.pem"), None));
        assert_eq!((both.server_ca, both.server_fingerprint.as_deref()), (None, Some("f")));
        let others = of(None, None).or(of(Some("ca.pem"), None));
        assert_eq!(others.server_ca, Some(PathBuf::from("ca.pem")));
        let settings = Settings { server_fingerprint: Some("no digits".into()), ..Settings::default() };
        let args = of(Some("no-such-file.pem"), None);
        let args = ServerArgs { server: Some("https://localhost:1".into()), ..args };
        let message = Target::resolve(&args, &settings).unwrap_err().to_string();
        assert!(message.starts_with("--server-ca: no-such-file.pem: "), "{message}");
        let args = ServerArgs { server: Some("https://localhost:1".into()), ..ServerArgs::default() };
        let message = Target::resolve(&args, &settings).unwrap_err().to_string();
        assert!(message.starts_with("--server-fingerprint: "), "{message}");
    }

    #[test]
    fn a_remote_server_never_gets_this_machines_token() {
        let args = ServerArgs { server: Some("build.example:8080".into()), ..ServerArgs::default() };
        let message = Target::resolve(&args, &Settings::default()).unwrap_err().to_string();
        assert!(message.contains("no token for http://build.example:8080"), "{message}");
    }

    #[test]
    fn a_token_goes_to_another_machine_in_clear_text_only_where_allowed() {
        let args = |allow_plaintext| ServerArgs {
            server: Some("build.example:8080".into()),
            token: Some("t".into()),
            allow_plaintext,
            ..ServerArgs::default()
        };
        let message = Target::resolve(&args(false), &Settings::default()).unwrap_err().to_string();
        assert!(message.contains("build.example") && message.contains("--allow-plaintext"), "{message}");
        assert!(Target::resolve(&args(true), &Settings::default()).is_ok());
        let settings = Settings { allow_plaintext: true, ..Settings::default() };
        assert!(Target::resolve(&args(false), &settings).is_ok());
    }

    #[test]
    fn flags_win_over_the_file() {
        let settings = Settings {
            server: Some("localhost:1".into()),
            token: Some("file".into()),
            ..Settings::default()
        };
        let target = Target::resolve(&ServerArgs::default(), &settings).unwrap();
        assert_eq!((target.url(), target.token()), ("http://localhost:1", "file"));
        let args = ServerArgs {
            server: Some("b:2".into()),
            token: Some("flag".into()),
            allow_plaintext: true,
            ..ServerArgs::default()
        };
        let target = Target::resolve(&args, &settings).unwrap();
        assert_eq!((target.url(), target.token()), ("http://b:2", "flag"));
        assert!(!format!("{target:?}").contains("flag"), "a token is never printed");
    }
}
