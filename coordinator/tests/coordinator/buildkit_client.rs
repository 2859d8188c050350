//! What BuildKit asks of the service for `--cache-to type=gha` and `--cache-from type=gha`: the same requests in the same order.
//!
//! Written after its client (`go-actions-cache`, BuildKit's `cache/remotecache/gha`, and Azure's SDK for Go below them), because BuildKit
//! itself could not be had. What it takes an answer for is done here as it does it: which fields it reads and of which type, and what
//! counts as "somebody else has saved this".

use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Streams are sent in blocks of this size; what is shorter goes in one piece.
pub(crate) const BLOCK_BYTES: usize = 1 << 20;

/// The pieces in which the protocol before the Twirp service is sent.
pub(crate) const CHUNK_BYTES: usize = 32 << 20;

/// What the client writes as every entry's version.
fn version() -> String {
    hex::encode(Sha256::digest("|go-actionscache-1.0"))
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Why a call failed, as the client tells it apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// There is such an entry: no failure of a layer, and an index is tried under the next number.
    Exists,
    /// Anything else fails the build.
    Other(String),
}

/// Which protocol is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// `ACTIONS_CACHE_SERVICE_V2=true`
    Twirp,
    /// Before it, or `version=1`
    Old,
}

/// A scope of the token.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Scope {
    scope: String,
    permission: u8,
}

/// An entry that was found.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) url: String,
}

/// An entry that was begun: the number by which the old protocol calls it, or the key, and where its bytes go.
#[derive(Debug, Clone)]
pub(crate) struct Begun {
    name: String,
    url: String,
}

/// One BuildKit in one job.
pub(crate) struct BuildKit {
    http: reqwest::Client,
    base: String,
    token: String,
    scopes: Vec<Scope>,
    speaks: Speaks,
}

impl BuildKit {
    /// With the job's `ACTIONS_RESULTS_URL` (or `ACTIONS_CACHE_URL`, which is the same here) and `ACTIONS_RUNTIME_TOKEN`.
    pub(crate) fn new(http: &reqwest::Client, url: &str, token: &str, speaks: Speaks) -> Self {
        let payload = token.split('.').nth(1).expect("a JWT");
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
        // The three claims without which it gives up; numbers, and a list in a string.
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        assert!(claims["exp"].as_f64().expect("`exp` is a number") > now);
        assert!(claims["nbf"].as_f64().expect("`nbf` is a number") <= now);
        let scopes = serde_json::from_str(claims["ac"].as_str().expect("`ac` is a string")).unwrap();
        let base = url.trim_end_matches('/').to_owned();
        Self { http: http.clone(), base, token: token.to_owned(), scopes, speaks }
    }

    async fn twirp(&self, method: &str, body: Value) -> Result<Value, Failed> {
        let url = format!("{}/twirp/github.actions.results.api.v1.CacheService/{method}", self.base);
        let request = self.http.post(url).bearer_auth(&self.token).json(&body);
        Ok(checked(request.send().await.unwrap()).await?.json().await.unwrap())
    }

