//! Replaces secrets by `***`, in every form in which they may appear.
//!
//! What counts as a secret is GitHub's: each value, trimmed; each of its lines, trimmed; each of those in the forms of
//! `encodings`. Text that two secrets cover between them becomes one mask.
//!
//! Invariant: when there is more to mask than [`MAX_PATTERN_BYTES`] allows, everything is masked: it fails closed.

mod encodings;
mod finder;
mod stream;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::OnceLock;

use finder::Finder;
pub use stream::MaskStream;

/// What stands for a secret.
pub const MASK: &[u8] = b"***";

/// Most bytes in all forms of all secrets of a job; the automaton takes about 20 times as much memory.
pub const MAX_PATTERN_BYTES: usize = 8 * 1024 * 1024;

/// The secrets of a job. Cheap to add to: the search is built again at the next use, if there is anything new.
#[derive(Default)]
pub struct Masks {
    patterns: BTreeSet<Vec<u8>>,
    pattern_bytes: usize,
    overflow: bool,
    /// Values that the job's steps added, in order, for the job's state.
    added: Vec<String>,
    finder: OnceLock<Option<Finder>>,
}

impl std::fmt::Debug for Masks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Masks").field("patterns", &self.patterns.len()).finish_non_exhaustive()
    }
}

impl Masks {
    /// Masks for the secrets that the coordinator gave out for the job.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut masks = Self::default();
        for secret in secrets {
            masks.add_value(secret.trim());
        }
        masks
    }

    /// Adds a value that a step asked to mask (`::add-mask::`, a stop token).
    pub fn add(&mut self, value: &str) {
        if !self.added.iter().any(|known| known == value) {
            self.added.push(value.to_owned());
        }
        self.add_value(value);
    }

    /// What [`Masks::add`] was called with: secret text, which must not be stored in clear.
    pub fn added(&self) -> &[String] {
        &self.added
    }

    /// Masks a text.
    pub fn mask<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        let stretches = self.stretches(text);
        if stretches.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = Vec::with_capacity(text.len());
        let mut done = 0;
        for stretch in stretches {
            out.extend_from_slice(text.get(done..stretch.start).unwrap_or_default());
            out.extend_from_slice(MASK);
            done = stretch.end;
        }
        out.extend_from_slice(text.get(done..).unwrap_or_default());
        Cow::Owned(out)
    }

    /// Masks a text that is UTF-8; it stays UTF-8 unless a secret's form split a character, which is then replaced.
    pub fn mask_str(&self, text: &str) -> String {
        match self.mask(text.as_bytes()) {
            Cow::Borrowed(_) => text.to_owned(),
            Cow::Owned(masked) => String::from_utf8_lossy(&masked).into_owned(),
        }
    }

    /// Whether a text holds a secret in any form; such an output is not passed to other jobs.
    pub fn contains_secret(&self, text: &[u8]) -> bool {
        !self.stretches(text).is_empty()
    }

    /// Length of the longest pattern in bytes; 0 when there is nothing to mask.
    pub fn longest(&self) -> usize {
        self.finder().map_or(0, Finder::longest)
    }

    fn stretches(&self, text: &[u8]) -> Vec<Range<usize>> {
        if text.is_empty() {
            return Vec::new();
        }
        match self.finder() {
            Some(finder) => finder.stretches(text),
            None if self.patterns.is_empty() && !self.overflow => Vec::new(),
            None => std::iter::once(0..text.len()).collect(),
        }
    }

    fn finder(&self) -> Option<&Finder> {
        self.finder
            .get_or_init(|| {
                if self.overflow { None } else { Finder::new(self.patterns.iter().map(Vec::as_slice)) }
            })
            .as_ref()
    }

    fn add_value(&mut self, value: &str) {
        self.add_forms(value);
        for line in value.split(['\r', '\n']) {
            self.add_forms(line.trim());
        }
    }

    fn add_forms(&mut self, value: &str) {
        if value.is_empty() || self.overflow {
            return;
        }
        let mut changed = false;
        for form in encodings::encodings(value) {
            let length = form.len();
            if self.pattern_bytes + length > MAX_PATTERN_BYTES {
                self.overflow = true;
                self.patterns.clear();
                changed = true;
            }
            if !self.overflow && self.patterns.insert(form.into_bytes()) {
                self.pattern_bytes += length;
                changed = true;
            }
        }
        // Steps say the same again and again, and building the search is what costs.
        if changed {
            self.finder.take();
        }
    }
}

#[cfg(test)]
mod tests;
