//! Entries of the Actions cache that this agent has had before, from its own disk.
//!
//! A download is asked of the coordinator first, as a `HEAD`: it checks the signed address and the job, and names the bytes. Only
//! then are pieces given out that are on the disk. From the first one on that is not, the rest comes from the coordinator, and whole
//! pieces of it are kept.

use std::io;
use std::sync::Arc;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use tokio::task::JoinHandle;

use super::own::Onward;
use crate::tier::pieces::{ENTRY, Entry, PIECE_BYTES, Pieces};

/// What the paths of signed addresses begin with.
pub(super) const PATH: &str = "/results/blobs/";

/// How Azure's clients ask for a range.
const AZURE_RANGE: &str = "x-ms-range";

/// Whether this asks for the bytes of an entry, maybe.
pub(super) fn is_download(request: &Request<Body>) -> bool {
    request.method() == Method::GET
        && request.version() != Version::HTTP_2
        && request.uri().path().starts_with(PATH)
}

/// Answers a download.
///
/// # Errors
/// When the coordinator cannot be asked.
pub(super) async fn answer(
    request: Request<Body>,
    pieces: &Pieces,
    onward: &Arc<Onward>,
) -> io::Result<Response<Body>> {
    let asked = copy(&request, Method::HEAD)?;
    let told = onward.ask(asked).await?;
    let Some(part) = Part::of(told.status(), told.headers()) else {
        // Not an entry, or refused: its own words are the coordinator's to say.
        return onward.ask(request).await;
    };
    let (told, _) = told.into_parts();
    let rest = Rest {
        part,
        pieces: pieces.clone(),
        onward: Arc::clone(onward),
        uri: request.uri().clone(),
        host: request.headers().get(header::HOST).cloned(),
        source: Source::Disk(None),
    };
    let body = Body::from_stream(stream::try_unfold(rest, Rest::next));
    Ok(Response::from_parts(told, body))
}

/// The same request without its body, and with another method.
fn copy(request: &Request<Body>, method: Method) -> io::Result<Request<Body>> {
    let mut copy = Request::builder().method(method).uri(request.uri().clone());
    for name in [header::HOST.as_str(), header::RANGE.as_str(), AZURE_RANGE] {
        if let Some(value) = request.headers().get(name) {
            copy = copy.header(name, value);
        }
    }
    copy.body(Body::empty()).map_err(io::Error::other)
}

/// A part of an entry.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    entry: Entry,
    /// The next byte, and the one after the last.
    at: u64,
    until: u64,
}

impl Part {
    /// What an answer gives; `None`: it is not of an entry.
    fn of(status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let length: u64 = text(header::CONTENT_LENGTH.as_str())?.parse().ok()?;
        let (at, size_bytes) = match status {
            StatusCode::OK => (0, length),
            StatusCode::PARTIAL_CONTENT => {
                let (range, size) =
                    text(header::CONTENT_RANGE.as_str())?.strip_prefix("bytes ")?.split_once('/')?;
                (range.split_once('-')?.0.parse().ok()?, size.parse().ok()?)
            }
            _ => return None,
        };
        let until = length.checked_add(at)?;
        let entry = Entry::new(text(ENTRY)?, size_bytes)?;
        (until <= size_bytes).then_some(Self { entry, at, until })
    }
}

/// What is still to be given out, and from where.
struct Rest {
    part: Part,
    pieces: Pieces,
    onward: Arc<Onward>,
    uri: Uri,
    host: Option<HeaderValue>,
    source: Source,
}

enum Source {
    /// The disk, and the piece that is read ahead.
    Disk(Option<JoinHandle<Option<Bytes>>>),
    /// The coordinator.
    Coordinator(BodyDataStream, Keeping),
}

