//! Calls about what runs left.

use bytes::Bytes;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{Client, listing, types};
use crate::failure::Failure;

/// An artifact, as far as commands need it; the rest is in the answer that `--json` prints.
#[derive(Debug, Clone, Deserialize)]
pub struct Artifact {
    /// Its number.
    pub id: i64,
    /// Its name, once in a run.
    pub name: String,
    /// What it says that it is.
    pub media_type: String,
    /// Its length.
    pub size_bytes: u64,
    /// The hash of its bytes, in hexadecimal digits.
    pub sha256: String,
    /// When it goes, Unix milliseconds; none: it is pinned.
    pub expires_ms: Option<u64>,
}

impl Client {
    /// What a run left, as the coordinator says it.
    ///
    /// # Errors
    /// See [`super`].
    pub async fn artifacts(&self, run: &str) -> Result<Json, Failure> {
        let answer = self.ask(self.request(Method::GET, &format!("/runs/{run}/artifacts"))).await?;
        Ok(listing(answer, "artifacts"))
    }

    /// The artifact of this name.
    ///
    /// # Errors
    /// There is none; and see [`super`].
    pub async fn artifact(&self, run: &str, name: &str) -> Result<Artifact, Failure> {
        let all: Vec<Artifact> = types::read(self.artifacts(run).await?)?;
        let names: Vec<String> = all.iter().map(|artifact| format!("`{}`", artifact.name)).collect();
        all.into_iter().find(|artifact| artifact.name == name).ok_or_else(|| {
            let known = match names.is_empty() {
                true => "it left none, or their time is over".to_owned(),
                false => format!("it has {}", names.join(", ")),
            };
            Failure::usage(format!("the run {run} has no artifact `{}`: {known}", name.escape_debug()))
        })
    }

    /// An artifact's bytes.
    ///
    /// # Errors
    /// See [`super`].
    pub async fn download(
        &self,
        run: &str,
        artifact: i64,
    ) -> Result<impl futures_util::Stream<Item = reqwest::Result<Bytes>> + Unpin, Failure> {
        let path = format!("/runs/{run}/artifacts/{artifact}");
        let answer = self.send(self.stream_request(Method::GET, &path)).await?;
        Ok(Box::pin(answer.bytes_stream()))
    }

    /// Keeps an artifact beyond its time, or no longer.
    ///
    /// # Errors
    /// See [`super`].
    pub async fn pin_artifact(&self, run: &str, artifact: i64, pinned: bool) -> Result<(), Failure> {
        let path = format!("/runs/{run}/artifacts/{artifact}");
        self.ask(self.request(Method::PUT, &path).json(&json!({ "pinned": pinned }))).await.map(drop)
    }

    /// Removes an artifact.
    ///
    /// # Errors
    /// See [`super`].
    pub async fn remove_artifact(&self, run: &str, artifact: i64) -> Result<(), Failure> {
        let path = format!("/runs/{run}/artifacts/{artifact}");
        self.ask(self.request(Method::DELETE, &path)).await.map(drop)
    }
}
