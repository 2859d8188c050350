//! One attempt from its assignment to its report, and on to its clean-up.

use std::sync::Arc;

use slipway_kit::telemetry;
use slipway_proto::v1;
use slipway_workflow::job_spec::JobSpec;
use tracing::Instrument as _;
use tracing::field::Empty;

use super::Machine;
use super::course::Activity;
use super::folder::JobFolder;
use super::job_wide::JobWide;
use super::lanes::Lanes;
use super::saved::{Saved, read_spec};
use super::things::Things;
use super::vessel::Vessel;
use crate::coordinator::{BlobError, SecretsError};
use crate::docker::container::Limits;
use crate::failure::{Cause, Failure};
use crate::journal::{Journal, Recovered};
use crate::lease::Lease;
use crate::limits::SPEC_MAX_BYTES;
use crate::records::ledger::{JobStates, MAIN, Snapshot, State};
use crate::records::log::JobLog;
use crate::records::upload::upload;
use crate::session::{Assignment, JobEvent, JobLink};
use crate::steps::contexts::{Contexts, RunnerFacts, scoped_secrets};
use crate::tunnel::variables::{Access, Tokens};

/// How an attempt comes to be.
pub enum Begin {
    /// It was assigned.
    New(Assignment),
    /// An earlier process left it.
    Adopt(Box<Adopted>),
}

/// What an earlier process left.
pub struct Adopted {
    /// Its journal.
    pub recovered: Recovered,
    /// The job, as its own lane left it.
    pub saved: Saved,
    /// What its lanes share.
    pub common: State,
}

impl Adopted {
    /// Reads a job's folder. None when there is nothing to go on with.
    ///
    /// # Errors
    /// A sentence, when there is something that can't be read.
    pub fn read(folder: &JobFolder) -> Result<Option<Self>, String> {
        if !folder.journal().is_dir() {
            return Ok(None);
        }
        let found = Journal::open(&folder.journal()).map_err(|error| error.to_string())?;
        let Some(recovered) = found else { return Ok(None) };
        let damaged = |error: serde_json::Error| format!("its state is damaged: {error}");
        let mut states: JobStates = serde_json::from_slice(&recovered.job).map_err(damaged)?;
        let main = states.lanes.remove(&MAIN).ok_or("its state is damaged: its own lane is missing")?;
        Ok(Some(Self { recovered, saved: Saved::decode(&main)?, common: states.common }))
    }
}

/// Why a job ends before its steps are through.
#[derive(Debug)]
pub(super) enum End {
    /// The fleet failed.
    Fleet(Failure),
    /// The workflow asks for what can't be.
    Work(String),
    /// The lease is gone: nothing is reported.
    Stopped(String),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Fleet(failure)
    }
}

/// A job at work.
pub(super) struct Attempt {
    pub(super) machine: Arc<Machine>,
    pub(super) link: JobLink,
    pub(super) folder: JobFolder,
    pub(super) spec: Arc<JobSpec>,
    /// `owner/name`
    pub(super) repository: String,
    pub(super) saved: Saved,
    pub(super) secrets: Vec<(String, String)>,
    /// Those of its environment, which no call hands down.
    pub(super) environment_secrets: Vec<(String, String)>,
    /// What its lanes share.
    pub(super) common: JobWide,
    /// [`MAIN`], or the number of a lane beside it.
    pub(super) lane: u32,
    /// Code that is fetched before its step.
    pub(super) ahead: Option<AbortOnDrop<()>>,
    /// In the job's own lane: the others.
    pub(super) lanes: Lanes,
    /// With what it asks for what is its own.
    pub(super) tokens: Tokens,
    /// Where its caches and artifacts are, once the way is open.
    pub(super) access: Option<Access>,
    /// What there is to clean up, also when this is dropped in the middle of something.
    pub(super) things: Arc<Things>,
}

