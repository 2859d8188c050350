//! Who answers a connection: what its first bytes tell.
//!
//! A client of the remote cache protocol begins with HTTP/2's preface, and one of the HTTP doors with a request below `/cache`; one
//! that restores an entry of the Actions cache looks for it or gets its bytes. A client that asks for any of that later, over a
//! connection which began with something else, is answered by the coordinator.

use std::io;

use bytes::BytesMut;
use slipway_cache::HTTP_PREFIX;

use super::saved;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::limits::TUNNEL_HEAD_BYTES;

/// What an HTTP/2 connection begins with (RFC 9113, section 3.4), as far as it is looked at.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// What whoever restores an entry of the Actions cache asks first, in the protocol's second version and in its first.
const LOOKS: [&str; 2] = [
    "POST /twirp/github.actions.results.api.v1.CacheService/GetCacheEntryDownloadURL",
    "GET /_apis/artifactcache/cache?",
];

/// The longest method that is looked at.
const METHOD_MAX_BYTES: usize = 16;

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// This agent; what is not its own it passes on, request by request.
    Agents,
    /// The coordinator.
    Coordinators,
}

/// Reads until it is clear, and gives what was read.
///
/// # Errors
/// When the client is gone.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(Whose, BytesMut)> {
    let mut start = BytesMut::with_capacity(TUNNEL_HEAD_BYTES);
    loop {
        if let Some(whose) = whose(&start) {
            return Ok((whose, start));
        }
        start.reserve(TUNNEL_HEAD_BYTES);
        if stream.read_buf(&mut start).await? == 0 {
            return Ok((Whose::Coordinators, start));
        }
    }
}

/// `None`: more of it is needed.
fn whose(start: &[u8]) -> Option<Whose> {
    let gets = format!("GET {}", saved::PATH);
    let beginnings = [PREFACE, LOOKS[0].as_bytes(), LOOKS[1].as_bytes(), gets.as_bytes()];
    let mut answers: Vec<_> = beginnings.into_iter().map(|with| begins(start, with)).collect();
    answers.push(is_of_cache(start));
    if answers.contains(&Some(true)) {
        return Some(Whose::Agents);
    }
    if answers.contains(&None) { None } else { Some(Whose::Coordinators) }
}

/// Whether it asks for something below `/cache/`, by whatever method.
fn is_of_cache(start: &[u8]) -> Option<bool> {
    let looked_at = start.get(..METHOD_MAX_BYTES + 1).unwrap_or(start);
    let Some(space) = looked_at.iter().position(|byte| *byte == b' ') else {
        let is_method = looked_at.iter().all(u8::is_ascii_uppercase) && looked_at.len() <= METHOD_MAX_BYTES;
        return if is_method { None } else { Some(false) };
    };
    begins(start.get(space + 1..).unwrap_or_default(), HTTP_PREFIX.as_bytes())
}

/// Whether a text begins like this; `None`: so far it does, and is not long enough.
fn begins(text: &[u8], with: &[u8]) -> Option<bool> {
    let compared = text.len().min(with.len());
    let is_alike = text.get(..compared) == with.get(..compared);
    if is_alike && compared < with.len() { None } else { Some(is_alike) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_bytes_tell_however_few_come_at_a_time() {
        for (text, expected) in [
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Whose::Agents),
            ("GET /cache/files/x HTTP/1.1\r\n", Whose::Agents),
            ("PROPFIND /cache/files/ HTTP/1.1\r\n", Whose::Agents),
            ("PUT /cache/nx/v1/cache/1 HTTP/1.1\r\n", Whose::Agents),
            ("PRINT /cache/x HTTP/1.1\r\n", Whose::Agents),
            ("PRI * HTTP/3", Whose::Coordinators),
            (
                "POST /twirp/github.actions.results.api.v1.CacheService/GetCacheEntryDownloadURL HTTP/1.1",
                Whose::Agents,
            ),
            (
                "POST /twirp/github.actions.results.api.v1.CacheService/CreateCacheEntry HTTP/1.1",
                Whose::Coordinators,
            ),
            ("GET /_apis/artifactcache/cache?keys=a HTTP/1.1", Whose::Agents),
            ("GET /_apis/artifactcache/caches?key=a HTTP/1.1", Whose::Coordinators),
            ("GET /results/blobs/1?sig=0 HTTP/1.1\r\n", Whose::Agents),
            ("HEAD /results/blobs/1?sig=0 HTTP/1.1\r\n", Whose::Coordinators),
            ("GET /cached/x HTTP/1.1\r\n", Whose::Coordinators),
            ("GET /cache HTTP/1.1\r\n", Whose::Coordinators),
            ("POST /twirp/github.actions.results.api.v1.CacheService/x HTTP/1.1", Whose::Coordinators),
            ("PUT /results/blobs/1?sig=0 HTTP/1.1\r\n", Whose::Coordinators),
            ("GET http://slipway.localhost/cache/x HTTP/1.1\r\n", Whose::Coordinators),
            ("ANUNUSUALLYLONGMETHOD /cache/x HTTP/1.1\r\n", Whose::Coordinators),
            ("\u{16}\u{3}\u{1}", Whose::Coordinators),
            (" /cache/x", Whose::Agents),
            ("GE", Whose::Coordinators),
            ("", Whose::Coordinators),
        ] {
            let text = text.as_bytes();
            for at_a_time in [1, 3, 1_000] {
                let (mut ours, mut theirs) = tokio::io::duplex(at_a_time);
                let sending = async {
                    use tokio::io::AsyncWriteExt as _;
                    // It may be clear, and nobody reads, before all is said.
                    let _ = theirs.write_all(text).await;
                    drop(theirs);
                };
                let reading = async {
                    let read = read(&mut ours).await.unwrap();
                    let mut rest = Vec::new();
                    ours.read_to_end(&mut rest).await.unwrap();
                    (read, rest)
                };
                let ((), ((whose, start), rest)) = tokio::join!(sending, reading);
                assert_eq!(whose, expected, "{:?}", String::from_utf8_lossy(text));
                assert_eq!([&start[..], &rest[..]].concat(), text, "nothing is lost");
            }
        }
    }
}
