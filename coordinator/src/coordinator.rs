//! The whole coordinator in one process: start, hand out, stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use slipway_cas::StoreError;
use slipway_cas::objects::BucketError;
use slipway_kit::clock::{Clock, SystemClock};
use slipway_scheduler::RunId;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::authority::Authority;
use crate::cache::{Cache, CacheOpenError, Passes, Users};
use crate::data_dir::{DataDir, DataDirError};
use crate::driver::{Driver, DriverParts, Standing};
use crate::forge::Forge;
use crate::github::api::Github;
use crate::grpc::{self, GrpcError};
use crate::hashicorp_vault::HashicorpVault;
use crate::history::{self, History};
use crate::http;
use crate::identity::{self, Identity};
use crate::journal::{self, Journal, JournalError, JournalPlace};
use crate::keys::{KeyError, Keys};
use crate::leading::{self, FromDriver};
use crate::metrics::Metrics;
use crate::mirror::Mirrors;
use crate::options::{Options, OptionsError, TlsOptions};
use crate::pages::Pages;
use crate::places::{self, Places};
use crate::records::RecordsError;
use crate::repositories::Repositories;
use crate::results::tunnel::{self, Tunnels};
use crate::results::{IndexPlace, Results, ResultsError, ResultsPlaces, Sharing};
use crate::scaler::Scalers;
use crate::secrets::Secrets;
use crate::services::Services;
use crate::sign_in::SignIn;
use crate::small_files::SmallFiles;
use crate::submit::{self, NewRun, SubmitError};
use crate::tls::{ServerTls, TlsError};
use crate::token::Token;
use crate::vault::Vault;

