//! A coordinator in this process whose cache is measured.

use slipway_coordinator::options::{CachePlace, Options};
use slipway_coordinator::{Coordinator, Handle};

use super::client::Client;

/// A coordinator and a client of its cache.
pub(super) struct Door {
    pub(super) client: Client,
    coordinator: Handle,
    _folder: tempfile::TempDir,
}

impl Door {
    /// Starts one whose cache is there.
    pub(super) async fn open(cache: CachePlace) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut options = Options::embedded(folder.path().join("data"));
        options.cache = cache;
        let coordinator = Coordinator::start(options).await?;
        let token = std::fs::read_to_string(folder.path().join("data/cache.token"))?;
        let client = Client::connect(coordinator.grpc_addr, token.trim()).await?;
        Ok(Self { client, coordinator, _folder: folder })
    }

    pub(super) async fn close(self) {
        self.coordinator.shutdown().await;
    }
}
