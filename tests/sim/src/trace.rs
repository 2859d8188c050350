//! A seed's trace: a hash over every event and when it came, and, on demand, the events themselves.

use std::hash::{Hash, Hasher};

use slipway_scheduler::{Event, Uptime};

/// How many lines of the end are kept for a failure's report.
const TAIL_MAX: usize = 60;

pub(crate) struct Trace {
    hash: Fnv,
    keep: bool,
    tail: std::collections::VecDeque<String>,
}

impl Trace {
    pub(crate) fn new(keep: bool) -> Self {
        Self { hash: Fnv(0xcbf2_9ce4_8422_2325), keep, tail: std::collections::VecDeque::new() }
    }

    pub(crate) fn event(&mut self, at: Uptime, event: &Event) {
        at.0.hash(&mut self.hash);
        event.hash(&mut self.hash);
        if self.keep {
            let json = serde_json::to_string(event).unwrap_or_default();
            self.line(at, json);
        }
    }

    pub(crate) fn note(&mut self, at: Uptime, text: impl FnOnce() -> String) {
        if self.keep {
            self.line(at, text());
        }
    }

    fn line(&mut self, at: Uptime, text: String) {
        if self.tail.len() == TAIL_MAX {
            self.tail.pop_front();
        }
        self.tail.push_back(format!("{:>10} {text}", at.0));
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.finish()
    }

    pub(crate) fn into_tail(self) -> Vec<String> {
        self.tail.into()
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
