//! `slipway.v1.Runs`: the client API over gRPC.

use std::pin::Pin;

use slipway_proto::v1::runs_server::Runs;
use slipway_proto::v1::{
    CancelRunRequest, CancelRunResponse, GetRunRequest, Instance, ListRunsRequest, ListRunsResponse, Run,
    RunEvent, SubmitRequest, SubmitResponse, WatchRunRequest, submit_request,
};
use slipway_scheduler::RunId;
use slipway_scheduler::command::{Cancel, Trust};
use slipway_scheduler::limits::{PRIORITY_MAX, PRIORITY_MIN};
use slipway_workflow::job_spec::Source;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

use super::auth::require;
use super::{blobs, driver_status};
use crate::run_stream;
use crate::services::Services;
use crate::submit::{self, NewRun, SubmitError};
use crate::view::{self, DEFAULT_LISTED, Detail, FindError, InstanceView, MAX_LISTED, RunView};

/// Answers clients.
pub(super) struct RunsService {
    services: Services,
}

impl RunsService {
    pub(super) fn new(services: Services) -> Self {
        Self { services }
    }

    async fn find(&self, text: String) -> Result<RunId, Status> {
        let found = self.services.driver.query(move |view| view::find_run(view, &text)).await;
        found.map_err(|error| driver_status(&error))?.map_err(|error| match error {
            FindError::Unknown(_) => Status::not_found(error.to_string()),
            FindError::Malformed(_) | FindError::Ambiguous { .. } => {
                Status::invalid_argument(error.to_string())
            }
        })
    }
}

/// By which door a call came.
fn door<T>(request: &Request<T>) -> String {
    let peer = request.remote_addr().map(|peer| peer.ip().to_string());
    format!("grpc {}", peer.as_deref().unwrap_or("an unknown address"))
}

fn new_run(request: SubmitRequest, door: String) -> Result<NewRun, Status> {
    let invalid = |what: &str| Status::invalid_argument(what.to_owned());
    let range = i32::from(PRIORITY_MIN)..=i32::from(PRIORITY_MAX);
    let priority = match request.priority {
        Some(value) if range.contains(&value) => i8::try_from(value).ok(),
        Some(_) => return Err(invalid(&format!("`priority` is from {PRIORITY_MIN} to {PRIORITY_MAX}"))),
        None => None,
    };
    let source = match request.source {
        None => Source::None,
        Some(submit_request::Source::CloneUrl(clone_url)) => Source::Git {
            clone_url,
            repository: request.repository.clone(),
            git_ref: request.git_ref.clone(),
            sha: request.sha.clone(),
        },
        Some(submit_request::Source::Tree(tree)) => {
            Source::Tree { digest: tree.sha256, size_bytes: tree.size_bytes }
        }
    };
    Ok(NewRun {
        workflow_file: request.workflow_file,
        workflow: String::from_utf8(request.workflow.to_vec())
            .map_err(|_| invalid("`workflow` is not UTF-8"))?,
        called: request.called.into_iter().collect(),
        event_name: request.event_name,
        event: serde_json::from_slice(&request.event).map_err(|_| invalid("`event` is not JSON"))?,
        repository: request.repository,
        forge: "local".to_owned(),
        git_ref: request.git_ref,
        sha: request.sha,
        actor: request.actor,
        inputs: request.inputs.into_iter().collect(),
        vars: request.vars.into_iter().collect(),
        secrets: request.secrets.into_iter().collect(),
        jobs: request.jobs,
        source,
        trust: Trust::Trusted,
        traceparent: request.traceparent,
        door,
        priority,
        ..NewRun::default()
    })
}

fn submit_status(error: &SubmitError) -> Status {
    match error {
        SubmitError::Workflow { diagnostics, .. } => {
            let told: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
            Status::invalid_argument(format!("{error}\n{}", told.join("\n")))
        }
        SubmitError::Field(_) => Status::invalid_argument(error.to_string()),
        SubmitError::Driver(error) => driver_status(error),
        SubmitError::Store(error) => blobs::status(error),
        SubmitError::Secrets(_) => Status::unavailable(error.to_string()),
    }
}

