//! How a coordinator is started: flags over `SLIPWAY_*` variables over the configuration file over defaults.
//!
//! What this build does not support (other journals) is refused by name here, before anything is
//! touched.

mod cache;
mod cluster;
mod environments;
mod github;
mod hashicorp_vault;
mod kept;
mod objects;
mod scaler;
mod scheduling;
mod settings;
mod sign_in;
#[cfg(test)]
mod tests;
mod tls;
mod vault;
mod webhook;

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use slipway_kit::actions_source::ActionsSource;
use slipway_kit::config::{self, ConfigError};

pub use self::cache::{CacheFlags, CachePlace, CacheQuota, CacheStore, CacheUrl};
pub use self::cluster::{ClusterFlags, ClusterOptions};
pub(crate) use self::cluster::{DoorsWithTls, host};
pub use self::environments::{EnvironmentRule, EnvironmentSetting, Environments};
pub(crate) use self::github::is_private_address;
pub use self::github::{AppKey, GithubFlags, GithubIdentity, GithubOptions, GithubSettings, GithubToken};
pub use self::hashicorp_vault::{HashicorpVaultOptions, VaultLogin};
pub use self::objects::Objects;
pub use self::tls::{TlsFlags, TlsOptions};
pub use self::vault::VaultFlags;
pub use self::webhook::{ApproveForks, Repository, WebhookOptions, WebhookSecret};
use crate::authority::AGENT_LIFE;
use crate::blobs::collector::KEEP_BLOBS_DAYS;
pub use crate::journal::{JournalPlace, JournalUrl};
use crate::records::limits::KEEP_LOGS_DAYS;
pub use crate::vault_keys::GivenKeys;
pub use scaler::{ScalerDriver, ScalerOptions, ScalerSecret};
pub use scheduling::Scheduling;
use settings::Settings;
pub use sign_in::{ClientSecret, ProviderKind, RoleRule, SignInProvider};

pub use crate::results::KeptResults;

/// The longest blob that can be uploaded, in bytes.
pub const MAX_BLOB_BYTES: u64 = 16 << 30;

/// For how many days the journal keeps records by default: a year, and what belongs to its last runs.
pub const KEEP_JOURNAL_DAYS: u64 = 400;

/// Where HTTP is served by default.
pub const DEFAULT_HTTP: &str = "127.0.0.1:8080";

/// Where gRPC is served by default.
pub const DEFAULT_GRPC: &str = "127.0.0.1:7443";

/// What cannot be used of the options. Each text names the flag and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The configuration file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A flag's value.
    #[error("{flag}: {reason}")]
    Flag {
        /// Which flag.
        flag: &'static str,
        /// What is wrong and what to do.
        reason: String,
    },
}

fn wrong(flag: &'static str, reason: impl Into<String>) -> OptionsError {
    OptionsError::Flag { flag, reason: reason.into() }
}

