//! `slipway up`: a coordinator and agents in one process, embedded.

use std::path::PathBuf;

use clap::Args;
use slipway_kit::shutdown::{self, Stage};

use crate::failure::{Exit, Failure};
use crate::fleet::{Fleet, FleetOptions, Offer};
use crate::output::Out;
use crate::settings::{DEFAULT_GRPC, DEFAULT_HTTP, Settings, default_data_dir, image, listen_address};

/// Most agents in one process.
const AGENT_LIMIT: u32 = 64;

/// Flags of `slipway up`.
#[derive(Debug, Args)]
pub struct Up {
    /// Where everything is kept; /var/lib/slipway for root, else ~/.local/state/slipway
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
}

impl Up {
    pub(crate) async fn run(self, settings: &Settings, out: &mut Out) -> Result<Exit, Failure> {
        let http = self.http.as_deref().or(settings.http.as_deref()).unwrap_or(DEFAULT_HTTP);
        let grpc = self.grpc.as_deref().or(settings.grpc.as_deref()).unwrap_or(DEFAULT_GRPC);
        let agents = self.agents.or(settings.agents).unwrap_or(1);
        if agents > AGENT_LIMIT {
            return Err(Failure::usage(format!(
                "--agents: at most {AGENT_LIMIT} in one process, not {agents}"
            )));
        }
        let data_dir = match self.data_dir.or_else(|| settings.data_dir.clone()) {
            Some(folder) => folder,
            None => default_data_dir()?,
        };
        let options = FleetOptions {
            data_dir,
            http: listen_address("--http", http)?,
            grpc: listen_address("--grpc", grpc)?,
            agents,
            offer: Offer::of(settings, &self.images)?,
        };
        let (trigger, mut stop) = shutdown::channel();
        tokio::spawn(async move { trigger.follow_signals().await });
        let fleet = tokio::select! {
            fleet = Fleet::start(options) => fleet?,
            () = stop.reached(Stage::Drain) => return Ok(Exit::Success),
        };
        // Nobody reading standard output is no reason not to serve.
        let _ = out.line(&format!("ready http={} grpc={}", fleet.http(), fleet.grpc()));
        stop.reached(Stage::Drain).await;
        let mut now = stop.clone();
        tokio::select! {
            () = fleet.stop() => {}
            () = now.reached(Stage::Now) => {}
        }
        Ok(Exit::Success)
    }
}