    async fn old(&self, method: Method, path: &str, body: Option<Value>) -> Result<Response, Failed> {
        let mut request = self.old_request(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        checked(request.send().await.unwrap()).await
    }

    fn old_request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}/_apis/artifactcache/{path}", self.base));
        request.bearer_auth(&self.token).header("accept", "application/json;api-version=6.0-preview.1")
    }

    /// The entry of this key, or the newest whose key begins with it. The key is sent twice, as key and as restore key.
    pub(crate) async fn load(&self, key: &str) -> Result<Option<Entry>, Failed> {
        match self.speaks {
            Speaks::Twirp => {
                let asked = json!({"key": key, "restore_keys": [key], "version": version()});
                let found = self.twirp("GetCacheEntryDownloadURL", asked).await?;
                let text = |name: &str| found[name].as_str().unwrap().to_owned();
                let is_found = found["ok"].as_bool().unwrap_or_default();
                Ok(is_found.then(|| Entry { key: text("matched_key"), url: text("signed_download_url") }))
            }
            Speaks::Old => {
                let query = format!("cache?keys={}&version={}", escaped(key), version());
                let answer = self.old(Method::GET, &query, None).await?.bytes().await.unwrap();
                if answer.is_empty() {
                    return Ok(None);
                }
                let found: Value = serde_json::from_slice(&answer).unwrap();
                let text = |name: &str| found[name].as_str().unwrap().to_owned();
                Ok(Some(Entry { key: text("cacheKey"), url: text("archiveLocation") }))
            }
        }
    }

    pub(crate) async fn reserve(&self, key: &str) -> Result<Begun, Failed> {
        let asked = json!({"key": key, "version": version()});
        if self.speaks == Speaks::Old {
            let begun: Value = self.old(Method::POST, "caches", Some(asked)).await?.json().await.unwrap();
            // It reads a field `cacheID`, whatever the case of its letters.
            let id = begun.as_object().unwrap().iter().find(|(name, _)| name.eq_ignore_ascii_case("cacheID"));
            let id = id.unwrap().1.as_u64().filter(|id| *id > 0).expect("a number that is not 0").to_string();
            return Ok(Begun { url: format!("caches/{id}"), name: id });
        }
        let begun = self.twirp("CreateCacheEntry", asked).await?;
        if begun["ok"] != true {
            return Err(Failed::Other("failed to reserve cache".to_owned()));
        }
        Ok(Begun { name: key.to_owned(), url: begun["signed_upload_url"].as_str().unwrap().to_owned() })
    }

    /// Sends a stream. By Azure's SDK: blocks of one size and the list of them, or one piece if it is shorter than a block.
    pub(crate) async fn upload(&self, begun: &Begun, bytes: &[u8]) -> Result<(), Failed> {
        if self.speaks == Speaks::Old {
            for (number, chunk) in bytes.chunks(CHUNK_BYTES).enumerate() {
                let first = number * CHUNK_BYTES;
                let range = format!("bytes {first}-{}/*", first + chunk.len() - 1);
                let request = self.old_request(Method::PATCH, &begun.url).header("content-range", range);
                let request = request.header("content-type", "application/octet-stream");
                checked(request.body(chunk.to_vec()).send().await.unwrap()).await?;
            }
            return Ok(());
        }
        let put = |query: String, body: Vec<u8>| {
            let request = self.http.put(format!("{}{query}", begun.url)).header("accept", "application/xml");
            request.header("x-ms-version", "2024-11-04").body(body)
        };
        if bytes.len() < BLOCK_BYTES {
            let request = put(String::new(), bytes.to_vec()).header("x-ms-blob-type", "BlockBlob");
            return stored(request.header("content-type", "application/octet-stream").send().await.unwrap());
        }
        let prefix = *uuid::Uuid::new_v4().as_bytes();
        let mut list = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<BlockList>".to_owned();
        for (number, block) in bytes.chunks(BLOCK_BYTES).enumerate() {
            let mut id = [0_u8; 64];
            id[..16].copy_from_slice(&prefix);
            id[16..20].copy_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
            let id = STANDARD.encode(id);
            let query = format!("&blockid={}&comp=block", escaped(&id));
            let request = put(query, block.to_vec()).header("content-type", "application/octet-stream");
            stored(request.send().await.unwrap())?;
            list.push_str(&format!("<Latest>{id}</Latest>"));
        }
        list.push_str("</BlockList>");
        let request = put("&comp=blocklist".to_owned(), list.into_bytes());
        stored(request.header("content-type", "application/xml").send().await.unwrap())
    }

    pub(crate) async fn commit(&self, begun: &Begun, size: usize) -> Result<(), Failed> {
        if self.speaks == Speaks::Old {
            self.old(Method::POST, &begun.url, Some(json!({"size": size}))).await?;
            return Ok(());
        }
        // The size is a number here, and not the string that protobuf's JSON would have.
        let asked = json!({"key": begun.name, "size_bytes": size, "version": version()});
        let done = self.twirp("FinalizeCacheEntryUpload", asked).await?;
        // It reads the number as a string and fails if it is none.
        assert!(done["entry_id"].as_str().is_some_and(|id| id.parse::<i64>().is_ok()), "{done}");
        if done["ok"] != true {
            return Err(Failed::Other("failed to commit cache".to_owned()));
        }
        Ok(())
    }

    pub(crate) async fn save(&self, key: &str, bytes: &[u8]) -> Result<(), Failed> {
        let begun = self.reserve(key).await?;
        self.upload(&begun, bytes).await?;
        self.commit(&begun, bytes.len()).await
    }

    /// Reads from an offset to the end, as far as it likes.
    pub(crate) async fn download(&self, entry: &Entry, offset: usize) -> Result<Vec<u8>, StatusCode> {
        let mut request = self.http.get(&entry.url);
        let (name, range) = match self.speaks {
            Speaks::Twirp => ("x-ms-range", format!("bytes={offset}-")),
            Speaks::Old => ("range", format!("bytes={offset}-")),
        };
        if offset > 0 {
            request = request.header(name, range);
        }
        let answer = request.send().await.unwrap();
        if !answer.status().is_success() {
            return Err(answer.status());
        }
        if offset > 0 {
            let told = answer.headers()["content-range"].to_str().unwrap();
            assert!(told.starts_with(&format!("bytes {offset}-")), "{told}");
        }
        Ok(answer.bytes().await.unwrap().to_vec())
    }

    /// One try of saving what changes: under the next number after the newest that is found. [`ControlFlow::Continue`] if somebody else was
    /// faster; BuildKit then waits for two seconds and tries again, for 15 s in all.
    pub(crate) async fn try_save_mutable(&self, key: &str, bytes: &[u8]) -> ControlFlow<usize> {
        let prefix = format!("{key}#");
        let known = self.load(&prefix).await.unwrap();
        let number = known.map_or(0, |entry| entry.key.strip_prefix(&prefix).unwrap().parse().unwrap()) + 1;
        match self.reserve(&format!("{prefix}{number}")).await {
            Err(Failed::Exists) => ControlFlow::Continue(()),
            Err(failed) => panic!("{failed:?}"),
            Ok(begun) => {
                self.upload(&begun, bytes).await.unwrap();
                self.commit(&begun, bytes.len()).await.unwrap();
                ControlFlow::Break(number)
            }
        }
    }

    /// Where the index of a scope of the token lies. `name` is the option `scope=`, by default `buildkit`.
    fn index_key(name: &str, scope: &str) -> String {
        format!("index-{name}-1-{}", &sha256(scope.as_bytes())[..8])
    }

    /// The key of the index that it writes.
    pub(crate) fn own_index_key(&self, name: &str) -> String {
        let own = self.scopes.iter().rfind(|scope| scope.permission & 2 != 0);
        Self::index_key(name, own.map_or("", |scope| &scope.scope))
    }

    /// `--cache-to type=gha,scope=NAME`: each layer that is not there, then the index. Gives how many layers were sent.
    pub(crate) async fn export(&self, name: &str, layers: &[Vec<u8>]) -> usize {
        let mut sent = 0;
        for layer in layers {
            let key = layer_key(&sha256(layer));
            if self.load(&key).await.unwrap().is_some() {
                continue;
            }
            match self.save(&key, layer).await {
                Ok(()) => sent += 1,
                Err(Failed::Exists) => {}
                Err(failed) => panic!("error writing layer blob: {failed:?}"),
            }
        }
        let index: Vec<String> = layers.iter().map(|layer| sha256(layer)).collect();
        let saved =
            self.try_save_mutable(&self.own_index_key(name), json!(index).to_string().as_bytes()).await;
        assert!(saved.is_break(), "nobody else saves an index here");
        sent
    }

    /// `--cache-from type=gha,scope=NAME`: the layers that each of the token's scopes knows of, in the token's order.
    pub(crate) async fn import(&self, name: &str) -> Vec<Vec<String>> {
        let mut known = Vec::new();
        for scope in &self.scopes {
            let Some(entry) = self.load(&Self::index_key(name, &scope.scope)).await.unwrap() else {
                known.push(Vec::new());
                continue;
            };
            known.push(serde_json::from_slice(&self.download(&entry, 0).await.unwrap()).unwrap());
        }
        known
    }

    /// A layer, looked up by its digest.
    pub(crate) async fn layer(&self, digest: &str) -> Option<Vec<u8>> {
        let entry = self.load(&layer_key(digest)).await.unwrap()?;
        Some(self.download(&entry, 0).await.unwrap())
    }
}

