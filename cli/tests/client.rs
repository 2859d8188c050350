//! The commands that talk to a coordinator, against one that answers from a script.
#![allow(clippy::unwrap_used)]

mod program;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json as Body, Router};
use program::{Done, Place, finish, refuses};
use serde_json::{Value as Json, json};

const TOKEN: &str = "word";
const RUN: &str = "0190aaaa-0000-7000-8000-000000000001";
const OTHER: &str = "0190aaaa-0000-7000-8000-000000000002";

const EVENTS: [&str; 6] = [
    r#"{"type":"step","job":"b","instance":"i1","name":"b (1)","step":"Test","outcome":null,"conclusion":null}"#,
    r#"{"type":"log","job":"b","instance":"i1","step":"Test","line":"one"}"#,
    r#"{"type":"log","job":"c","instance":"i2","step":"Lint","line":"\u001b[2Jtwo"}"#,
    r#"{"type":"step","job":"b","instance":"i1","name":"b (1)","step":"Test","outcome":"failure","conclusion":"failure"}"#,
    r#"{"type":"job","job":"b","instance":"i1","name":"b (1)","result":"failure","attempt":1,"cause":null}"#,
    r#"{"type":"run","run":"0190aaaa-0000-7000-8000-000000000001","result":"failure"}"#,
];

#[derive(Default)]
struct Script {
    /// Where each connection to the event stream breaks off, in events; later ones do not.
    breaks: Vec<usize>,
    connections: AtomicUsize,
    asked: Mutex<Vec<String>>,
    submitted: Mutex<Option<Json>>,
    uploaded: AtomicUsize,
}

struct Coordinator {
    address: String,
    script: Arc<Script>,
    _runtime: tokio::runtime::Runtime,
}

