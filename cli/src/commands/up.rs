//! `slipway up`: a coordinator and agents in one process, embedded.

use std::path::PathBuf;

use clap::Args;
use slipway_coordinator::options::{ClusterFlags, Environments, Flags, GithubFlags, JournalUrl, Options};
use slipway_kit::shutdown::{self, Stage};

use crate::failure::{Exit, Failure};
use crate::fleet::{ActionArgs, Fleet, FleetOptions, Offer, Reach, clear_leftovers};
use crate::output::Out;
use crate::settings::{Settings, image};

/// Most agents in one process.
const AGENT_LIMIT: u32 = 64;

/// Flags of `slipway up`.
#[derive(Debug, Args)]
pub struct Up {
    /// Where everything is kept [default: /var/lib/slipway for root, else ~/.local/state/slipway]
    #[arg(long, value_name = "D", env = "SLIPWAY_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Where to serve HTTP [default: 127.0.0.1:8080]
    #[arg(long, value_name = "A", env = "SLIPWAY_HTTP")]
    http: Option<String>,
    /// Where to serve gRPC [default: 127.0.0.1:7443]
    #[arg(long, value_name = "A", env = "SLIPWAY_GRPC")]
    grpc: Option<String>,
    /// How many agents [default: 1]
    #[arg(long, value_name = "N", env = "SLIPWAY_AGENTS")]
    agents: Option<u32>,
    /// The image for jobs with this label; may be repeated
    #[arg(long = "image", value_name = "LABEL=IMAGE", value_parser = image, env = "SLIPWAY_IMAGES", value_delimiter = ',')]
    images: Vec<(String, String)>,
    /// Where blobs, logs, caches and artifacts are: file:///FOLDER, s3://BUCKET/PREFIX, gs://… or az://… [default: in the
    /// data directory]
    #[arg(long, value_name = "URL", env = "SLIPWAY_OBJECTS")]
    objects: Option<String>,
    /// How many days logs are kept after their run finished [default: 90]
    #[arg(long, value_name = "DAYS", env = "SLIPWAY_KEEP_LOGS")]
    keep_logs: Option<u32>,
    /// How many days blobs are kept that no run names any more; 0: for ever [default: 7]
    #[arg(long, value_name = "DAYS", env = "SLIPWAY_KEEP_BLOBS")]
    keep_blobs: Option<u32>,
    /// After how many seconds without a sign of life an agent's jobs go to another [default: 30]
    #[arg(long, value_name = "SECONDS", env = "SLIPWAY_LEASE_SECONDS")]
    lease_seconds: Option<u64>,
    /// Where the journal is: `sqlite` (in the data directory) or postgres://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full;
    /// a flag shows in the list of processes, so give a password with the variable or a file [default: sqlite]
    #[arg(long, value_name = "URL", env = "SLIPWAY_JOURNAL", hide_env_values = true)]
    journal: Option<JournalUrl>,
    /// File with what --journal would be given
    #[arg(long, value_name = "FILE", env = "SLIPWAY_JOURNAL_FILE")]
    journal_file: Option<PathBuf>,
    /// For how many days the journal keeps what happened, at least; 0: for ever [default: 400]
    #[arg(long, value_name = "DAYS", env = "SLIPWAY_KEEP_JOURNAL")]
    keep_journal: Option<u64>,
    /// File with the secret that signs GitHub's webhooks; without one no webhook is accepted
    #[arg(long, value_name = "FILE", env = "SLIPWAY_WEBHOOK_SECRET_FILE")]
    webhook_secret_file: Option<PathBuf>,
    /// Accept webhooks of this repository only; may be repeated
    #[arg(
        long = "allow-repository",
        value_name = "OWNER/NAME",
        env = "SLIPWAY_ALLOW_REPOSITORIES",
        value_delimiter = ','
    )]
    allow_repositories: Vec<String>,
    #[command(flatten)]
    cluster: ClusterFlags,
    #[command(flatten)]
    github: GithubFlags,
    #[command(flatten)]
    actions: ActionArgs,
    #[command(flatten)]
    reach: Reach,
    /// Send traces to this OTLP collector (gRPC), such as http://127.0.0.1:4317
    #[arg(long, value_name = "URL", env = "SLIPWAY_OTLP")]
    otlp: Option<String>,
}