/// The flags, each with its variable. A program that embeds the coordinator may flatten them into its own.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Flags {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "SLIPWAY_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where everything is kept [default: /var/lib/slipway for root, else ~/.local/state/slipway]
    #[arg(long, value_name = "D", env = "SLIPWAY_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where to serve HTTP [default: 127.0.0.1:8080]
    #[arg(long, value_name = "A", env = "SLIPWAY_HTTP")]
    pub http: Option<String>,
    /// Where to serve gRPC [default: 127.0.0.1:7443]
    #[arg(long, value_name = "A", env = "SLIPWAY_GRPC")]
    pub grpc: Option<String>,
    /// TLS of the doors
    #[command(flatten)]
    pub tls: TlsFlags,
    /// Where the journal is: `sqlite` (in the data directory) or postgres://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full;
    /// a flag shows in the list of processes, so give a password with the variable or a file [default: sqlite]
    #[arg(long, value_name = "URL", env = "SLIPWAY_JOURNAL", hide_env_values = true)]
    pub journal: Option<JournalUrl>,
    /// File with what --journal would be given
    #[arg(long, value_name = "FILE", env = "SLIPWAY_JOURNAL_FILE")]
    pub journal_file: Option<PathBuf>,
    /// For how many days the journal keeps what happened, at least; 0: for ever [default: 400]
    #[arg(long, value_name = "DAYS", env = "SLIPWAY_KEEP_JOURNAL")]
    pub keep_journal: Option<u64>,
    /// What kept secrets are sealed under
    #[command(flatten)]
    pub vault: VaultFlags,
    /// The caches
    #[command(flatten)]
    pub cache: CacheFlags,
    /// Where blobs, logs, caches and artifacts are: `file:///FOLDER`, `s3://BUCKET/PREFIX`, `gs://…` or `az://…` with the
    /// usual environment variables for credentials [default: in the data directory]
    #[arg(long, value_name = "URL", env = "SLIPWAY_OBJECTS")]
    pub objects: Option<String>,
    /// How many days logs are kept after their run finished [default: 90]
    #[arg(long, value_name = "DAYS", env = "SLIPWAY_KEEP_LOGS")]
    pub keep_logs: Option<u32>,
    /// How many days blobs are kept that no run names any more; 0: for ever [default: 7]
    #[arg(long, value_name = "DAYS", env = "SLIPWAY_KEEP_BLOBS")]
    pub keep_blobs: Option<u32>,
    /// After how many seconds without a sign of life an agent's jobs go to another [default: 30]
    #[arg(long, value_name = "SECONDS", env = "SLIPWAY_LEASE_SECONDS")]
    pub lease_seconds: Option<u64>,
    /// File with the secret that signs GitHub's webhooks; without one no webhook is accepted
    #[arg(long, value_name = "FILE", env = "SLIPWAY_WEBHOOK_SECRET_FILE")]
    pub webhook_secret_file: Option<PathBuf>,
    /// Accept webhooks of this repository only; may be repeated [default: every one that is signed]
    #[arg(
        long = "allow-repository",
        value_name = "OWNER/NAME",
        env = "SLIPWAY_ALLOW_REPOSITORIES",
        value_delimiter = ','
    )]
    pub allow_repositories: Vec<String>,
    /// Where reusable workflows of other repositories come from: a forge or mirror, or file:///FOLDER with owner/repo in it
    /// [default: https://github.com]
    #[arg(long, value_name = "URL", env = "SLIPWAY_ACTIONS_SOURCE")]
    pub actions_source: Option<String>,
    /// Send traces to this OTLP collector (gRPC), such as http://127.0.0.1:4317
    #[arg(long, value_name = "URL", env = "SLIPWAY_OTLP")]
    pub otlp: Option<String>,
    /// Being one of several coordinators
    #[command(flatten)]
    pub cluster: ClusterFlags,
    /// Telling GitHub of runs
    #[command(flatten)]
    pub github: GithubFlags,
    /// The secret itself, for `SLIPWAY_WEBHOOK_SECRET`; a flag would show in the list of processes
    #[arg(skip)]
    pub webhook_secret: Option<String>,
}

