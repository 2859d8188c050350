//! The client of a coordinator's `/api/v1`.
//!
//! Invariant: whatever goes wrong becomes one [`Failure`] that says which server and what to do: not reachable is a
//! failure of the fleet, a refused token or an unknown run is wrong usage. Answers are bounded.

pub mod artifacts;
mod connection;
pub mod house;
mod target;
mod trust;
pub mod types;
mod watch;

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value as Json, json};

use crate::failure::Failure;
pub use target::{ServerArgs, Target};
use types::{Run, Submission, TreeDigest};
pub use watch::{Line, Watch};

/// Longest wait for an answer that is not a stream.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest answer that is not a stream, in bytes.
const ANSWER_LIMIT_BYTES: usize = 64 * 1024 * 1024;

/// Most runs looked at to find one by the beginning of its id.
const SEARCH_LIMIT: u32 = 1000;

/// Fewest characters of an id that stand for it.
const PREFIX_MIN: usize = 4;

/// A coordinator, and the right to talk to it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    target: Target,
    /// What the runs that it starts are part of (W3C Trace Context).
    traceparent: Option<String>,
}

impl Client {
    /// A client of this coordinator; connects with the first call.
    ///
    /// # Errors
    /// The system offers no network at all.
    pub fn new(target: Target) -> Result<Self, Failure> {
        let http = connection::client(&target)?;
        Ok(Client { http, target, traceparent: None })
    }

    /// The same client, whose runs are part of this trace.
    #[must_use]
    pub fn in_trace(self, traceparent: Option<String>) -> Self {
        Client { traceparent, ..self }
    }

    /// Where the coordinator is.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The newest runs, as the coordinator says it.
    ///
    /// # Errors
    /// See the module.
    pub async fn runs(&self, limit: u32) -> Result<Json, Failure> {
        let answer = self.ask(self.request(Method::GET, &format!("/runs?limit={limit}"))).await?;
        Ok(listing(answer, "runs"))
    }

    /// One run with its jobs, as the coordinator says it.
    ///
    /// # Errors
    /// See the module.
    pub async fn run(&self, run: &str) -> Result<Json, Failure> {
        self.ask(self.request(Method::GET, &format!("/runs/{run}"))).await
    }

    /// Whether a run's records are complete and unchanged.
    ///
    /// # Errors
    /// See the module.
    pub async fn verify_records(&self, run: &str) -> Result<Json, Failure> {
        self.ask(self.request(Method::GET, &format!("/runs/{run}/records"))).await
    }

    /// What a run's test reports say: how many there are, and the cases that failed. Nothing from a coordinator that does not
    /// know them.
    ///
    /// # Errors
    /// See the module.
    pub async fn failed_tests(&self, run: &str, limit: usize) -> Result<Option<Json>, Failure> {
        self.if_known(&format!("/runs/{run}/tests?outcome=failed,error&limit={limit}")).await
    }

    /// What a run's other reports say, with at most so many entries of each list. Nothing from a coordinator that does not
    /// know them.
    ///
    /// # Errors
    /// See the module.
    pub async fn reports(&self, run: &str, limit: usize) -> Result<Option<Json>, Failure> {
        self.if_known(&format!("/runs/{run}/reports?limit={limit}")).await
    }

    async fn if_known(&self, path: &str) -> Result<Option<Json>, Failure> {
        let request = self.request(Method::GET, path);
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        let body = self.body(answer).await?;
        match status {
            // The run is there: its caller has seen it.
            StatusCode::NOT_FOUND => Ok(None),
            status if !status.is_success() => Err(self.refusal(status, &body)),
            _ => Ok(serde_json::from_slice(&body).ok()),
        }
    }