impl Up {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let agents = self.agents.or(settings.agents).unwrap_or(1);
        if agents > AGENT_LIMIT {
            return Err(Failure::usage(format!(
                "--agents: at most {AGENT_LIMIT} in one process, not {agents}"
            )));
        }
        let offer = Offer::of(settings, &self.images, &self.actions, &self.reach)?;
        let coordinator = self.coordinator(settings)?;
        clear_leftovers(offer.docker_host()).await;
        let options = FleetOptions { coordinator, agents, slots: None, warm: None, offer };
        let (trigger, mut stop) = shutdown::channel();
        tokio::spawn(async move { trigger.follow_signals().await });
        let mut fleet = tokio::select! {
            fleet = Fleet::start(options) => fleet?,
            () = stop.reached(Stage::Drain) => return Ok(Exit::Success),
        };
        // Nobody reading standard output is no reason not to serve.
        let _ = out.line(&format!("ready http={} grpc={}", fleet.http(), fleet.grpc()));
        let failed = tokio::select! {
            () = stop.reached(Stage::Drain) => None,
            failure = fleet.failed() => Some(failure),
        };
        fleet.stop(stop).await;
        failed.map_or(Ok(Exit::Success), Err)
    }

    /// Where traces go, which is needed before anything else.
    pub(crate) fn otlp(&self, settings: &Settings) -> Option<String> {
        self.otlp.clone().or_else(|| settings.otlp.clone())
    }

    /// The coordinator's options; it checks them.
    fn coordinator(self, settings: &Settings) -> Result<Options, Failure> {
        let otlp = self.otlp(settings);
        let or_file = |flag: Option<String>, file: &Option<String>| flag.or_else(|| file.clone());
        let allowed = match self.allow_repositories.is_empty() {
            true => settings.allow_repositories.clone(),
            false => self.allow_repositories,
        };
        // Either of them wins over both of the file.
        let (journal, journal_file) = match (self.journal, self.journal_file) {
            (None, None) => (settings.journal.clone(), settings.journal_file.clone()),
            given => given,
        };
        let mut github = self.github;
        github.from_file.clone_from(&settings.github);
        github.public_url = or_file(github.public_url, &settings.public_url);
        let flags = Flags {
            data_dir: self.data_dir.or_else(|| settings.data_dir.clone()),
            http: or_file(self.http, &settings.http),
            grpc: or_file(self.grpc, &settings.grpc),
            journal,
            journal_file,
            keep_journal: self.keep_journal.or(settings.keep_journal),
            objects: or_file(self.objects, &settings.objects),
            keep_logs: self.keep_logs.or(settings.keep_logs),
            keep_blobs: self.keep_blobs.or(settings.keep_blobs),
            lease_seconds: self.lease_seconds,
            cluster: self.cluster,
            github,
            webhook_secret_file: self.webhook_secret_file.or_else(|| settings.webhook_secret_file.clone()),
            // No flag: it would show in the list of processes.
            webhook_secret: std::env::var("SLIPWAY_WEBHOOK_SECRET").ok(),
            allow_repositories: allowed,
            actions_source: self.actions.or_file(settings).actions_source,
            otlp,
            ..Flags::default()
        };
        let mut options = Options::load(flags).map_err(|error| Failure::usage(error.to_string()))?;
        options.webhook.repositories.clone_from(&settings.repository);
        options.badges = settings.badges;
        let environments = Environments::from_settings(settings.environment.clone());
        options.environments = environments.map_err(|error| Failure::usage(error.to_string()))?;
        Ok(options)
    }
}
