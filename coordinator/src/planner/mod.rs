//! Evaluates jobs whose needs are done: skip them, or make instances with labels and a job specification.
//!
//! Runs beside the driver, never in it. Asked twice it answers twice, and the scheduler takes the first answer: so a
//! restart may ask for everything again that is not resolved. A job that cannot be evaluated, also by a bug that
//! panics, becomes a failed job with a message, never a stuck one.
//!
//! Deliberately absent: secrets. What may use one stays a template.

mod environments;
mod evaluate;
mod evaluators;

pub(crate) use evaluate::run_facts;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use slipway_cas::StoreError;
use slipway_kit::backoff::Backoff;
use slipway_scheduler::command::{CallDefinition, CallExpansion, FinishCall, Resolution, ResolveJob};
use slipway_scheduler::{Command, JobId, Rejection};
use slipway_workflow::plan;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::driver::{DriverError, OutputsRequest, PlanRequest, Planning};
use crate::services::Services;
use crate::submit;
use evaluate::Evaluated;
use evaluators::Evaluators;

/// How many jobs are planned at a time: while some wait for the disk, others are evaluated.
const CONCURRENCY: usize = 16;

/// How many specifications of one job are on their way to the disk at a time; one write takes many of them.
const WRITES: usize = 64;

/// The wait before threads are asked for again, where the system gives none.
const NO_THREADS_WAIT: Duration = Duration::from_secs(1);

/// The first wait before blobs are read or written again, and the longest.
const STORE_WAITS_MS: (u64, u64) = (50, 2_000);

/// Plans jobs as they become ready, and evaluates the outputs of calls, until the driver is gone.
pub(crate) async fn run(services: Services, mut requests: mpsc::UnboundedReceiver<Planning>) {
    // One entry for each job that is ready or call that is done, so the scheduler's limits bound the queue.
    let places = Arc::new(Semaphore::new(CONCURRENCY));
    let planner = Planner { workflows: Arc::default(), evaluators: start_evaluators().await };
    while let Some(request) = requests.recv().await {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let place = Place { places: Arc::clone(&places), taken: Some(place) };
        let (services, planner) = (services.clone(), planner.clone());
        tokio::spawn(async move {
            let started = Instant::now();
            let (job, meta) = match &request {
                Planning::Job(request) => (&request.job, &request.meta),
                Planning::Outputs(request) => (&request.job, &request.meta),
            };
            let span = tracing::info_span!("plan", run = %request.run(), %job, result = Empty);
            if let Some(parent) = &meta.traceparent {
                slipway_kit::telemetry::continue_trace(&span, parent);
            }
            match request {
                Planning::Job(request) => {
                    plan_job(&services, &planner, request, place).instrument(span).await
                }
                Planning::Outputs(request) => {
                    outputs(&services, &planner, request, place).instrument(span).await
                }
            }
            services.metrics.planning.observe(started.elapsed());
        });
    }
}

/// What planning shares; cheap to clone.
#[derive(Clone)]
struct Planner {
    workflows: Arc<evaluate::Workflows>,
    evaluators: Evaluators,
}

async fn start_evaluators() -> Evaluators {
    loop {
        match Evaluators::start() {
            Ok(evaluators) => return evaluators,
            Err(error) => tracing::error!(%error, "no thread can be had to plan jobs; they wait"),
        }
        tokio::time::sleep(NO_THREADS_WAIT).await;
    }
}

/// One of the places in which jobs are planned.
struct Place {
    places: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// Waits elsewhere, so that whoever's blobs are in reach is planned meanwhile.
    async fn wait_outside(&mut self, wait: Duration) {
        self.taken = None;
        tokio::time::sleep(wait).await;
        // It is never closed.
        self.taken = Arc::clone(&self.places).acquire_owned().await.ok();
    }
}

/// Tries until blobs can be read and written: a full disk or an object store out of reach is no fault of the job, which
/// waits. An error is one that waiting does not help; `None`: the coordinator ends, and the next one plans again.
async fn persist<T, F: Future<Output = Result<T, StoreError>>>(
    services: &Services,
    mut place: Place,
    mut attempt: impl FnMut() -> F,
) -> Option<Result<T, String>> {
    let (first, longest) = STORE_WAITS_MS;
    let mut backoff = Backoff::new(Duration::from_millis(first), Duration::from_millis(longest));
    loop {
        let error = match attempt().await {
            Ok(done) => return Some(Ok(done)),
            Err(error @ (StoreError::NotFound(_) | StoreError::Damaged(_))) => {
                return Some(Err(error.to_string()));
            }
            Err(error) => error,
        };
        let wait = backoff.next_wait();
        tracing::warn!(%error, again_in_ms = wait.as_millis() as u64, "a job is not planned yet");
        tokio::select! {
            () = place.wait_outside(wait) => {}
            () = services.closing.cancelled() => return None,
        }
    }
}

