//! Artifacts as people have them: listed, downloaded, kept longer, removed; and who may do which.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use slipway_coordinator::submit::NewRun;
use slipway_proto::v1;
use slipway_scheduler::command::Trust;

use crate::browser::Browser;
use crate::clients::{job, token};
use crate::fake_agent::{FakeAgent, SECOND, hello};
use crate::fixture::{Fixture, ONE_JOB};
use crate::results::{ARTIFACTS, call, job_on, put};

/// The SHA-256 of `abc`.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// Ninety days and one.
const LONG_MS: u64 = 91 * 24 * 3_600_000;

/// Uploads an artifact of three bytes from a job; its run.
async fn upload(fixture: &Fixture, lease: &v1::Lease, token: &str, name: &str, mime: &str) -> String {
    let attempt = lease.attempt.clone().unwrap();
    let ids = json!({
        "workflow_run_backend_id": attempt.run_id, "workflow_job_run_backend_id": attempt.instance_id,
        "name": name, "version": 4, "mime_type": mime, "size": "3", "hash": format!("sha256:{ABC}"),
    });
    let ask =
        async |method: &str| call(fixture, token, &format!("{ARTIFACTS}/{method}"), ids.clone()).await.1;
    let begun = ask("CreateArtifact").await;
    assert_eq!(put(fixture, begun["signed_upload_url"].as_str().unwrap(), "", "abc").await.status(), 201);
    assert_eq!(ask("FinalizeArtifact").await["ok"], true);
    attempt.run_id
}

