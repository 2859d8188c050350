//! The command line and the settings file, as they are written; [`super::Options`] checks them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use clap::parser::ValueSource;
use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use serde::Deserialize;

use super::job_engine::Kind;
use super::sizes::WrittenAmount;
use crate::disk::mark::Mark;

impl Arguments {
    /// The process's command line and variables. A token's file on the line goes before a token in a variable: that one people have set for
    /// the command line of `slipway`.
    #[must_use]
    pub fn from_command_line() -> Self {
        let matches = Self::command().get_matches();
        let mut arguments = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        let by = |id: &str| matches.value_source(id);
        if (by("token_file"), by("token")) == (Some(ValueSource::CommandLine), Some(ValueSource::EnvVariable))
        {
            arguments.token = None;
        }
        arguments
    }
}

/// The command line of `slipway-agent`.
#[derive(Debug, Default, Parser)]
#[command(name = "slipway-agent", version, about = "Runs the jobs of a Slipway coordinator in containers")]
pub struct Arguments {
    /// Settings file (TOML); flags and variables win over it
    #[arg(long, value_name = "FILE", env = "SLIPWAY_CONFIG")]
    pub config: Option<PathBuf>,
    /// The coordinator's gRPC address, for example https://ci.example.com:7443; http:// on this machine. Several that share a
    /// journal: with commas between
    #[arg(long, value_name = "URL", env = "SLIPWAY_SERVER")]
    pub server: Option<String>,
    /// CA certificates (PEM), one of which signed the coordinator's; by default this machine's trusted ones
    ///
    /// With it no others are trusted. It is read when the agent starts.
    #[arg(long, value_name = "FILE", env = "SLIPWAY_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// The agent token (it shows in the process list: prefer --token-file)
    #[arg(long, env = "SLIPWAY_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// File with the agent token, such as DATA_DIR/agent.token of the coordinator
    #[arg(long, value_name = "FILE", env = "SLIPWAY_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// What people see; by default the host's name
    #[arg(long, env = "SLIPWAY_NAME")]
    pub name: Option<String>,
    /// Labels, comma-separated; added to self-hosted, linux, the architecture and those of --image
    #[arg(long, value_delimiter = ',', env = "SLIPWAY_LABELS")]
    pub labels: Vec<String>,
    /// Jobs at once; by default half the processors, at least one
    #[arg(long, env = "SLIPWAY_SLOTS")]
    pub slots: Option<u32>,
    /// Where the agent keeps its id and its jobs
    #[arg(long, value_name = "DIR", env = "SLIPWAY_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Image of jobs with this label, may be given again
    #[arg(long, value_name = "LABEL=IMAGE", value_delimiter = ',', env = "SLIPWAY_IMAGES")]
    pub image: Vec<String>,
    /// Image of jobs none of whose labels has one
    #[arg(long, value_name = "IMAGE", env = "SLIPWAY_DEFAULT_IMAGE")]
    pub default_image: Option<String>,
    /// Work as this architecture, X64 or ARM64; by default this machine's
    #[arg(long, env = "SLIPWAY_ARCH")]
    pub arch: Option<String>,
    /// Allow --arch to be this one though it is not this machine's
    #[arg(long, value_name = "ARCH", env = "SLIPWAY_ALLOW_EMULATION")]
    pub allow_emulation: Option<String>,
    /// The Docker engine's socket; by default DOCKER_HOST, else unix:///var/run/docker.sock
    #[arg(long, value_name = "unix://SOCKET", env = "SLIPWAY_DOCKER_HOST")]
    pub docker_host: Option<String>,
    /// IPv4 range for the networks of jobs
    #[arg(long, value_name = "RANGE", env = "SLIPWAY_SUBNETS")]
    pub subnets: Option<String>,
    /// Containers that wait for jobs, started before one comes; 0: none [default: 2, or as many as slots]
    #[arg(long, value_name = "NUMBER", env = "SLIPWAY_WARM")]
    pub warm: Option<usize>,
    /// Checkouts of large repositories that are made ready before a job asks; 0: none [default: 2]
    #[arg(long, value_name = "NUMBER", env = "SLIPWAY_READY_CHECKOUTS")]
    pub ready_checkouts: Option<usize>,
    /// Memory of one job, for example 8g
    #[arg(long, value_name = "SIZE", env = "SLIPWAY_JOB_MEMORY")]
    pub job_memory: Option<String>,
    /// Processors of one job, for example 2.5
    #[arg(long, value_name = "NUMBER", env = "SLIPWAY_JOB_CPUS")]
    pub job_cpus: Option<f64>,
    /// Processors to share among jobs, where they count beside slots; by default the machine's
    ///
    /// They count as soon as this, --memory or --size is given. Then each job takes what --job-cpus and --job-memory say, or its slot's share of
    /// the whole, and none begins while there is less.
    #[arg(long, value_name = "NUMBER", env = "SLIPWAY_CPUS")]
    pub cpus: Option<f64>,
    /// Memory to share among jobs, where it counts beside slots, for example 32g; by default the machine's
    #[arg(long, value_name = "SIZE", env = "SLIPWAY_MEMORY")]
    pub memory: Option<String>,
    /// What a job with this label takes and may use, if more than the others, for example large=4:16g; may be given again
    #[arg(long, value_name = "LABEL=CPUS:MEMORY", value_delimiter = ',', env = "SLIPWAY_SIZES")]
    pub size: Vec<String>,
    /// Processes and threads of one job
    #[arg(long, value_name = "NUMBER", env = "SLIPWAY_JOB_PIDS")]
    pub job_pids: Option<i64>,
    /// Where actions of other repositories come from: a forge or mirror, or file:///FOLDER with owner/name in it
    /// [default: https://github.com]
    #[arg(long, value_name = "URL", env = "SLIPWAY_ACTIONS_SOURCE")]
    pub actions_source: Option<String>,
    /// Folder with the Node programs for JavaScript actions, as scripts/fetch-externals.sh makes it
    #[arg(long, value_name = "DIR", env = "SLIPWAY_EXTERNALS")]
    pub externals: Option<PathBuf>,
    /// Run the original code of actions that are built in (checkout, cache, upload-artifact, download-artifact)
    #[arg(long, env = "SLIPWAY_ORIGINAL_ACTIONS")]
    pub original_actions: bool,
    /// Let workflows ask for privileged containers: their steps then own this machine
    #[arg(long, env = "SLIPWAY_ALLOW_PRIVILEGED")]
    pub allow_privileged: bool,
    /// Run code from outside (pull requests of forks) too: then no job on this agent can use sudo
    #[arg(long, env = "SLIPWAY_ACCEPT_UNTRUSTED", conflicts_with = "allow_privileged")]
    pub accept_untrusted: bool,
    /// Send the token in clear text (http://) to a coordinator on another machine
    #[arg(long, env = "SLIPWAY_ALLOW_PLAINTEXT")]
    pub allow_plaintext: bool,
    /// How much of the disk the agent may use for what jobs' build tools read from the cache, so that it need not come over the
    /// network again; `off`: nothing [default: 10]
    #[arg(long, value_name = "GIB", env = "SLIPWAY_CACHE_SIZE")]
    pub cache_size: Option<CacheSize>,
    /// Send traces to this OTLP collector (gRPC), such as http://127.0.0.1:4317
    #[arg(long, value_name = "URL", env = "SLIPWAY_OTLP")]
    pub otlp: Option<String>,
    /// Take no new jobs below this much free disk: a size (5GiB), a share (5%) or `off` [default: 5%, at most 10GiB]
    #[arg(long, value_name = "SIZE", env = "SLIPWAY_DISK_LOW")]
    pub disk_low: Option<Mark>,
    /// End the job that uses most of the disk below this much: a size, a share or `off` [default: 1%, at most 1GiB]
    #[arg(long, value_name = "SIZE", env = "SLIPWAY_DISK_FULL")]
    pub disk_full: Option<Mark>,
    /// How much of the disk one job may use, its folder and what its containers write, for example 50GiB; `off`: what there is
    /// [default: off]
    #[arg(long, value_name = "SIZE", env = "SLIPWAY_JOB_DISK")]
    pub job_disk: Option<String>,
    /// How much of the images that jobs brought may stay, for example 20GiB; the least recently used go first; `off`: all stay
    /// [default: 20GiB]
    #[arg(long, value_name = "SIZE", env = "SLIPWAY_KEEP_IMAGES")]
    pub keep_images: Option<String>,
    /// The engine's runtime for the containers of jobs, such as crun, runsc or kata; by default the engine's own
    #[arg(long, value_name = "NAME", env = "SLIPWAY_RUNTIME")]
    pub runtime: Option<String>,
    /// Let workflows mount this volume of the engine or this folder of the machine (not what is below it); may be given again
    #[arg(long, value_name = "NAME|PATH", value_delimiter = ',', env = "SLIPWAY_ALLOW_VOLUMES")]
    pub allow_volume: Vec<String>,
    /// Let jobs reach the cloud's metadata addresses, and so act with this machine's role
    #[arg(long, env = "SLIPWAY_ALLOW_METADATA", conflicts_with = "accept_untrusted")]
    pub allow_metadata: bool,
    /// The Docker engine that jobs find at /var/run/docker.sock: none; a private one of the job's own, without root's rights, which
    /// goes with it; or this machine's, and then each job owns the machine [default: none]
    #[arg(long, value_name = "ENGINE", value_enum, env = "SLIPWAY_JOB_ENGINE")]
    pub job_engine: Option<Kind>,
    /// Image of private engines, as scripts/engine-image.sh makes it [default: slipway/engine:latest]
    #[arg(long, value_name = "IMAGE", env = "SLIPWAY_JOB_ENGINE_IMAGE")]
    pub job_engine_image: Option<String>,
}

