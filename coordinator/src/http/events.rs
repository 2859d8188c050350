//! `/api/v1/runs/{run}/events` and `/logs`: a run as it goes on.

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;
use slipway_scheduler::RunId;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use super::error::ApiError;
use super::runs::find;
use crate::run_stream::{self, RunLine};
use crate::services::Services;

#[derive(Debug, Deserialize)]
pub(super) struct Following {
    #[serde(default)]
    follow: bool,
    job: Option<String>,
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
    let lines = run_stream::open(&services, run, following.follow);
    // An error in the middle breaks the connection off, which tells a client that the stream is not whole.
    let body = Body::from_stream(ReceiverStream::new(lines).map(|line| line.map(|line| line.to_json())));
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
    let wanted = following.job;
    let text = ReceiverStream::new(lines).filter_map(move |line| match line {
        Ok(RunLine::Log { job, instance, name, line, partial, .. }) => {
            let fits =
                |wanted: &String| *wanted == instance || wanted.eq_ignore_ascii_case(&job) || *wanted == name;
            let end = if partial { "" } else { "\n" };
            match &wanted {
                Some(wanted) => fits(wanted).then(|| Ok(Bytes::from(format!("{line}{end}")))),
                None => Some(Ok(Bytes::from(format!("[{name}] {line}{end}")))),
            }
        }
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    });
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(text)).into_response())
}
