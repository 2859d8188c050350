//! Assembles lines from the chunks that a step wrote.
//!
//! Invariant: the lines depend only on the bytes, never on how they were cut into chunks, so an agent that reads the
//! spool again derives the same records. Memory is bounded by [`MAX_LINE_BYTES`] for each of the two streams.
//! It knows nothing of commands or masks.

use std::borrow::Cow;

use memchr::memchr;
use serde::{Deserialize, Serialize};

/// Longest piece of a line, in bytes; a longer line is cut into pieces of exactly this size and a rest.
pub const MAX_LINE_BYTES: usize = 256 * 1024;

/// Which of a step's outputs bytes came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line, or a piece of a long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'a> {
    /// Where it was written.
    pub stream: Stream,
    /// Unix time in milliseconds of the chunk that completed it.
    pub time_ms: u64,
    /// The bytes, without LF or CRLF.
    pub text: Cow<'a, [u8]>,
    /// It continues the piece before it of the same stream.
    pub continues: bool,
    /// The line goes on in the next piece of the same stream.
    pub partial: bool,
}

impl Line<'_> {
    /// The same with bytes of its own.
    #[must_use]
    pub fn into_owned(self) -> Line<'static> {
        let Self { stream, time_ms, text, continues, partial } = self;
        Line { stream, time_ms, text: Cow::Owned(text.into_owned()), continues, partial }
    }
}

/// The lines of one step under construction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    stdout: Pending,
    stderr: Pending,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    bytes: Vec<u8>,
    /// A piece of this line was given out already.
    continues: bool,
    time_ms: u64,
}

impl Lines {
    /// Takes a chunk and hands each line or piece that it completes to `emit`.
    pub fn push(&mut self, stream: Stream, time_ms: u64, chunk: &[u8], emit: &mut impl FnMut(Line<'_>)) {
        let pending = self.pending(stream);
        pending.time_ms = time_ms;
        let mut rest = chunk;
        while let Some(at) = memchr(b'\n', rest) {
            let (line, after) = rest.split_at(at);
            if pending.is_empty() && line.len() <= MAX_LINE_BYTES {
                // All of it is here: it is given out where it lies.
                let text = Cow::Borrowed(line.strip_suffix(b"\r").unwrap_or(line));
                emit(Line { stream, time_ms, text, continues: false, partial: false });
            } else {
                pending.append(line, stream, emit);
                pending.end(stream, emit);
            }
            rest = after.get(1..).unwrap_or_default();
        }
        pending.append(rest, stream, emit);
    }

    /// The step has ended: gives out what no line end followed.
    pub fn finish(&mut self, emit: &mut impl FnMut(Line<'_>)) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let pending = self.pending(stream);
            if !pending.is_empty() {
                pending.emit(stream, false, emit);
            }
        }
    }

    fn pending(&mut self, stream: Stream) -> &mut Pending {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}

impl Pending {
    /// Whether the next byte begins a line.
    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && !self.continues
    }

    /// Adds bytes without LF. A full piece leaves only when a further byte arrives, because that byte may be the LF
    /// of a CRLF whose CR is the piece's last byte.
    fn append(&mut self, mut bytes: &[u8], stream: Stream, emit: &mut impl FnMut(Line<'_>)) {
        while !bytes.is_empty() {
            if self.bytes.len() >= MAX_LINE_BYTES {
                self.emit(stream, true, emit);
            }
            let room = MAX_LINE_BYTES.saturating_sub(self.bytes.len()).min(bytes.len());
            let (now, later) = bytes.split_at(room);
            self.bytes.extend_from_slice(now);
            bytes = later;
        }
    }

    fn end(&mut self, stream: Stream, emit: &mut impl FnMut(Line<'_>)) {
        if self.bytes.last() == Some(&b'\r') {
            self.bytes.pop();
        }
        self.emit(stream, false, emit);
    }

    fn emit(&mut self, stream: Stream, partial: bool, emit: &mut impl FnMut(Line<'_>)) {
        let text = Cow::Owned(std::mem::take(&mut self.bytes));
        emit(Line { stream, time_ms: self.time_ms, text, continues: self.continues, partial });
        self.continues = partial;
    }
}

#[cfg(test)]
mod tests;
