//! `/api/v1` and the pages beside it.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_coordinator::http::openapi;

use crate::fixture::{Fixture, ONE_JOB};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_described_route_is_there_and_wants_the_token() {
    let fixture = Fixture::start().await;
    let document: Value = serde_json::from_str(openapi::DOCUMENT).unwrap();
    let served: Value =
        fixture.http.get(fixture.url("/api/v1/openapi.json")).send().await.unwrap().json().await.unwrap();
    assert_eq!(served, document);
    let mut described = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            described.push(format!("{method} {path}"));
            if path == "/openapi.json" {
                continue;
            }
            let real = path.replace("{run}", "0000").replace("{agent}", "0000");
            let method: Method = method.to_uppercase().parse().unwrap();
            let url = fixture.url(&format!("/api/v1{real}"));
            for token in ["", "wrong"] {
                let answer =
                    fixture.http.request(method.clone(), &url).bearer_auth(token).send().await.unwrap();
                assert_eq!(answer.status(), 401, "{method} {path}");
                let body: Value = answer.json().await.unwrap();
                assert_eq!(body["error"]["code"], "unauthorized");
            }
            let answer = fixture.call(method.clone(), &format!("/api/v1{real}"), None).await;
            assert_ne!(answer.status(), 405, "{method} {path}");
            let text = answer.text().await.unwrap();
            assert!(!text.contains("there is nothing here"), "{method} {path}: {text}");
        }
    }
    described.sort();
    assert_eq!(described, slipway_coordinator::http::ROUTES, "the description names every route");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_workflow_is_refused_with_its_diagnostics() {
    let fixture = Fixture::start().await;
    let submission = Fixture::submission("on: push\njobs:\n  a:\n    runs-on: x\n    stepz: []\n");
    let answer = fixture.call(Method::POST, "/api/v1/runs", Some(submission)).await;
    assert_eq!(answer.status(), 422);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["error"]["code"], "invalid_workflow");
    let found = body["diagnostics"].as_array().unwrap();
    assert!(
        found.iter().any(|found| found["line"] == 5 && found["message"].as_str().unwrap().contains("stepz")),
        "{body}"
    );
    assert!(fixture.get("/api/v1/runs").await["runs"].as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_say_what_is_wrong() {
    let fixture = Fixture::start().await;
    let change = |field: &str, value: Value| {
        let mut submission = Fixture::submission(ONE_JOB);
        submission[field] = value;
        submission
    };
    for (submission, status, word) in [
        (json!({}), 422, "workflow_file"),
        (change("no_such", json!(1)), 422, "no_such"),
        (change("event", json!([])), 422, "`event`"),
        (change("jobs", json!(["zzz"])), 422, "`zzz`"),
        (change("inputs", json!({"a": "b"})), 422, "workflow_dispatch"),
        (change("tree", json!({"sha256": "0".repeat(64), "size_bytes": 3})), 422, "upload"),
        (change("workflow", json!("x".repeat(2 << 20))), 422, "`workflow`"),
    ] {
        let answer = fixture.call(Method::POST, "/api/v1/runs", Some(submission)).await;
        let found = answer.status();
        let body: Value = answer.json().await.unwrap();
        assert_eq!(found, status, "{body}");
        assert!(body["error"]["message"].as_str().unwrap().contains(word), "{body}");
    }
    let huge = change("event", json!({"x": "y".repeat(33 << 20)}));
    assert_eq!(fixture.call(Method::POST, "/api/v1/runs", Some(huge)).await.status(), 413);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_found_by_the_beginning_of_its_id() {
    let fixture = Fixture::start().await;
    let (one, two) = (fixture.submit(ONE_JOB).await, fixture.submit(ONE_JOB).await);
    let common = one.bytes().zip(two.bytes()).take_while(|(a, b)| a == b).count();
    assert!(common >= 4, "ids of one moment begin alike");
    assert_eq!(fixture.get(&format!("/api/v1/runs/{}", &one[..=common])).await["run"], json!(one));
    for (text, status) in [(&one[..common], 409), ("abc", 400), ("zzzzz", 400), ("ffffffff", 404)] {
        let answer = fixture.call(Method::GET, &format!("/api/v1/runs/{text}"), None).await;
        assert_eq!(answer.status(), status, "{text}");
        assert!(answer.json::<Value>().await.unwrap()["error"]["message"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_are_checked_as_they_come() {
    let fixture = Fixture::start().await;
    let digest = slipway_cas::Digest::of(b"tree");
    let upload = async |query: String, body: &'static [u8]| {
        let request = fixture.http.post(fixture.url(&format!("/api/v1/blobs{query}"))).body(body);
        request.bearer_auth(fixture.handle().admin_token.reveal()).send().await.unwrap()
    };
    let answer = upload(format!("?sha256={}", digest.hash_hex()), b"tree").await;
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({"sha256": digest.hash_hex(), "size_bytes": 4}));
    assert_eq!(upload(format!("?sha256={}", digest.hash_hex()), b"twig").await.status(), 422);
    assert_eq!(upload("?sha256=zz".to_owned(), b"tree").await.status(), 400);
    let mut submission = Fixture::submission(ONE_JOB);
    submission["tree"] = json!({"sha256": digest.hash_hex(), "size_bytes": 4});
    fixture.submit_value(submission).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_metrics_and_the_page_need_no_token() {
    let fixture = Fixture::start().await;
    fixture.submit(ONE_JOB).await;
    for (path, word) in [
        ("/healthz", "ok"),
        ("/readyz", "ready"),
        ("/metrics", "slipway_epoch 1"),
        ("/metrics", "# TYPE slipway_journal_append_seconds histogram"),
        ("/", "<title>Slipway</title>"),
    ] {
        let answer = fixture.http.get(fixture.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let text = answer.text().await.unwrap();
        assert!(text.contains(word), "{path}: {text}");
    }
    let nothing = fixture.http.get(fixture.url("/nothing")).send().await.unwrap();
    assert_eq!(nothing.status(), 404);
    assert_eq!(nothing.json::<Value>().await.unwrap()["error"]["code"], "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_cannot_be_read_is_refused_as_json() {
    let fixture = Fixture::start().await;
    let run = fixture.submit(ONE_JOB).await;
    for path in
        ["/api/v1/runs?limit=many", "/api/v1/tests?days=x", &format!("/api/v1/runs/{run}/artifacts/x")]
    {
        let answer = fixture.call(reqwest::Method::GET, path, None).await;
        assert_eq!(answer.status(), 400, "{path}");
        let error = answer.json::<Value>().await.unwrap()["error"].clone();
        assert_eq!(error["code"], "bad_request", "{path}");
        let told = error["message"].as_str().unwrap();
        assert!(
            ["many", "x", "days", "limit"].iter().any(|word| told.contains(word)) && told.len() > 10,
            "{told}"
        );
    }
}