fn wire_result(result: Option<slipway_scheduler::JobResult>) -> i32 {
    result.map_or(0, |result| slipway_wire::result::to_wire(result).into())
}

fn wire_instance(instance: InstanceView) -> Instance {
    Instance {
        instance_id: instance.instance_id,
        job: instance.job,
        name: instance.name,
        state: instance.state.as_str().to_owned(),
        result: wire_result(instance.result),
        attempt: instance.attempt,
        cause: instance.cause.map(|cause| cause.to_string()).unwrap_or_default(),
        agent: instance.agent.unwrap_or_default(),
        waits_for: instance.waits_for.unwrap_or_default(),
    }
}

fn wire_run(run: RunView) -> Run {
    Run {
        run_id: run.run_id,
        workflow_name: run.workflow_name,
        workflow_file: run.workflow_file,
        event_name: run.event_name,
        repository: run.repository,
        git_ref: run.git_ref,
        sha: run.sha,
        actor: run.actor,
        state: run.state.as_str().to_owned(),
        result: wire_result(run.result),
        created_ms: run.created_ms,
        finished_ms: run.finished_ms.unwrap_or_default(),
        instances: run.instances.unwrap_or_default().into_iter().map(wire_instance).collect(),
    }
}

#[tonic::async_trait]
impl Runs for RunsService {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<RunEvent, Status>> + Send>>;

    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitResponse>, Status> {
        let client = require(&request, "Submit")?;
        let door = client.through(door(&request));
        let mut new = new_run(request.into_inner(), door)?;
        client.sign(&mut new.actor);
        let run = submit::submit(&self.services, new).await.map_err(|error| submit_status(&error))?;
        Ok(Response::new(SubmitResponse { run_id: run.to_string() }))
    }

    async fn get(&self, request: Request<GetRunRequest>) -> Result<Response<Run>, Status> {
        require(&request, "Get")?;
        let run = self.find(request.into_inner().run_id).await?;
        let found = self.services.driver.query(move |view| view::run(view, run, Detail::Full)).await;
        let found = found.map_err(|error| driver_status(&error))?;
        found.map(|run| Response::new(wire_run(run))).ok_or_else(|| Status::not_found("the run was retired"))
    }

    async fn list(&self, request: Request<ListRunsRequest>) -> Result<Response<ListRunsResponse>, Status> {
        require(&request, "List")?;
        let limit = match request.into_inner().limit as usize {
            0 => DEFAULT_LISTED,
            limit => limit.min(MAX_LISTED),
        };
        let runs = self.services.driver.query(move |view| view::recent_runs(view, limit)).await;
        let runs = runs.map_err(|error| driver_status(&error))?;
        Ok(Response::new(ListRunsResponse { runs: runs.into_iter().map(wire_run).collect() }))
    }

    async fn cancel(
        &self,
        request: Request<CancelRunRequest>,
    ) -> Result<Response<CancelRunResponse>, Status> {
        let client = require(&request, "Cancel")?;
        let origin = client.origin(client.through(door(&request)));
        let request = request.into_inner();
        let run = self.find(request.run_id).await?;
        let actor = origin.actor.clone();
        let cancel = Cancel { run, actor, reason: request.reason };
        self.services.driver.cancel(cancel, origin).await.map_err(|error| driver_status(&error))?;
        Ok(Response::new(CancelRunResponse {}))
    }

    async fn watch(&self, request: Request<WatchRunRequest>) -> Result<Response<Self::WatchStream>, Status> {
        require(&request, "Watch")?;
        let request = request.into_inner();
        let run = self.find(request.run_id).await?;
        let lines = ReceiverStream::new(run_stream::open(&self.services, run, request.follow));
        let events = lines.map(|line| match line {
            Ok(line) => {
                let json = String::from_utf8_lossy(&line.to_json()).trim_end().to_owned();
                Ok(RunEvent { json })
            }
            Err(error) => Err(Status::unavailable(error.to_string())),
        });
        Ok(Response::new(Box::pin(events)))
    }
}
