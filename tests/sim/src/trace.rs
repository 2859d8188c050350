//! A seed's trace: a hash over every event and when it came, and, on demand, the events themselves.

use std::hash::{Hash, Hasher};

use slipway_scheduler::{Event, Uptime};

/// How many lines of the end are kept for a failure's report.
const TAIL_MAX: usize = 60;

/// How many lines are kept at all: a world of a few thousand events has fewer.
const LINES_MAX: usize = 1_000_000;

/// What is kept of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The hash alone.
    Nothing,
    /// The troubles that came, and the last lines.
    Tail,
    /// Everything.
    All,
}

pub(crate) struct Trace {
    hash: Fnv,
    keep: Keep,
    lines: std::collections::VecDeque<String>,
}

impl Trace {
    pub(crate) fn new(keep: Keep) -> Self {
        Self { hash: Fnv(0xcbf2_9ce4_8422_2325), keep, lines: std::collections::VecDeque::new() }
    }

    pub(crate) fn event(&mut self, at: Uptime, event: &Event) {
        at.0.hash(&mut self.hash);
        event.hash(&mut self.hash);
        if self.keep != Keep::Nothing {
            let json = serde_json::to_string(event).unwrap_or_default();
            self.line(at, json);
        }
    }

    pub(crate) fn note(&mut self, at: Uptime, text: impl FnOnce() -> String) {
        if self.keep != Keep::Nothing {
            self.line(at, text());
        }
    }

    fn line(&mut self, at: Uptime, text: String) {
        let most = if self.keep == Keep::All { LINES_MAX } else { TAIL_MAX };
        if self.lines.len() == most {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{:>10} {text}", at.0));
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.finish()
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}

/// FNV-1a over words; the standard library's hasher may change between releases, this one does not.
struct Fnv(u64);

impl Fnv {
    fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        self.0 ^= self.0 >> 29;
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.word(chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
        for byte in chunks.remainder() {
            self.word(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.word(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.word(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.word(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.word(value as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