/// How a coordinator is started; checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Where to serve HTTP. Port 0: any.
    pub http: SocketAddr,
    /// Where to serve gRPC. Port 0: any.
    pub grpc: SocketAddr,
    /// TLS of the gRPC port.
    pub tls: Option<TlsOptions>,
    /// Whether HTTP has it, too.
    pub http_tls: bool,
    /// For how long certificates of agents are good.
    pub agent_certificates: Duration,
    /// Where the journal is.
    pub journal: JournalPlace,
    /// For how long the journal keeps records, at least; `None`: for ever.
    pub keep_journal: Option<Duration>,
    /// Where blobs and records are; `None`: in the data directory.
    pub objects: Option<Objects>,
    /// How many days logs are kept after their run finished.
    pub keep_logs_days: u32,
    /// How long blobs are kept that no run names any more; `None`: for ever.
    pub keep_blobs: Option<Duration>,
    /// Where caches and artifacts are, if they outlive the data directory; `None`: with the objects.
    pub results: Option<KeptResults>,
    /// Webhooks.
    pub webhook: WebhookOptions,
    /// Where reusable workflows of other repositories come from.
    pub actions_source: ActionsSource,
    /// Where traces go.
    pub otlp: Option<String>,
    /// Being one of several coordinators; `None`: it stands alone.
    pub cluster: Option<ClusterOptions>,
    /// Shares, priorities and retries.
    pub scheduling: Scheduling,
    /// What environments ask of jobs.
    pub environments: Environments,
    /// What backs the cache of build tools.
    pub cache: CachePlace,
    /// How much of the caches one repository may keep.
    pub cache_quota: CacheQuota,
    /// What is behind it.
    pub cache_store: Option<CacheStore>,
    /// How GitHub is told of runs; `None`: it is not.
    pub github: Option<GithubOptions>,
    /// Where people reach the web pages, without a slash at its end; `None`: reports have no links.
    pub public_url: Option<String>,
    /// Where people may sign in besides with a token.
    pub sign_in: Vec<SignInProvider>,
    /// What starts and stops agents, by pool.
    pub scalers: Vec<ScalerOptions>,
    /// Whether badges are served to whoever asks, without a token.
    pub badges: bool,
    /// How many web pages follow live at once; whoever comes then is refused, and its page asks again.
    pub live_pages_max: usize,
    /// What kept secrets are sealed under; `None`: a key that the coordinator makes, or that follows from the cluster's.
    pub vault_keys: Option<GivenKeys>,
    /// Where values of kept secrets may be instead.
    pub hashicorp_vault: Option<HashicorpVaultOptions>,
    /// Whether projections are made. A coordinator that serves one run and goes needs none.
    pub history: bool,
}

