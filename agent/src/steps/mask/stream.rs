//! Masks a line that comes in pieces.

use serde::{Deserialize, Serialize};

use super::{MASK, Masks};

/// A line's masking under way: holds back what a secret might still start in, at most the longest pattern less one byte.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskStream {
    pub(super) held: Vec<u8>,
    /// How many held bytes a mask already stands for; `Some(0)`: a secret ended right before them.
    masked: Option<usize>,
}

impl MaskStream {
    /// Takes a piece and returns what is sure by now; `last` ends the line and lets go of everything.
    ///
    /// Joined, the results are what [`Masks::mask`] makes of the joined pieces, as long as no mask was added meanwhile.
    pub fn push(&mut self, masks: &Masks, piece: &[u8], last: bool) -> Vec<u8> {
        let mut text = std::mem::take(&mut self.held);
        text.extend_from_slice(piece);
        let hold = if last { 0 } else { masks.longest().saturating_sub(1) };
        let sure = text.len().saturating_sub(hold);
        let mut out = Vec::with_capacity(sure);
        // Everything before `done` is written or masked; `open`: a mask ends exactly there.
        let mut done = self.masked.unwrap_or(0);
        let mut open = self.masked.is_some();
        for stretch in masks.stretches(&text) {
            if stretch.start >= sure && !(open && stretch.start <= done) {
                break;
            }
            if !(open && stretch.start <= done) {
                out.extend_from_slice(text.get(done..stretch.start).unwrap_or_default());
                out.extend_from_slice(MASK);
            }
            done = done.max(stretch.end);
            open = true;
        }
        if done < sure {
            out.extend_from_slice(text.get(done..sure).unwrap_or_default());
            done = sure;
            open = false;
        }
        self.held = text.split_off(sure);
        self.masked = (open && !last).then(|| done - sure);
        out
    }
}
