//! The way to the service when that is not at its best: what broke is tried again, what is refused is not, and what comes
//! back wrong is noticed.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::json;
use sha2::{Digest as _, Sha256};
use slipway_actions::environment::Environment;
use slipway_actions::service::{Download, Service, Upload};

/// A request, as it came.
#[derive(Debug, Clone)]
struct Request {
    /// `GET /path?query`
    line: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// Status, headers of its own, body; none: the connection breaks without an answer.
type Answer = Option<(u16, Vec<String>, Vec<u8>)>;

/// A service that answers as a test wants. It serves until the test's process ends.
struct Fake {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Fake {
    fn start(answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // The name must not need a resolver.
        let url = format!("http://slipway.localhost:{}/", listener.local_addr().unwrap().port());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (Arc::clone(&requests), Arc::new(answer));
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                std::thread::spawn(move || serve(connection.unwrap(), &kept, answer.as_ref()));
            }
        });
        Self { url, requests }
    }

    fn environment(&self, more: &[(&str, &str)]) -> Environment {
        // {"scp": "Actions.Results:run:job"}
        let token = "x.eyJzY3AiOiAiQWN0aW9ucy5SZXN1bHRzOnJ1bjpqb2IifQ.y";
        let variables = [("ACTIONS_RESULTS_URL", self.url.as_str()), ("ACTIONS_RUNTIME_TOKEN", token)];
        Environment::new(variables.into_iter().chain(more.iter().copied()), Path::new("/"))
    }

    fn service(&self) -> Service {
        Service::of(&self.environment(&[])).unwrap()
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(
    connection: TcpStream,
    requests: &Mutex<Vec<Request>>,
    answer: &(dyn Fn(&Request, usize) -> Answer + Send + Sync),
) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    let mut writer = connection;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut headers = BTreeMap::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
        let request = Request { line, headers, body };
        let number = {
            let mut requests = requests.lock().unwrap();
            requests.push(request.clone());
            requests.len()
        };
        let Some((status, headers, body)) = answer(&request, number) else { return };
        let mut head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n", body.len());
        for header in headers {
            head.push_str(&format!("{header}\r\n"));
        }
        writer.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        if writer.write_all(&body).is_err() {
            return;
        }
    }
}

fn answer(status: u16, body: serde_json::Value) -> Answer {
    Some((status, Vec::new(), body.to_string().into_bytes()))
}

/// Bytes that differ from place to place.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at.wrapping_mul(2_654_435_761) >> 11) as u8).collect()
}

