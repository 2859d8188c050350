//! Roles: what each may do over HTTP, gRPC and on the pages, and tokens that end.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use slipway_coordinator::Handle;
use slipway_proto::v1;
use slipway_proto::v1::runs_client::RunsClient;
use tonic::transport::Endpoint;
use tonic::{Code, Request};

use crate::browser::Browser;
use crate::environments;
use crate::fixture::{Fixture, ONE_JOB};

/// Each role includes the ones before it.
const ROLES: [&str; 4] = ["viewer", "developer", "approver", "admin"];

async fn make(fixture: &Fixture, body: Value) -> Value {
    let made = fixture.call(Method::POST, "/api/v1/tokens", Some(body)).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    made.json().await.unwrap()
}

async fn token(fixture: &Fixture, name: &str, role: &str) -> String {
    let made = make(fixture, json!({"name": name, "role": role})).await;
    made["token"].as_str().unwrap().to_owned()
}

async fn status(fixture: &Fixture, token: &str, call: (&str, &str), body: Option<Value>) -> StatusCode {
    let method: Method = call.0.parse().unwrap();
    fixture.call_with(token, method, &format!("/api/v1{}", call.1), body).await.status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_may_do_its_own_and_nothing_more() {
    let fixture = Fixture::start().await;
    let run = fixture.submit(ONE_JOB).await;
    let (shown, cancel) = (format!("/runs/{run}"), format!("/runs/{run}/cancel"));
    let approve = format!("/runs/{run}/approvals");
    // What it takes, by the role that is enough; a body that is refused shows that the call got that far.
    let calls: [(&str, &str, usize); 20] = [
        ("GET", "/runs", 0),
        ("HEAD", "/runs", 0),
        ("GET", &shown, 0),
        ("GET", "/agents", 0),
        ("GET", "/pools", 0),
        ("GET", "/whoami", 0),
        ("POST", "/runs", 1),
        ("POST", "/dispatches", 1),
        ("POST", &cancel, 1),
        ("POST", &approve, 2),
        ("GET", "/audit", 3),
        ("GET", "/audit/verify", 3),
        ("GET", "/tokens", 3),
        ("POST", "/tokens", 3),
        ("DELETE", "/tokens/nothing", 3),
        ("GET", "/secrets", 3),
        ("POST", "/agents/tokens", 3),
        ("DELETE", "/agents/nobody", 3),
        ("PUT", "/pools/arm64", 3),
        ("POST", "/history/rebuild", 3),
    ];
    for (rank, role) in ROLES.iter().enumerate() {
        let token = token(&fixture, &format!("a {role}"), role).await;
        for (method, path, needed) in calls {
            let got = status(&fixture, &token, (method, path), Some(json!({"no such field": 1}))).await;
            assert_ne!(got, StatusCode::UNAUTHORIZED, "{role}: {method} {path}");
            assert_eq!(got == StatusCode::FORBIDDEN, rank < needed, "{role}: {method} {path}: {got}");
        }
    }
    let viewer = token(&fixture, "vi", "viewer").await;
    let refused = fixture.call_with(&viewer, Method::POST, "/api/v1/runs", Some(json!({}))).await;
    let told: Value = refused.json().await.unwrap();
    assert_eq!(told["error"]["code"], "forbidden");
    assert_eq!(told["error"]["message"], "POST /runs needs the role developer; this token's is viewer");
    // Where nothing is, nothing is, for everybody with a token.
    assert_eq!(status(&fixture, &viewer, ("GET", "/nothing"), None).await, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_good_until_it_ends_or_is_revoked_also_over_a_death() {
    let mut fixture = Fixture::start().await;
    for bad in [
        json!({"name": "", "role": "viewer"}),
        json!({"name": "x", "role": "viewer", "expires_in_s": 0}),
        json!({"name": "x", "role": "viewer", "expires_in_s": 400 * 86_400_u64}),
        json!({"name": "x", "role": "king"}),
        json!({"role": "viewer"}),
        json!({"name": "x".repeat(101), "role": "viewer"}),
        json!({"name": "a\nb", "role": "viewer"}),
    ] {
        let refused = fixture.call(Method::POST, "/api/v1/tokens", Some(bad.clone())).await;
        assert!(refused.status().is_client_error(), "{bad}");
    }
    let short = make(&fixture, json!({"name": "short", "role": "viewer", "expires_in_s": 60})).await;
    let long = make(&fixture, json!({"name": "bob", "role": "developer"})).await;
    let text = |made: &Value| made["token"].as_str().unwrap().to_owned();
    fixture.kill_and_restart().await;
    let who = fixture.call_with(&text(&long), Method::GET, "/api/v1/whoami", None).await;
    assert_eq!(who.json::<Value>().await.unwrap(), json!({"name": "bob", "role": "developer"}));
    assert_eq!(fixture.get("/api/v1/whoami").await, json!({"name": null, "role": "admin"}));
    assert_eq!(status(&fixture, &text(&short), ("GET", "/runs"), None).await, StatusCode::OK);
    let listed = fixture.get("/api/v1/tokens").await;
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 2);
    assert!(!listed.to_string().contains("slipapi_"), "no token's text is told again: {listed}");

    fixture.clock.advance(61_000);
    assert_eq!(status(&fixture, &text(&short), ("GET", "/runs"), None).await, StatusCode::UNAUTHORIZED);
    let path = format!("/api/v1/tokens/{}", long["id"].as_str().unwrap());
    assert_eq!(fixture.call(Method::DELETE, &path, None).await.status(), StatusCode::OK);
    assert_eq!(status(&fixture, &text(&long), ("GET", "/runs"), None).await, StatusCode::UNAUTHORIZED);
    assert_eq!(fixture.call(Method::DELETE, &path, None).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(fixture.get("/api/v1/tokens").await["tokens"], json!([]));
    fixture.kill_and_restart().await;
    for (wrong, name) in [(text(&long), "revoked"), (text(&short), "ended"), ("slipapi_x".to_owned(), "none")]
    {
        let got = status(&fixture, &wrong, ("GET", "/runs"), None).await;
        assert_eq!(got, StatusCode::UNAUTHORIZED, "{name}");
    }
    let trail = fixture.get("/api/v1/audit").await.to_string();
    assert!(trail.contains("token.make") && trail.contains("token.revoke"), "{trail}");
    assert!(!trail.contains("slipapi_"), "{trail}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_does_is_in_the_name_of_their_token() {
    let fixture = environments::configured().await;
    let alice = token(&fixture, "alice", "approver").await;
    let bob = token(&fixture, "bob", "approver").await;
    let submission = Fixture::submission(&environments::workflow("production"));
    // He says that it is somebody else's.
    let started = fixture.call_with(&alice, Method::POST, "/api/v1/runs", Some(submission.clone())).await;
    let own: Value = started.json().await.unwrap();
    let own = own["run"].as_str().unwrap();
    let shown = environments::waits(&fixture, own, "approval").await;
    assert_eq!(shown["actor"], "alice");
    let decide = async |token: &str, run: &str, actor: Option<&str>| {
        let mut body = json!({"environment": "production", "decision": "approve"});
        if let Some(actor) = actor {
            body["actor"] = json!(actor);
        }
        status(&fixture, token, ("POST", &format!("/runs/{run}/approvals")), Some(body)).await
    };
    // Nobody reviews their own, nor in another's name, nor without being a reviewer.
    assert_ne!(decide(&alice, own, None).await, StatusCode::OK);
    assert_eq!(decide(&alice, own, Some("ada")).await, StatusCode::FORBIDDEN);
    assert_eq!(decide(&bob, own, Some("alice")).await, StatusCode::FORBIDDEN);
    assert_ne!(decide(&bob, own, None).await, StatusCode::OK);
    environments::waits(&fixture, own, "approval").await;
    let started = fixture.call_with(&bob, Method::POST, "/api/v1/runs", Some(submission)).await;
    let run: Value = started.json().await.unwrap();
    let run = run["run"].as_str().unwrap();
    environments::waits(&fixture, run, "approval").await;
    assert_eq!(decide(&alice, run, Some("Alice")).await, StatusCode::OK);
    let trail = fixture.get("/api/v1/audit").await;
    let entries = trail["entries"].as_array().unwrap();
    let approved = entries.iter().find(|entry| entry["action"] == "run.approve" && entry["effect"] == "done");
    let approved = approved.unwrap();
    assert_eq!(approved["actor"], "alice");
    assert!(approved["source"].as_str().unwrap().contains(", token "), "{approved}");
}

async fn over_grpc(handle: &Handle, token: &str) -> (Code, Code) {
    let endpoint = Endpoint::from_shared(format!("http://{}", handle.grpc_addr)).unwrap();
    let bearer = format!("Bearer {token}");
    let mut client =
        RunsClient::with_interceptor(endpoint.connect().await.unwrap(), move |mut request: Request<()>| {
            request.metadata_mut().insert("authorization", bearer.parse().unwrap());
            Ok(request)
        });
    let code = |error: tonic::Status| error.code();
    let looked = client.list(v1::ListRunsRequest::default()).await.map_or_else(code, |_| Code::Ok);
    let cancel = v1::CancelRunRequest { run_id: "nothing".to_owned(), reason: String::new() };
    (looked, client.cancel(cancel).await.map_or_else(code, |_| Code::Ok))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_hold_over_grpc() {
    let fixture = Fixture::start().await;
    let viewer = token(&fixture, "vi", "viewer").await;
    let developer = token(&fixture, "dev", "developer").await;
    assert_eq!(over_grpc(fixture.handle(), &viewer).await, (Code::Ok, Code::PermissionDenied));
    // It got as far as looking for the run.
    let (looked, cancelled) = over_grpc(fixture.handle(), &developer).await;
    assert_eq!(looked, Code::Ok);
    assert!(matches!(cancelled, Code::NotFound | Code::InvalidArgument), "{cancelled:?}");
    let nobody = over_grpc(fixture.handle(), "slipapi_x").await;
    assert_eq!(nobody, (Code::Unauthenticated, Code::Unauthenticated));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_offer_what_a_role_may_do_and_end_with_its_token() {
    let fixture = environments::configured().await;
    let run = fixture.submit(&environments::workflow("production")).await;
    environments::waits(&fixture, &run, "approval").await;
    let path = format!("/runs/{run}");
    let made = make(&fixture, json!({"name": "<vi>", "role": "viewer"})).await;
    let viewer = Browser::signed_in_with(fixture.handle(), made["token"].as_str().unwrap()).await;
    let page = viewer.page(&path).await;
    assert!(page.contains("&lt;vi&gt;") && page.contains("(viewer)"), "{page}");
    assert!(
        !page.contains("Cancel run") && !page.contains("/approvals") && !page.contains("/audit"),
        "{page}"
    );
    assert!(page.contains("somebody with the role approver"), "{page}");
    let form = format!("form_token={}", viewer.form_token(&path).await);
    for path in [format!("{path}/cancel"), format!("{path}/rerun"), format!("{path}/approvals")] {
        let refused = viewer.post(&path, &form).await;
        assert_eq!(refused.status(), 403);
        assert!(refused.text().await.unwrap().contains("needs the role"));
    }
    assert_eq!(viewer.get("/audit").await.status(), 403);

    let alice = token(&fixture, "alice", "approver").await;
    let alice = Browser::signed_in_with(fixture.handle(), &alice).await;
    let page = alice.page(&path).await;
    assert!(page.contains("Cancel run") && page.contains("value=\"alice\""), "{page}");
    let form_token = alice.form_token(&path).await;
    let approve = |actor: &str| {
        format!("form_token={form_token}&environment=production&decision=approve&comment=&actor={actor}")
    };
    assert_eq!(alice.post(&format!("{path}/approvals"), &approve("ada")).await.status(), 403);
    assert_eq!(alice.post(&format!("{path}/approvals"), &approve("alice")).await.status(), 303);

    // A session lasts no longer than its token, and a page that follows neither.
    let mut live = viewer.get(&format!("{path}/live")).await;
    assert_eq!(live.status(), 200);
    let revoked = format!("/api/v1/tokens/{}", made["id"].as_str().unwrap());
    assert_eq!(fixture.call(Method::DELETE, &revoked, None).await.status(), StatusCode::OK);
    assert_eq!(viewer.get(&path).await.status(), 303);
    assert_eq!(viewer.page("/session").await, "no");
    while let Some(piece) = live.chunk().await.unwrap() {
        assert!(!piece.is_empty());
    }
}
