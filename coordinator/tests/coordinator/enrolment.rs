//! Agents that enrol with a token, and are removed.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use slipway_proto::v1;
use slipway_proto::v1::coordinator_message::Message as In;
use tonic::Code;

use crate::fake_agent::{FIRST, FakeAgent, SECOND, client, hello, job_cache, line};
use crate::fixture::{Fixture, ONE_JOB};

/// A credential and its SHA-256.
struct Credential(String, String);

fn credential(text: &str) -> Credential {
    Credential(format!("slipagent_{text}"), sha256(&format!("slipagent_{text}")))
}

fn sha256(text: &str) -> String {
    slipway_cas::Digest::of(text.as_bytes()).hash_hex()
}

async fn token(fixture: &Fixture, body: Value) -> Value {
    let made = fixture.call(Method::POST, "/api/v1/agents/tokens", Some(body)).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    made.json().await.unwrap()
}

async fn enrol(fixture: &Fixture, token: &str, id: &str, sha256: &str) -> Result<Vec<String>, tonic::Status> {
    let mut client = client(fixture.handle().grpc_addr, token).await;
    let request = v1::EnrolRequest {
        agent_id: id.to_owned(),
        name: "host".to_owned(),
        credential_sha256: sha256.to_owned(),
        csr: Default::default(),
    };
    Ok(client.enrol(request).await?.into_inner().labels)
}

/// Enrols with a new token and opens a session.
async fn enrolled(fixture: &Fixture, id: &str, labels: &[&str]) -> FakeAgent {
    let made = token(fixture, json!({ "labels": labels })).await;
    let Credential(text, hash) = credential(id);
    enrol(fixture, made["token"].as_str().unwrap(), id, &hash).await.unwrap();
    FakeAgent::connect_at(fixture.handle().grpc_addr, &text, hello(id, 4, Vec::new())).await
}

