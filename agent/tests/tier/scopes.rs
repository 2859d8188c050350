//! Who may see and leave what, through an agent's disk.

use reqwest::{Method, StatusCode};
use serde_json::json;
use slipway_agent::tier::Tier;
use slipway_proto::v1;
use tonic::Code;

use crate::doors::{authorized, hash, missing, stream, upload};
use crate::job::{Fleet, disk, random};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_request_reads_its_base_and_leaves_it_nothing() {
    let mut fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    // One agent runs them all.
    let tier = disk(folder.path()).await;
    let main = fleet.job("refs/heads/main").await.open(&fleet, &tier);
    let pull = fleet.pull_request(7).await.open(&fleet, &tier);
    let other = fleet.pull_request(8).await.open(&fleet, &tier);
    let event = json!({"repository": {"default_branch": "main"}});
    let elsewhere = fleet.job_of("o/other", "refs/heads/main", event).await.open(&fleet, &tier);
    let (ours, theirs, poison) = (random(3 << 20, 1), random(3 << 20, 2), random(3 << 20, 3));
    let result = |last: char| format!("/cache/bazel/app/ac/{}{last}", "a0".repeat(31) + "0");
    for (path, new) in
        [("/cache/files/a".to_owned(), "/cache/files/b".to_owned()), (result('1'), result('2'))]
    {
        let (path, new) = (path.as_str(), new.as_str());
        // A result of an action has a megabyte at most over HTTP.
        let length = if path.contains("/ac/") { 500_000 } else { ours.len() };
        main.put(path, ours[..length].to_vec()).await;
        for reader in [&main, &pull, &other] {
            assert!(reader.get(path).await.unwrap() == ours[..length], "{path}");
        }
        assert_eq!(elsewhere.get(path).await, None);
        pull.put(path, poison[..length].to_vec()).await;
        assert!(pull.get(path).await.unwrap() == poison[..length]);
        for reader in [&main, &other] {
            assert!(reader.get(path).await.unwrap() == ours[..length], "{path}");
        }
        pull.put(new, theirs[..length].to_vec()).await;
        assert!(pull.get(new).await.is_some());
        for reader in [&main, &other, &elsewhere] {
            assert_eq!(reader.get(new).await, None, "{new}");
        }
    }
    // Blobs over gRPC: on this disk there is one now, in the pull request's place.
    upload(&pull, &[&theirs[..70_000]]).await;
    let (name, length) = (hash(&theirs[..70_000]), 70_000);
    assert!(stream(&pull, &name, length).await.is_some());
    for reader in [&main, &other, &elsewhere] {
        assert_eq!(missing(reader, &[&theirs[..70_000]]).await, 1);
        assert_eq!(stream(reader, &name, length).await, None);
    }
}

