//! The results service over HTTP: who may do what, what is seen when, and what is left after a crash.

use prost::Message as _;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use slipway_proto::v1;
use slipway_proto::v1::coordinator_message::Message as In;

use crate::clients::{job, token};
use crate::fake_agent::{FIRST, FakeAgent, SECOND, hello};
use crate::fixture::{Fixture, ONE_JOB};

pub(crate) const CACHE: &str = "/twirp/github.actions.results.api.v1.CacheService";
pub(crate) const ARTIFACTS: &str = "/twirp/github.actions.results.api.v1.ArtifactService";

pub(crate) async fn call(fixture: &Fixture, token: &str, path: &str, body: Value) -> (StatusCode, Value) {
    let request = fixture.http.post(fixture.url(path)).bearer_auth(token).json(&body);
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

pub(crate) async fn create(fixture: &Fixture, token: &str, key: &str) -> (StatusCode, Value) {
    call(fixture, token, &format!("{CACHE}/CreateCacheEntry"), json!({"key": key, "version": "v"})).await
}

pub(crate) async fn finalize(fixture: &Fixture, token: &str, key: &str, size: usize) -> (StatusCode, Value) {
    let body = json!({"key": key, "version": "v", "size_bytes": size.to_string()});
    call(fixture, token, &format!("{CACHE}/FinalizeCacheEntryUpload"), body).await
}

pub(crate) async fn find(fixture: &Fixture, token: &str, key: &str, restore_keys: &[&str]) -> Value {
    let body = json!({"key": key, "restore_keys": restore_keys, "version": "v"});
    let (status, answer) = call(fixture, token, &format!("{CACHE}/GetCacheEntryDownloadURL"), body).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

pub(crate) async fn put(
    fixture: &Fixture,
    address: &str,
    query: &str,
    body: impl Into<reqwest::Body>,
) -> Response {
    fixture.http.put(format!("{address}{query}")).body(body).send().await.unwrap()
}

/// Saves an entry.
pub(crate) async fn save(fixture: &Fixture, token: &str, key: &str, bytes: &'static str) {
    let (status, answer) = create(fixture, token, key).await;
    assert_eq!((status, &answer["ok"]), (StatusCode::OK, &json!(true)), "{answer}");
    let address = answer["signed_upload_url"].as_str().unwrap();
    assert_eq!(put(fixture, address, "", bytes).await.status(), 201);
    assert_eq!(finalize(fixture, token, key, bytes.len()).await.1["ok"], true);
}

/// A run on this ref with this event; its lease and token.
pub(crate) async fn job_on(
    fixture: &Fixture,
    agent: &mut FakeAgent,
    git_ref: &str,
    event: Value,
) -> (v1::Lease, String) {
    let mut submission = Fixture::submission(ONE_JOB);
    submission["git_ref"] = json!(git_ref);
    submission["event"] = event;
    fixture.submit_value(submission).await;
    let lease = agent.next_assigned().await.lease.unwrap();
    let token = token(agent, &lease).await;
    (lease, token)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_token_of_a_job_that_runs_opens_the_door() {
    let fixture = Fixture::start().await;
    let (mut agent, lease, token) = job(&fixture).await;
    // An agent that goes on with the job has to know what to mask.
    fixture.clock.advance(1_500);
    assert_eq!(self::token(&mut agent, &lease).await, token);
    save(&fixture, &token, "k", "bytes").await;
    let found = find(&fixture, &token, "k", &[]).await;
    let download = found["signed_download_url"].as_str().unwrap().to_owned();
    let (_, open) = create(&fixture, &token, "open").await;
    let upload = open["signed_upload_url"].as_str().unwrap().to_owned();
    for wrong in ["", "x", fixture.handle().admin_token.reveal(), &format!("{token}x")] {
        let (status, answer) = create(&fixture, wrong, "k2").await;
        assert_eq!((status, &answer["code"]), (StatusCode::UNAUTHORIZED, &json!("unauthenticated")));
    }
    // An address allows what it was signed for.
    assert_eq!(put(&fixture, &download, "", "other").await.status(), 403);
    assert_eq!(fixture.http.get(&upload).send().await.unwrap().status(), 403);
    let other = upload.replace("/blobs/2?", "/blobs/1?");
    assert_ne!(other, upload);
    assert_eq!(put(&fixture, &other, "", "other").await.status(), 403);
    assert_eq!(fixture.http.get(&download).send().await.unwrap().text().await.unwrap(), "bytes");

    agent.report(&lease, v1::Result::Success, 0).await;
    while !matches!(agent.hear().await, In::Accepted(_)) {}
    assert_eq!(create(&fixture, &token, "k3").await.0, 401);
    assert_eq!(put(&fixture, &upload, "", "late").await.status(), 403);
    assert_eq!(fixture.http.get(&download).send().await.unwrap().status(), 403);
    // What the job began and did not finish is gone, what it saved is not.
    let results = &fixture.handle().services().results;
    results.sweep(1 << 40).await.unwrap();
    let left = std::fs::read_dir(fixture.folder.path().join("data/objects/results/data")).unwrap().count();
    assert_eq!(left, 1);
    let (_, next) = job_on(&fixture, &mut agent, "refs/heads/main", json!({})).await;
    assert_eq!(find(&fixture, &next, "k", &[]).await["matched_key"], "k");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_was_lost_writes_nothing_more() {
    let fixture = Fixture::start().await;
    let mut first = FakeAgent::connect(fixture.handle(), FIRST).await;
    fixture.submit(ONE_JOB).await;
    let old = first.assigned().await.lease.unwrap();
    let old_token = token(&mut first, &old).await;
    let address = create(&fixture, &old_token, "k").await.1["signed_upload_url"].as_str().unwrap().to_owned();
    assert_eq!(put(&fixture, &address, "", "old bytes").await.status(), 201);
    let mut second = FakeAgent::connect(fixture.handle(), SECOND).await;
    fixture.clock.advance(31_000);
    let new = second.assigned().await.lease.unwrap();
    let new_token = token(&mut second, &new).await;
    assert_eq!(finalize(&fixture, &old_token, "k", 9).await.0, 401);
    // The new attempt does not have to wait for what the old one began.
    save(&fixture, &new_token, "k", "new").await;
    assert_eq!(put(&fixture, &address, "", "old bytes").await.status(), 403);
    let found = find(&fixture, &new_token, "k", &[]).await;
    let bytes = fixture.http.get(found["signed_download_url"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(bytes.text().await.unwrap(), "new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_never_changes_and_is_not_seen_before_it_is_whole() {
    let fixture = Fixture::start().await;
    let (_agent, _lease, token) = job(&fixture).await;
    let (_, begun) = create(&fixture, &token, "k").await;
    let address = begun["signed_upload_url"].as_str().unwrap();
    assert_eq!(find(&fixture, &token, "k", &[]).await["ok"], false);
    // Nothing came yet.
    assert_eq!(finalize(&fixture, &token, "k", 0).await.1["code"], "failed_precondition");
    // Blocks come in any order; the list says where they belong.
    for (id, bytes) in [("Yg==", "world"), ("YQ==", "hello "), ("eA==", "never listed"), ("YQ==", "Hello ")] {
        let query = format!("&comp=block&blockid={}", id.replace('=', "%3D"));
        assert_eq!(put(&fixture, address, &query, bytes).await.status(), 201);
    }
    // Another job's, or this one's second try, has to wait while bytes are under way.
    assert_eq!(create(&fixture, &token, "k").await.1["code"], "already_exists");
    let list = |ids: &[&str]| {
        let ids: String = ids.iter().map(|id| format!("<Latest>{id}</Latest>")).collect();
        format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{ids}</BlockList>")
    };
    assert_eq!(put(&fixture, address, "&comp=blocklist", list(&["YQ==", "Wg=="])).await.status(), 400);
    assert_eq!(put(&fixture, address, "&comp=blocklist", "<nonsense/>").await.status(), 400);
    let listed = put(&fixture, address, "&comp=blocklist", list(&["YQ==", "Yg=="])).await;
    assert_eq!(listed.status(), 201);
    for header in ["etag", "last-modified", "x-ms-request-id", "x-ms-version"] {
        assert!(listed.headers().contains_key(header), "{header}");
    }
    assert_eq!(find(&fixture, &token, "k", &[]).await["ok"], false);
    assert_eq!(finalize(&fixture, &token, "k", 12).await.1["code"], "invalid_argument");
    let (_, done) = finalize(&fixture, &token, "k", 11).await;
    assert_eq!(done["ok"], true);
    // The answer may have been lost.
    assert_eq!(finalize(&fixture, &token, "k", 11).await.1, done);
    assert_eq!(put(&fixture, address, "", "changed").await.status(), 409);
    assert_eq!(put(&fixture, address, "&comp=blocklist", list(&["Yg=="])).await.status(), 409);
    let (status, again) = create(&fixture, &token, "k").await;
    assert_eq!((status, &again["code"]), (StatusCode::CONFLICT, &json!("already_exists")));

    let found = find(&fixture, &token, "k", &[]).await;
    let download = found["signed_download_url"].as_str().unwrap();
    let get = |range: &str| fixture.http.get(download).header("range", range.to_owned()).send();
    let part = get("bytes=4-8").await.unwrap();
    assert_eq!(
        (part.status(), part.headers()["content-range"].to_str().unwrap()),
        (StatusCode::PARTIAL_CONTENT, "bytes 4-8/11")
    );
    assert_eq!(part.text().await.unwrap(), "o wor");
    assert_eq!(get("bytes=11-").await.unwrap().status(), 416);
    let head = fixture.http.head(download).send().await.unwrap();
    // No browser shows what a job uploaded as a page of the coordinator's.
    assert_eq!(head.headers()["content-disposition"], "attachment");
    assert_eq!(head.headers()["x-content-type-options"], "nosniff");
    assert_eq!((head.status(), head.headers()["content-length"].to_str().unwrap()), (StatusCode::OK, "11"));
    assert_eq!(fixture.http.get(download).send().await.unwrap().text().await.unwrap(), "Hello world");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_are_found_by_scope_then_key_then_the_newest_prefix() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect_with(fixture.handle(), hello(FIRST, 8, Vec::new())).await;
    let event = json!({"repository": {"default_branch": "main"}});
    let (_, main) = job_on(&fixture, &mut agent, "refs/heads/main", event.clone()).await;
    let pull =
        json!({"repository": {"default_branch": "main"}, "pull_request": {"base": {"ref": "release"}}});
    let (_, release) = job_on(&fixture, &mut agent, "refs/heads/release", event.clone()).await;
    let (_, merge) = job_on(&fixture, &mut agent, "refs/pull/7/merge", pull).await;
    let (_, topic) = job_on(&fixture, &mut agent, "refs/heads/topic", event).await;
    save(&fixture, &main, "deps-1", "main 1").await;
    fixture.clock.advance(5);
    save(&fixture, &main, "deps-2", "main 2").await;
    assert_eq!(find(&fixture, &main, "deps-3", &["none", "deps-"]).await["matched_key"], "deps-2");
    assert_eq!(find(&fixture, &main, "deps-1", &[]).await["matched_key"], "deps-1");
    assert_eq!(find(&fixture, &main, "deps", &[]).await["matched_key"], "deps-2");
    assert_eq!(find(&fixture, &main, "deps-%", &["dep_"]).await["ok"], false);
    // The default branch' are everybody's to read; a branch's are its own and those of pull requests into it.
    assert_eq!(find(&fixture, &topic, "deps-1", &[]).await["matched_key"], "deps-1");
    save(&fixture, &release, "deps-0", "release").await;
    assert_eq!(find(&fixture, &merge, "deps-9", &["deps-"]).await["matched_key"], "deps-0");
    assert_eq!(find(&fixture, &topic, "deps-0", &[]).await["ok"], false);
    save(&fixture, &merge, "deps-1", "merge").await;
    let download =
        find(&fixture, &merge, "deps-1", &[]).await["signed_download_url"].as_str().unwrap().to_owned();
    assert_eq!(fixture.http.get(download).send().await.unwrap().text().await.unwrap(), "merge");
    let download =
        find(&fixture, &main, "deps-1", &[]).await["signed_download_url"].as_str().unwrap().to_owned();
    assert_eq!(fixture.http.get(download).send().await.unwrap().text().await.unwrap(), "main 1");
    // Another repository has none of them.
    let mut other = Fixture::submission(ONE_JOB);
    other["repository"] = json!("o/other");
    fixture.submit_value(other).await;
    let lease = agent.next_assigned().await.lease.unwrap();
    let other = token(&mut agent, &lease).await;
    assert_eq!(find(&fixture, &other, "deps-1", &["deps"]).await["ok"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_what_is_saved_and_an_upload_under_way() {
    let mut fixture = Fixture::start().await;
    let (agent, lease, token) = job(&fixture).await;
    save(&fixture, &token, "done", "done").await;
    let (_, begun) = create(&fixture, &token, "half").await;
    let address = begun["signed_upload_url"].as_str().unwrap().to_owned();
    let before = fixture.url("");
    assert_eq!(put(&fixture, &address, "&comp=block&blockid=YQ%3D%3D", "half").await.status(), 201);
    // What a crash in the middle of a block leaves behind.
    let data = fixture.folder.path().join("data/objects/results/data");
    std::fs::create_dir(data.join("999")).unwrap();
    std::fs::write(data.join("999/part"), "lost").unwrap();
    drop(agent);
    fixture.kill_and_restart().await;
    assert!(!data.join("999").exists());
    let held = vec![lease.clone()];
    let agent = FakeAgent::connect_with(fixture.handle(), hello(FIRST, 4, held)).await;
    assert_eq!(agent.welcome.kept, [lease]);
    assert_eq!(find(&fixture, &token, "done", &[]).await["ok"], true);
    let address = address.replace(&before, &fixture.url(""));
    let list = "<BlockList><Latest>YQ==</Latest></BlockList>";
    assert_eq!(put(&fixture, &address, "&comp=blocklist", list).await.status(), 201);
    assert_eq!(finalize(&fixture, &token, "half", 4).await.1["ok"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_least_recently_used_entries_make_room_and_unused_ones_go() {
    let fixture = Fixture::start().await;
    let (_agent, _lease, token) = job(&fixture).await;
    for (key, bytes) in [("a", "12345"), ("b", "12345"), ("c", "12345")] {
        save(&fixture, &token, key, bytes).await;
        fixture.clock.advance(5);
    }
    assert_eq!(find(&fixture, &token, "a", &[]).await["ok"], true);
    let results = &fixture.handle().services().results;
    results.sweep(10).await.unwrap();
    for (key, expected) in [("a", true), ("b", false), ("c", true)] {
        assert_eq!(find(&fixture, &token, key, &[]).await["ok"], expected, "{key}");
    }
    // The name is free again.
    save(&fixture, &token, "b", "54321").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_block_breaks_the_download_off() {
    let fixture = Fixture::start().await;
    let (_agent, _lease, token) = job(&fixture).await;
    save(&fixture, &token, "k", "what was written").await;
    let folder = fixture.folder.path().join("data/objects/results/data/1");
    let part = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    std::fs::write(part, "what was damaged").unwrap();
    let found = find(&fixture, &token, "k", &[]).await;
    let answer = fixture.http.get(found["signed_download_url"].as_str().unwrap()).send().await;
    let read = match answer {
        Ok(answer) => answer.text().await,
        Err(error) => Err(error),
    };
    assert!(read.is_err(), "{read:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_artifact_is_what_was_announced_and_stays_with_its_run() {
    let fixture = Fixture::start().await;
    let (mut agent, lease, token) = job(&fixture).await;
    let attempt = lease.attempt.clone().unwrap();
    let ids = |more: Value| {
        let mut body = json!({
            "workflow_run_backend_id": attempt.run_id, "workflow_job_run_backend_id": attempt.instance_id,
            "name": "n", "version": 4,
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let ask = |method: &str, body: Value| {
        let path = format!("{ARTIFACTS}/{method}");
        let (fixture, token) = (&fixture, &token);
        async move { call(fixture, token, &path, body).await.1 }
    };
    let upload = async |bytes: &'static str, hash: &str| {
        let begun = ask("CreateArtifact", ids(json!({}))).await;
        let address = begun["signed_upload_url"].as_str().unwrap().to_owned();
        assert_eq!(put(&fixture, &address, "", bytes).await.status(), 201);
        ask(
            "FinalizeArtifact",
            ids(json!({"size": bytes.len().to_string(), "hash": format!("sha256:{hash}")})),
        )
        .await
    };
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(upload("abd", abc).await["code"], "invalid_argument");
    assert_eq!(ask("ListArtifacts", ids(json!({}))).await["artifacts"], json!([]));
    assert_eq!(upload("abc", abc).await["ok"], true);
    assert_eq!(ask("CreateArtifact", ids(json!({}))).await["code"], "already_exists");
    for name in ["", "a/b", "a:b", &"n".repeat(300)] {
        assert_eq!(
            ask("CreateArtifact", ids(json!({"name": name}))).await["code"],
            "invalid_argument",
            "{name}"
        );
    }
    let foreign =
        ids(json!({"workflow_run_backend_id": "11111111-0000-4000-8000-000000000009", "name": "m"}));
    assert_eq!(ask("CreateArtifact", foreign).await["code"], "permission_denied");
    let listed = ask("ListArtifacts", ids(json!({"name_filter": "n"}))).await;
    assert_eq!(listed["artifacts"][0]["digest"], format!("sha256:{abc}"));
    let signed = ask("GetSignedArtifactURL", ids(json!({}))).await;
    let download = fixture.http.get(signed["signed_url"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(download.headers()["content-type"], "application/zip");
    assert!(download.headers()["content-disposition"].to_str().unwrap().contains("n.zip"));
    assert_eq!(download.text().await.unwrap(), "abc");
    // Another run sees nothing of it.
    let (other_lease, other) = job_on(&fixture, &mut agent, "refs/heads/main", json!({})).await;
    let other_attempt = other_lease.attempt.unwrap();
    let body = json!({
        "workflow_run_backend_id": other_attempt.run_id, "workflow_job_run_backend_id": other_attempt.instance_id,
    });
    let (_, seen) = call(&fixture, &other, &format!("{ARTIFACTS}/ListArtifacts"), body).await;
    assert_eq!(seen["artifacts"], json!([]));
    let (status, _) =
        call(&fixture, &other, &format!("{ARTIFACTS}/GetSignedArtifactURL"), ids(json!({}))).await;
    assert_eq!(status, 404);
    // It goes when its time is over.
    fixture.clock.advance(91 * 24 * 3_600_000);
    fixture.handle().services().results.sweep(1 << 40).await.unwrap();
    assert_eq!(
        std::fs::read_dir(fixture.folder.path().join("data/objects/results/data")).unwrap().count(),
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_has_a_bounded_number_of_uploads_under_way() {
    let fixture = Fixture::start().await;
    let (_agent, _lease, token) = job(&fixture).await;
    for number in 0..slipway_coordinator::results::limits::UPLOADS_PER_JOB_MAX {
        assert_eq!(create(&fixture, &token, &format!("k{number}")).await.0, 200);
    }
    let (status, answer) = create(&fixture, &token, "more").await;
    assert_eq!((status, &answer["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("resource_exhausted")));
    // The first is finished, and there is room again.
    let (_, first) = create(&fixture, &token, "k0").await;
    put(&fixture, first["signed_upload_url"].as_str().unwrap(), "", "bytes").await;
    assert_eq!(finalize(&fixture, &token, "k0", 5).await.1["ok"], true);
    save(&fixture, &token, "more", "bytes").await;
}

/// `CreateCacheEntry` and `GetCacheEntryDownloadURL` as clients in Rust and Go send them.
#[derive(Clone, PartialEq, prost::Message)]
struct KeyAndVersion {
    #[prost(string, tag = "2")]
    key: String,
    #[prost(string, tag = "3")]
    version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Address {
    #[prost(bool, tag = "1")]
    ok: bool,
    #[prost(string, tag = "2")]
    address: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protobuf_is_answered_with_protobuf_and_errors_with_json() {
    let fixture = Fixture::start().await;
    let (_agent, _lease, token) = job(&fixture).await;
    let ask = async |body: Vec<u8>, content_type: &str| {
        let request = fixture.http.request(Method::POST, fixture.url(&format!("{CACHE}/CreateCacheEntry")));
        request.bearer_auth(&token).header("content-type", content_type).body(body).send().await.unwrap()
    };
    let message = KeyAndVersion { key: "k".to_owned(), version: "v".to_owned() };
    let answer = ask(message.encode_to_vec(), "application/protobuf").await;
    assert_eq!(answer.headers()["content-type"], "application/protobuf");
    let answer = Address::decode(answer.bytes().await.unwrap()).unwrap();
    assert!(answer.ok);
    assert_eq!(put(&fixture, &answer.address, "", "bytes").await.status(), 201);
    let refused = ask(message.encode_to_vec(), "application/protobuf").await;
    assert_eq!(refused.status(), 409);
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "already_exists");
    assert_eq!(ask(b"\xff\xff".to_vec(), "application/protobuf").await.status(), 400);
    assert_eq!(ask(b"{".to_vec(), "application/json").await.status(), 400);
    assert_eq!(ask(Vec::new(), "text/plain").await.status(), 404);
    let (status, answer) = call(&fixture, &token, &format!("{CACHE}/Nonsense"), json!({})).await;
    assert_eq!((status, &answer["code"]), (StatusCode::NOT_FOUND, &json!("bad_route")));
}
