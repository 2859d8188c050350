//! What is answered from the disk, and what is not.

use reqwest::{Method, StatusCode};
use serde_json::json;
use slipway_agent::tier::Tier;
use slipway_proto::reapi::build::bazel::remote::execution::v2 as re;
use slipway_proto::reapi::google::bytestream as bs;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::job::{Doors, Fleet, disk, random};

/// Reads a blob over the remote cache protocol; `None`: it is not there.
pub(crate) async fn stream(doors: &Doors, hash: &str, length: usize) -> Option<Vec<u8>> {
    let mut client = bs::byte_stream_client::ByteStreamClient::new(doors.channel().await);
    let resource_name = format!("blobs/{hash}/{length}");
    let request = bs::ReadRequest { resource_name, ..bs::ReadRequest::default() };
    let mut pieces = match client.read(authorized(doors, request)).await {
        Ok(pieces) => pieces.into_inner(),
        Err(status) if status.code() == tonic::Code::NotFound => return None,
        Err(status) => panic!("{status}"),
    };
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.message().await.unwrap() {
        bytes.extend_from_slice(&piece.data);
    }
    Some(bytes)
}

pub(crate) fn authorized<T>(doors: &Doors, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {}", doors.token).parse().unwrap());
    request
}

pub(crate) fn hash(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(bytes))
}

/// Uploads blobs in one batch.
pub(crate) async fn upload(doors: &Doors, blobs: &[&[u8]]) {
    let mut client =
        re::content_addressable_storage_client::ContentAddressableStorageClient::new(doors.channel().await);
    let requests = blobs.iter().map(|blob| re::batch_update_blobs_request::Request {
        digest: Some(re::Digest { hash: hash(blob), size_bytes: blob.len() as i64 }),
        data: blob.to_vec().into(),
        ..re::batch_update_blobs_request::Request::default()
    });
    let request = re::BatchUpdateBlobsRequest {
        requests: requests.collect(),
        ..re::BatchUpdateBlobsRequest::default()
    };
    let answer = client.batch_update_blobs(authorized(doors, request)).await.unwrap().into_inner();
    assert!(answer.responses.iter().all(|one| one.status.as_ref().is_none_or(|status| status.code == 0)));
}

