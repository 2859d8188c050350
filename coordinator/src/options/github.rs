//! How the forge is told of runs: a GitHub App or a token, its API's address, and what is told.
//!
//! Keys and tokens come from files only, are read and checked here, and never show in a message or a log.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ring::signature::RsaKeyPair;
use serde::Deserialize;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use super::{ApproveForks, OptionsError, read_secret, wrong};

/// The API of github.com.
pub(super) const DEFAULT_API: &str = "https://api.github.com";

/// The name of the check that sums up a commit's runs.
pub(super) const DEFAULT_CHECK: &str = "slipway";

/// How long an answer may take unless it is said, in seconds, and the least and the most that may be said. GitHub ends its own after 10 s.
const TIMEOUT_S: u64 = 20;
const TIMEOUTS_S: std::ops::RangeInclusive<u64> = 1..=120;

/// The longest name of that check, in bytes.
const CHECK_MAX_BYTES: usize = 100;

/// The flags.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct GithubFlags {
    /// The GitHub App that tells GitHub of runs: its id or client id
    #[arg(long, value_name = "ID", env = "SLIPWAY_GITHUB_APP_ID")]
    pub github_app_id: Option<String>,
    /// File with the App's private key (PEM)
    #[arg(long, value_name = "FILE", env = "SLIPWAY_GITHUB_KEY_FILE")]
    pub github_key_file: Option<PathBuf>,
    /// File with a token, instead of an App: runs are then told as commit statuses, for GitHub takes checks from Apps alone
    #[arg(long, value_name = "FILE", env = "SLIPWAY_GITHUB_TOKEN_FILE")]
    pub github_token_file: Option<PathBuf>,
    /// GitHub's API; https://HOST/api/v3 for GitHub Enterprise Server [default: https://api.github.com]
    #[arg(long, value_name = "URL", env = "SLIPWAY_GITHUB_API")]
    pub github_api: Option<String>,
    /// Tell commit statuses besides the App's checks, for classic branch protection
    #[arg(long, env = "SLIPWAY_GITHUB_STATUSES")]
    pub github_statuses: bool,
    /// Name of the check that sums up all runs of a commit [default: slipway]
    #[arg(long, value_name = "NAME", env = "SLIPWAY_GITHUB_CHECK")]
    pub github_check: Option<String>,
    /// How long GitHub may take to answer, and how long a coordinator that begins to lead waits before it makes a report that the one
    /// before may just have made [default: 20]
    #[arg(long, value_name = "SECONDS", env = "SLIPWAY_GITHUB_TIMEOUT")]
    pub github_timeout: Option<u64>,
    /// Where people reach the web pages, for links in reports: https://ci.example.com
    #[arg(long, value_name = "URL", env = "SLIPWAY_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// What stands in the configuration file of a program that embeds the coordinator.
    #[arg(skip)]
    pub from_file: Option<GithubSettings>,
}

/// `[github]` of the configuration file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GithubSettings {
    app_id: Option<AppId>,
    key_file: Option<PathBuf>,
    token_file: Option<PathBuf>,
    api: Option<String>,
    statuses: bool,
    check: Option<String>,
    timeout: Option<u64>,
    approve_forks: ApproveForks,
}

/// Whose pull requests from forks wait; it counts without an App or token too.
pub(super) fn approve_forks(flags: &GithubFlags, file: &GithubSettings) -> ApproveForks {
    flags.from_file.as_ref().unwrap_or(file).approve_forks
}

/// The id is a number, the client id a text.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum AppId {
    Number(u64),
    Text(String),
}

/// How the forge is told; checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GithubOptions {
    /// Address of the API, without a slash at its end.
    pub api: String,
    /// Who tells.
    pub identity: GithubIdentity,
    /// Whether an App also tells statuses.
    pub statuses: bool,
    /// Name of the check that sums up a commit's runs.
    pub check: String,
    /// How long an answer may take.
    pub timeout: Duration,
}

impl GithubOptions {
    /// Options of flags alone, for a command; `None`: none are given.
    ///
    /// # Errors
    /// [`OptionsError`] names the flag.
    pub fn from_flags(flags: &GithubFlags) -> Result<Option<Self>, OptionsError> {
        load(flags, GithubSettings::default())
    }

    /// The API's address; none given: that of github.com.
    ///
    /// # Errors
    /// [`OptionsError`]: it is none, or not encrypted.
    pub fn api_address(given: Option<&str>) -> Result<String, OptionsError> {
        api(given.unwrap_or(DEFAULT_API))
    }
}