impl Rest {
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        let part = &mut self.part;
        if part.at >= part.until {
            if let Source::Coordinator(_, keeping) = self.source {
                keeping.finish().await;
            }
            return Ok(None);
        }
        if let Source::Disk(ahead) = &mut self.source {
            let number = part.at / PIECE_BYTES;
            let piece = match ahead.take() {
                Some(reading) => reading.await.ok().flatten(),
                None => self.pieces.get(&part.entry, number).await,
            };
            if let Some(piece) = piece {
                let start = number * PIECE_BYTES;
                let end = (start + piece.len() as u64).min(part.until);
                let within = |at: u64| usize::try_from(at - start).unwrap_or(usize::MAX).min(piece.len());
                let bytes = piece.slice(within(part.at)..within(end));
                part.at = end;
                if end < part.until {
                    let (pieces, entry) = (self.pieces.clone(), part.entry.clone());
                    *ahead = Some(tokio::spawn(async move { pieces.get(&entry, number + 1).await }));
                }
                return Ok(Some((bytes, self)));
            }
            let body = self.ask().await?;
            let keeping = Keeping::new(self.pieces.clone(), &self.part);
            self.source = Source::Coordinator(body, keeping);
        }
        let Source::Coordinator(body, keeping) = &mut self.source else { return Ok(None) };
        let bytes = body.next().await.transpose().map_err(io::Error::other)?;
        let bytes = bytes.ok_or(io::ErrorKind::UnexpectedEof)?;
        keeping.take(&bytes).await;
        self.part.at += bytes.len() as u64;
        Ok(Some((bytes, self)))
    }

    /// Asks the coordinator for all that is left.
    async fn ask(&mut self) -> io::Result<BodyDataStream> {
        let Part { entry, at, until } = &self.part;
        let mut asked = Request::builder().uri(self.uri.clone());
        if let Some(host) = &self.host {
            asked = asked.header(header::HOST, host);
        }
        let asked = asked.header(header::RANGE, format!("bytes={at}-{}", until - 1));
        let answer = self.onward.ask(asked.body(Body::empty()).map_err(io::Error::other)?).await?;
        let given = Part::of(answer.status(), answer.headers());
        match given.is_some_and(|given| given == Part { entry: entry.clone(), at: *at, until: *until }) {
            true => Ok(answer.into_body().into_data_stream()),
            false => Err(io::Error::other("the coordinator gave something else than it said")),
        }
    }
}

/// Keeps the whole pieces of what passes.
struct Keeping {
    pieces: Pieces,
    entry: Entry,
    /// Where the next byte belongs.
    at: u64,
    /// The start of a piece; empty while what passes is the end of one.
    piece: BytesMut,
    storing: Option<JoinHandle<()>>,
}

impl Keeping {
    fn new(pieces: Pieces, part: &Part) -> Self {
        Self { pieces, entry: part.entry.clone(), at: part.at, piece: BytesMut::new(), storing: None }
    }

    async fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (number, within) = (self.at / PIECE_BYTES, self.at % PIECE_BYTES);
            let room = usize::try_from(PIECE_BYTES - within).unwrap_or(usize::MAX);
            let (taken, rest) = bytes.split_at(room.min(bytes.len()));
            if self.piece.len() as u64 == within {
                self.piece.extend_from_slice(taken);
            }
            self.at += taken.len() as u64;
            bytes = rest;
            let length = self.entry.length(number);
            if length > 0 && self.piece.len() as u64 == length {
                let piece = std::mem::take(&mut self.piece).freeze();
                self.store(number, piece).await;
            }
        }
    }

    /// One at a time, while the next one comes.
    async fn store(&mut self, number: u64, piece: Bytes) {
        let (pieces, entry) = (self.pieces.clone(), self.entry.clone());
        let before =
            self.storing.replace(tokio::spawn(async move { pieces.put(&entry, number, piece).await }));
        if let Some(before) = before {
            let _ = before.await;
        }
    }

    async fn finish(self) {
        if let Some(storing) = self.storing {
            let _ = storing.await;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn part(status: u16, headers: &[(&str, &str)]) -> Option<Part> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(axum::http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        Part::of(StatusCode::from_u16(status).unwrap(), &map)
    }

    #[test]
    fn an_answer_tells_which_part_of_which_entry_it_is() {
        let entry = (ENTRY, "name");
        let found = part(200, &[entry, ("content-length", "7")]).unwrap();
        assert_eq!(found, Part { entry: Entry::new("name", 7).unwrap(), at: 0, until: 7 });
        let range = [entry, ("content-length", "3"), ("content-range", "bytes 2-4/9")];
        let found = part(206, &range).unwrap();
        assert_eq!(found, Part { entry: Entry::new("name", 9).unwrap(), at: 2, until: 5 });
        for (status, headers) in [
            (200, vec![("content-length", "7")]),
            (200, vec![entry]),
            (403, vec![entry, ("content-length", "7")]),
            (206, vec![entry, ("content-length", "3")]),
            (206, vec![entry, ("content-length", "3"), ("content-range", "bytes */9")]),
            (206, vec![entry, ("content-length", "3"), ("content-range", "bytes 8-10/9")]),
            (206, vec![entry, ("content-length", "3"), ("content-range", "bytes 18446744073709551615-1/9")]),
        ] {
            assert_eq!(part(status, &headers), None, "{headers:?}");
        }
    }
}
