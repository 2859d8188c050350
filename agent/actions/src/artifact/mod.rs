//! `actions/upload-artifact` and `actions/download-artifact`: what `@actions/artifact` stores, a zip archive or one file
//! as it is.

mod archive;
mod date;
mod deflate;
mod download;
mod extract;
mod names;
mod pattern;
mod search;
mod upload;
mod zip_writer;

pub use archive::{Compressed, pack};
pub use download::download_action;
pub use extract::extract;
pub use pattern::Pattern;
pub use search::{Files, files};
pub use upload::upload_action;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::environment::Environment;
use crate::failure::Failure;
use crate::service::Service;

const SERVICE: &str = "ArtifactService";

/// The service, and which run and job asks it.
struct Client {
    service: Service,
    run: String,
    job: String,
    /// Another run whose artifacts are wanted.
    other_run: Option<String>,
}

/// An artifact, as the service lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    run: String,
    job: String,
    id: u64,
    name: String,
    size_bytes: u64,
    digest: String,
}

impl Client {
    fn of(environment: &Environment) -> Result<Self, Failure> {
        let service = Service::of(environment)?;
        let wrong = || {
            Failure::new("Failed to get backend IDs: The provided JWT token is invalid and/or missing claims")
        };
        let (run, job) = backend_ids(environment.variable("ACTIONS_RUNTIME_TOKEN")).ok_or_else(wrong)?;
        Ok(Self { service, run, job, other_run: None })
    }

    /// Where an artifact's bytes are.
    fn address(&self, artifact: &Listed) -> Result<String, Failure> {
        let method = match self.other_run {
            None => "GetSignedArtifactURL",
            Some(_) => "GetSignedArtifactURLOfRun",
        };
        let answer = self.call(
            method,
            json!({
                "workflow_run_backend_id": artifact.run,
                "workflow_job_run_backend_id": artifact.job,
                "name": artifact.name,
            }),
        )?;
        Ok(text(&answer, "signed_url"))
    }

    /// Calls a method with these fields beside those that say who asks.
    fn call(&self, method: &str, fields: Value) -> Result<Value, Failure> {
        let mut message = Map::new();
        message.insert("workflow_run_backend_id".to_owned(), json!(self.run));
        message.insert("workflow_job_run_backend_id".to_owned(), json!(self.job));
        if let Value::Object(fields) = fields {
            message.extend(fields);
        }
        self.service.call(SERVICE, method, &Value::Object(message))
    }

    /// Lists what fits, the newest first.
    fn list(&self, mut fields: Value) -> Result<Vec<Listed>, Failure> {
        let answer = match &self.other_run {
            None => self.call("ListArtifacts", fields)?,
            Some(run) => {
                if let Value::Object(fields) = &mut fields {
                    fields.insert("workflow_run_backend_id".to_owned(), json!(run));
                }
                self.call("ListArtifactsOfRun", fields)?
            }
        };
        let none = Vec::new();
        let listed = answer.get("artifacts").and_then(Value::as_array).unwrap_or(&none);
        let mut listed: Vec<Listed> = listed.iter().map(Listed::of).collect();
        listed.sort_by_key(|artifact| std::cmp::Reverse(artifact.id));
        Ok(listed)
    }
}

impl Listed {
    fn of(value: &Value) -> Self {
        Self {
            run: text(value, "workflow_run_backend_id"),
            job: text(value, "workflow_job_run_backend_id"),
            id: number(value, "database_id"),
            name: text(value, "name"),
            size_bytes: number(value, "size"),
            digest: text(value, "digest"),
        }
    }
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// 64 bits in protobuf's JSON: a string, or a number all the same.
fn number(value: &Value, name: &str) -> u64 {
    match value.get(name) {
        Some(Value::String(text)) => text.parse().unwrap_or(0),
        Some(number) => number.as_u64().unwrap_or(0),
        None => 0,
    }
}

/// Run and job, from a token's claim `scp`: `… Actions.Results:RUN:JOB`.
fn backend_ids(token: &str) -> Option<(String, String)> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    let scopes = claims.get("scp")?.as_str()?;
    let scope = scopes.split(' ').find_map(|scope| scope.strip_prefix("Actions.Results:"))?;
    let (run, job) = scope.split_once(':')?;
    (!job.contains(':')).then(|| (run.to_owned(), job.to_owned()))
}

/// The number that a text begins with, as JavaScript's `parseInt` reads it.
fn leading_number(text: &str) -> Option<i64> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let number: i64 = digits.get(..end)?.parse().ok()?;
    Some(sign * number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_whose_it_is() {
        let token = |claims: &str| format!("x.{}.y", URL_SAFE_NO_PAD.encode(claims));
        let ids = backend_ids(&token(r#"{"scp": "Other.Scope:1 Actions.Results:run-1:job-2"}"#));
        assert_eq!(ids, Some(("run-1".to_owned(), "job-2".to_owned())));
        for claims in
            ["{}", r#"{"scp": ""}"#, r#"{"scp": "Actions.Results:a"}"#, r#"{"scp": "Actions.Results:a:b:c"}"#]
        {
            assert_eq!(backend_ids(&token(claims)), None, "{claims}");
        }
        assert_eq!(backend_ids("nonsense"), None);
    }

    #[test]
    fn numbers_are_read_as_javascript_reads_them() {
        for (text, expected) in
            [("7", Some(7)), (" 12 days", Some(12)), ("-1", Some(-1)), ("x", None), ("", None)]
        {
            assert_eq!(leading_number(text), expected, "{text}");
        }
    }
}