/// Who tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GithubIdentity {
    /// A GitHub App.
    App {
        /// Its id or client id.
        id: String,
        /// Its private key.
        key: AppKey,
    },
    /// Whoever made this token.
    Token(GithubToken),
}

/// An App's private key, DER; `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct AppKey {
    der: Arc<[u8]>,
    pkcs8: bool,
}

impl fmt::Debug for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppKey(…)")
    }
}

impl AppKey {
    /// Reads a key from PEM, PKCS#1 (as GitHub gives it) or PKCS#8.
    ///
    /// # Errors
    /// One reason, without anything of the key.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        let no_key = || {
            "is no private key in PEM: give the file that GitHub made with `Generate a private key`"
                .to_owned()
        };
        let key = match PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| no_key())? {
            PrivateKeyDer::Pkcs1(key) => Self { der: key.secret_pkcs1_der().into(), pkcs8: false },
            PrivateKeyDer::Pkcs8(key) => Self { der: key.secret_pkcs8_der().into(), pkcs8: true },
            _ => return Err("is no RSA key: GitHub's Apps have RSA keys".to_owned()),
        };
        key.pair()?;
        Ok(key)
    }

    /// The key, to sign with.
    ///
    /// # Errors
    /// One reason.
    pub(crate) fn pair(&self) -> Result<RsaKeyPair, String> {
        let pair =
            if self.pkcs8 { RsaKeyPair::from_pkcs8(&self.der) } else { RsaKeyPair::from_der(&self.der) };
        pair.map_err(|error| format!("is no RSA key that can be used: {error}"))
    }
}

/// A token; `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct GithubToken(pub(crate) String);

impl fmt::Debug for GithubToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GithubToken(…)")
    }
}

impl GithubToken {
    /// A token from a file's text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Options from flags and file; `None`: no forge is told of anything.
///
/// # Errors
/// [`OptionsError`] names the flag.
pub(super) fn load(flags: &GithubFlags, file: GithubSettings) -> Result<Option<GithubOptions>, OptionsError> {
    let file = flags.from_file.clone().unwrap_or(file);
    let file_id = file.app_id.map(|id| match id {
        AppId::Number(id) => id.to_string(),
        AppId::Text(id) => id,
    });
    let app_id = flags.github_app_id.clone().or(file_id);
    let key = flags.github_key_file.clone().or(file.key_file);
    let token = flags.github_token_file.clone().or(file.token_file);
    let identity = match (app_id, key, token) {
        (None, None, None) => return Ok(None),
        (Some(id), Some(key), None) => app(id, &key)?,
        (None, None, Some(path)) => GithubIdentity::Token(token_of(&path)?),
        (Some(_), None, None) => return Err(wrong("--github-app-id", "needs --github-key-file too")),
        (None, Some(_), None) => return Err(wrong("--github-key-file", "needs --github-app-id too")),
        (_, _, Some(_)) => {
            return Err(wrong("--github-token-file", "is given besides an App; give one of them"));
        }
    };
    let api = api(flags.github_api.as_deref().or(file.api.as_deref()).unwrap_or(DEFAULT_API))?;
    let check = flags.github_check.clone().or(file.check).unwrap_or_else(|| DEFAULT_CHECK.to_owned());
    if check.trim().is_empty() || check.len() > CHECK_MAX_BYTES || check.chars().any(char::is_control) {
        return Err(wrong(
            "--github-check",
            format!("is no name: write 1 to {CHECK_MAX_BYTES} bytes of text"),
        ));
    }
    let timeout = timeout(flags.github_timeout.or(file.timeout))?;
    Ok(Some(GithubOptions {
        api,
        identity,
        statuses: flags.github_statuses || file.statuses,
        check,
        timeout,
    }))
}

fn timeout(seconds: Option<u64>) -> Result<Duration, OptionsError> {
    let seconds = seconds.unwrap_or(TIMEOUT_S);
    if !TIMEOUTS_S.contains(&seconds) {
        let (least, most) = (TIMEOUTS_S.start(), TIMEOUTS_S.end());
        return Err(wrong("--github-timeout", format!("{seconds} is not from {least} to {most} seconds")));
    }
    Ok(Duration::from_secs(seconds))
}

fn app(id: String, key: &Path) -> Result<GithubIdentity, OptionsError> {
    if id.is_empty() || id.len() > 64 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
    {
        return Err(wrong("--github-app-id", "is neither an App's id nor its client id"));
    }
    let pem = read_secret("--github-key-file", key)?;
    let key = AppKey::from_pem(&pem)
        .map_err(|reason| wrong("--github-key-file", format!("{} {reason}", key.display())))?;
    Ok(GithubIdentity::App { id, key })
}

fn token_of(path: &Path) -> Result<GithubToken, OptionsError> {
    let token = read_secret("--github-token-file", path)?;
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong("--github-token-file", format!("{} has more than a token in it", path.display())));
    }
    Ok(GithubToken(token))
}