/// What an agent asks that has been taken over by somebody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_moves_nothing_but_what_its_jobs_may() {
    let mut fleet = Fleet::start().await;
    let main = fleet.job("refs/heads/main").await;
    let pull = fleet.pull_request(7).await;
    let mut client = fleet.route.job_cache();
    let mut places = Vec::new();
    for job in [&main, &pull] {
        let request = v1::CacheAdmitRequest { token: job.token.clone(), ..v1::CacheAdmitRequest::default() };
        places.push(client.admit(request).await.unwrap().into_inner());
    }
    let [of_main, of_pull] = [&places[0], &places[1]].map(|places| places.write.clone().unwrap());
    assert_eq!(places[1].read.len(), 2);
    assert!(of_main.blobs != of_pull.blobs && of_main.entries != of_pull.entries);
    let bytes = b"poison".to_vec();
    let key = |kind: char, place: &str| format!("{kind}:{place}:{}-{}", hash(&bytes), bytes.len());
    let put = |token: &str, key: String| v1::CachePutRequest {
        token: token.to_owned(),
        instances: vec![String::new()],
        puts: vec![v1::CachePut {
            key,
            value: Some(v1::CacheValue {
                found: true,
                codec: 0,
                plain_bytes: bytes.len() as u32,
                data: bytes.clone().into(),
            }),
            temporary: false,
        }],
    };
    for key in [
        key('c', &of_main.blobs),
        key('m', &of_main.blobs),
        key('a', &of_main.entries),
        key('n', &of_main.entries),
    ] {
        let refused = client.put(put(&pull.token, key.clone())).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{key}");
    }
    // Where it may write, a value is what its key says.
    for key in [key('m', &of_pull.blobs), key('a', &of_pull.entries), key('n', &of_pull.entries)] {
        let mut answer = client.put(put(&pull.token, key.clone())).await.unwrap().into_inner();
        assert_eq!(answer.message().await.unwrap_err().code(), Code::InvalidArgument, "{key}");
    }
    let mut answer = client.put(put(&pull.token, key('c', &of_pull.blobs))).await.unwrap().into_inner();
    assert!(answer.message().await.unwrap().unwrap().stored);
    // The base does not read what the pull request has.
    let keys = |token: &str, key: String| v1::CacheKeys {
        token: token.to_owned(),
        instances: Vec::new(),
        keys: vec![key],
    };
    let there = client.have(keys(&pull.token, key('c', &of_pull.blobs))).await.unwrap().into_inner();
    assert_eq!(there.there, [true]);
    let refused = client.have(keys(&main.token, key('c', &of_pull.blobs))).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    // Nor does anybody read where people's tools write, or without a job.
    let refused = client.get(keys(&main.token, key('c', "shared"))).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    for token in ["", "x", &format!("{}x", main.token), &fleet.process.token()] {
        let refused = client.get(keys(token, key('c', &of_main.blobs))).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{token}");
    }
    fleet.end(&pull).await;
    let refused = client.have(keys(&pull.token, key('c', &of_pull.blobs))).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "the job is over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_shows_another_token_gets_what_the_coordinator_answers() {
    let mut fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    let tier = disk(folder.path()).await;
    let main = fleet.job("refs/heads/main").await;
    let pull = fleet.pull_request(7).await;
    let doors = main.open(&fleet, &tier);
    let bytes = random(300_000, 1);
    doors.put("/cache/files/a", bytes.clone()).await;
    pull.open(&fleet, &tier).put("/cache/files/a", "the pull request's").await;
    let people = std::fs::read_to_string(fleet.process.data_dir().join("cache.token")).unwrap();
    let people = people.trim().to_owned();
    let plain = main.open(&fleet, &Tier::default());
    let tokens =
        [Some("x"), None, Some(pull.token.as_str()), Some(people.as_str()), Some(main.token.as_str())];
    for token in tokens {
        let mut answers = Vec::new();
        for doors in [&doors, &plain] {
            let mut request = doors.http.request(Method::GET, "http://slipway.localhost:28472/cache/files/a");
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let answer = request.send().await.unwrap();
            answers.push((answer.status(), answer.bytes().await.unwrap()));
        }
        assert_eq!(answers[0], answers[1], "{token:?}");
    }
    // As a password too, as the job's own.
    let url = "http://slipway.localhost:28472/cache/files/a";
    let answer = doors.http.get(url).basic_auth("job", Some(&main.token)).send().await.unwrap();
    assert!(answer.bytes().await.unwrap() == bytes);
    // A long body that nobody wants does not stand in the way of the answer.
    let refused = doors.http.put(url).bearer_auth("x").body(random(20 << 20, 2)).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    // Over HTTP/2 as well, on a connection that goes on for the job itself.
    let channel = doors.channel().await;
    let mut client = slipway_proto::reapi::build::bazel::remote::execution::v2::capabilities_client::CapabilitiesClient::new(channel);
    for _ in 0..2 {
        let refused = client.get_capabilities(tonic::Request::new(Default::default())).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
        client.get_capabilities(authorized(&doors, Default::default())).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_over_is_refused() {
    let mut fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    let tier = disk(folder.path()).await;
    let job = fleet.job("refs/heads/main").await;
    // The agent would close the socket; here it does not.
    let doors = job.open(&fleet, &tier);
    let bytes = random(300_000, 1);
    doors.put("/cache/files/a", bytes.clone()).await;
    assert!(doors.get("/cache/files/a").await.unwrap() == bytes);
    fleet.end(&job).await;
    loop {
        // What was known for a moment is forgotten with the first question that is refused.
        let answer = doors.request(Method::GET, "/cache/files/a").send().await.unwrap();
        if answer.status() == StatusCode::UNAUTHORIZED {
            assert!(answer.text().await.unwrap().contains("cache.token"));
            break;
        }
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "what names stand for is always asked");
    }
    let answer = doors.request(Method::PUT, "/cache/files/b").body("x").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}