/// How much of the disk the cache may use, in GiB; 0, or `off`: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WrittenSize")]
pub struct CacheSize(pub u64);

impl FromStr for CacheSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self(0)),
            _ => text.parse().map(Self).map_err(|_| format!("`{text}` is neither a number of GiB nor `off`")),
        }
    }
}

/// As it stands in a file: `cache_size = 20`, or `"off"`.
#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenSize {
    Gib(u64),
    Text(String),
}

impl TryFrom<WrittenSize> for CacheSize {
    type Error = String;

    fn try_from(written: WrittenSize) -> Result<Self, String> {
        match written {
            WrittenSize::Gib(gib) => Ok(Self(gib)),
            WrittenSize::Text(text) => text.parse(),
        }
    }
}

/// The settings file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) server: Option<String>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) name: Option<String>,
    pub(super) labels: Vec<String>,
    pub(super) slots: Option<u32>,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) images: BTreeMap<String, String>,
    pub(super) default_image: Option<String>,
    pub(super) arch: Option<String>,
    pub(super) allow_emulation: Option<String>,
    pub(super) docker_host: Option<String>,
    pub(super) subnets: Option<String>,
    pub(super) warm: Option<usize>,
    pub(super) ready_checkouts: Option<usize>,
    pub(super) job_memory: Option<String>,
    pub(super) job_cpus: Option<f64>,
    pub(super) job_pids: Option<i64>,
    pub(super) cpus: Option<f64>,
    pub(super) memory: Option<String>,
    pub(super) sizes: BTreeMap<String, WrittenAmount>,
    pub(super) actions_source: Option<String>,
    pub(super) externals: Option<PathBuf>,
    pub(super) original_actions: bool,
    pub(super) allow_privileged: bool,
    pub(super) accept_untrusted: bool,
    pub(super) allow_plaintext: bool,
    pub(super) cache_size: Option<CacheSize>,
    pub(super) otlp: Option<String>,
    pub(super) disk_low: Option<Mark>,
    pub(super) disk_full: Option<Mark>,
    pub(super) job_disk: Option<String>,
    pub(super) keep_images: Option<String>,
    pub(super) runtime: Option<String>,
    pub(super) allow_volumes: Vec<String>,
    pub(super) allow_metadata: bool,
    pub(super) job_engine: Option<Kind>,
    pub(super) job_engine_image: Option<String>,
}