#[test]
fn what_broke_is_tried_again() {
    let fake = Fake::start(|_, number| match number {
        1 => None,
        2 => answer(503, json!({"msg": "starting"})),
        _ => answer(200, json!({"ok": true})),
    });
    assert_eq!(fake.service().call("S", "M", &json!({"a": 1})).unwrap(), json!({"ok": true}));
    let requests = fake.requests();
    assert_eq!(requests.len(), 3);
    for request in requests {
        assert_eq!(request.line, "POST /twirp/github.actions.results.api.v1.S/M");
        assert!(request.headers["authorization"].starts_with("Bearer x."));
        assert_eq!(request.body, br#"{"a":1}"#);
    }
}

#[test]
fn what_is_refused_is_not_tried_again() {
    let fake = Fake::start(|_, _| answer(409, json!({"code": "already_exists", "msg": "it is there"})));
    let message = fake.service().call("S", "M", &json!({})).unwrap_err().to_string();
    assert_eq!(
        message,
        "Failed to M: Received non-retryable error: Failed request: (409) Conflict: it is there"
    );
    assert_eq!(fake.requests().len(), 1);
}

#[test]
fn an_upload_outlives_broken_blocks() {
    let fake = Fake::start(|_, number| match number {
        2 => None,
        3 => answer(500, json!({})),
        _ => answer(201, json!({})),
    });
    let content = bytes(20 << 20);
    let mut upload = Upload::new(&fake.service(), &format!("{}blob?sig=s", fake.url), "text/plain");
    for piece in content.chunks(1 << 19) {
        upload.write_all(piece).unwrap();
    }
    let uploaded = upload.finish().unwrap();
    assert_eq!(uploaded.size_bytes, content.len() as u64);
    assert_eq!(uploaded.sha256, hex::encode(Sha256::digest(&content)));
    let mut blocks = BTreeMap::new();
    let mut list = String::new();
    for request in fake.requests() {
        assert!(request.line.starts_with("PUT /blob?sig=s&comp=block"), "{}", request.line);
        match request.line.split_once("&blockid=") {
            Some((_, id)) => drop(blocks.insert(id.to_owned(), request.body)),
            None => list = String::from_utf8(request.body).unwrap(),
        }
    }
    let mut placed = Vec::new();
    for id in list.split("<Latest>").skip(1).map(|rest| rest.split_once('<').unwrap().0) {
        placed.extend_from_slice(&blocks[id]);
    }
    assert!(placed == content, "the blocks in their order are what was written");
}

#[test]
fn a_small_upload_is_one_request_and_a_refused_one_fails() {
    let fake =
        Fake::start(|_, number| if number == 1 { answer(201, json!({})) } else { answer(403, json!({})) });
    let upload = |content: &[u8]| {
        let mut upload = Upload::new(&fake.service(), &format!("{}blob?sig=s", fake.url), "text/plain");
        upload.write_all(content).map_err(slipway_actions::failure::Failure::from)?;
        upload.finish()
    };
    assert_eq!(upload(b"small").unwrap().size_bytes, 5);
    let request = &fake.requests()[0];
    assert_eq!((request.line.as_str(), request.body.as_slice()), ("PUT /blob?sig=s", &b"small"[..]));
    assert_eq!(request.headers["x-ms-blob-type"], "BlockBlob");
    let refused = upload(&bytes(17 << 20)).unwrap_err().to_string();
    assert!(refused.contains("(403) Forbidden"), "{refused}");
}

/// Gives what the range says; as a service of blobs does.
fn range(request: &Request, content: &[u8]) -> Answer {
    let (from, last) = request.headers["range"].strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let (from, last): (usize, usize) = (from.parse().unwrap(), last.parse().unwrap());
    if from >= content.len() {
        return Some((416, vec![format!("content-range: bytes */{}", content.len())], Vec::new()));
    }
    let until = content.len().min(last + 1);
    let headers = vec![
        format!("content-range: bytes {from}-{}/{}", until - 1, content.len()),
        "content-type: application/zip".to_owned(),
    ];
    Some((206, headers, content[from..until].to_vec()))
}

#[test]
fn a_download_outlives_broken_ranges_and_is_in_order() {
    let content = bytes((45 << 20) + 17);
    let served = content.clone();
    let fake = Fake::start(move |request, number| match number {
        2 | 5 => None,
        3 => answer(502, json!({})),
        _ => range(request, &served),
    });
    let mut download = Download::new(&fake.service(), &format!("{}blob?sig=s", fake.url)).unwrap();
    assert_eq!(download.size_bytes, content.len() as u64);
    let mut there = Vec::new();
    download.read_to_end(&mut there).unwrap();
    assert!(there == content);
    assert_eq!(fake.requests().len(), 12 + 3);
}

#[test]
fn downloads_of_nothing_and_of_too_much() {
    let fake = Fake::start(|request, _| match request.line.as_str() {
        "GET /empty" => range(request, &[]),
        "GET /gone" => answer(404, json!({})),
        // A server that does not know ranges.
        _ => Some((200, Vec::new(), b"everything".to_vec())),
    });
    let get = |path: &str| Download::new(&fake.service(), &format!("{}{path}", fake.url));
    let mut there = Vec::new();
    get("empty").unwrap().read_to_end(&mut there).unwrap();
    assert!(there.is_empty());
    assert!(get("gone").unwrap_err().to_string().contains("(404) Not Found"));
    assert!(get("all").unwrap_err().to_string().contains("did not give the range"));
}

#[test]
fn an_artifact_that_is_another_is_told_as_the_step_wants() {
    let from = tempfile::tempdir().unwrap();
    std::fs::write(from.path().join("file"), "text").unwrap();
    let mut archive = Vec::new();
    let level = slipway_actions::artifact::Compressed::new(6).unwrap();
    slipway_actions::artifact::pack(&mut archive, from.path(), &[from.path().join("file")], level).unwrap();
    let fake = Fake::start(move |request, _| match request.line.rsplit('/').next().unwrap() {
        "ListArtifacts" => answer(
            200,
            json!({"artifacts": [{"name": "a", "database_id": "1", "size": "9", "digest": "sha256:other"}]}),
        ),
        "GetSignedArtifactURL" => {
            answer(200, json!({"signed_url": format!("http://{}/blob", request.headers["host"])}))
        }
        _ => range(request, &archive),
    });
    for (behaviour, passes, unpacked) in
        [("error", false, false), ("warn", true, true), ("info", true, true), ("ignore", true, true)]
    {
        let into = tempfile::tempdir().unwrap();
        let output = into.path().join("output");
        std::fs::write(&output, "").unwrap();
        let path = into.path().join("down");
        let environment = fake.environment(&[
            ("INPUT_NAME", "a"),
            ("INPUT_PATH", path.to_str().unwrap()),
            ("INPUT_MERGE-MULTIPLE", "false"),
            ("INPUT_SKIP-DECOMPRESS", "false"),
            ("INPUT_DIGEST-MISMATCH", behaviour),
            ("RUNNER_TEMP", into.path().to_str().unwrap()),
            ("GITHUB_OUTPUT", output.to_str().unwrap()),
        ]);
        let done = slipway_actions::run("artifact download", &environment);
        assert_eq!(done.is_ok(), passes, "{behaviour}");
        assert_eq!(path.join("file").exists(), unpacked, "{behaviour}");
        if let Err(failure) = done {
            let expected = "Unable to download artifact(s): Digest validation failed for artifact(s): a.";
            assert!(failure.to_string().starts_with(expected), "{failure}");
        }
        let left: Vec<_> =
            std::fs::read_dir(into.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "no archive is left: {left:?}");
    }
}

#[test]
fn a_cache_that_fails_fails_no_job() {
    let fake = Fake::start(|_, _| answer(400, json!({"msg": "not today"})));
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("output");
    std::fs::write(&output, "").unwrap();
    let environment = |more: &[(&str, &str)]| {
        let mut all = vec![
            ("INPUT_PATH", folder.path().to_str().unwrap()),
            ("INPUT_KEY", "k"),
            ("GITHUB_REF", "refs/heads/main"),
            ("GITHUB_OUTPUT", output.to_str().unwrap()),
        ];
        all.extend_from_slice(more);
        fake.environment(&all)
    };
    for command in ["cache restore", "cache save"] {
        slipway_actions::run(command, &environment(&[])).unwrap();
    }
    assert_eq!(fake.requests().len(), 2);
    let wanted = slipway_actions::run("cache restore", &environment(&[("INPUT_FAIL-ON-CACHE-MISS", "true")]));
    assert!(wanted.unwrap_err().to_string().contains("fail-on-cache-miss"));
}
