//! Which coordinator a command talks to, and with which token.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::failure::Failure;
use crate::settings::{DEFAULT_HTTP, Settings, default_data_dir, is_loopback};

/// Longest token that is read from a file.
const TOKEN_LIMIT_BYTES: u64 = 4096;

/// `--server` and `--token`.
#[derive(Debug, Clone, Default, Args)]
pub struct ServerArgs {
    /// The coordinator's HTTP address
    #[arg(long, value_name = "URL", env = "SLIPWAY_SERVER")]
    pub server: Option<String>,
    /// The API token; for a coordinator on this machine, the one in the default data directory is found
    #[arg(long, value_name = "TOKEN", env = "SLIPWAY_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Send the token in clear text to a coordinator on another machine
    #[arg(long, env = "SLIPWAY_ALLOW_PLAINTEXT")]
    pub allow_plaintext: bool,
}

impl ServerArgs {
    /// These, and what they leave open from others: flags of a subcommand win over those before it.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            server: self.server.or(others.server),
            token: self.token.or(others.token),
            allow_plaintext: self.allow_plaintext || others.allow_plaintext,
        }
    }
}

/// A coordinator's address and the token for it.
#[derive(Clone)]
pub struct Target {
    url: String,
    host: String,
    token: String,
    token_origin: String,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Target({})", self.url)
    }
}

impl Target {
    /// An address whose token is known.
    ///
    /// # Errors
    /// The address is none.
    pub fn new(server: &str, token: &str, token_origin: &str) -> Result<Self, Failure> {
        let (url, host) = normal_url(server)?;
        Ok(Target { url, host, token: token.trim().to_owned(), token_origin: token_origin.to_owned() })
    }

    /// What flags, variables and the configuration file say; else the coordinator of this machine.
    ///
    /// # Errors
    /// The address is none, or it is another machine's and no token is given or nothing allows to send it in clear text.
    pub fn resolve(args: &ServerArgs, settings: &Settings) -> Result<Self, Failure> {
        let server = args.server.as_deref().or(settings.server.as_deref()).unwrap_or(DEFAULT_HTTP);
        let (url, host) = normal_url(server)?;
        if let Some(token) = args.token.as_deref().or(settings.token.as_deref()) {
            if !is_loopback(&host) && !args.allow_plaintext && !settings.allow_plaintext {
                return Err(Failure::usage(format!(
                    "--server: {url} is another machine, and http sends the token and the run's secrets there in clear \
                     text: use a tunnel to an address of this machine, or add --allow-plaintext on a network you trust"
                )));
            }
            return Self::new(server, token, "the given token");
        }
        if !is_loopback(&host) {
            return Err(Failure::usage(format!("no token for {url}: give --token or set SLIPWAY_TOKEN")));
        }
        let folder =
            std::env::var_os("SLIPWAY_DATA_DIR").map(PathBuf::from).or_else(|| settings.data_dir.clone());
        let folder = folder.map_or_else(default_data_dir, Ok)?;
        let file = folder.join("admin.token");
        match token_file(&file) {
            Ok(token) => Self::new(server, &token, &format!("the token of {}", file.display())),
            // Perhaps no coordinator runs at all, and then that is what to say: the first call tells.
            Err(reason) => Self::new(server, "", &format!("a missing token ({reason})")),
        }
    }

    /// `http://host:port`, without a slash at its end.
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
}

fn token_file(path: &Path) -> Result<String, String> {
    let text = crate::input::read_text(path, TOKEN_LIMIT_BYTES).map_err(|failure| failure.to_string())?;
    if text.trim().is_empty() { Err(format!("{} is empty", path.display())) } else { Ok(text) }
}

/// `http://HOST[:PORT]` and its host, from `HOST:PORT` or a URL without a path.
fn normal_url(server: &str) -> Result<(String, String), Failure> {
    let refuse = |why: &str| {
        Failure::usage(format!(
            "--server: `{}` {why}; write it like http://{DEFAULT_HTTP}",
            server.escape_debug()
        ))
    };
    let text = server.trim();
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = reqwest::Url::parse(&text).map_err(|_| refuse("is not an address"))?;
    match url.scheme() {
        "http" => {}
        "https" => return Err(refuse("needs TLS, which this version's client does not speak")),
        _ => return Err(refuse("is not an http address")),
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || !url.username().is_empty() {
        return Err(refuse("has more than host and port"));
    }
    let host = url.host_str().unwrap_or_default().to_owned();
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    Ok((format!("http://{host}{port}"), host))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_address_is_host_and_port() {
        for (given, url) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://build.example:8080/", "http://build.example:8080"),
            ("[::1]:80", "http://[::1]"),
            ("localhost:1", "http://localhost:1"),
        ] {
            assert_eq!(normal_url(given).unwrap().0, url);
        }
        for wrong in ["", "http://", "ftp://x", "https://x", "http://x/y", "http://u@x", "a b"] {
            assert!(normal_url(wrong).unwrap_err().to_string().starts_with("--server: "), "{wrong}");
        }
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
        let args =
            ServerArgs { server: Some("b:2".into()), token: Some("flag".into()), allow_plaintext: true };
        let target = Target::resolve(&args, &settings).unwrap();
        assert_eq!((target.url(), target.token()), ("http://b:2", "flag"));
        assert!(!format!("{target:?}").contains("flag"), "a token is never printed");
    }
}