async fn plan_job(services: &Services, planner: &Planner, request: PlanRequest, place: Place) {
    let Some(planned) = persist(services, place, || resolve(services, planner, &request)).await else {
        return;
    };
    let resolution = planned.unwrap_or_else(|error| Resolution::Invalid {
        message: format!("the job cannot be planned: {error}"),
    });
    answer(services, &request, resolution).await;
}

/// Evaluates the outputs of a call and answers with them.
async fn outputs(services: &Services, planner: &Planner, request: OutputsRequest, place: Place) {
    let evaluate = || async {
        if !request.has_outputs {
            return Ok(Ok(None));
        }
        let found = match evaluate::outputs(services, &planner.workflows, &request).await? {
            Ok(found) => found,
            Err(message) => return Ok(Err(message)),
        };
        match serde_json::to_vec(&found) {
            Ok(json) => Ok(Ok(Some(services.store.put(Bytes::from(json)).await?))),
            Err(error) => Ok(Err(error.to_string())),
        }
    };
    let failed = |error| Err(format!("the outputs of the call cannot be told: {error}"));
    let Some(outputs) = persist(services, place, evaluate).await else { return };
    let outputs = outputs.unwrap_or_else(failed);
    let (run, job, call) = (request.run, request.job.clone(), request.place);
    let finish = Command::FinishCall(FinishCall { run, job, call, outputs });
    if let Err(DriverError::Rejected(rejection)) = services.driver.command(finish).await {
        tracing::debug!(%run, job = %request.job, %rejection, "the outputs of a call were not needed any more");
    }
}

async fn answer(services: &Services, request: &PlanRequest, resolution: Resolution) {
    tracing::Span::current().record("result", word(&resolution));
    let command = |resolution| {
        let (run, job, cancelled) = (request.run, request.job.clone(), request.cancelled);
        Command::ResolveJob(ResolveJob { run, job, cancelled, resolution })
    };
    match services.driver.command(command(resolution)).await {
        Err(DriverError::Rejected(
            rejection @ (Rejection::InvalidInstances { .. }
            | Rejection::InvalidJobs(_)
            | Rejection::Limit { .. }),
        )) => {
            let message = rejection.to_string();
            // Refused only where the first answer would have been, too.
            let _ = services.driver.command(command(Resolution::Invalid { message })).await;
        }
        Err(DriverError::Rejected(rejection)) => {
            tracing::debug!(run = %request.run, job = %request.job, %rejection, "a plan was not needed any more");
        }
        Ok(()) | Err(_) => {}
    }
}

async fn resolve(
    services: &Services,
    planner: &Planner,
    request: &PlanRequest,
) -> Result<Resolution, StoreError> {
    let material = evaluate::load(services, &planner.workflows, request).await?;
    let evaluated = match planner.evaluators.run(move || material.evaluate()).await {
        Ok(Ok(evaluated)) => evaluated,
        Ok(Err(message)) => return Ok(Resolution::Invalid { message }),
        Err(panic) => {
            tracing::error!(run = %request.run, job = %request.job, %panic, "planning a job panicked");
            let message = "planning the job failed by a bug of Slipway; the coordinator's log tells more";
            return Ok(Resolution::Invalid { message: message.to_owned() });
        }
    };
    match evaluated {
        Evaluated::Skip { reason } => Ok(Resolution::Skip { reason }),
        Evaluated::Calls(planned) => calls(services, request, planned).await,
        Evaluated::Instances { expansion, specs } => {
            let written = stream::iter(specs).map(|spec| services.store.put(spec)).buffer_unordered(WRITES);
            written.try_for_each(|_| future::ready(Ok(()))).await?;
            Ok(Resolution::Instances(expansion))
        }
    }
}

/// The calls of a job, what each is planned with as a blob.
async fn calls(
    services: &Services,
    request: &PlanRequest,
    planned: Vec<plan::CallPlan>,
) -> Result<Resolution, StoreError> {
    let (fail_fast, max_parallel) =
        planned.first().map_or((true, None), |first| (first.fail_fast, first.max_parallel));
    let mut calls = Vec::with_capacity(planned.len());
    for call in planned {
        let context = match serde_json::to_vec(&call.context) {
            Ok(json) => services.store.put(Bytes::from(json)).await?,
            Err(error) => return Ok(Resolution::Invalid { message: error.to_string() }),
        };
        calls.push(CallDefinition {
            id: match call.number {
                Some(number) => JobId::from(format!("{}#{number}", request.job)),
                None => request.job.clone(),
            },
            name: call.name,
            context,
            has_outputs: call.has_outputs,
            jobs: call.jobs.into_iter().map(submit::definition).collect(),
            concurrency: call.concurrency.map(submit::concurrency),
        });
    }
    Ok(Resolution::Calls(CallExpansion { calls, fail_fast, max_parallel }))
}

/// What became of a job, in one word.
fn word(resolution: &Resolution) -> &'static str {
    match resolution {
        Resolution::Skip { .. } => "skipped",
        Resolution::Instances(_) => "expanded",
        Resolution::Calls(_) => "called",
        Resolution::Invalid { .. } => "invalid",
    }
}
