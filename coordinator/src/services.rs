//! What every front door needs, in one place.

use std::sync::Arc;

use slipway_cas::Store;
use slipway_kit::clock::Clock;
use tokio::sync::{Notify, RwLock};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::authority::Authority;
use crate::cache::Cache;
use crate::driver::Driver;
use crate::forge::Forge;
use crate::hashicorp_vault::HashicorpVault;
use crate::history::History;
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::mirror::Mirrors;
use crate::options::Options;
use crate::pages::Pages;
use crate::records::Records;
use crate::repositories::Repositories;
use crate::results::Results;
use crate::results::tunnel::Tunnels;
use crate::scaler::Scalers;
use crate::secrets::Secrets;
use crate::sign_in::SignIn;
use crate::token::Token;
use crate::vault::Vault;

/// The coordinator's parts; cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// The single writer.
    pub driver: Driver,
    /// Blobs.
    pub store: Arc<dyn Store>,
    /// Held for reading while a backup copies what the state names: no blob is removed meanwhile.
    pub(crate) backups: Arc<RwLock<()>>,
    /// Records of attempts.
    pub records: Arc<Records>,
    /// Bare repositories to read workflows from.
    pub mirrors: Arc<Mirrors>,
    /// The repositories that are known.
    pub repositories: Repositories,
    /// Caches and artifacts of jobs.
    pub results: Results,
    /// Connections of jobs to them.
    pub tunnels: Tunnels,
    /// The cache for build tools; none: it is off.
    pub cache: Option<Cache>,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Secrets of open runs.
    pub secrets: Secrets,
    /// Secrets that are kept for many runs.
    pub vault: Vault,
    /// Where values of them may be instead.
    pub hashicorp_vault: Option<HashicorpVault>,
    /// Issues identity tokens to jobs.
    pub identity: Identity,
    /// Who has it may use the API.
    pub admin_token: Token,
    /// Who has it may be an agent.
    pub agent_token: Token,
    /// Certifies agents.
    pub(crate) authority: Authority,
    /// Where people may sign in.
    pub(crate) sign_in: SignIn,
    /// What the web pages share.
    pub(crate) pages: Pages,
    /// Wakes whoever deals with webhook deliveries.
    pub deliveries: Arc<Notify>,
    /// The forge that is told of runs, if one is.
    pub forge: Option<Arc<dyn Forge>>,
    /// Wakes whoever waits for schedules.
    pub schedules: Arc<Notify>,
    /// What starts and stops agents.
    pub scalers: Scalers,
    /// Asks for the projections to be made again.
    pub history: History,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How the coordinator was started.
    pub options: Arc<Options>,
    /// Raised when nothing new is taken any more and streams are to end.
    pub closing: CancellationToken,
    /// Work that a graceful end waits for.
    pub tasks: TaskTracker,
}
