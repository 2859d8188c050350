//! The client API over gRPC, health and reflection.

use slipway_proto::v1::runs_client::RunsClient;
use slipway_proto::v1::{self, SubmitRequest};
use tonic::transport::Endpoint;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::fake_agent::{FIRST, FakeAgent, step};
use crate::fixture::{Fixture, ONE_JOB};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_does_over_grpc_what_others_do_over_http() {
    let fixture = Fixture::start().await;
    let handle = fixture.handle();
    let endpoint = Endpoint::from_shared(format!("http://{}", handle.grpc_addr)).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut health = HealthClient::new(channel.clone());
    for service in ["slipway.v1.Agents", "slipway.v1.Runs"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        assert_eq!(health.check(request).await.unwrap().into_inner().status, 1, "{service} serves");
    }
    let mut stranger = RunsClient::new(channel.clone());
    let refused = stranger.list(v1::ListRunsRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);

    let bearer = format!("Bearer {}", handle.admin_token.reveal());
    let mut client = RunsClient::with_interceptor(channel, move |mut request: Request<()>| {
        request.metadata_mut().insert("authorization", bearer.parse().unwrap());
        Ok(request)
    });
    let request = SubmitRequest {
        workflow_file: ".github/workflows/ci.yml".to_owned(),
        workflow: ONE_JOB.as_bytes().into(),
        event_name: "push".to_owned(),
        event: b"{}".as_slice().into(),
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
        ..SubmitRequest::default()
    };
    let broken = SubmitRequest { workflow: b"on: push\njobs: 7\n".as_slice().into(), ..request.clone() };
    let refused = client.submit(broken).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("ci.yml:2:"), "{refused}");

    let run_id = client.submit(request.clone()).await.unwrap().into_inner().run_id;
    let mut agent = FakeAgent::connect(handle, FIRST).await;
    let assign = agent.assigned().await;
    assert_eq!(assign.traceparent, request.traceparent, "the trace goes on at the agent");
    let lease = assign.lease.unwrap();
    agent.upload(&lease, 1, step("Hello", &["hello"])).await;
    agent.report(&lease, v1::Result::Success, 3).await;
    agent.accepted().await;

    let watch = v1::WatchRunRequest { run_id: run_id.clone(), follow: true };
    let mut events = client.watch(watch).await.unwrap().into_inner();
    let mut lines = Vec::new();
    while let Some(event) = events.message().await.unwrap() {
        lines.push(serde_json::from_str::<serde_json::Value>(&event.json).unwrap());
    }
    assert_eq!(lines, fixture.events(&run_id, false).await);
    let run = client.get(v1::GetRunRequest { run_id: run_id.clone() }).await.unwrap().into_inner();
    assert_eq!((run.state.as_str(), run.result()), ("finished", v1::Result::Success));
    assert_eq!(run.instances[0].attempt, 1);
    let listed = client.list(v1::ListRunsRequest { limit: 5 }).await.unwrap().into_inner().runs;
    assert_eq!(listed.len(), 1);
    let cancel = v1::CancelRunRequest { run_id, reason: String::new() };
    assert_eq!(client.cancel(cancel).await.unwrap_err().code(), Code::FailedPrecondition);
    let unknown = v1::GetRunRequest { run_id: "ffffffff".to_owned() };
    assert_eq!(client.get(unknown).await.unwrap_err().code(), Code::NotFound);
}