impl Options {
    /// Defaults on any free loopback ports, for embedding and tests.
    #[must_use]
    pub fn embedded(data_dir: impl Into<PathBuf>) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            data_dir: data_dir.into(),
            http: any,
            grpc: any,
            tls: None,
            http_tls: false,
            agent_certificates: AGENT_LIFE,
            journal: JournalPlace::Sqlite,
            keep_journal: Some(days(KEEP_JOURNAL_DAYS)),
            objects: None,
            keep_logs_days: KEEP_LOGS_DAYS,
            keep_blobs: Some(days(KEEP_BLOBS_DAYS.into())),
            results: None,
            webhook: WebhookOptions::default(),
            actions_source: ActionsSource::default(),
            otlp: None,
            cluster: None,
            scheduling: Scheduling::default(),
            environments: Environments::default(),
            cache: CachePlace::default(),
            cache_quota: CacheQuota::default(),
            cache_store: None,
            github: None,
            public_url: None,
            sign_in: Vec::new(),
            scalers: Vec::new(),
            badges: false,
            live_pages_max: crate::pages::LIVE_MAX,
            vault_keys: None,
            hashicorp_vault: None,
            history: true,
        }
    }

    /// Options from flags, variables (clap read them into the flags) and the configuration file.
    ///
    /// # Errors
    /// [`OptionsError`].
    pub fn load(flags: Flags) -> Result<Self, OptionsError> {
        let file: Settings = config::load(flags.config.as_deref())?;
        let data_dir = match flags.data_dir.or(file.data_dir) {
            // Agents in this process mount folders below it, and Docker takes only whole paths.
            Some(folder) => std::path::absolute(&folder)
                .map_err(|error| wrong("--data-dir", format!("`{}`: {error}", folder.display())))?,
            None => default_data_dir()?,
        };
        let journal = match (&flags.journal, &flags.journal_file) {
            (None, None) => journal_place(file.journal, file.journal_file)?,
            _ => journal_place(flags.journal, flags.journal_file)?,
        };
        let cluster = ClusterFlags {
            cluster_key_file: flags.cluster.cluster_key_file.or(file.cluster_key_file),
            advertise_http: flags.cluster.advertise_http.or(file.advertise_http),
            advertise_grpc: flags.cluster.advertise_grpc.or(file.advertise_grpc),
            objects_shared: flags.cluster.objects_shared || file.objects_shared,
        };
        let given = flags.cache;
        let cache = cache::place(given.cache.or(file.cache), given.cache_size.or(file.cache_size))?;
        let cache_quota = cache::quota(given.cache_quota.or(file.cache_quota))?;
        let days_behind = given.cache_store_days.or(file.cache_store_days);
        let cache_store = cache::store(given.cache_store.or(file.cache_store), days_behind, &cache)?;
        let keep_journal = kept::journal(flags.keep_journal.or(file.keep_journal))?;
        let objects = objects::load(flags.objects.or(file.objects).as_deref())?;
        let keep_logs_days = kept::logs(flags.keep_logs.or(file.keep_logs))?;
        let keep_blobs = kept::blobs(flags.keep_blobs.or(file.keep_blobs))?;
        let cluster = match &journal {
            JournalPlace::Sqlite => cluster.refuse_alone().map(|()| None)?,
            JournalPlace::Postgres(_) => Some(ClusterOptions::load(cluster, objects.as_ref())?),
        };
        let http = address("--http", flags.http.or(file.http).as_deref().unwrap_or(DEFAULT_HTTP))?;
        let grpc = address("--grpc", flags.grpc.or(file.grpc).as_deref().unwrap_or(DEFAULT_GRPC))?;
        let given = flags.tls;
        let tls::Tls { doors: tls, http: http_tls, agent_certificates } = tls::load(TlsFlags {
            tls_cert: given.tls_cert.or(file.tls_cert),
            tls_key: given.tls_key.or(file.tls_key),
            tls_names: if given.tls_names.is_empty() { file.tls_names } else { given.tls_names },
            http_tls: given.http_tls || file.http_tls,
            agent_certificates: given.agent_certificates.or(file.agent_certificates),
        })?;
        if let Some(cluster) = cluster.as_ref().filter(|_| http_tls) {
            cluster.check_scheme()?;
        }
        let secret_file = flags.webhook_secret_file.or(file.webhook_secret_file);
        let secret = match (flags.webhook_secret, secret_file) {
            (Some(secret), _) => Some(secret),
            (None, Some(path)) => Some(read_secret("--webhook-secret-file", &path)?),
            (None, None) => file.webhook_secret,
        };
        let allowed = if flags.allow_repositories.is_empty() {
            file.allow_repositories
        } else {
            flags.allow_repositories
        };
        for name in allowed.iter().chain(file.repository.iter().map(|repository| &repository.name)) {
            check_repository(name)?;
        }
        let secret = secret.filter(|secret| !secret.is_empty()).map(WebhookSecret);
        let approve_forks = github::approve_forks(&flags.github, &file.github);
        let webhook = WebhookOptions { secret, repositories: file.repository, allowed, approve_forks };
        let actions_source = flags.actions_source.or(file.actions_source);
        let actions_source = actions_source.as_deref().map(ActionsSource::parse).transpose();
        let actions_source =
            actions_source.map_err(|message| wrong("--actions-source", message))?.unwrap_or_default();
        let lease_seconds = flags.lease_seconds.or(file.lease_seconds);
        let scheduling = Scheduling::from_settings(file.share, file.priority, &file.retry, lease_seconds)?;
        let environments = Environments::from_settings(file.environment)?;
        let github = github::load(&flags.github, file.github)?;
        let public_url = flags.github.public_url.or(file.public_url);
        let public_url = public_url.as_deref().map(github::public_url).transpose()?;
        let has_address = public_url.is_some() || http.ip().is_loopback();
        let sign_in = sign_in::load(file.sign_in, has_address)?;
        let options = Self {
            http,
            grpc,
            tls,
            http_tls,
            agent_certificates,
            journal,
            keep_journal,
            objects,
            keep_logs_days,
            keep_blobs,
            webhook,
            actions_source,
            otlp: flags.otlp.or(file.otlp),
            cluster,
            scheduling,
            environments,
            cache,
            cache_quota,
            cache_store,
            github,
            public_url,
            sign_in,
            scalers: scaler::load(file.scaler)?,
            badges: file.badges,
            vault_keys: vault::load(flags.vault, file.vault_key)?,
            hashicorp_vault: hashicorp_vault::load(file.hashicorp_vault, has_address)?,
            ..Self::embedded(data_dir)
        };
        options.check()?;
        Ok(options)
    }

    /// Which doors are served with TLS.
    pub(crate) fn doors_with_tls(&self) -> DoorsWithTls {
        DoorsWithTls { http: self.http_tls, grpc: self.tls.is_some() }
    }

    /// Checks what only all options together tell.
    ///
    /// # Errors
    /// gRPC without TLS on an address that is not loopback.
    pub fn check(&self) -> Result<(), OptionsError> {
        if self.tls.is_none() && !self.grpc.ip().is_loopback() {
            return Err(wrong(
                "--grpc",
                format!(
                    "{} is not loopback, and tokens and secrets would cross the network unencrypted; give \
                     --tls-cert and --tls-key, or --tls-name, or listen on 127.0.0.1",
                    self.grpc
                ),
            ));
        }
        Ok(())
    }
}