async fn audited(fixture: &Fixture, action: &str) -> Vec<Value> {
    let trail = fixture.get("/api/v1/audit").await;
    let entries = trail["entries"].as_array().unwrap().clone();
    entries.into_iter().filter(|entry| entry["action"] == action).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_lets_one_agent_in_with_its_labels_and_a_restart_knows_it() {
    let mut fixture = Fixture::start().await;
    let made = token(&fixture, json!({"labels": ["GPU", "big"]})).await;
    let text = made["token"].as_str().unwrap().to_owned();
    let Credential(own, hash) = credential("one");
    assert_eq!(enrol(&fixture, &text, FIRST, &hash).await.unwrap(), ["big", "gpu"]);
    // The answer was lost: the same once more.
    assert_eq!(enrol(&fixture, &text, FIRST, &hash).await.unwrap(), ["big", "gpu"]);
    // Stolen, and too late.
    let other = credential("two").1;
    for (id, hash) in [(SECOND, &hash), (FIRST, &other)] {
        let refused = enrol(&fixture, &text, id, hash).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
        assert!(refused.message().contains("slipway agents token"), "{refused}");
    }
    fixture.kill_and_restart().await;
    let _agent = FakeAgent::connect_at(fixture.handle().grpc_addr, &own, hello(FIRST, 4, Vec::new())).await;
    let agents = fixture.get("/api/v1/agents").await;
    let labels: Vec<&str> =
        agents["agents"][0]["labels"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(labels.contains(&"gpu") && labels.contains(&"big"), "{labels:?}");
    assert_eq!(agents["agents"][0]["enrolled"], true);
    assert_eq!(fixture.get("/api/v1/agents/tokens").await["tokens"], json!([]));
    assert_eq!(audited(&fixture, "agent.token").await.len(), 1);
    assert_eq!(audited(&fixture, "agent.enrol").await[0]["target"], FIRST);
    let journal = std::fs::read(fixture.folder.path().join("data/journal.db")).unwrap();
    let has = |secret: &str| journal.windows(secret.len()).any(|part| part == secret.as_bytes());
    assert!(!has(&text) && !has(&own), "neither token nor credential is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_ends_and_can_be_revoked() {
    let fixture = Fixture::start().await;
    let hash = credential("one").1;
    let short = token(&fixture, json!({"expires_in_s": 60})).await;
    let revoked = token(&fixture, json!({})).await;
    let listed = fixture.get("/api/v1/agents/tokens").await;
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 2);
    assert!(!listed.to_string().contains("slipenrol_"), "a listing has no token's text");
    let path = format!("/api/v1/agents/tokens/{}", revoked["id"].as_str().unwrap());
    assert_eq!(fixture.call(Method::DELETE, &path, None).await.status(), StatusCode::OK);
    assert_eq!(fixture.call(Method::DELETE, &path, None).await.status(), StatusCode::NOT_FOUND);
    fixture.clock.advance(61_000);
    for made in [short, revoked] {
        let refused = enrol(&fixture, made["token"].as_str().unwrap(), FIRST, &hash).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
    for bad in [
        json!({"expires_in_s": 0}),
        json!({"expires_in_s": 2_592_001}),
        json!({"labels": ["a,b"]}),
        json!({"label": []}),
    ] {
        let answer = fixture.call(Method::POST, "/api/v1/agents/tokens", Some(bad.clone())).await;
        assert!(answer.status().is_client_error(), "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_enrolment_is_good_for_nothing_else_and_only_it_enrols() {
    let fixture = Fixture::start().await;
    let made = token(&fixture, json!({})).await;
    let mut newcomer = client(fixture.handle().grpc_addr, made["token"].as_str().unwrap()).await;
    let session = newcomer.session(tokio_stream::empty::<v1::AgentMessage>()).await.map(drop);
    let records = newcomer.records(tokio_stream::empty::<v1::RecordBatch>()).await.map(drop);
    let get = newcomer.get_blob(v1::GetBlobRequest::default()).await.map(drop);
    let put = newcomer.put_blob(tokio_stream::empty::<v1::BlobChunk>()).await.map(drop);
    let secrets = newcomer.fetch_secrets(v1::FetchSecretsRequest::default()).await.map(drop);
    let tunnel = newcomer.tunnel(tokio_stream::empty::<v1::TunnelData>()).await.map(drop);
    let mut cache = job_cache(fixture.handle().grpc_addr, made["token"].as_str().unwrap()).await;
    let admit = cache.admit(v1::CacheAdmitRequest::default()).await.map(drop);
    for refused in [session, records, get, put, secrets, tunnel, admit] {
        assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    }
    let hash = credential("one").1;
    let shared = fixture.handle().agent_token.reveal().to_owned();
    assert_eq!(enrol(&fixture, &shared, FIRST, &hash).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(enrol(&fixture, "nonsense", FIRST, &hash).await.unwrap_err().code(), Code::Unauthenticated);
    let bad = enrol(&fixture, made["token"].as_str().unwrap(), "nobody", &hash).await.unwrap_err();
    assert_eq!(bad.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_agent_is_cut_off_and_its_job_goes_to_another() {
    let fixture = Fixture::start().await;
    let mut first = enrolled(&fixture, FIRST, &[]).await;
    let run = fixture.submit(ONE_JOB).await;
    let lease = first.assigned().await.lease.unwrap();
    let path = format!("/api/v1/agents/{FIRST}");
    assert_eq!(fixture.call(Method::DELETE, &path, None).await.status(), StatusCode::OK);
    // It hears that it is to stop, and then nothing more.
    assert!(matches!(first.hear().await, In::Stop(stop) if stop.lease.as_ref() == Some(&lease)));
    let mut left_open = first.client.clone();
    first.end().await.unwrap();
    let request = v1::FetchSecretsRequest { lease: Some(lease.clone()) };
    assert_eq!(left_open.fetch_secrets(request).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(fixture.get("/api/v1/agents").await["agents"], json!([]));
    let mut second = enrolled(&fixture, SECOND, &[]).await;
    let again = second.assigned().await.lease.unwrap();
    assert_eq!(again.attempt.as_ref().unwrap().attempt, 2);
    second.report(&again, v1::Result::Success, 0).await;
    let shown = fixture.finished(&run).await;
    assert_eq!(shown["instances"][0]["attempts"][0]["cause"], "agent_lost");
    assert_eq!(shown["result"], "success");
    assert_eq!(fixture.call(Method::DELETE, &path, None).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(audited(&fixture, "agent.remove").await.len(), 2, "the refused one too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_with_the_shared_token_stays_out_too_and_a_new_token_lets_it_in() {
    let mut fixture = Fixture::start().await;
    let agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    fixture.call(Method::DELETE, &format!("/api/v1/agents/{FIRST}"), None).await;
    agent.end().await.unwrap();
    fixture.kill_and_restart().await;
    let mut again = client(fixture.handle().grpc_addr, fixture.handle().agent_token.reveal()).await;
    let hello_message =
        |id| v1::AgentMessage { message: Some(v1::agent_message::Message::Hello(hello(id, 4, Vec::new()))) };
    let (out, messages) = tokio::sync::mpsc::channel(1);
    out.send(hello_message(FIRST)).await.unwrap();
    let messages = tokio_stream::wrappers::ReceiverStream::new(messages);
    let mut answers = again.session(messages).await.unwrap().into_inner();
    let refused = answers.message().await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(refused.message().contains("slipway agents token"), "{refused}");
    let agent = enrolled(&fixture, FIRST, &[]).await;
    assert_eq!(agent.welcome.kept, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enrolled_agent_does_nothing_in_anothers_name() {
    let fixture = Fixture::start().await;
    let mut first = enrolled(&fixture, FIRST, &[]).await;
    fixture.submit(ONE_JOB).await;
    let lease = first.assigned().await.lease.unwrap();
    let mut second = enrolled(&fixture, SECOND, &[]).await;
    let request = v1::FetchSecretsRequest { lease: Some(lease.clone()) };
    let refused = second.client.fetch_secrets(request.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let tunnel = v1::TunnelData { lease: Some(lease.clone()), ..v1::TunnelData::default() };
    let refused = second.client.tunnel(tokio_stream::once(tunnel)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(second.upload(&lease, 1, vec![line("forged")]).await.stale);
    second.report(&lease, v1::Result::Failure, 0).await;
    assert!(matches!(second.hear().await, In::Stop(stop) if stop.lease.as_ref() == Some(&lease)));
    let mut forged = second.client.clone();
    let hello = v1::agent_message::Message::Hello(hello(FIRST, 4, Vec::new()));
    let hello = v1::AgentMessage { message: Some(hello) };
    let mut answers = forged.session(tokio_stream::once(hello)).await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap_err().code(), Code::PermissionDenied);
    // The holder goes on undisturbed.
    let secrets = first.client.fetch_secrets(request).await.unwrap().into_inner();
    // Nor does the job's own token open its cache to another agent, however it came by it.
    let places =
        v1::CacheAdmitRequest { token: secrets.runtime_token.clone(), ..v1::CacheAdmitRequest::default() };
    let keys = v1::CacheKeys { token: secrets.runtime_token, ..v1::CacheKeys::default() };
    let address = fixture.handle().grpc_addr;
    for (id, is_holder) in [(FIRST, true), (SECOND, false)] {
        let mut cache = job_cache(address, &credential(id).0).await;
        let answers = [
            cache.admit(places.clone()).await.map(drop),
            cache.have(keys.clone()).await.map(drop),
            cache.get(keys.clone()).await.map(drop),
        ];
        for answer in answers {
            match is_holder {
                true => answer.unwrap(),
                false => assert_eq!(answer.unwrap_err().code(), Code::Unauthenticated),
            }
        }
    }
    first.report(&lease, v1::Result::Success, 0).await;
    assert_eq!(first.accepted().await, lease);
}