/// How long streams have to end when the coordinator stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the coordinator does not start or go on: one message for a person.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The options.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A key or token file.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The blob store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record store.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The object store.
    #[error("--objects {0}")]
    Bucket(#[from] BucketError),
    /// Caches and artifacts.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// An address that cannot be listened on.
    #[error("{flag} {address}: {reason}")]
    Listen {
        /// `--http` or `--grpc`.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The cache of build tools.
    #[error(transparent)]
    Cache(#[from] CacheOpenError),
    /// The forge that is to be told of runs.
    #[error("[github] {0}")]
    Forge(String),
    /// Where people may sign in.
    #[error("[[sign_in]] {0}")]
    SignIn(String),
    /// HashiCorp Vault cannot be spoken with.
    #[error("[hashicorp_vault]: {0}")]
    HashicorpVault(String),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// gRPC.
    #[error(transparent)]
    Grpc(#[from] GrpcError),
    /// HTTP.
    #[error("HTTP: {0}")]
    Http(std::io::Error),
}

/// Where people reach the pages: the public URL; without one, the HTTP address if that is this machine's own, so that all can be tried.
fn address_for_people(options: &Options, http: SocketAddr) -> Option<String> {
    let scheme = if options.http_tls { "https" } else { "http" };
    let here = || http.ip().is_loopback().then(|| format!("{scheme}://{http}"));
    options.public_url.as_ref().map(|url| url.trim_end_matches('/').to_owned()).or_else(here)
}

/// TLS of the doors. Its own certificate is also for where other coordinators reach this one.
fn open_tls(options: &Options, tls: &TlsOptions, authority: &Authority) -> Result<ServerTls, TlsError> {
    if let TlsOptions::Own { .. } = tls {
        let fingerprint = authority.fingerprint();
        tracing::info!(fingerprint, "is certified by an authority of its own");
    }
    match (&options.cluster, tls) {
        (Some(cluster), TlsOptions::Own { .. }) => {
            ServerTls::open(&cluster.named(tls, options.http, options.grpc), authority)
        }
        _ => ServerTls::open(tls, authority),
    }
}

/// Puts the authority's certificate where people find it: for agents that trust it by `--ca-file`.
fn write_certificate(data_dir: &DataDir, authority: &Authority) -> Result<(), DataDirError> {
    let path = data_dir.path("ca.pem");
    if std::fs::read_to_string(&path).is_ok_and(|text| text == authority.pem()) {
        return Ok(());
    }
    let failed = |source| DataDirError::Io { place: path.display().to_string(), source };
    std::fs::write(&path, authority.pem()).map_err(failed)
}

/// Starts coordinators.
#[derive(Debug)]
pub struct Coordinator;

/// A coordinator that runs. Dropped without [`Handle::shutdown`] it ends at once, as if killed.
pub struct Handle {
    /// Where HTTP is served.
    pub http_addr: SocketAddr,
    /// Where gRPC is served.
    pub grpc_addr: SocketAddr,
    /// Who has it may use the API.
    pub admin_token: Token,
    /// Who has it may be an agent.
    pub agent_token: Token,
    services: Services,
    kill: CancellationToken,
    servers: JoinSet<Result<(), StartError>>,
    helpers: JoinSet<()>,
    _data_dir: Arc<DataDir>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.kill.cancel();
        self.services.closing.cancel();
    }
}

impl Coordinator {
    /// Starts one; it serves when this returns.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(options: Options) -> Result<Handle, StartError> {
        Self::start_with_clock(options, Arc::new(SystemClock)).await
    }

    /// The same with another clock; for tests that let leases run out.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_with_clock(options: Options, clock: Arc<dyn Clock>) -> Result<Handle, StartError> {
        Self::start_on(None, options, clock).await
    }

    /// The same on this journal instead of the one that the options name; for tests of several coordinators.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_on(
        journal: Option<Box<dyn Journal>>,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Result<Handle, StartError> {
        options.check()?;
        if !options.http.ip().is_loopback() && !options.http_tls {
            tracing::warn!(address = %options.http, "HTTP is served unencrypted beyond this machine; give --http-tls, or put a TLS proxy before it");
        }
        let forge = match &options.github {
            Some(github) => {
                let github = Github::new(github, Arc::clone(&clock)).map_err(StartError::Forge)?;
                Some(Arc::new(github) as Arc<dyn Forge>)
            }
            None => None,
        };
        let data_dir = DataDir::open(&options.data_dir)?;
        let keys = match &options.cluster {
            None => Keys::own(&data_dir, options.vault_keys.clone())?,
            Some(cluster) => Keys::shared(&cluster.key_file, &data_dir, options.vault_keys.clone())?,
        };
        let shared = options.cluster.is_some();
        let Places { folder: objects, bucket, store, records } =
            places::open(options.objects.as_ref(), shared, &data_dir).await?;
        let authority =
            Authority::new(keys.authority.bytes(), options.agent_certificates).map_err(TlsError::from)?;
        let tls = match &options.tls {
            Some(tls) => Some(open_tls(&options, tls, &authority)?),
            None => None,
        };
        write_certificate(&data_dir, &authority)?;
        // What the next leader has to know lies where all coordinators find it.
        let common = |name: &'static str| {
            if let Some(bucket) = bucket.as_ref().filter(|_| shared) {
                return Ok(SmallFiles::Objects(bucket.clone(), name));
            }
            let folder = if shared { objects.join(name) } else { data_dir.path(name) };
            let failed = |source| DataDirError::Io { place: folder.display().to_string(), source };
            std::fs::create_dir_all(&folder).map_err(failed)?;
            Ok::<_, DataDirError>(SmallFiles::Folder(folder))
        };
        let (secrets, known, vault) = (common("secrets")?, common("repositories")?, common("vault")?);
        let repositories = Repositories::open(known).await;
        let repositories = repositories.map_err(|source| DataDirError::Io {
            place: "what is known of repositories".to_owned(),
            source,
        })?;
        let journal = match journal {
            Some(journal) => journal,
            None => {
                let (place, folder) = (options.journal.clone(), data_dir.root().to_owned());
                // A server may take a while to answer.
                let keep = options.keep_journal;
                let opened = tokio::task::spawn_blocking(move || journal::open(&place, &folder, keep)).await;
                opened.map_err(defect)??
            }
        };
        // Before the journal's epoch is taken: a port in use is no reason to fence anybody.
        let http = listen("--http", options.http).await?;
        let grpc = listen("--grpc", options.grpc).await?;
        let (http_addr, grpc_addr) =
            (local(&http, "--http", options.http)?, local(&grpc, "--grpc", options.grpc)?);

        let metrics = Arc::<Metrics>::default();
        let kill = CancellationToken::new();
        let (planner, to_plan) = mpsc::unbounded_channel();
        let (ended, over) = mpsc::unbounded_channel();
        let (history, tap, projections) = match options.history {
            true => {
                let (history, tap, parts) = history::parts(history::Reader::new(&options));
                (history, Some(tap), Some(parts))
            }
            false => (History::off(), None, None),
        };
        let standing = match &options.cluster {
            None => Standing::Alone,
            Some(cluster) => {
                let address = cluster.address(http_addr, grpc_addr, options.doors_with_tls())?;
                if let Some(tls) = tls.as_ref().filter(|_| options.http_tls) {
                    tls.check_name(&address.http)?;
                }
                Standing::Among { address }
            }
        };
        let parts = DriverParts {
            standing,
            clock: Arc::clone(&clock),
            rules: options.scheduling.retry.clone(),
            planner,
            ended,
            metrics: Arc::clone(&metrics),
            tap,
            kill: kill.clone(),
        };
        // Replay blocks.
        let started = tokio::task::spawn_blocking(move || Driver::start(journal, parts)).await;
        let (driver, failed) = started.map_err(defect)??;
        let data_dir = Arc::new(data_dir);
        let leases = Arc::clone(driver.leases());
        let kept = match &options.results {
            Some(kept) => {
                Results::open_kept(kept, &keys.results, Arc::clone(&leases), Arc::clone(&clock)).await
            }
            None => None,
        };
        let results = match kept {
            Some(results) => results,
            None => {
                let sharing = if shared { Sharing::Among } else { Sharing::Alone };
                let mut places = ResultsPlaces::folder(&objects.join("results"), sharing);
                if let JournalPlace::Postgres(server) = &options.journal {
                    places.index = IndexPlace::Postgres(server.clone());
                }
                places.bucket = bucket;
                Results::open(places, &keys.results, leases, Arc::clone(&clock)).await?
            }
        };
        let users = Users {
            cache_token: keys.cache_token,
            admin_token: keys.admin_token.clone(),
            results: results.clone(),
            passes: Passes::new(&keys.results, Arc::clone(&clock)),
        };
        let cache = Cache::open(&options, &data_dir.path("cache"), users).await?;
        let address = address_for_people(&options, http_addr);
        let identity = Identity::new(address.clone(), &keys.results);
        let sign_in =
            SignIn::new(&options.sign_in, address.as_deref().unwrap_or_default(), &keys.results, &clock)
                .map_err(StartError::SignIn)?;
        let hashicorp_vault = options.hashicorp_vault.as_ref().map(HashicorpVault::new).transpose();
        let services = Services {
            driver,
            store,
            backups: Arc::default(),
            records: Arc::new(records),
            mirrors: Arc::new(Mirrors::new(data_dir.path("mirrors"))),
            repositories,
            results,
            tunnels: Tunnels::default(),
            cache,
            clock,
            secrets: Secrets::new(secrets, keys.seal),
            vault: Vault::new(vault, keys.vault),
            hashicorp_vault: hashicorp_vault.map_err(StartError::HashicorpVault)?,
            identity,
            authority,
            sign_in,
            admin_token: keys.admin_token.clone(),
            agent_token: keys.agent_token.clone(),
            pages: Pages::new(&keys.results, &keys.admin_token, options.live_pages_max),
            deliveries: Arc::default(),
            forge,
            schedules: Arc::default(),
            scalers: Scalers::default(),
            history,
            metrics,
            options: Arc::new(options),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let mut helpers = JoinSet::new();
        let from = FromDriver { to_plan, over, projections };
        match services.driver.epoch() {
            0 => drop(helpers.spawn(leading::begin_when_leading(services.clone(), from))),
            _ => leading::begin(&services, from, &mut helpers).await,
        }
        let mut servers = JoinSet::new();
        let (for_http, for_grpc) = (services.clone(), services.clone());
        if let Some(tls) = tls.clone() {
            helpers.spawn(tls.keep_fresh());
        }
        let http_tls = tls.clone().filter(|_| services.options.http_tls);
        servers.spawn(async move {
            http::serve(for_http, http, http_tls.as_ref()).await.map_err(StartError::Http)
        });
        let (tunnels, stop) = (services.tunnels.clone(), services.closing.clone());
        let mut of_jobs = crate::results::router(services.results.clone())
            .merge(identity::router_of_jobs(services.clone()));
        if let Some(cache) = &services.cache {
            of_jobs = of_jobs.merge(cache.for_jobs());
        }
        servers.spawn(async move { tunnel::serve(tunnels, of_jobs, stop).await.map_err(StartError::Http) });
        let asked = services.closing.clone();
        servers.spawn(async move { Ok(grpc::serve(for_grpc, grpc, tls.as_ref()).await?) });
        servers.spawn(async move {
            match failed.await {
                Ok(error) => Err(StartError::Journal(error)),
                Err(_) if asked.is_cancelled() => Ok(()),
                Err(_) => Err(StartError::Journal(JournalError::Engine {
                    place: "driver".to_owned(),
                    reason: "its thread ended by a bug of Slipway".to_owned(),
                })),
            }
        });
        Ok(Handle {
            http_addr,
            grpc_addr,
            admin_token: keys.admin_token,
            agent_token: keys.agent_token,
            services,
            kill,
            servers,
            helpers,
            _data_dir: data_dir,
        })
    }
}

