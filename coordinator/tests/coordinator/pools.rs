//! Pools over HTTP, beside agents and jobs.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use slipway_proto::keda::external_scaler_client::ExternalScalerClient;
use slipway_proto::keda::{GetMetricsRequest, ScaledObjectRef};
use slipway_proto::v1;

use crate::fake_agent::{FIRST, FakeAgent, SECOND, hello};
use crate::fixture::Fixture;

async fn set(fixture: &Fixture, name: &str, rule: Value) -> (StatusCode, Value) {
    let answer = fixture.call(Method::PUT, &format!("/api/v1/pools/{name}"), Some(rule)).await;
    (answer.status(), answer.json().await.unwrap())
}

async fn pool(fixture: &Fixture, name: &str) -> Value {
    let pools = fixture.get("/api/v1/pools").await;
    let pools = pools["pools"].as_array().unwrap();
    pools.iter().find(|pool| pool["name"] == name).cloned().unwrap_or(Value::Null)
}

fn jobs(runs_on: &str, count: usize) -> String {
    let list: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    format!(
        "on: push\njobs:\n  j:\n    runs-on: {runs_on}\n    strategy:\n      matrix:\n        n: [{}]\n    steps:\n      - run: echo\n",
        list.join(", ")
    )
}

async fn waiting(fixture: &Fixture, run: &str, count: usize) {
    let queued = |shown: &Value| shown["instances"].as_array().is_some_and(|all| all.len() == count);
    fixture.run_until(run, queued).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_counts_for_the_least_special_pool_that_can_run_it() {
    let fixture = Fixture::start().await;
    let special = v1::Hello {
        labels: vec!["self-hosted".into(), "linux".into(), "gpu".into()],
        slots: 2,
        ..hello(SECOND, 2, Vec::new())
    };
    let _first = FakeAgent::connect(fixture.handle(), FIRST).await;
    let _second = FakeAgent::connect_with(fixture.handle(), special).await;
    let (status, gpu) =
        set(&fixture, "gpu", json!({"arch": "x64", "labels": ["GPU"], "min": 0, "max": 3})).await;
    assert_eq!(status, StatusCode::OK, "{gpu}");
    assert_eq!((&gpu["ready"], &gpu["slots"], &gpu["labels"]), (&json!(1), &json!(2), &json!(["gpu"])));
    assert_eq!(pool(&fixture, "x64").await["ready"], 1);
    // Four slots are taken, six wait: three agents of four slots.
    let run = fixture.submit(&jobs("ubuntu-latest", 10)).await;
    waiting(&fixture, &run, 10).await;
    let run = fixture.submit(&jobs("[self-hosted, gpu]", 9)).await;
    waiting(&fixture, &run, 9).await;
    let run = fixture.submit(&jobs("[self-hosted, mainframe]", 2)).await;
    waiting(&fixture, &run, 2).await;
    let general = pool(&fixture, "x64").await;
    assert_eq!(
        (&general["busy"], &general["queued"], &general["desired"]),
        (&json!(4), &json!(6), &json!(3))
    );
    let gpu = pool(&fixture, "gpu").await;
    assert_eq!(
        (&gpu["busy"], &gpu["queued"], &gpu["desired"]),
        (&json!(2), &json!(7), &json!(3)),
        "5, but for its max"
    );
    assert_eq!(fixture.get("/api/v1/pools").await["unplaced"], 2);
    let metrics = fixture.call(Method::GET, "/metrics", None).await.text().await.unwrap();
    assert!(metrics.contains("slipway_pool_desired{pool=\"gpu\",arch=\"X64\"} 3"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_without_agents_calls_for_those_that_its_jobs_need() {
    let mut fixture = Fixture::start().await;
    set(&fixture, "arm64", json!({"min": 0, "max": 5})).await;
    set(&fixture, "x64", json!({"min": 1, "max": 5})).await;
    let run = fixture.submit(&jobs("[self-hosted, ARM64]", 2)).await;
    waiting(&fixture, &run, 2).await;
    let run = fixture.submit(&jobs("ubuntu-24.04-arm", 1)).await;
    waiting(&fixture, &run, 1).await;
    fixture.kill_and_restart().await;
    let arm = pool(&fixture, "arm64").await;
    assert_eq!((&arm["queued"], &arm["desired"], &arm["min"]), (&json!(3), &json!(3), &json!(0)));
    assert_eq!(pool(&fixture, "x64").await["desired"], 1, "never fewer than its min");
    assert_eq!(fixture.call(Method::DELETE, "/api/v1/pools/x64", None).await.status(), StatusCode::OK);
    assert_eq!(pool(&fixture, "x64").await, Value::Null, "without a rule, agents and jobs it says nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_makes_no_sense_is_refused_with_a_reason() {
    let fixture = Fixture::start().await;
    for (name, rule, words) in [
        ("gpu", json!({"min": 0, "max": 1}), "X64 or ARM64"),
        ("x64", json!({"min": 2, "max": 1}), "min"),
        ("x64", json!({"min": 0, "max": 100_000}), "max"),
        ("x64", json!({"min": -1, "max": 1}), "min"),
        ("x64", json!({"max": 1}), "min"),
        ("a%20b", json!({"arch": "x64", "min": 0, "max": 1}), "name"),
        ("s", json!({"arch": "s390x", "min": 0, "max": 1}), "s390x"),
    ] {
        let (status, answer) = set(&fixture, name, rule.clone()).await;
        assert!(status.is_client_error(), "{name} {rule}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{name} {rule}: {message}");
    }
    let missing = fixture.call(Method::DELETE, "/api/v1/pools/none", None).await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    assert_eq!(fixture.get("/api/v1/pools").await["pools"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keda_is_told_how_many_agents_a_pool_wants_and_when_that_begins() {
    let fixture = Fixture::start().await;
    set(&fixture, "arm64", json!({"min": 0, "max": 2})).await;
    let address = format!("http://{}", fixture.handle().grpc_addr);
    let mut keda = ExternalScalerClient::connect(address).await.unwrap();
    let asks = |pool: &str| ScaledObjectRef {
        scaler_metadata: [("pool".to_owned(), pool.to_owned())].into(),
        ..ScaledObjectRef::default()
    };
    assert!(!keda.is_active(asks("ARM64")).await.unwrap().into_inner().result);
    let mut stream = keda.stream_is_active(asks("arm64")).await.unwrap().into_inner();
    assert!(!stream.message().await.unwrap().unwrap().result);
    let run = fixture.submit(&jobs("[self-hosted, ARM64]", 5)).await;
    waiting(&fixture, &run, 5).await;
    assert!(stream.message().await.unwrap().unwrap().result, "told when it changes");
    let specs = keda.get_metric_spec(asks("arm64")).await.unwrap().into_inner().metric_specs;
    assert_eq!((specs[0].metric_name.as_str(), specs[0].target_size), ("agents", 1));
    let metric = |pool: &str, name: &str| GetMetricsRequest {
        scaled_object_ref: Some(asks(pool)),
        metric_name: name.to_owned(),
    };
    let values = keda.get_metrics(metric("arm64", "agents")).await.unwrap().into_inner().metric_values;
    assert_eq!((values[0].metric_value, values[0].metric_value_float), (2, 2.0), "5, but for its max");
    for (request, code) in [
        (metric("none", "agents"), tonic::Code::NotFound),
        (metric("arm64", "other"), tonic::Code::NotFound),
        (GetMetricsRequest { scaled_object_ref: None, ..metric("", "agents") }, tonic::Code::InvalidArgument),
    ] {
        assert_eq!(keda.get_metrics(request).await.unwrap_err().code(), code);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_take_more_of_an_agent_call_for_more_agents() {
    let fixture = Fixture::start().await;
    let amount = |cpus: u64| v1::Resources { cpu_millis: cpus * 1_000, memory_bytes: cpus << 30 };
    let sizing = v1::Sizing {
        total: Some(amount(8)),
        each: Some(amount(2)),
        sizes: [("Large".to_owned(), amount(6))].into(),
    };
    let mut sized = v1::Hello { sizing: Some(sizing), ..hello(FIRST, 4, Vec::new()) };
    sized.labels.push("large".to_owned());
    let _agent = FakeAgent::connect_with(fixture.handle(), sized.clone()).await;
    set(&fixture, "x64", json!({"min": 0, "max": 20})).await;
    let run = fixture.submit(&jobs("[self-hosted, LARGE]", 3)).await;
    let shown = fixture
        .run_until(&run, |shown| {
            let instances = shown["instances"].as_array().cloned().unwrap_or_default();
            instances.iter().filter(|instance| instance["wait"]["reason"] == "no_room").count() == 2
        })
        .await;
    assert!(
        shown.to_string().contains("no agent with its labels has 6 processors and 6 GiB free"),
        "{shown}"
    );
    // A small one has room beside the large one, a second one has none.
    let run = fixture.submit(&jobs("ubuntu-latest", 2)).await;
    fixture
        .run_until(&run, |shown| {
            let instances = shown["instances"].as_array().cloned().unwrap_or_default();
            let waiting = |instance: &&Value| instance["wait"]["reason"] == "no_room";
            instances.len() == 2 && instances.iter().filter(waiting).count() == 1
        })
        .await;
    let pool = pool(&fixture, "x64").await;
    // Each large one is worth three of four slots: of ten that is wanted three agents.
    assert_eq!(
        (&pool["busy"], &pool["queued"], &pool["desired"]),
        (&json!(2), &json!(3), &json!(3)),
        "{pool}"
    );
    let agents = fixture.get("/api/v1/agents").await;
    assert_eq!(
        agents["agents"][0]["resources"],
        json!({"cpu_millis": 8_000, "used_cpu_millis": 8_000, "memory_bytes": 8_u64 << 30, "used_memory_bytes": 8_u64 << 30})
    );
    assert_eq!(agents["agents"][0]["free_slots"], 0);
}
