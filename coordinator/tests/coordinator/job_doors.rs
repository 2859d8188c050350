//! The HTTP doors of the cache with the tokens of jobs: what a run of one ref may see and leave for another.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::build_cache::BuildCache;
use crate::clients::token;
use crate::fake_agent::{FIRST, FakeAgent, hello};
use crate::fixture::{Fixture, ONE_JOB};
use crate::results::job_on;

/// A file of each door; `{}` is its name there.
const DOORS: [&str; 5] = [
    "files/ccache/{}",
    "bazel/app/ac/aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa0000{}",
    "bazel/ac/bb00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa00aa0000{}",
    "turbo/v8/artifacts/{}?slug=team",
    "nx/v1/cache/{}",
];

impl BuildCache {
    async fn ask(&self, token: &str, method: Method, path: &str, body: &'static str) -> (StatusCode, String) {
        let request = self.fixture.http.request(method, self.url(path)).bearer_auth(token).body(body);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    async fn put(&self, token: &str, path: &str, body: &'static str) {
        let (status, told) = self.ask(token, Method::PUT, path, body).await;
        assert!(status.is_success(), "{path}: {status} {told}");
    }

    async fn get(&self, token: &str, path: &str) -> Option<String> {
        let (status, body) = self.ask(token, Method::GET, path, "").await;
        assert!(status == StatusCode::OK || status == StatusCode::NOT_FOUND, "{path}: {status} {body}");
        (status == StatusCode::OK).then_some(body)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_request_reads_its_base_and_leaves_it_nothing_by_any_door() {
    let cache = BuildCache::start().await;
    let fixture = &cache.fixture;
    let mut agent = FakeAgent::connect_with(fixture.handle(), hello(FIRST, 8, Vec::new())).await;
    let event = json!({"repository": {"default_branch": "main"}});
    let pull_event =
        json!({"repository": {"default_branch": "main"}, "pull_request": {"base": {"ref": "main"}}});
    let (_, main) = job_on(fixture, &mut agent, "refs/heads/main", event.clone()).await;
    let (_, pull) = job_on(fixture, &mut agent, "refs/pull/7/merge", pull_event.clone()).await;
    let (_, other_pull) = job_on(fixture, &mut agent, "refs/pull/8/merge", pull_event).await;
    let (_, topic) = job_on(fixture, &mut agent, "refs/heads/topic", event).await;
    let mut elsewhere = Fixture::submission(ONE_JOB);
    elsewhere["repository"] = json!("o/other");
    fixture.submit_value(elsewhere).await;
    let lease = agent.next_assigned().await.lease.unwrap();
    let elsewhere = token(&mut agent, &lease).await;

    for door in DOORS {
        let path = |name: &str| door.replace("{}", name);
        cache.put(&main, &path("01"), "main's").await;
        for reader in [&main, &pull, &other_pull, &topic] {
            assert_eq!(cache.get(reader, &path("01")).await.as_deref(), Some("main's"), "{door}");
        }
        // Neither another repository's jobs nor people's tools, and the other way round.
        cache.put(&cache.token, &path("02"), "people's").await;
        for (reader, name) in [(&elsewhere, "01"), (&cache.token, "01"), (&elsewhere, "02"), (&main, "02")] {
            assert_eq!(cache.get(reader, &path(name)).await, None, "{door} {name}");
        }
        // What a pull request puts is its own, under a name that its base has and under a new one.
        cache.put(&pull, &path("03"), "the pull request's").await;
        if door.starts_with("nx") {
            let (status, _) = cache.ask(&pull, Method::PUT, &path("01"), "poison").await;
            assert_eq!(status, StatusCode::CONFLICT);
        } else {
            cache.put(&pull, &path("01"), "poison").await;
            assert_eq!(cache.get(&pull, &path("01")).await.as_deref(), Some("poison"), "{door}");
        }
        for reader in [&main, &other_pull, &topic] {
            assert_eq!(cache.get(reader, &path("01")).await.as_deref(), Some("main's"), "{door}");
            assert_eq!(cache.get(reader, &path("03")).await, None, "{door}");
        }
        let forged = format!("{main}x");
        for method in [Method::GET, Method::PUT] {
            let (status, told) = cache.ask(&forged, method, &path("01"), "").await;
            assert!(status == StatusCode::UNAUTHORIZED && told.contains("cache.token"), "{door}: {told}");
        }
    }
    // A blob is what its name says; who has one is told to nobody else.
    let blob = "bazel/cas/5570a3cf02207f1d352d2cfea385be4bc0b2b9414f606baa6f55db60b232f221";
    let (status, told) = cache.ask(&pull, Method::PUT, blob, "another one").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{told}");
    cache.put(&pull, blob, "a blob").await;
    assert_eq!(cache.get(&pull, blob).await.as_deref(), Some("a blob"));
    for other in [&main, &other_pull, &topic, &elsewhere, &cache.token] {
        assert_eq!(cache.get(other, blob).await, None);
    }
}