async fn list(fixture: &Fixture, run: &str) -> Vec<Value> {
    let answer = fixture.get(&format!("/api/v1/runs/{run}/artifacts")).await;
    assert_eq!(answer["run"], run);
    answer["artifacts"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_are_listed_downloaded_pinned_and_removed() {
    let fixture = Fixture::start().await;
    let (_agent, lease, token) = job(&fixture).await;
    let run = upload(&fixture, &lease, &token, "report", "application/zip").await;
    upload(&fixture, &lease, &token, "page & more", "text/html").await;
    let listed = list(&fixture, &run).await;
    let [page, report] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!(
        (&report["name"], &report["sha256"], &report["size_bytes"]),
        (&json!("report"), &json!(ABC), &json!(3))
    );
    assert_eq!((&report["pinned"], report["expires_ms"].is_u64()), (&json!(false), true));

    let path = |artifact: &Value| format!("/api/v1/runs/{run}/artifacts/{}", artifact["id"]);
    let download = fixture.call(Method::GET, &path(page), None).await;
    assert_eq!(
        download.headers()["content-disposition"].to_str().unwrap().split(';').next(),
        Some("attachment")
    );
    assert_eq!(download.headers()["x-content-type-options"], "nosniff");
    assert_eq!(download.text().await.unwrap(), "abc");
    let part = fixture.http.get(fixture.url(&path(report))).header("range", "bytes=1-1");
    let part = part.bearer_auth(fixture.handle().admin_token.reveal()).send().await.unwrap();
    assert_eq!((part.status(), part.text().await.unwrap().as_str()), (StatusCode::PARTIAL_CONTENT, "b"));

    let pinned = fixture.call(Method::PUT, &path(report), Some(json!({ "pinned": true }))).await;
    let pinned: Value = pinned.json().await.unwrap();
    assert_eq!((&pinned["pinned"], &pinned["expires_ms"]), (&json!(true), &Value::Null));
    fixture.clock.advance(LONG_MS);
    fixture.handle().services().results.sweep(1 << 40).await.unwrap();
    let left = list(&fixture, &run).await;
    assert_eq!(left.iter().map(|it| &it["name"]).collect::<Vec<_>>(), ["report"], "the other's time is over");

    let browser = Browser::signed_in(fixture.handle()).await;
    let shown = browser.page(&format!("/runs/{run}")).await;
    let link = format!("/runs/{run}/artifacts/{}", report["id"]);
    assert!(shown.contains(&format!("href=\"{link}\"")) && shown.contains(">pinned<"), "{shown}");
    let saved = browser.get(&link).await;
    assert_eq!(
        saved.headers()["content-disposition"].to_str().unwrap().split(';').next(),
        Some("attachment")
    );
    assert_eq!(saved.text().await.unwrap(), "abc");
    let stranger = Browser::new(fixture.handle()).get(&link).await;
    assert_eq!(stranger.status(), 303, "whoever did not sign in is led to do so");

    let removed = fixture.call(Method::DELETE, &path(report), None).await;
    assert_eq!(removed.status(), StatusCode::OK);
    assert!(list(&fixture, &run).await.is_empty());
    for (method, body) in
        [(Method::GET, None), (Method::PUT, Some(json!({ "pinned": true }))), (Method::DELETE, None)]
    {
        let answer = fixture.call(method, &path(report), body).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    }
    let trail = fixture.get("/api/v1/audit").await;
    let actions: Vec<_> = trail["entries"].as_array().unwrap().iter().map(|entry| &entry["action"]).collect();
    assert!(
        actions.contains(&&json!("artifact.pin")) && actions.contains(&&json!("artifact.remove")),
        "{actions:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_gives_out_its_own_alone_and_to_whom_may_have_them() {
    let fixture = Fixture::start().await;
    let (_agent, lease, token) = job(&fixture).await;
    let run = upload(&fixture, &lease, &token, "report", "application/zip").await;
    let id = list(&fixture, &run).await[0]["id"].clone();
    let other = fixture.submit(ONE_JOB).await;
    let foreign = fixture.call(Method::GET, &format!("/api/v1/runs/{other}/artifacts/{id}"), None).await;
    assert_eq!(foreign.status(), StatusCode::NOT_FOUND);
    let path = format!("/api/v1/runs/{run}/artifacts/{id}");
    assert_eq!(fixture.http.get(fixture.url(&path)).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    // A job's own token is none of the API.
    assert_eq!(fixture.call_with(&token, Method::GET, &path, None).await.status(), StatusCode::UNAUTHORIZED);
    let made =
        fixture.call(Method::POST, "/api/v1/tokens", Some(json!({ "name": "vera", "role": "viewer" }))).await;
    let viewer = made.json::<Value>().await.unwrap()["token"].as_str().unwrap().to_owned();
    assert_eq!(fixture.call_with(&viewer, Method::GET, &path, None).await.status(), StatusCode::OK);
    for (method, body) in [(Method::PUT, Some(json!({ "pinned": true }))), (Method::DELETE, None)] {
        assert_eq!(fixture.call_with(&viewer, method, &path, body).await.status(), StatusCode::FORBIDDEN);
    }
    for wrong in [json!({}), json!({ "pinned": 1 }), json!({ "pinned": true, "x": 1 })] {
        assert_eq!(fixture.call(Method::PUT, &path, Some(wrong)).await.status(), StatusCode::BAD_REQUEST);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_gets_those_of_another_run_of_its_repository_unless_its_code_is_from_outside() {
    let fixture = Fixture::start().await;
    let (mut agent, lease, first) = job(&fixture).await;
    let run = upload(&fixture, &lease, &first, "report", "application/zip").await;
    let asked =
        json!({ "workflow_run_backend_id": run, "workflow_job_run_backend_id": "x", "name": "report" });
    let ask = async |token: &str, method: &str| {
        call(&fixture, token, &format!("{ARTIFACTS}/{method}"), asked.clone()).await
    };

    let (_, own) = job_on(&fixture, &mut agent, "refs/heads/main", json!({})).await;
    let (status, listed) = ask(&own, "ListArtifactsOfRun").await;
    assert_eq!((status, &listed["artifacts"][0]["name"]), (StatusCode::OK, &json!("report")), "{listed}");
    let (_, signed) = ask(&own, "GetSignedArtifactURLOfRun").await;
    let bytes = fixture.http.get(signed["signed_url"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(bytes.text().await.unwrap(), "abc");
    // The methods that GitHub's client calls stay with the job's own run.
    assert_eq!(ask(&own, "ListArtifacts").await.0, StatusCode::FORBIDDEN);
    assert_eq!(ask(&own, "GetSignedArtifactURL").await.0, StatusCode::NOT_FOUND);

    let accepts = v1::Hello { accepts_untrusted: true, ..hello(SECOND, 4, Vec::new()) };
    let mut agent = FakeAgent::connect_with(fixture.handle(), accepts).await;
    let fork = NewRun {
        workflow_file: ".github/workflows/ci.yml".to_owned(),
        workflow: ONE_JOB.to_owned(),
        event_name: "pull_request".to_owned(),
        event: json!({}),
        git_ref: "refs/pull/7/merge".to_owned(),
        repository: "o/n".to_owned(),
        trust: Trust::Untrusted,
        ..NewRun::default()
    };
    fixture.handle().submit(fork).await.unwrap();
    let lease = agent.assigned().await.lease.unwrap();
    let outside = token(&mut agent, &lease).await;
    for method in ["ListArtifactsOfRun", "GetSignedArtifactURLOfRun"] {
        let (status, answer) = ask(&outside, method).await;
        assert_eq!(
            (status, &answer["code"]),
            (StatusCode::FORBIDDEN, &json!("permission_denied")),
            "{method}"
        );
    }
}
