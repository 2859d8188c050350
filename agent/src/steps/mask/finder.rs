//! Finds every stretch of text that any of many patterns covers, in one pass.
//!
//! An Aho-Corasick automaton visits each byte at most once, whatever the patterns, so that no job can make its log
//! expensive; where no pattern is under way, a bitmap of the patterns' first four bytes skips ahead, and of few patterns vector
//! instructions find where the first of them may begin. Stretches that
//! overlap or touch are one, as in GitHub's `SecretMasker`.

use std::collections::BTreeSet;
use std::ops::Range;

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::packed::Searcher;
use aho_corasick::{Anchored, MatchKind};

/// Bytes of a pattern that the bitmap looks at.
const HEAD: usize = 4;

/// Bytes of a pattern that the vector search looks at: longer ones, whose beginnings are alike, are one.
const VECTOR_HEAD: usize = 8;

/// Bits of an index into the bitmap: 2^18 bits are 32 KiB, which a first-level cache holds.
const BITMAP_BITS: u32 = 18;

#[derive(Clone)]
pub(super) struct Finder {
    automaton: NFA,
    /// Finds out with the processor's vectors that a text has none of the patterns, as nearly all have; none where the
    /// patterns are too many for that.
    vectors: Option<Searcher>,
    start: StateID,
    longest: usize,
    /// Hashes of the first [`HEAD`] bytes of patterns at least that long.
    heads: Vec<u64>,
    /// First bytes of shorter patterns.
    short: [bool; 256],
    has_short: bool,
}

impl Finder {
    /// `None` where there is nothing to find, or the patterns are too many for an automaton.
    pub(super) fn new<'a>(patterns: impl Iterator<Item = &'a [u8]> + Clone) -> Option<Self> {
        let longest = patterns.clone().map(<[u8]>::len).max()?;
        let automaton = NFA::builder().match_kind(MatchKind::Standard).build(patterns.clone()).ok()?;
        let start = automaton.start_state(Anchored::No).ok()?;
        let vector_heads: BTreeSet<&[u8]> =
            patterns.clone().map(|pattern| pattern.get(..VECTOR_HEAD).unwrap_or(pattern)).collect();
        let vectors = Searcher::new(vector_heads);
        let mut heads = vec![0u64; 1 << (BITMAP_BITS - 6)];
        let mut short = [false; 256];
        for pattern in patterns {
            if let Some(head) = pattern.first_chunk::<HEAD>() {
                let (word, bit) = slot(*head);
                if let Some(word) = heads.get_mut(word) {
                    *word |= bit;
                }
            } else if let Some(seen) = pattern.first().and_then(|first| short.get_mut(usize::from(*first))) {
                *seen = true;
            }
        }
        Some(Self { automaton, vectors, start, longest, heads, has_short: short.contains(&true), short })
    }

    /// Length of the longest pattern in bytes, at least 1.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// The covered stretches, in order, apart from each other.
    pub(super) fn stretches(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        let from = match &self.vectors {
            Some(vectors) => vectors.find(text).map(|first| first.start()),
            None => Some(0),
        };
        // No pattern begins before.
        let Some(mut at) = from else { return found };
        let mut state = self.start;
        loop {
            if state == self.start {
                at = self.skip(text, at);
            }
            let Some(byte) = text.get(at) else { return found };
            at += 1;
            state = self.automaton.next_state(Anchored::No, state, *byte);
            if self.automaton.is_special(state) && self.automaton.is_match(state) {
                cover(&mut found, at.saturating_sub(self.longest_ending_in(state))..at);
            }
        }
    }

    fn longest_ending_in(&self, state: StateID) -> usize {
        (0..self.automaton.match_len(state))
            .map(|index| self.automaton.pattern_len(self.automaton.match_pattern(state, index)))
            .max()
            .unwrap_or(0)
    }

    /// The first position from `at` where a pattern may start.
    fn skip(&self, text: &[u8], at: usize) -> usize {
        let rest = text.get(at..).unwrap_or_default();
        for (offset, head) in rest.windows(HEAD).enumerate() {
            let [first, second, third, fourth] = *head else { break };
            let (word, bit) = slot([first, second, third, fourth]);
            let long = self.heads.get(word).is_some_and(|word| word & bit != 0);
            if long || (self.has_short && self.short.get(usize::from(first)).copied().unwrap_or(true)) {
                return at + offset;
            }
        }
        // Too near the end for a head: let the automaton look.
        at + rest.len().saturating_sub(HEAD - 1)
    }
}

/// Word and bit of a head in the bitmap (Fibonacci hashing).
fn slot(head: [u8; HEAD]) -> (usize, u64) {
    let hash = u32::from_le_bytes(head).wrapping_mul(0x9E37_79B1) >> (32 - BITMAP_BITS);
    ((hash >> 6) as usize, 1 << (hash & 63))
}

fn cover(found: &mut Vec<Range<usize>>, mut stretch: Range<usize>) {
    while let Some(last) = found.pop_if(|last| last.end >= stretch.start) {
        stretch.start = stretch.start.min(last.start);
    }
    found.push(stretch);
}
