//! The audit trail: complete, in order, and changed by nobody.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::fake_agent::{FIRST, FakeAgent};
use crate::fixture::{Fixture, ONE_JOB};

async fn trail(fixture: &Fixture) -> Vec<Value> {
    let page = fixture.get("/api/v1/audit").await;
    assert_eq!(page["position"], page["end"], "all of it was read");
    page["entries"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_is_in_it_with_who_how_and_what_came_of_it() {
    let mut fixture = Fixture::start().await;
    let _agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let run = fixture.submit(ONE_JOB).await;
    let cancel = || json!({"actor": "grace", "reason": "wrong branch"});
    fixture.call(Method::POST, &format!("/api/v1/runs/{run}/cancel"), Some(cancel())).await;
    fixture.call(Method::POST, &format!("/api/v1/agents/{FIRST}/drain"), None).await;
    fixture.call(Method::POST, &format!("/api/v1/agents/{FIRST}/resume"), None).await;
    fixture.call(Method::POST, "/api/v1/agents/99999999-0000-4000-8000-000000000009/drain", None).await;
    // Nobody may fill the journal without a token.
    let refused = fixture.http.post(fixture.url("/api/v1/runs")).json(&cancel()).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);

    let expected = [
        ("ada", "run.submit", run.as_str(), "done"),
        ("grace", "run.cancel", run.as_str(), "done"),
        ("an API client", "agent.drain", FIRST, "done"),
        ("an API client", "agent.resume", FIRST, "done"),
        (
            "an API client",
            "agent.drain",
            "99999999-0000-4000-8000-000000000009",
            "refused: there is no agent of this id",
        ),
    ];
    let entries = trail(&fixture).await;
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    let found: Vec<_> =
        entries.iter().map(|e| ["actor", "action", "target", "effect"].map(|name| text(e, name))).collect();
    let expected: Vec<_> = expected.iter().map(|(a, b, c, d)| [*a, b, c, d].map(ToOwned::to_owned)).collect();
    assert_eq!(found, expected);
    assert!(entries.iter().all(|entry| entry["source"] == "http 127.0.0.1"), "{entries:?}");

    fixture.kill_and_restart().await;
    assert_eq!(trail(&fixture).await, entries, "it is the journal's");
    let paged = fixture.get("/api/v1/audit?limit=2").await;
    assert_eq!(paged["entries"].as_array().unwrap()[..], entries[..2]);
    let rest = fixture.get(&format!("/api/v1/audit?after={}", paged["position"])).await;
    assert_eq!(rest["entries"].as_array().unwrap()[..], entries[2..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_or_missing_record_shows() {
    let mut fixture = Fixture::start().await;
    let run = fixture.submit(ONE_JOB).await;
    // Planned: nothing more is journaled by itself.
    fixture.run_until(&run, |shown| shown["instances"].as_array().is_some_and(|all| !all.is_empty())).await;
    let whole = fixture.get("/api/v1/audit/verify").await;
    assert_eq!(whole["position"], whole["end"]);
    let (end, hash) = (whole["end"].as_u64().unwrap(), whole["hash"].as_str().unwrap().to_owned());
    let again = format!("/api/v1/audit/verify?after={end}&hash={hash}");
    assert_eq!(fixture.get(&again).await["hash"], hash.as_str());
    fixture.submit(ONE_JOB).await;
    assert!(fixture.get(&again).await["position"].as_u64().unwrap() > end, "goes on from there");
    let other = format!("/api/v1/audit/verify?after={end}&hash={}", "0".repeat(64));
    let refused = fixture.call(Method::GET, &other, None).await;
    assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["error"]["code"], "journal", "{body}");

    // Somebody with the file and enough knowledge to mend the record's own checksum.
    let options = (*fixture.handle().services().options).clone();
    let place = options.data_dir.join("journal.db");
    fixture.handle.take().unwrap().shutdown().await;
    let file = rusqlite::Connection::open(&place).unwrap();
    let changed = file.execute("UPDATE record SET time_ms = time_ms + 1 WHERE position = 2", []).unwrap();
    assert_eq!(changed, 1);
    drop(file);
    fixture.start_again(options).await;
    let refused = fixture.call(Method::GET, "/api/v1/audit/verify", None).await;
    assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body: Value = refused.json().await.unwrap();
    let told = body["error"]["message"].as_str().unwrap();
    assert!(told.contains("damaged at position 2"), "{told}");
}
