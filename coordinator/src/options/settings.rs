//! The configuration file, as it is written; [`super::Options::load`] checks what it says.

use std::path::PathBuf;

use serde::Deserialize;

use super::hashicorp_vault::HashicorpVaultSetting;
use super::scaler::ScalerSetting;
use super::scheduling::{PrioritySetting, RetrySetting, ShareSetting};
use super::sign_in::SignInSetting;
use super::{CacheUrl, EnvironmentSetting, GithubSettings, JournalUrl, Repository};

/// The configuration file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    pub(super) data_dir: Option<PathBuf>,
    pub(super) http: Option<String>,
    pub(super) grpc: Option<String>,
    pub(super) tls_cert: Option<PathBuf>,
    pub(super) tls_key: Option<PathBuf>,
    pub(super) tls_names: Vec<String>,
    pub(super) http_tls: bool,
    pub(super) agent_certificates: Option<u64>,
    pub(super) journal: Option<JournalUrl>,
    pub(super) journal_file: Option<PathBuf>,
    pub(super) keep_journal: Option<u64>,
    pub(super) cache: Option<CacheUrl>,
    pub(super) cache_size: Option<u64>,
    pub(super) cache_quota: Option<u64>,
    pub(super) cache_store: Option<String>,
    pub(super) cache_store_days: Option<u32>,
    pub(super) objects: Option<String>,
    pub(super) keep_logs: Option<u32>,
    pub(super) keep_blobs: Option<u32>,
    pub(super) lease_seconds: Option<u64>,
    pub(super) webhook_secret: Option<String>,
    pub(super) webhook_secret_file: Option<PathBuf>,
    pub(super) allow_repositories: Vec<String>,
    pub(super) actions_source: Option<String>,
    pub(super) otlp: Option<String>,
    pub(super) cluster_key_file: Option<PathBuf>,
    pub(super) vault_key: Option<PathBuf>,
    pub(super) advertise_http: Option<String>,
    pub(super) advertise_grpc: Option<String>,
    pub(super) objects_shared: bool,
    pub(super) repository: Vec<Repository>,
    pub(super) share: Vec<ShareSetting>,
    pub(super) priority: Vec<PrioritySetting>,
    pub(super) retry: RetrySetting,
    pub(super) environment: Vec<EnvironmentSetting>,
    pub(super) github: GithubSettings,
    pub(super) badges: bool,
    pub(super) public_url: Option<String>,
    pub(super) sign_in: Vec<SignInSetting>,
    pub(super) scaler: Vec<ScalerSetting>,
    pub(super) hashicorp_vault: Option<HashicorpVaultSetting>,
}