impl Handle {
    /// Starts a run without going through HTTP.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn submit(&self, new: NewRun) -> Result<RunId, SubmitError> {
        submit::submit(&self.services, new).await
    }

    /// The coordinator's parts, for a program that embeds it.
    #[must_use]
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Waits until the coordinator cannot go on: its journal or a server failed.
    pub async fn failed(&mut self) -> StartError {
        loop {
            match self.servers.join_next().await {
                Some(Ok(Err(error))) => return error,
                Some(Ok(Ok(()))) => {}
                Some(Err(panic)) => return StartError::Http(std::io::Error::other(panic)),
                None => std::future::pending().await,
            }
        }
    }

    /// Stops in good order: takes nothing new, lets streams end, saves a snapshot. Jobs go on; their agents come back to
    /// the coordinator that is started next.
    pub async fn shutdown(mut self) {
        self.services.closing.cancel();
        self.services.tasks.close();
        let ended = async {
            self.services.tasks.wait().await;
            while self.servers.len() > 1 && self.servers.join_next().await.is_some() {}
        };
        if tokio::time::timeout(STOP_TIMEOUT, ended).await.is_err() {
            tracing::warn!("some streams did not end in time; they are cut off");
        }
        self.services.driver.stop().await;
        self.servers.shutdown().await;
        self.helpers.shutdown().await;
    }
}

fn defect(error: tokio::task::JoinError) -> JournalError {
    JournalError::Engine { place: "driver".to_owned(), reason: error.to_string() }
}

async fn listen(flag: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| {
        let reason = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "the address is in use; stop what uses it, or choose another".to_owned()
            }
            _ => error.to_string(),
        };
        StartError::Listen { flag, address, reason }
    })
}

fn local(listener: &TcpListener, flag: &'static str, address: SocketAddr) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|error| StartError::Listen { flag, address, reason: error.to_string() })
}
