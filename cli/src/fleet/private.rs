//! The private fleet of `slipway run`: a coordinator and one agent on loopback ports of their own, in a temporary
//! directory.
//!
//! Invariant: [`PrivateFleet::remove`] leaves nothing behind: no container, no network, no file. Where the process is
//! killed instead, containers end by their init's stop time, and the next start clears up ([`super::leftover`]).

use std::fs::File;
use std::time::Duration;

use slipway_coordinator::options::{ActionsSource, CachePlace, KeptResults, Options as CoordinatorOptions};

use super::leftover::{PREFIX, claim};
use super::{Fleet, FleetOptions, Offer};
use crate::client::Client;
use crate::failure::Failure;

/// How long removing containers may take before a person is told.
const REMOVE_LIMIT: Duration = Duration::from_secs(60);

/// A fleet for one run.
pub struct PrivateFleet {
    fleet: Fleet,
    folder: tempfile::TempDir,
    /// Says that the owner of the folder lives.
    _lock: File,
}

impl PrivateFleet {
    /// Starts one, whose caches and artifacts are kept where `results` says.
    ///
    /// # Errors
    /// As [`Fleet::start`].
    pub async fn start(offer: &Offer, results: Option<KeptResults>) -> Result<Self, Failure> {
        let refuse = |error| {
            Failure::fleet(format!("no temporary directory in {}: {error}", std::env::temp_dir().display()))
        };
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir().map_err(refuse)?;
        let lock = claim(folder.path()).map_err(refuse)?;
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut coordinator = CoordinatorOptions::embedded(folder.path().join("data"));
        if let Some(source) = offer.actions_source() {
            coordinator.actions_source = ActionsSource::parse(source)
                .map_err(|error| Failure::usage(format!("--actions-source: {error}")))?;
        }
        coordinator.results = results;
        // It goes with its folder when the run has ended.
        coordinator.history = false;
        // One run's tools would find nothing in it.
        coordinator.cache = CachePlace::Off;
        let options = FleetOptions {
            coordinator,
            agents: 1,
            // It ends with its run: what waits would seldom be used.
            warm: Some(0),
            // All of the machine: the person waits for this run.
            slots: Some(u32::try_from(processors).unwrap_or(1).clamp(1, slipway_agent::options::MAX_SLOTS)),
            offer: offer.clone().personal(),
        };
        Ok(PrivateFleet { fleet: Fleet::start(options).await?, folder, _lock: lock })
    }

    /// A client with all rights.
    ///
    /// # Errors
    /// The system offers no network at all.
    pub fn client(&self) -> Result<Client, Failure> {
        self.fleet.client()
    }

    /// Ends every job at once and removes everything.
    pub async fn remove(self) {
        let folder = self.folder.path().display().to_string();
        if tokio::time::timeout(REMOVE_LIMIT, self.fleet.discard()).await.is_err() {
            crate::output::note(&format!(
                "note: containers did not end in time; `docker ps --filter label=slipway.agent` lists them, files are in {folder}"
            ));
            let _ = self.folder.keep();
            return;
        }
        // Files of a job may belong to users of its container; the agent removes those. What is left is ours.
        if let Err(error) = self.folder.close() {
            crate::output::note(&format!("note: {folder} could not be removed: {error}"));
        }
    }
}