    /// The id of the run that a person named: an id, the beginning of one, or `latest`.
    ///
    /// # Errors
    /// None or several fit; and see the module.
    pub async fn find_run(&self, named: &str) -> Result<String, Failure> {
        let usable = |c: char| c.is_ascii_hexdigit() || c == '-';
        if named != "latest" && (named.len() < PREFIX_MIN || !named.chars().all(usable)) {
            return Err(Failure::usage(format!(
                "`{}` is not a run: give its id, at least {PREFIX_MIN} characters of its beginning, or `latest`",
                named.escape_debug()
            )));
        }
        let named = named.to_ascii_lowercase();
        if named.len() == 36 {
            return Ok(named);
        }
        let limit = if named == "latest" { 1 } else { SEARCH_LIMIT };
        let runs: Vec<Run> = types::read(self.runs(limit).await?)?;
        if named == "latest" {
            let newest = runs.into_iter().next();
            return newest.map(|run| run.run_id).ok_or_else(|| Failure::usage("there is no run yet"));
        }
        let mut fitting = runs.into_iter().map(|run| run.run_id).filter(|id| id.starts_with(&named));
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(Failure::usage(format!(
                "no run begins with `{named}` at {}; `slipway runs` lists them",
                self.target.url()
            ))),
            (Some(one), Some(other)) => {
                Err(Failure::usage(format!("`{named}` fits several runs, for example {one} and {other}")))
            }
        }
    }

    /// Asks for a run's cancellation.
    ///
    /// # Errors
    /// See the module.
    pub async fn cancel(&self, run: &str, reason: &str) -> Result<(), Failure> {
        let request =
            self.request(Method::POST, &format!("/runs/{run}/cancel")).json(&json!({"reason": reason}));
        self.ask(request).await.map(drop)
    }

    /// Approves or rejects what waits for an environment; gives what the coordinator says.
    ///
    /// # Errors
    /// Nothing waits for it, it was decided, or somebody else has to; and see the module.
    pub async fn approve(&self, run: &str, wanted: &Json) -> Result<Json, Failure> {
        self.ask(self.request(Method::POST, &format!("/runs/{run}/approvals")).json(wanted)).await
    }

    /// Runs a finished run again; gives the new run's id.
    ///
    /// # Errors
    /// The run is open, nothing of it failed, or its secrets are missing; and see the module.
    pub async fn rerun(&self, run: &str, wanted: &Json) -> Result<String, Failure> {
        self.started(self.request(Method::POST, &format!("/runs/{run}/rerun")).json(wanted)).await
    }

    /// The jobs of a finished run that a rerun of what failed would not run again.
    ///
    /// # Errors
    /// See the module.
    pub async fn carried(&self, run: &str) -> Result<Vec<types::CarriedJob>, Failure> {
        let answer = self.ask(self.request(Method::GET, &format!("/runs/{run}/carried"))).await?;
        types::read(answer).map(|types::Carried { carried }| carried)
    }

    /// Starts a workflow by `workflow_dispatch`; gives the run's id.
    ///
    /// # Errors
    /// There is no such repository, ref or workflow, or its inputs do not fit; and see the module.
    pub async fn dispatch(&self, wanted: &Json) -> Result<String, Failure> {
        self.started(self.request(Method::POST, "/dispatches").json(wanted)).await
    }

    async fn started(&self, request: RequestBuilder) -> Result<String, Failure> {
        let started: types::Started = types::read(self.ask(request).await?)?;
        Ok(started.run_id)
    }

    /// The agents, as the coordinator says it.
    ///
    /// # Errors
    /// See the module.
    pub async fn agents(&self) -> Result<Json, Failure> {
        let answer = self.ask(self.request(Method::GET, "/agents")).await?;
        Ok(listing(answer, "agents"))
    }

    /// Tells an agent to take no new job (`drain`), or to take jobs again (`resume`).
    ///
    /// # Errors
    /// See the module.
    pub async fn steer_agent(&self, agent: &str, order: &'static str) -> Result<(), Failure> {
        self.ask(self.request(Method::POST, &format!("/agents/{agent}/{order}"))).await.map(drop)
    }

    /// What the caches hold, as the coordinator says it.
    ///
    /// # Errors
    /// See the module.
    pub async fn cache(&self) -> Result<Json, Failure> {
        self.ask(self.request(Method::GET, "/cache")).await
    }

    /// Removes from the caches what nobody used for so many days; a dry run only counts.
    ///
    /// # Errors
    /// See the module.
    pub async fn prune_cache(&self, unused_days: u64, dry_run: bool) -> Result<Json, Failure> {
        let wanted = json!({"unused_days": unused_days, "dry_run": dry_run});
        self.ask(self.stream_request(Method::POST, "/cache/prune").json(&wanted)).await
    }

    /// A token for the cache of build tools that ends after so many days.
    ///
    /// # Errors
    /// There is no cache; and see the module.
    pub async fn make_cache_token(
        &self,
        instance: Option<&str>,
        write: bool,
        days: u32,
    ) -> Result<Json, Failure> {
        let wanted = json!({"instance": instance, "write": write, "days": days});
        self.ask(self.request(Method::POST, "/cache/tokens").json(&wanted)).await
    }

    /// Has everything in the build tools' cache read and checked, which takes as long as that does.
    ///
    /// # Errors
    /// See the module.
    pub async fn check_cache(&self) -> Result<Json, Failure> {
        self.ask(self.stream_request(Method::POST, "/cache/check")).await
    }

    /// A backup, as the coordinator makes it.
    ///
    /// # Errors
    /// See the module.
    pub async fn backup(
        &self,
    ) -> Result<impl futures_util::Stream<Item = reqwest::Result<Bytes>> + Unpin, Failure> {
        let answer = self.send(self.stream_request(Method::GET, "/backup")).await?;
        Ok(Box::pin(answer.bytes_stream()))
    }

    /// Has the history made again; what comes is one [`types::RebuildProgress`] a line.
    ///
    /// # Errors
    /// One goes on already, or none is kept there; and see the module.
    pub async fn rebuild_history(
        &self,
    ) -> Result<impl futures_util::Stream<Item = reqwest::Result<Bytes>> + Unpin, Failure> {
        let answer = self.send(self.stream_request(Method::POST, "/history/rebuild")).await?;
        Ok(Box::pin(answer.bytes_stream()))
    }

    /// A page of the audit trail after a position.
    ///
    /// # Errors
    /// See the module.
    pub async fn audit(&self, after: u64) -> Result<types::AuditPage, Failure> {
        types::read(self.ask(self.request(Method::GET, &format!("/audit?after={after}"))).await?)
    }

    /// Checks a piece of the journal after a position with this hash.
    ///
    /// # Errors
    /// The journal is damaged there; and see the module.
    pub async fn verify_audit(&self, after: u64, hash: &str) -> Result<types::AuditPage, Failure> {
        let path = format!("/audit/verify?after={after}&hash={hash}");
        types::read(self.ask(self.request(Method::GET, &path)).await?)
    }

    /// Uploads a working tree.
    ///
    /// # Errors
    /// See the module.
    pub async fn upload(&self, file: std::fs::File, size_bytes: u64) -> Result<TreeDigest, Failure> {
        let stream = tokio_util::io::ReaderStream::new(tokio::fs::File::from_std(file));
        let request = self
            .http
            .request(Method::POST, format!("{}/api/v1/blobs", self.target.url()))
            .bearer_auth(self.target.token())
            .header("content-length", size_bytes)
            .header("content-type", "application/octet-stream")
            .body(reqwest::Body::wrap_stream(stream));
        types::read(self.ask(request).await?)
    }

    /// Starts a run; gives its id.
    ///
    /// # Errors
    /// The workflow is invalid; and see the module.
    pub async fn submit(&self, submission: &Submission) -> Result<String, Failure> {
        let mut request = self.request(Method::POST, "/runs").json(submission);
        if let Some(traceparent) = &self.traceparent {
            request = request.header("traceparent", traceparent);
        }
        self.started(request).await
    }

    /// Follows what happens to a run from its beginning; without `follow`, what has happened so far.
    pub fn watch(&self, run: &str, follow: bool) -> Watch {
        self.watch_from(run, follow, 1)
    }

    /// The same without the log lines of each job before this one, counted from 1.
    pub fn watch_from(&self, run: &str, follow: bool, line: u64) -> Watch {
        Watch::new(self.clone(), run, follow, line)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.stream_request(method, path).timeout(ANSWER_TIMEOUT)
    }

    fn stream_request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/api/v1{path}", self.target.url());
        self.http.request(method, url).bearer_auth(self.target.token())
    }

    async fn ask(&self, request: RequestBuilder) -> Result<Json, Failure> {
        let answer = self.send(request).await?;
        let body = self.body(answer).await?;
        if body.is_empty() {
            return Ok(Json::Null);
        }
        serde_json::from_slice(&body).map_err(|error| {
            Failure::fleet(format!(
                "{} does not answer like a Slipway coordinator: {error}",
                self.target.url()
            ))
        })
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let body = self.body(answer).await?;
        Err(self.refusal(status, &body))
    }

    async fn body(&self, answer: Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        let mut stream = answer.bytes_stream();
        while let Some(part) = stream.next().await {
            body.extend_from_slice(&part.map_err(|error| self.unreachable(&error))?);
            if body.len() > ANSWER_LIMIT_BYTES {
                return Err(Failure::fleet(format!("{} answers without an end", self.target.url())));
            }
        }
        Ok(body)
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        connection::unreachable(&self.target, error)
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> Failure {
        let url = self.target.url();
        let said = types::refusal_text(body);
        match status {
            // The token is good; whoever has it may not do this.
            StatusCode::FORBIDDEN if types::refusal_code(body).is_some() => {
                Failure::usage(said.unwrap_or_default())
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::usage(format!(
                "the coordinator at {url} does not accept {}: give the token in its data directory's `admin.token`, or one that `slipway tokens make` made, with --token or SLIPWAY_TOKEN",
                self.target.token_origin()
            )),
            StatusCode::NOT_FOUND => {
                Failure::usage(said.unwrap_or_else(|| format!("{url} does not know that (404)")))
            }
            _ if status.is_client_error() => Failure::usage(
                said.unwrap_or_else(|| format!("the coordinator at {url} refuses the request ({status})")),
            ),
            _ => Failure::fleet(match said {
                Some(said) => format!("the coordinator at {url} fails ({status}): {said}"),
                None => format!("the coordinator at {url} fails ({status})"),
            }),
        }
    }
}

/// The array of a listing, whether it comes bare or under its name.
fn listing(answer: Json, name: &str) -> Json {
    match answer {
        Json::Object(mut object) if object.contains_key(name) => object.remove(name).unwrap_or(Json::Null),
        other => other,
    }
}
