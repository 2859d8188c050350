//! `/api/v1/runs/{run}/events` and `/logs`: a run as it goes on.

use std::collections::HashMap;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;
use slipway_scheduler::RunId;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::error::ApiError;
use super::extract::{Path, Query};
use super::runs::find;
use crate::run_stream::{self, RunLine};
use crate::services::Services;

#[derive(Debug, Deserialize)]
pub(super) struct Following {
    #[serde(default)]
    follow: bool,
    job: Option<String>,
    #[serde(default)]
    from: u64,
}

/// Which lines of a run are wanted.
struct Pick {
    /// A job's id in the file, its name, or an instance's id.
    job: Option<String>,
    /// The number of the first log line of each instance, counted from 1 over all its attempts.
    from: u64,
    /// Log lines so far, by instance.
    seen: HashMap<String, u64>,
}

impl From<Following> for Pick {
    fn from(following: Following) -> Self {
        Self { job: following.job, from: following.from, seen: HashMap::new() }
    }
}

impl Pick {
    fn fits(&self, job: &str, instance: &str, name: &str) -> bool {
        let fits = |wanted: &String| wanted == instance || wanted.eq_ignore_ascii_case(job) || wanted == name;
        self.job.as_ref().is_none_or(fits)
    }

    fn takes(&mut self, line: &RunLine) -> bool {
        match line {
            RunLine::Log { job, instance, name, partial, .. } => {
                if !self.fits(job, instance, name) {
                    return false;
                }
                let seen = self.seen.entry(instance.clone()).or_default();
                let taken = *seen + 1 >= self.from;
                *seen += u64::from(!partial);
                taken
            }
            RunLine::Step { job, instance, name, .. } | RunLine::Job { job, instance, name, .. } => {
                self.fits(job, instance, name)
            }
            // It does not carry its job's name.
            RunLine::Annotation { job, instance, .. } => self.fits(job, instance, job),
            RunLine::Run { .. } => true,
        }
    }
}

/// The run that a path names, unless its logs were removed: that is told before anything else.
async fn find_kept(services: &Services, text: String) -> Result<RunId, ApiError> {
    let run = find(services, text).await?;
    match services.records.is_removed(run).await? {
        true => Err(ApiError::removed(run)),
        false => Ok(run),
    }
}

/// NDJSON: one object a line.
pub(super) async fn events(
    State(services): State<Services>,
    Path(run): Path<String>,
    Query(following): Query<Following>,
) -> Result<Response, ApiError> {
    let run = find_kept(&services, run).await?;
    let lines = ReceiverStream::new(run_stream::open(&services, run, following.follow));
    let mut pick = Pick::from(following);
    // An error in the middle breaks the connection off, which tells a client that the stream is not whole.
    let body = Body::from_stream(lines.filter_map(move |line| match line {
        Ok(line) => pick.takes(&line).then(|| Ok(line.to_json())),
        Err(error) => Some(Err(error)),
    }));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// Log lines as text; with several instances, each behind its name.
pub(super) async fn logs(
    State(services): State<Services>,
    Path(run): Path<String>,
    Query(following): Query<Following>,
) -> Result<Response, ApiError> {
    let run = find_kept(&services, run).await?;
    let lines = run_stream::open(&services, run, following.follow);
    let mut pick = Pick::from(following);
    let text = ReceiverStream::new(lines).filter_map(move |line| match line {
        Ok(line) if !pick.takes(&line) => None,
        Ok(RunLine::Log { name, line, partial, .. }) => {
            let end = if partial { "" } else { "\n" };
            match &pick.job {
                Some(_) => Some(Ok(Bytes::from(format!("{line}{end}")))),
                None => Some(Ok(Bytes::from(format!("[{name}] {line}{end}")))),
            }
        }
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    });
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(text)).into_response())
}