pub(crate) fn layer_key(digest: &str) -> String {
    format!("buildkit-blob-1-sha256:{digest}")
}

/// As Go writes a value of a query.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |escaped, byte| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' | b'.' | b'~' => {
            escaped + &char::from(byte).to_string()
        }
        _ => format!("{escaped}%{byte:02X}"),
    })
}

/// What Azure's SDK wants of an answer to an upload: 201, and some headers that it parses; BuildKit logs one of them without a look whether
/// it is there.
fn stored(answer: Response) -> Result<(), Failed> {
    if answer.status() != StatusCode::CREATED {
        return Err(Failed::Other(format!(
            "{}: {:?}",
            answer.status(),
            answer.headers().get("x-ms-error-code")
        )));
    }
    let header = |name: &str| answer.headers()[name].to_str().unwrap();
    assert!(!header("x-ms-request-id").is_empty());
    assert!(matches!(header("x-ms-request-server-encrypted"), "true" | "false"));
    for name in ["date", "last-modified"] {
        jiff::fmt::rfc2822::parse(header(name)).unwrap();
    }
    Ok(())
}

/// Its reading of an error: the older service's JSON, else Twirp's code.
async fn checked(answer: Response) -> Result<Response, Failed> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let error: Value = answer.json().await.expect("an error is JSON");
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    let (message, code) = (text("message"), text("code"));
    let exists =
        text("typeKey").contains("AlreadyExists") || message.to_lowercase().contains("already exists");
    if exists || message.is_empty() && code == "already_exists" {
        return Err(Failed::Exists);
    }
    Err(Failed::Other(format!("{status}: {error}")))
}