fn coordinator(breaks: &[usize]) -> Coordinator {
    let script = Arc::new(Script { breaks: breaks.to_vec(), ..Script::default() });
    let router = Router::new()
        .route("/api/v1/runs", get(runs).post(submit))
        .route("/api/v1/blobs", post(upload))
        .route("/api/v1/runs/{id}", get(one_run))
        .route("/api/v1/runs/{id}/events", get(events))
        .route("/api/v1/runs/{id}/cancel", post(order))
        .route("/api/v1/runs/{id}/rerun", post(submit))
        .route("/api/v1/dispatches", post(submit))
        .route("/api/v1/history/rebuild", post(rebuild))
        .route("/api/v1/agents", get(agents))
        .route("/api/v1/agents/{id}/{order}", post(order))
        .layer(middleware::from_fn_with_state(script.clone(), authorised))
        .with_state(script.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    runtime.spawn(async move { axum::serve(listener, router).await });
    Coordinator { address, script, _runtime: runtime }
}

impl Coordinator {
    fn run(&self, place: &Place, arguments: &[&str]) -> Done {
        let mut command = place.command(arguments);
        command.env("SLIPWAY_SERVER", &self.address).env("SLIPWAY_TOKEN", TOKEN);
        finish(command)
    }
}

async fn authorised(State(script): State<Arc<Script>>, request: Request, next: Next) -> Response {
    let given = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    if given != Some("Bearer word") {
        return (StatusCode::UNAUTHORIZED, Body(json!({"error": {"message": "no"}}))).into_response();
    }
    script.asked.lock().unwrap().push(format!("{} {}", request.method(), request.uri().path()));
    next.run(request).await
}

fn a_run(id: &str) -> Json {
    json!({"run_id": id, "workflow_name": "CI\u{1b}[2J", "workflow_file": ".github/workflows/ci.yml", "event_name": "push",
           "repository": "o/r", "git_ref": "refs/heads/main", "sha": "0123456789", "actor": "ada", "state": "finished",
           "result": "failure", "created_ms": 1000, "finished_ms": 3500,
           "instances": [
               {"instance_id": "i1", "job": "b", "name": "b (1)", "state": "finished", "result": "failure", "attempt": 1},
               {"instance_id": "i2", "job": "c", "name": "c", "state": "waiting", "waits_for": "no agent has `gpu`"}]})
}

async fn runs(Query(query): Query<std::collections::HashMap<String, String>>) -> Body<Json> {
    let limit: usize = query["limit"].parse().unwrap();
    let all = [a_run(OTHER), a_run(RUN)];
    Body(json!({"runs": all.into_iter().take(limit).collect::<Vec<_>>()}))
}

async fn one_run(Path(id): Path<String>) -> Response {
    match id == RUN || id == OTHER {
        true => Body(a_run(&id)).into_response(),
        false => (StatusCode::NOT_FOUND, Body(json!({"error": {"message": format!("no run {id}")}})))
            .into_response(),
    }
}

async fn events(State(script): State<Arc<Script>>) -> String {
    let connection = script.connections.fetch_add(1, Ordering::SeqCst);
    let told = script.breaks.get(connection).copied().unwrap_or(EVENTS.len());
    EVENTS[..told].iter().map(|line| format!("{line}\n")).collect()
}

async fn rebuild(State(script): State<Arc<Script>>) -> Response {
    script.asked.lock().unwrap().push("rebuild".to_owned());
    let lines = match script.breaks.as_slice() {
        [] => concat!(
            "{\"position\":5,\"end\":10}\n{\"position\":5,\"end\":10}\n{\"position\":12,\"end\":10,\"done\":{\"runs\":1,",
            "\"jobs\":2,\"attempts\":3,\"steps\":4,\"audit\":5,\"attempts_without_steps\":6,\"tests\":7}}\n"
        ),
        [1] => "{\"position\":5,\"end\":10}\n",
        _ => "{\"position\":5,\"end\":10,\"error\":\"disk \\u001b[2J full\"}\n",
    };
    lines.into_response()
}

async fn agents() -> Body<Json> {
    Body(json!({"agents": [
        {"agent_id": "a1b2", "name": "one", "arch": "X64", "labels": ["linux", "gpu"], "slots": 4, "free_slots": 3,
         "connected": true, "draining": false},
        {"agent_id": "c3d4", "name": "two", "arch": "ARM64", "labels": [], "slots": 1, "connected": false}]}))
}

async fn order() -> StatusCode {
    StatusCode::ACCEPTED
}

async fn upload(
    State(script): State<Arc<Script>>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Body<Json> {
    let length: usize = headers["content-length"].to_str().unwrap().parse().unwrap();
    assert_eq!(length, body.len());
    script.uploaded.store(body.len(), Ordering::SeqCst);
    Body(json!({"sha256": "ab", "size_bytes": body.len()}))
}

async fn submit(State(script): State<Arc<Script>>, Body(body): Body<Json>) -> (StatusCode, Body<Json>) {
    *script.submitted.lock().unwrap() = Some(body);
    (StatusCode::CREATED, Body(json!({"run_id": RUN})))
}

#[test]
fn listings_are_tables_or_all_the_coordinator_says() {
    let (place, server) = (Place::new(), coordinator(&[]));
    let table = server.run(&place, &["runs"]);
    assert_eq!(table.code, 0, "{table:?}");
    let rows: Vec<&str> = table.out.lines().collect();
    assert!(rows[0].starts_with("RUN ") && rows.len() == 3, "{table:?}");
    assert!(
        rows[1].contains("0190aaaa-0000") && rows[1].contains("failure") && rows[1].contains("main"),
        "{table:?}"
    );
    assert!(!table.out.contains('\u{1b}'), "a name cannot clear the screen: {table:?}");
    let listing: Json =
        serde_json::from_str(&server.run(&place, &["runs", "--json", "--limit", "1"]).out).unwrap();
    assert_eq!(listing, json!([a_run(OTHER)]));

    let agents = server.run(&place, &["agents"]);
    assert_eq!(agents.code, 0);
    assert!(agents.out.contains("a1b2   one   ready  X64    3/4   linux, gpu"), "{agents:?}");
    assert!(agents.out.contains("c3d4   two   gone"), "{agents:?}");
    let listing: Json = serde_json::from_str(&server.run(&place, &["agents", "--json"]).out).unwrap();
    assert_eq!(listing[1]["agent_id"], "c3d4");
}

#[test]
fn a_run_is_shown_by_the_beginning_of_its_id() {
    let (place, server) = (Place::new(), coordinator(&[]));
    for named in [RUN, &RUN[..36], "0190AAAA-0000-7000-8000-000000000001"] {
        let shown = server.run(&place, &["show", named]);
        assert_eq!(shown.code, 0, "{shown:?}");
        assert!(
            shown.out.contains("took 2.5s") && shown.out.contains("c waits: no agent has `gpu`"),
            "{shown:?}"
        );
    }
    let latest = server.run(&place, &["show", "latest", "--json"]);
    assert_eq!(serde_json::from_str::<Json>(&latest.out).unwrap(), a_run(OTHER));
    refuses(&server.run(&place, &["show", "0190aaaa"]), 2, &["several runs", OTHER]);
    refuses(&server.run(&place, &["show", "ffffffff"]), 2, &["no run begins with `ffffffff`"]);
    let unknown = "ffffffff-0000-7000-8000-000000000001";
    refuses(&server.run(&place, &["show", unknown]), 2, &["no run", unknown]);
}

#[test]
fn logs_are_lines_with_their_jobs_names() {
    let (place, server) = (Place::new(), coordinator(&[]));
    let all = server.run(&place, &["logs", RUN]);
    assert_eq!(all.code, 0, "{all:?}");
    // What goes into a pipe often ends on a terminal: nothing moves its cursor.
    let lines =
        "b (1) | # Test\nb (1) | one\nc | # Lint\nc | two\nb (1) | step failure\nb (1) | job failure\n";
    assert_eq!(all.out, lines);
    for named in ["B", "b (1)", "i1"] {
        let one = server.run(&place, &["logs", RUN, named]);
        assert_eq!(one.out, "# Test\none\nstep failure\njob failure\n", "{one:?}");
    }
    let objects = server.run(&place, &["logs", RUN, "c", "--json"]);
    assert_eq!(objects.out, format!("{}\n", EVENTS[2]));
    refuses(&server.run(&place, &["logs", RUN, "x"]), 2, &["`x`", "b, c"]);
}

#[test]
fn a_stream_that_breaks_off_goes_on_without_gap_or_repeat() {
    let place = Place::new();
    let whole = coordinator(&[]);
    let expected = whole.run(&place, &["logs", RUN, "-f"]).out;
    let broken = coordinator(&[2, 0, 1, 4]);
    let done = broken.run(&place, &["logs", RUN, "-f"]);
    assert_eq!((done.code, done.out), (0, expected));
    assert_eq!(broken.script.connections.load(Ordering::SeqCst), 5);
}

#[test]
fn cancel_and_agents_are_orders() {
    let (place, server) = (Place::new(), coordinator(&[]));
    assert_eq!(server.run(&place, &["cancel", "latest"]).code, 0);
    assert_eq!(server.run(&place, &["agents", "drain", "one"]).code, 0);
    assert_eq!(server.run(&place, &["agents", "resume", "c3"]).code, 0);
    refuses(&server.run(&place, &["agents", "drain", "nobody"]), 2, &["nobody"]);
    let asked = server.script.asked.lock().unwrap();
    for order in [
        &format!("POST /api/v1/runs/{OTHER}/cancel"),
        "POST /api/v1/agents/a1b2/drain",
        "POST /api/v1/agents/c3d4/resume",
    ] {
        assert!(asked.iter().any(|asked| asked == order), "{order} is missing: {asked:?}");
    }
}

#[test]
fn a_run_takes_the_working_tree_along_and_ends_like_the_workflow() {
    let (place, server) = (Place::new(), coordinator(&[3]));
    place.write(".github/workflows/ci.yml", "on: push\njobs: {b: {runs-on: gpu, steps: [{run: 'true'}]}}\n");
    let done = server.run(&place, &["run", "--var", "a=b", "--secret", "S=s3cret", "--job", "b"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.out.contains("b (1) | one\n") && done.out.contains("step `Test` failed"), "{done:?}");
    assert!(done.out.ends_with(&format!("run {RUN} failure\n")), "{done:?}");
    let submitted = server.script.submitted.lock().unwrap().clone().unwrap();
    assert_eq!(submitted["workflow_file"], ".github/workflows/ci.yml");
    assert_eq!((&submitted["event_name"], &submitted["jobs"]), (&json!("push"), &json!(["b"])));
    assert_eq!((&submitted["vars"], &submitted["secrets"]), (&json!({"a": "b"}), &json!({"S": "s3cret"})));
    assert_eq!(submitted["event"]["ref"], submitted["git_ref"]);
    assert!(server.script.uploaded.load(Ordering::SeqCst) > 0);
}

#[test]
fn json_is_the_contracts_objects_and_nothing_else() {
    let (place, server) = (Place::new(), coordinator(&[]));
    place.write(".github/workflows/ci.yml", "on: push\njobs: {b: {runs-on: gpu, steps: [{run: 'true'}]}}\n");
    let done = server.run(&place, &["run", "--json"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert_eq!(done.out.lines().collect::<Vec<_>>(), EVENTS);
    assert!(!done.err.contains("no matter"), "{done:?}");
    let needless = server.run(&place, &["run", "--json", "--image", "gpu=x", "--job-engine", "private"]);
    assert_eq!((needless.code, &needless.out), (1, &done.out));
    assert!(needless.err.contains("note: --image, --job-engine: no matter here"), "{needless:?}");
}

#[test]
fn a_refused_token_and_a_missing_coordinator_are_told_apart() {
    let (place, server) = (Place::new(), coordinator(&[]));
    let refused = place.run(&["runs", "--server", &server.address, "--token", "wrong"]);
    refuses(&refused, 2, &[&server.address, "the given token", "--token"]);
    let missing = place.run(&["runs", "--server", &server.address]);
    refuses(&missing, 2, &["admin.token", "--token"]);
    assert_eq!(refused.err.lines().count(), 1, "{refused:?}");
    let gone = place.run(&["runs", "--server", "127.0.0.1:1"]);
    refuses(&gone, 3, &["http://127.0.0.1:1", "slipway up"]);
    place.write("no-data/admin.token", "word\n");
    assert_eq!(
        place.run(&["runs", "--server", &server.address]).code,
        0,
        "the data directory's token is found"
    );
}

#[test]
fn a_rerun_and_a_dispatch_name_the_new_run() {
    let (place, server) = (Place::new(), coordinator(&[]));
    let again =
        server.run(&place, &["rerun", "0190aaaa-0000-7000-8000-000000000002", "--failed", "--secret", "S=1"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.out.contains(RUN) && again.out.contains(OTHER), "{again:?}");
    let asked = server.script.submitted.lock().unwrap().take().unwrap();
    assert_eq!(asked, json!({"failed": true, "secrets": {"S": "1"}}));

    let arguments = [
        "dispatch",
        "tool",
        "--ref",
        "v1",
        "--input",
        "a=b",
        "--repository",
        "o/n",
        "--var",
        "V=2",
        "--priority",
        "-20",
        "--json",
    ];
    let started = server.run(&place, &arguments);
    assert_eq!(
        (started.code, started.out.trim()),
        (0, format!("{{\"run\":\"{RUN}\"}}").as_str()),
        "{started:?}"
    );
    let mut asked = server.script.submitted.lock().unwrap().take().unwrap();
    asked.as_object_mut().unwrap().remove("actor");
    let expected = json!({"workflow": "tool", "ref": "v1", "repository": "o/n", "inputs": {"a": "b"},
                          "vars": {"V": "2"}, "secrets": {}, "priority": -20});
    assert_eq!(asked, expected);
    for refused in ["101", "high"] {
        let answer = server.run(&place, &["dispatch", "tool", "--priority", refused]);
        refuses(&answer, 2, &["--priority", "-100 to 100"]);
    }
    refuses(&server.run(&place, &["dispatch", "tool", "--input", "a"]), 2, &["--input", "NAME=VALUE"]);
}

#[test]
fn a_rebuild_tells_how_far_it_is_and_what_there_is() {
    let place = Place::new();
    let ask = |breaks: &[usize]| {
        let coordinator = coordinator(breaks);
        place.run(&["admin", "rebuild", "--server", &coordinator.address, "--token", TOKEN])
    };
    let done = ask(&[]);
    assert_eq!(done.code, 0, "{done:?}");
    let lines: Vec<&str> = done.out.lines().collect();
    assert_eq!(lines[..2], ["position 5 of 10", "done: the history has the journal up to position 12"]);
    assert_eq!(lines[2], "1 runs, 2 jobs, 3 attempts, 4 steps, 7 test cases, 5 entries of the audit trail");
    assert!(lines[3].starts_with("6 attempts without steps"), "{lines:?}");
    refuses(&ask(&[1]), 3, &["not told to its end", "goes on at the coordinator"]);
    let failed = ask(&[2]);
    refuses(&failed, 3, &["full", "tries again by itself"]);
    assert!(!failed.err.contains('\u{1b}'), "{failed:?}");
}
