//! Rows of a log: a bounded window of one step's records as HTML, and the whole log as it is.

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use maud::{Markup, html};
use slipway_proto::v1::{Record, record};

use super::ansi;
use super::error::PageError;
use super::job::{Wanted, choose};
use super::limits::PAGE_ROWS;
use super::outline::{Level, Place};
use super::run_failures::spot;
use super::words::{clock, name};
use crate::records::{AttemptKey, Reader, Records, RecordsError};
use crate::services::Services;

/// A row: a piece of a line, or an annotation.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) step: u32,
    pub(super) place: Place,
    time_ms: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Line { text: String, class: &'static str },
    Annotation { level: Level, title: String, message: String, file: String, line: u32 },
}

/// The row of a record, if it is one; moves the place behind it.
pub(super) fn row(record: Record, place: &mut Place) -> Option<Row> {
    let at = *place;
    place.record += 1;
    let what = match record.record? {
        record::Record::Line(line) => {
            place.line += u64::from(!line.partial);
            let class = match line.stream {
                2 => "err",
                3 => "sys",
                _ => "out",
            };
            What::Line { text: String::from_utf8_lossy(&line.text).into_owned(), class }
        }
        record::Record::Annotation(found) => What::Annotation {
            level: Level::from_wire(found.level),
            title: found.title,
            message: found.message,
            file: found.file,
            line: found.line,
        },
        _ => return None,
    };
    Some(Row { step: record.step, place: at, time_ms: record.time_ms, what })
}

impl Row {
    pub(super) fn text(&self) -> Option<&str> {
        match &self.what {
            What::Line { text, .. } => Some(text),
            What::Annotation { .. } => None,
        }
    }
}

/// The rows as items of a list. The number of a line in pieces stands at its first one; `marked` is where the first error is.
pub(super) fn items(rows: &[Row], marked: Option<Place>) -> Markup {
    let mut last_line = 0;
    html! {
        @for row in rows {
            @let marked = marked.is_some_and(|place| place.record == row.place.record);
            @match &row.what {
                What::Line { text, class } => {
                    @let number = (row.place.line > last_line).then_some(row.place.line);
                    @let _ = last_line = row.place.line;
                    li class=(class) id=[number.map(|number| format!("L{number}"))] {
                        @match number {
                            Some(number) => a href={ "#L" (number) } { (number) },
                            None => span.num aria-hidden="true" { "…" },
                        }
                        i { (clock(row.time_ms)) }
                        // So that a link to the first error leads here where no annotation is.
                        span id=[marked.then_some("error")] { (ansi::render(text)) }
                    }
                }
                What::Annotation { level, title, message, file, line } => {
                    li class={ "note " (level.word()) } id=[marked.then_some("error")] {
                        span.num {}
                        i { (clock(row.time_ms)) }
                        span {
                            strong { (level.word()) ": " }
                            @if !title.is_empty() { (name(title)) ": " }
                            (ansi::render(message)) " " (spot(file, *line))
                        }
                    }
                }
            }
        }
    }
}

/// The rows of one step between two places, at most a page of them.
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
            if place.record >= until || rows.len() as u64 >= PAGE_ROWS {
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

#[cfg(test)]
mod tests {
    use slipway_proto::v1;

    use super::*;

    fn line(text: &str, partial: bool) -> Record {
        let line = v1::LogLine { text: text.to_owned().into_bytes().into(), stream: 1, partial };
        Record { time_ms: 0, step: 0, record: Some(record::Record::Line(line)) }
    }

    #[test]
    fn lines_have_their_numbers_and_stay_text() {
        let mut place = Place { record: 1, line: 1 };
        let annotation = v1::Annotation {
            level: 3,
            message: "<b>broken".to_owned(),
            file: "<i>.rs".to_owned(),
            line: 7,
            ..v1::Annotation::default()
        };
        let annotation = Record { time_ms: 0, step: 0, record: Some(record::Record::Annotation(annotation)) };
        let records = [line("<script>", true), line("\u{1b}[31mred", false), annotation, line("end", false)];
        let rows: Vec<Row> = records.into_iter().filter_map(|record| row(record, &mut place)).collect();
        assert_eq!(place, Place { record: 5, line: 3 });
        let html = items(&rows, Some(Place { record: 3, line: 2 })).0;
        assert_eq!(html.matches("id=\"L").count(), 2, "{html}");
        for part in [
            "<li class=\"out\" id=\"L1\"><a href=\"#L1\">1</a><i>00:00:00.000</i><span>&lt;script&gt;</span>",
            "…</span><i>00:00:00.000</i><span><span class=\"f1\">red</span></span>",
            "<li class=\"note error\" id=\"error\">",
            "&lt;b&gt;broken",
            "&lt;i&gt;.rs",
            "<li class=\"out\" id=\"L2\">",
        ] {
            assert!(html.contains(part), "{part} is missing in {html}");
        }
    }
}