/// Runs an attempt to its end and cleans up after it.
pub async fn run(machine: Arc<Machine>, begin: Begin, link: JobLink) {
    let (lease, traceparent) = match &begin {
        Begin::New(assignment) => (assignment.lease, assignment.traceparent.as_str()),
        Begin::Adopt(adopted) => (adopted.saved.lease, adopted.saved.traceparent.as_str()),
    };
    let span = tracing::info_span!(
        "job",
        run = %lease.attempt.run,
        job = Empty,
        instance = %lease.attempt.instance,
        attempt = lease.attempt.number,
        agent = machine.options.name,
        adopted = matches!(begin, Begin::Adopt(_)),
        result = Empty,
    );
    telemetry::continue_trace(&span, traceparent);
    run_job(machine, begin, link, lease).instrument(span).await;
}

async fn run_job(machine: Arc<Machine>, begin: Begin, link: JobLink, lease: Lease) {
    let folder = JobFolder::new(machine.jobs_dir().join(lease.attempt.folder_name()));
    let mut orders = link.orders.clone();
    let things = Arc::new(Things::default());
    let working = work(&machine, begin, &link, &folder, &things);
    let stopped = async {
        // The supervisor lives as long as its jobs; if it is gone, the process ends and another adopts the job.
        let why = match orders.wait_for(|orders| orders.stop.is_some()).await {
            Ok(orders) => Some(orders.stop.clone().unwrap_or_default()),
            Err(_) => None,
        };
        match why {
            Some(why) => why,
            None => std::future::pending().await,
        }
    };
    let reported = tokio::select! {
        reported = working => reported,
        why = stopped => {
            tracing::warn!(attempt = %lease.attempt, why, "job stopped");
            false
        }
    };
    super::finish::clean_up(&machine, lease, &folder, &things, reported, &link).await;
}

/// Executes the job and reports it. False when there is nothing to report.
async fn work(
    machine: &Arc<Machine>,
    begin: Begin,
    link: &JobLink,
    folder: &JobFolder,
    things: &Arc<Things>,
) -> bool {
    let (mut attempt, mut log) = match open(machine, begin, link, folder, things).await {
        Ok(opened) => opened,
        Err((lease, failure)) => {
            // Without a journal there are no records; the report says it all.
            let fleet = v1::FleetFailure { cause: failure.cause.code().to_owned(), message: failure.message };
            let outcome = Some(v1::report::Outcome::Fleet(fleet));
            let report = v1::Report { lease: Some(lease.to_wire()), outcome, ..v1::Report::default() };
            return link.events.send(JobEvent::Ended(lease, Box::new(report))).await.is_ok();
        }
    };
    log.read_matchers_from(super::matcher_files::of(&attempt.folder, attempt.host_workspace()));
    let lease = attempt.saved.lease;
    tracing::Span::current().record("job", attempt.spec.name.as_str());
    let uploading = tokio::spawn(upload(machine.coordinator.clone(), lease, log.progress()));
    let uploading = AbortOnDrop(uploading);
    let result = attempt.execute(&mut log).await.map_err(|end| attempt.or_for_disk(end));
    if let Err(end) = result
        && !attempt.conclude_early(&mut log, end).await
    {
        return false;
    }
    attempt.report(&log, uploading).await
}