/// How many of these blobs are missing.
pub(crate) async fn missing(doors: &Doors, blobs: &[&[u8]]) -> usize {
    let mut client =
        re::content_addressable_storage_client::ContentAddressableStorageClient::new(doors.channel().await);
    let digests = blobs.iter().map(|blob| re::Digest { hash: hash(blob), size_bytes: blob.len() as i64 });
    let request = re::FindMissingBlobsRequest {
        blob_digests: digests.collect(),
        ..re::FindMissingBlobsRequest::default()
    };
    let answer = client.find_missing_blobs(authorized(doors, request)).await.unwrap();
    answer.into_inner().missing_blob_digests.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_job_left_the_next_one_has_from_the_disk() {
    let mut fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    let tier = disk(folder.path()).await;
    let (long, short, small) = (random(9 << 20, 1), random(100_000, 2), random(1_000, 3));
    let first = fleet.job("refs/heads/main").await;
    let doors = first.open(&fleet, &tier);
    doors.put("/cache/files/long", long.clone()).await;
    upload(&doors, &[&short, &small]).await;
    drop(doors);
    fleet.end(&first).await;

    // The coordinator gives nothing away that is on the disk.
    let second = fleet.job("refs/heads/main").await;
    let doors = second.open(&fleet, &tier);
    let before = fleet.sent().await;
    assert!(doors.get("/cache/files/long").await.unwrap() == long);
    let entry = fleet.sent().await - before;
    assert!(entry < 4_096, "what the name stands for is asked of the coordinator: {entry} bytes");
    assert!(stream(&doors, &hash(&long), long.len()).await.unwrap() == long);
    assert!(stream(&doors, &hash(&short), short.len()).await.unwrap() == short);
    assert_eq!(fleet.sent().await - before, entry, "blobs are not");

    // Another agent, with nothing on its disk, fetches once.
    let other = tempfile::tempdir().unwrap();
    let other = disk(other.path()).await;
    let doors = second.open(&fleet, &other);
    let before = fleet.sent().await;
    assert!(doors.get("/cache/files/long").await.unwrap() == long);
    let fetched = fleet.sent().await - before;
    assert!(fetched >= long.len() as u64, "{fetched}");
    assert!(doors.get("/cache/files/long").await.unwrap() == long);
    assert!(fleet.sent().await - before < fetched + 4_096);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_coordinator_evicted_is_not_said_to_be_there() {
    let mut fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    let tier = disk(folder.path()).await;
    let job = fleet.job("refs/heads/main").await;
    let doors = job.open(&fleet, &tier);
    let (long, short) = (random(5 << 20, 1), random(50_000, 2));
    doors.put("/cache/files/long", long.clone()).await;
    doors.put("/cache/files/short", "a short one").await;
    upload(&doors, &[&short]).await;
    assert_eq!(missing(&doors, &[&long, &short]).await, 0);
    fleet.evict_all().await;
    assert_eq!(missing(&doors, &[&long, &short]).await, 2);
    assert_eq!(doors.get("/cache/files/long").await, None);
    assert_eq!(doors.get("/cache/files/short").await, None);
    // It can be put again, and is there for all.
    doors.put("/cache/files/long", long.clone()).await;
    assert_eq!(missing(&doors, &[&long]).await, 0);
    let without = job.open(&fleet, &Tier::default());
    assert!(without.get("/cache/files/long").await.unwrap() == long);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_is_always_the_coordinator_s() {
    let mut fleet = Fleet::start().await;
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, other) = (disk(one.path()).await, disk(other.path()).await);
    let job = fleet.job("refs/heads/main").await;
    let (here, there) = (job.open(&fleet, &one), job.open(&fleet, &other));
    for round in 0..3u64 {
        for (writer, reader) in [(&here, &there), (&there, &here)] {
            let bytes = random(200_000, round);
            writer.put("/cache/files/changing", bytes.clone()).await;
            assert!(reader.get("/cache/files/changing").await.unwrap() == bytes, "round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_may_ask_for_both() {
    let mut fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    let tier = disk(folder.path()).await;
    let job = fleet.job("refs/heads/main").await;
    let doors = job.open(&fleet, &tier);
    doors.put("/cache/files/a", "from the disk").await;
    let auth = format!("authorization: Bearer {}", job.token);
    let cached = format!("GET /cache/files/a HTTP/1.1\r\nhost: slipway.localhost\r\n{auth}\r\n\r\n");
    let call = r#"{"key":"k","version":"v"}"#;
    let asked = format!(
        "POST /twirp/github.actions.results.api.v1.CacheService/GetCacheEntryDownloadURL HTTP/1.1\r\nhost: slipway.localhost\r\n{auth}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{call}",
        call.len()
    );
    let nothing = "GET /cache/files/a HTTP/1.1\r\nhost: slipway.localhost\r\n\r\n".to_owned();
    let steps = [
        (&cached, " 200 ", "from the disk"),
        (&asked, " 200 ", "\"ok\":false"),
        (&nothing, " 401 ", "cache.token"),
        (&cached, " 200 ", "from the disk"),
        (&asked, " 200 ", "\"ok\":false"),
        (&cached, " 200 ", "from the disk"),
    ];
    // Whoever answers the first of them.
    for skip in 0..2 {
        let mut stream = UnixStream::connect(&doors.socket).await.unwrap();
        for (request, status, body) in steps.iter().skip(skip) {
            stream.write_all(request.as_bytes()).await.unwrap();
            let (head, told) = answer(&mut stream).await;
            assert!(head.contains(status) && told.contains(body), "{request}{head}{told}");
        }
    }
}

/// Reads one answer with a length.
async fn answer(stream: &mut UnixStream) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    (head, String::from_utf8(body).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_jobs_do_through_their_agents_is_counted() {
    let mut fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    let tier = disk(folder.path()).await;
    let job = fleet.job("refs/heads/main").await;
    let doors = job.open(&fleet, &tier);
    let bytes = random(3 << 20, 1);
    let as_ccache = |method, path: &str| doors.request(method, path).header("user-agent", "ccache/4.7.5");
    let put = as_ccache(Method::PUT, "/cache/files/a").body(bytes.clone());
    assert!(put.send().await.unwrap().status().is_success());
    for (path, status) in [("/cache/files/a", 200), ("/cache/files/a", 200), ("/cache/files/b", 404)] {
        let answer = as_ccache(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), status);
        answer.bytes().await.unwrap();
    }
    // Whether the job goes on or its socket is closed at once.
    for closed in [false, true] {
        let doors = job.open(&fleet, &tier);
        let answer = doors.request(Method::GET, "/cache/files/a").header("user-agent", "gradle/8");
        answer.send().await.unwrap().bytes().await.unwrap();
        let expected = if closed { 2 } else { 1 };
        if closed {
            drop(doors);
        }
        loop {
            let (_, state) = fleet.api(Method::GET, "/api/v1/cache", None).await;
            let clients = state["build_tools"]["clients"].as_array().cloned().unwrap_or_default();
            let of = |name: &str| clients.iter().find(|client| client["client"] == name).cloned();
            if let (Some(ccache), Some(gradle)) = (of("ccache"), of("gradle"))
                && gradle["hits"] == expected
                && ccache["misses"] == 1
            {
                assert_eq!((&ccache["hits"], &ccache["door"]), (&json!(2), &json!("http")), "{ccache}");
                assert_eq!(ccache["read_bytes"].as_u64().unwrap() / bytes.len() as u64, 2);
                assert_eq!(ccache["written_bytes"].as_u64().unwrap() / bytes.len() as u64, 1);
                assert!(ccache["repository"].as_str().unwrap().ends_with("o/n"), "{ccache}");
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_disk_or_a_cache_all_is_as_it_was() {
    let mut fleet = Fleet::start().await;
    let folder = tempfile::tempdir().unwrap();
    // The folder is taken by a file.
    std::fs::write(folder.path().join("cache"), "").unwrap();
    let job = fleet.job("refs/heads/main").await;
    for tier in [disk(folder.path()).await, Tier::open(folder.path(), 0).await] {
        assert!(tier.for_job(&fleet.route, &job.token).is_none());
        let doors = job.open(&fleet, &tier);
        doors.put("/cache/files/a", "bytes").await;
        assert_eq!(doors.get("/cache/files/a").await.unwrap(), b"bytes");
    }
    assert_eq!(fleet.sent().await, 0);

    let mut off = Fleet::start_with(&["--cache", "off"]).await;
    let job = off.job("refs/heads/main").await;
    let other = tempfile::tempdir().unwrap();
    let mut told = Vec::new();
    for tier in [Tier::default(), disk(other.path()).await] {
        let doors = job.open(&off, &tier);
        for token in [job.token.as_str(), "x"] {
            let request = doors.http.get("http://slipway.localhost:28472/cache/files/a").bearer_auth(token);
            let answer = request.send().await.unwrap();
            told.push((answer.status(), answer.text().await.unwrap()));
        }
        let mut client = re::capabilities_client::CapabilitiesClient::new(doors.channel().await);
        let request = authorized(&doors, re::GetCapabilitiesRequest::default());
        let refused = client.get_capabilities(request).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unimplemented, "{refused}");
    }
    assert_eq!(told[0].0, StatusCode::NOT_FOUND);
    assert_eq!(told[..2], told[2..]);
}
