//! The configuration file, and how its values meet flags and variables: flag > variable > file > default.
//!
//! clap reads flags and variables; this module only fills what both left open.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use slipway_agent::options::job_engine::Kind;
pub use slipway_coordinator::options::DEFAULT_HTTP;
use slipway_coordinator::options::{EnvironmentSetting, GithubSettings, JournalUrl, Repository};

use crate::failure::Failure;
use crate::user_folders;

/// The file given with `--config` or `SLIPWAY_CONFIG`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The coordinator's HTTP address.
    pub server: Option<String>,
    /// The API token.
    pub token: Option<String>,
    /// The authorities that certify the coordinator (PEM), and no others.
    pub server_ca: Option<PathBuf>,
    /// The fingerprint of the one authority that certifies the coordinator.
    pub server_fingerprint: Option<String>,
    /// Whether the token may go to another machine in clear text.
    #[serde(default)]
    pub allow_plaintext: bool,
    /// Where `up` keeps its data.
    pub data_dir: Option<PathBuf>,
    /// Where `up` serves HTTP.
    pub http: Option<String>,
    /// Where `up` serves gRPC.
    pub grpc: Option<String>,
    /// How many agents `up` starts.
    pub agents: Option<u32>,
    /// Runner images by label.
    #[serde(default)]
    pub images: BTreeMap<String, String>,
    /// Where `up` keeps its journal.
    pub journal: Option<JournalUrl>,
    /// The file with what `journal` would be.
    pub journal_file: Option<PathBuf>,
    /// For how many days the journal of `up` keeps what happened.
    pub keep_journal: Option<u64>,
    /// Where `up` keeps blobs and logs.
    pub objects: Option<String>,
    /// How many days `up` keeps logs.
    pub keep_logs: Option<u32>,
    /// How many days `up` keeps blobs that no run names.
    pub keep_blobs: Option<u32>,
    /// The file with the secret that signs webhooks.
    pub webhook_secret_file: Option<PathBuf>,
    /// The only repositories whose webhooks `up` accepts.
    #[serde(default)]
    pub allow_repositories: Vec<String>,
    /// Repositories whose webhooks `up` accepts, with their own clone address.
    #[serde(default)]
    pub repository: Vec<Repository>,
    /// What environments ask of jobs at `up`.
    #[serde(default)]
    pub environment: Vec<EnvironmentSetting>,
    /// How `up` tells GitHub of runs.
    pub github: Option<GithubSettings>,
    /// Whether `up` serves badges to whoever asks, without a token.
    #[serde(default)]
    pub badges: bool,
    /// Where people reach the pages of `up`.
    pub public_url: Option<String>,
    /// Where actions and reusable workflows of other repositories come from.
    pub actions_source: Option<String>,
    /// Folder with Node for JavaScript actions.
    pub externals: Option<PathBuf>,
    /// Whether the original code runs of actions that are built in.
    #[serde(default)]
    pub original_actions: bool,
    /// Volumes and folders of the machine that workflows may mount.
    #[serde(default)]
    pub allow_volumes: Vec<String>,
    /// Whether workflows may ask for privileged containers.
    #[serde(default)]
    pub allow_privileged: bool,
    /// The Docker engine that jobs find.
    pub job_engine: Option<Kind>,
    /// Where `up` and `run` send traces.
    pub otlp: Option<String>,
}

impl Settings {
    /// Reads the file; none given is an empty one.
    ///
    /// # Errors
    /// The file cannot be read, is too long, or is not what it should be; the message names file, line and field.
    pub fn load(path: Option<&Path>) -> Result<Self, Failure> {
        slipway_kit::config::load(path).map_err(|error| Failure::usage(error.to_string()))
    }
}

/// Where `up` keeps its data unless told otherwise: `/var/lib/slipway` for root, else the user's state folder
/// (XDG Base Directory Specification).
///
/// # Errors
/// An ordinary user without a home.
pub fn default_data_dir() -> Result<PathBuf, Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/slipway"));
    }
    user_folders::state()
        .ok_or_else(|| Failure::usage("there is no home directory for the data: give --data-dir"))
}

/// Whether this host name or address is this machine itself.
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A `KEY=VALUE` argument.
///
/// # Errors
/// No `=`, or nothing before it; clap adds the flag's name.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// A `NAME=VALUE` argument whose name is a secret's or variable's: letters, digits and `_`, no digit first (GitHub's
/// "Naming your secrets").
///
/// # Errors
/// As [`pair`], or the name cannot be.
pub fn named_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = pair(text)?;
    let usable = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !usable || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("a name has letters, digits and `_` only, and does not begin with a digit".to_owned());
    }
    Ok((name, value))
}

/// A run's priority.
///
/// # Errors
/// No whole number from -100 to 100.
pub fn priority(text: &str) -> Result<i8, String> {
    let value = text.parse::<i8>().ok().filter(|value| (-100..=100).contains(value));
    value.ok_or_else(|| "write a whole number from -100 to 100".to_owned())
}

/// A `LABEL=IMAGE` argument.
///
/// # Errors
/// One side is missing.
pub fn image(text: &str) -> Result<(String, String), String> {
    match pair(text) {
        Ok((label, image)) if !image.trim().is_empty() => Ok((label, image.trim().to_owned())),
        _ => Err("expected LABEL=IMAGE, for example ubuntu-latest=slipway/runner:latest".to_owned()),
    }
}

/// A `NAME=VALUE` or `NAME` argument; without a value it is the environment variable of that name, so that a secret
/// need not stand in the list of processes.
///
/// # Errors
/// No name, or no such variable.
pub fn secret(text: &str) -> Result<(String, String), String> {
    if text.contains('=') {
        return named_value(text);
    }
    match std::env::var(text) {
        Ok(value) => named_value(&format!("{text}={value}")),
        Err(_) => Err(format!("no value: write {text}=VALUE, or set the environment variable {text}")),
    }
}
