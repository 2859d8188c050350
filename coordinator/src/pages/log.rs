//! Reading a log: a bounded window of one step's rows, and the whole log as it is.

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use slipway_proto::v1::record;

use super::error::PageError;
use super::job::{Wanted, choose};
use super::limits::PAGE_ROWS;
use super::outline::Place;
use super::rows::{Row, row};
use crate::records::{AttemptKey, Reader, Records, RecordsError};
use crate::services::Services;

/// The rows of one step between two places, at most two pages of them.
///
/// # Errors
/// [`RecordsError`].
pub(super) async fn window(
    records: &Records,
    (key, over): (AttemptKey, bool),
    step: u32,
    (from, until): (Place, u64),
) -> Result<Vec<Row>, RecordsError> {
    let mut rows = Vec::new();
    let mut place = from;
    let mut reader = records.reader(key, from.record, over).await?;
    loop {
        let some = reader.next().await?;
        if some.is_empty() {
            return Ok(rows);
        }
        for record in some {
            if place.record >= until || rows.len() as u64 >= 2 * PAGE_ROWS {
                return Ok(rows);
            }
            rows.extend(row(record, &mut place).filter(|row| row.step == step));
        }
        tokio::task::yield_now().await;
    }
}

/// The next lines of a log as they were written; none at its end.
async fn lines(reader: &mut Reader) -> Result<Option<Bytes>, RecordsError> {
    loop {
        let some = reader.next().await?;
        if some.is_empty() {
            return Ok(None);
        }
        let mut text = BytesMut::new();
        for record in some {
            if let Some(record::Record::Line(line)) = record.record {
                text.extend_from_slice(&line.text);
                text.extend_from_slice(if line.partial { b"" } else { b"\n" });
            }
        }
        if !text.is_empty() {
            return Ok(Some(text.freeze()));
        }
    }
}

/// All of an attempt's log so far, as text.
pub(super) async fn raw(
    State(services): State<Services>,
    Path((run, instance)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, PageError> {
    let chosen = choose(&services, run, &instance, wanted.attempt).await?;
    let (key, over) = chosen.log().ok_or_else(|| PageError::not_found("This job has no log yet."))?;
    let reader = services.records.reader(key, 1, over).await?;
    // An error in the middle breaks the connection off, which tells a browser that the file is not whole.
    let body = stream::try_unfold(reader, |mut reader| async move {
        Ok::<_, RecordsError>(lines(&mut reader).await?.map(|text| (text, reader)))
    });
    let file = format!("attachment; filename=\"{}-{}.log\"", key.instance, key.attempt);
    let headers =
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, file)];
    Ok((headers, Body::from_stream(body)).into_response())
}