fn default_data_dir() -> Result<PathBuf, OptionsError> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/slipway"));
    }
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/state"));
    let found = state.filter(|path| path.is_absolute()).or(home);
    found
        .map(|path| path.join("slipway"))
        .ok_or_else(|| wrong("--data-dir", "is needed: there is no home folder"))
}

fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 60 * 60)
}

/// Where the journal is, from what `--journal` or `--journal-file` was given.
///
/// # Errors
/// [`OptionsError`]; a password is never in it.
pub fn journal_place(url: Option<JournalUrl>, file: Option<PathBuf>) -> Result<JournalPlace, OptionsError> {
    let (flag, url) = match (url, file) {
        (Some(_), Some(_)) => {
            return Err(wrong("--journal-file", "is given besides --journal; give one of them"));
        }
        (None, None) => return Ok(JournalPlace::Sqlite),
        (Some(url), None) => ("--journal", url),
        (None, Some(path)) => ("--journal-file", JournalUrl(read_secret("--journal-file", &path)?)),
    };
    JournalPlace::parse(&url.0).map_err(|reason| wrong(flag, reason))
}

fn address(flag: &'static str, text: &str) -> Result<SocketAddr, OptionsError> {
    let found = text.to_socket_addrs().ok().and_then(|mut found| found.next());
    found.ok_or_else(|| wrong(flag, format!("`{text}` is no address to listen on; write HOST:PORT")))
}

fn check_repository(name: &str) -> Result<(), OptionsError> {
    match name.split_once('/') {
        Some((owner, name)) if !owner.is_empty() && !name.is_empty() && !name.contains('/') => Ok(()),
        _ => Err(wrong("--allow-repository", format!("`{name}` is no repository; write OWNER/NAME"))),
    }
}

/// The largest file with a secret, in bytes.
const SECRET_FILE_MAX_BYTES: u64 = 64 << 10;

fn read_secret(flag: &'static str, path: &Path) -> Result<String, OptionsError> {
    use std::io::Read as _;
    let failed = |error: std::io::Error| wrong(flag, format!("{}: {error}", path.display()));
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(SECRET_FILE_MAX_BYTES).read_to_string(&mut text).map_err(failed)?;
    let secret = text.trim();
    if secret.is_empty() {
        return Err(wrong(flag, format!("{} is empty", path.display())));
    }
    Ok(secret.to_owned())
}
