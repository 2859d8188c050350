//! The coordinators' HTTP API, asked with little patience: any of them may be dead or frozen.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

/// How long one answer may take. A frozen coordinator never answers.
const ANSWER_SECONDS: &str = "10";
/// The same for questions that cost nothing.
const LOOK_SECONDS: &str = "1";

#[derive(Clone)]
pub(crate) struct Door {
    addresses: Vec<String>,
    token: String,
}

impl Door {
    pub(crate) fn new(addresses: Vec<String>, token: String) -> Self {
        Self { addresses, token }
    }

    /// How many coordinators there are.
    pub(crate) fn count(&self) -> usize {
        self.addresses.len()
    }

    /// What a coordinator answers; `None` when it gives no whole answer, or another than success.
    pub(crate) fn get(&self, number: usize, path: &str) -> Option<String> {
        self.ask(number, path, None, ANSWER_SECONDS)
    }

    /// The same as JSON.
    pub(crate) fn json(&self, number: usize, path: &str) -> Option<Value> {
        serde_json::from_str(&self.get(number, path)?).ok()
    }

    /// Posts a JSON body.
    pub(crate) fn post(&self, number: usize, path: &str, body: &Value) -> Option<Value> {
        let answer = self.ask(number, path, Some(&body.to_string()), ANSWER_SECONDS)?;
        serde_json::from_str(&answer).ok()
    }

    /// Puts a file; the answer's status, or `None` when there is no whole answer.
    pub(crate) fn put(&self, number: usize, path: &str, bytes: &[u8]) -> Option<u16> {
        self.transfer(number, path, Some(bytes)).map(|(status, _)| status)
    }

    /// Gets a file: status and body; `None` when there is no whole answer.
    pub(crate) fn fetch(&self, number: usize, path: &str) -> Option<(u16, Vec<u8>)> {
        self.transfer(number, path, None)
    }

    fn transfer(&self, number: usize, path: &str, bytes: Option<&[u8]>) -> Option<(u16, Vec<u8>)> {
        let url = format!("http://{}{path}", self.addresses[number]);
        let header = format!("authorization: Bearer {}", self.token);
        let mut command = Command::new("curl");
        command.args(["--silent", "--max-time", ANSWER_SECONDS, "--write-out", "%{stderr}%{http_code}"]);
        command.args(["--header", &header, "--header", "expect:"]);
        if bytes.is_some() {
            command.args(["--upload-file", "-"]);
        }
        command.arg(url).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        // It may end before it has read it; then it has failed, too.
        let _ = input.write_all(bytes.unwrap_or_default());
        drop(input);
        let output = child.wait_with_output().unwrap();
        let status = String::from_utf8_lossy(&output.stderr).trim().parse().ok()?;
        output.status.success().then_some((status, output.stdout))
    }

    fn ask(&self, number: usize, path: &str, body: Option<&str>, seconds: &str) -> Option<String> {
        let url = format!("http://{}{path}", self.addresses[number]);
        let header = format!("authorization: Bearer {}", self.token);
        let mut command = Command::new("curl");
        command.args(["--silent", "--fail", "--max-time", seconds, "--header", &header]);
        if body.is_some() {
            command.args(["--header", "content-type: application/json", "--data-binary", "@-"]);
        }
        command.arg(url).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        // It may end before it has read it; then it has failed, too.
        let _ = input.write_all(body.unwrap_or_default().as_bytes());
        drop(input);
        let output = child.wait_with_output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn ready(&self, number: usize) -> String {
        self.ask(number, "/readyz", None, LOOK_SECONDS).unwrap_or_default().trim().to_owned()
    }

    /// Which coordinator leads.
    pub(crate) fn leader(&self) -> Option<usize> {
        (0..self.count()).find(|number| self.ready(*number) == "ready")
    }

    /// Whether one leads and all others follow it.
    pub(crate) fn all_ready(&self) -> bool {
        let answers: Vec<String> = (0..self.count()).map(|number| self.ready(number)).collect();
        let leading = answers.iter().filter(|answer| *answer == "ready").count();
        leading == 1 && answers.iter().all(|answer| answer.starts_with("ready"))
    }

    /// How many agents the leader is connected with.
    pub(crate) fn connected_agents(&self) -> usize {
        let listed = self.leader().and_then(|leader| self.json(leader, "/api/v1/agents"));
        let agents = listed.and_then(|listed| listed["agents"].as_array().cloned()).unwrap_or_default();
        agents.iter().filter(|agent| agent["connected"] == true).count()
    }
}