/// Checks an address: nothing secret may cross a network unencrypted.
fn api(url: &str) -> Result<String, OptionsError> {
    address("--github-api", url).map(str::to_owned)
}

/// The same for the address of the pages, where plain HTTP gives away nothing.
///
/// # Errors
/// [`OptionsError`].
pub(super) fn public_url(url: &str) -> Result<String, OptionsError> {
    let trimmed = url.trim_end_matches('/');
    let host = trimmed.strip_prefix("https://").or_else(|| trimmed.strip_prefix("http://"));
    match host {
        Some(host) if is_host(host) => Ok(trimmed.to_owned()),
        _ => Err(wrong("--public-url", format!("`{url}` is no address of a server; write https://HOST"))),
    }
}

fn is_host(rest: &str) -> bool {
    let host = rest.split('/').next().unwrap_or_default();
    !host.is_empty() && !rest.contains(['@', '?', '#']) && rest.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether nothing that is sent to this address can be read on its way: it is encrypted, or never leaves this machine.
pub(crate) fn is_private_address(url: &str) -> bool {
    if url.strip_prefix("https://").is_some_and(is_host) {
        return true;
    }
    url.strip_prefix("http://").filter(|rest| is_host(rest)).is_some_and(|rest| {
        let host = rest.split('/').next().unwrap_or_default();
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        matches!(name, "127.0.0.1" | "localhost" | "[::1]")
    })
}

fn address<'a>(flag: &'static str, url: &'a str) -> Result<&'a str, OptionsError> {
    let trimmed = url.trim_end_matches('/');
    if is_private_address(trimmed) {
        return Ok(trimmed);
    }
    Err(wrong(
        flag,
        format!("`{url}` is no https address; write https://api.github.com or https://HOST/api/v3"),
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_encrypted_or_on_this_machine() {
        for good in ["https://api.github.com", "https://ghe.example/api/v3/", "http://127.0.0.1:9/api/v3"] {
            assert_eq!(api(good).unwrap(), good.trim_end_matches('/'));
        }
        for bad in [
            "http://ghe.example/api/v3",
            "https://",
            "ghe.example",
            "https://u:p@h",
            "https://h?x",
            "http://127.0.0.1.evil.example",
        ] {
            assert!(api(bad).unwrap_err().to_string().starts_with("--github-api: "), "{bad}");
        }
        assert_eq!(public_url("http://ci.example:8080/").unwrap(), "http://ci.example:8080");
        assert!(public_url("ci.example").is_err());
    }

    #[test]
    fn what_cannot_be_used_is_told_without_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        let told = |flags: GithubFlags| load(&flags, GithubSettings::default()).unwrap_err().to_string();
        let app = |key: Option<PathBuf>| GithubFlags {
            github_app_id: Some("7".into()),
            github_key_file: key,
            ..GithubFlags::default()
        };
        assert!(load(&GithubFlags::default(), GithubSettings::default()).unwrap().is_none());
        assert!(told(app(None)).contains("--github-key-file"));
        assert!(told(app(file("a.pem", "hunter2"))).contains("no private key in PEM"));
        let broken = "-----BEGIN RSA PRIVATE KEY-----\naHVudGVyMg==\n-----END RSA PRIVATE KEY-----\n";
        let broken = told(app(file("b.pem", broken)));
        assert!(broken.contains("no RSA key that can be used") && !broken.contains("aHVud"), "{broken}");
        let token = |text: &str| GithubFlags { github_token_file: file("t", text), ..GithubFlags::default() };
        assert!(told(token("hunter2 and more")).contains("more than a token"));
        let both = GithubFlags { github_app_id: Some("7".into()), ..token("hunter2") };
        assert!(told(both).contains("one of them"));
        let slow = GithubFlags { github_timeout: Some(121), ..token("hunter2") };
        assert_eq!(told(slow), "--github-timeout: 121 is not from 1 to 120 seconds");
        let good = load(&token("hunter2\n"), GithubSettings::default()).unwrap().unwrap();
        assert_eq!(good.identity, GithubIdentity::Token(GithubToken::new("hunter2")));
        assert!(!format!("{good:?}").contains("hunter2"));
        let unnamed = GithubFlags { github_check: Some(" ".into()), ..token("hunter2") };
        assert!(told(unnamed).contains("--github-check"));
    }
}