/// A task that ends with whoever waits for it.
#[derive(Debug)]
pub(super) struct AbortOnDrop<T>(pub(super) tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn open(
    machine: &Arc<Machine>,
    begin: Begin,
    link: &JobLink,
    folder: &JobFolder,
    things: &Arc<Things>,
) -> Result<(Attempt, JobLog), (Lease, Failure)> {
    match begin {
        Begin::New(assignment) => {
            let lease = assignment.lease;
            open_new(machine, assignment, link, folder, things).await.map_err(|failure| (lease, failure))
        }
        Begin::Adopt(adopted) => {
            let lease = adopted.saved.lease;
            open_adopted(machine, *adopted, link, folder, things).map_err(|failure| (lease, failure))
        }
    }
}

async fn open_new(
    machine: &Arc<Machine>,
    assignment: Assignment,
    link: &JobLink,
    folder: &JobFolder,
    things: &Arc<Things>,
) -> Result<(Attempt, JobLog), Failure> {
    let spec = machine.coordinator.small_blob(&assignment.spec, SPEC_MAX_BYTES).await.map_err(|error| {
        let cause = match &error {
            BlobError::Io(_) => Cause::DiskFull,
            _ => Cause::Internal,
        };
        Failure::new(cause, format!("the job's specification is not to be had: {error}"))
    })?;
    let parsed = read_spec(&spec)?;
    folder.create()?;
    std::fs::write(folder.spec(), &spec)
        .map_err(|error| Failure::io("cannot keep the specification", &error))?;
    let (saved, common) = (Saved::new(&assignment), JobWide::new());
    let log = JobLog::create(&folder.journal(), Snapshot::new(&saved, &common.saved())?)?;
    Ok((Attempt::new(machine, link, folder, parsed, saved, common, things), log))
}

fn open_adopted(
    machine: &Arc<Machine>,
    adopted: Adopted,
    link: &JobLink,
    folder: &JobFolder,
    things: &Arc<Things>,
) -> Result<(Attempt, JobLog), Failure> {
    let spec =
        std::fs::read(folder.spec()).map_err(|error| Failure::io("cannot read the specification", &error))?;
    let log = JobLog::open(adopted.recovered)?;
    if let Some(prepared) = &adopted.saved.prepared {
        things.set_container(&prepared.container);
        things.set_network(&prepared.network);
    }
    let common = JobWide::open(&adopted.common, folder)?;
    Ok((Attempt::new(machine, link, folder, read_spec(&spec)?, adopted.saved, common, things), log))
}

impl Attempt {
    fn new(
        machine: &Arc<Machine>,
        link: &JobLink,
        folder: &JobFolder,
        spec: JobSpec,
        saved: Saved,
        common: JobWide,
        things: &Arc<Things>,
    ) -> Self {
        let repository = spec.contexts.github.get("repository").and_then(serde_json::Value::as_str);
        let repository = repository.unwrap_or_default().to_owned();
        Self {
            machine: Arc::clone(machine),
            link: link.clone(),
            folder: folder.clone(),
            spec: Arc::new(spec),
            repository,
            saved,
            secrets: Vec::new(),
            environment_secrets: Vec::new(),
            common,
            lane: MAIN,
            ahead: None,
            lanes: Lanes::default(),
            tokens: Tokens::default(),
            access: None,
            things: Arc::clone(things),
        }
    }

    /// Writes what is pending, and the job's state with it.
    pub(super) async fn commit(&self, log: &mut JobLog, vessel: Option<&Vessel>) -> Result<(), End> {
        let spool = vessel.map(|vessel| &vessel.claim);
        Ok(log.commit(Some(self.snapshot()?), spool, false).await?)
    }

    /// The state of this lane and what it shares, for the journal.
    pub(super) fn snapshot(&self) -> Result<Snapshot, Failure> {
        Snapshot::new(&self.saved, &self.common.saved())
    }

    /// What is to be done next.
    pub(super) fn current(&self) -> Option<Activity> {
        self.saved.course.current(&self.spec.steps, &self.common.manifests())
    }

    /// Everything up to the outcome, wherever it stands.
    async fn execute(&mut self, log: &mut JobLog) -> Result<(), End> {
        if self.saved.outcome.is_some() {
            return Ok(());
        }
        let secrets = self.machine.coordinator.secrets(self.saved.lease).await;
        let secrets = secrets.map_err(|error| match error {
            SecretsError::Refused(why) => End::Stopped(why),
            SecretsError::Lost(why) => End::Work(why),
            SecretsError::Unavailable(_) => End::Fleet(Failure::new(Cause::Internal, error.to_string())),
        })?;
        self.secrets = secrets.secrets.into_iter().collect();
        self.environment_secrets = secrets.environment_secrets.into_iter().collect();
        self.tokens = Tokens { runtime: secrets.runtime_token, identity: secrets.identity_request_token };
        // What a call hands down may be no secret of the run itself.
        let scoped = scoped_secrets(&self.spec, &self.secrets);
        let scoped = scoped.map_err(|error| End::Work(error.to_string()))?;
        let secrets = self.secrets.iter().chain(&scoped).chain(&self.environment_secrets);
        let secrets = secrets.map(|(_, value)| value.as_str());
        log.mask(secrets.chain([self.tokens.runtime.as_str(), self.tokens.identity.as_str()]));
        let mut vessel = self.vessel(log).await?;
        let opened = self.open_results(log, &vessel, &self.folder).await?;
        let _tunnel = opened.map(|(tunnel, access)| {
            self.access = Some(access);
            tunnel
        });
        self.run_steps(log, &mut vessel).await?;
        Self::tell_of_engine(log, &mut vessel).await?;
        self.conclude(log, &vessel).await
    }

    /// The container: the one of an earlier process, or a new one.
    async fn vessel(&mut self, log: &mut JobLog) -> Result<Vessel, End> {
        if let Some(prepared) = &self.saved.prepared {
            let orders = self.link.orders.clone();
            let needed = self.needed(log)?;
            let mut vessel = Vessel::adopt(&self.folder, needed, prepared.container.clone(), orders)?;
            if self.saved.reads_spool() {
                vessel.read_from(log.spool_offset());
            }
            // A container that has ended is seen by the step that needs it.
            vessel.connect(&self.machine).await?;
            self.adopt_engine(&mut vessel).await?;
            return Ok(vessel);
        }
        // An earlier process may have come as far as a container and not to saying so.
        super::finish::remove_containers(&self.machine, &self.folder).await;
        self.folder.start_over()?;
        log.select(self.setup_index(), Default::default());
        let contexts = self.contexts(false);
        let env = contexts.job_env(&self.spec.env).map_err(|error| End::Work(error.to_string()))?;
        self.saved.state = crate::steps::state::JobState::new(env);
        let (wanted, services) = {
            let scope = self.scope(&contexts);
            let wanted = super::prepare::wanted(&self.machine, &self.spec, &scope).map_err(End::Work)?;
            let services = super::services::wanted(&self.machine, &self.spec.services, &scope);
            (wanted, services.map_err(End::Work)?)
        };
        self.fetch_ahead(&wanted).await;
        let actions = self.fetch_actions(log).await?;
        let preparing = self.prepare(log, wanted, services, actions);
        let vessel = preparing.instrument(tracing::info_span!("prepare", warm = Empty)).await?;
        self.saved.started_ms = Some(super::unix_ms());
        self.commit(log, None).await?;
        Ok(vessel)
    }

    /// Index under which lines stand that belong to no step of the file.
    pub(super) fn setup_index(&self) -> u32 {
        u32::try_from(self.spec.steps.len()).unwrap_or(u32::MAX)
    }

    /// The contexts as a job with or without `container:` sees them.
    pub(super) fn contexts(&self, in_container: bool) -> Contexts {
        let layout = self.layout(in_container);
        let workspace = layout.workspace();
        let parent = workspace.rsplit_once('/').map_or("/", |(parent, _)| parent).to_owned();
        let facts = RunnerFacts {
            name: self.machine.options.name.clone(),
            arch: self.machine.options.architecture.label().to_owned(),
            temp: layout.temp(),
            tool_cache: layout.tool_cache().to_owned(),
            workspace: parent,
            github_workspace: workspace,
            event_path: layout.event_path(),
            debug: self.debug(),
        };
        let mut contexts = Contexts::new(&self.spec, &facts, &self.secrets, &self.environment_secrets);
        if let Some(prepared) = self.saved.prepared.as_ref().filter(|_| in_container) {
            contexts.set_container(&prepared.container, &prepared.network);
        }
        if let Some(prepared) = &self.saved.prepared {
            contexts.set_services(prepared.services.iter().map(|service| {
                (
                    service.name.as_str(),
                    service.container.as_str(),
                    prepared.network.as_str(),
                    service.ports.as_slice(),
                )
            }));
        }
        contexts
    }

    /// What each container of the job may use.
    pub(super) fn limits(&self) -> Limits {
        self.machine.options.limits_for(self.spec.labels.iter().map(String::as_str))
    }

    /// Whether `ACTIONS_STEP_DEBUG` is set, as a secret or a variable.
    pub(super) fn debug(&self) -> bool {
        let secret = self.secrets.iter().find(|(name, _)| name.eq_ignore_ascii_case("ACTIONS_STEP_DEBUG"));
        let variable = self.spec.contexts.vars.get("ACTIONS_STEP_DEBUG").and_then(serde_json::Value::as_str);
        secret
            .map(|(_, value)| value.as_str())
            .or(variable)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}
