//! A place in the source that moves forward and knows its line and column.

use std::cmp::Ordering;

use crate::diagnostics::Position;

/// What makes a file no YAML, and where.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: Position,
    pub(super) message: String,
}

/// Bytes of a source, read one after the other. Byte 0 stands for the end: a source has no NUL.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'s> {
    source: &'s str,
    at: usize,
    line: u32,
    line_start: usize,
    /// Up to where the characters of this line are counted, and how many they are.
    counted: (usize, u32),
}

/// What a scalar's next line is to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextLine {
    /// It goes on, after that many line breaks.
    Continues(usize),
    /// It ended before.
    Stops,
}

impl<'s> Cursor<'s> {
    pub(super) fn new(source: &'s str) -> Self {
        Self { source, at: 0, line: 1, line_start: 0, counted: (0, 0) }
    }

    pub(super) fn byte(&self) -> u8 {
        self.ahead(0)
    }

    pub(super) fn ahead(&self, by: usize) -> u8 {
        self.source.as_bytes().get(self.at + by).copied().unwrap_or(0)
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn line(&self) -> u32 {
        self.line
    }

    /// Bytes before this one on its line; where only spaces stand before, its indentation.
    pub(super) fn offset_in_line(&self) -> usize {
        self.at - self.line_start
    }

    /// What is left.
    pub(super) fn rest(&self) -> &'s [u8] {
        self.source.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// The text from `from` up to here. Both stand at characters' starts.
    pub(super) fn since(&self, from: usize) -> &'s str {
        self.source.get(from..self.at).unwrap_or_default()
    }

    /// Moves on within a line.
    pub(super) fn advance(&mut self, by: usize) {
        self.at = (self.at + by).min(self.source.len());
    }

    pub(super) fn at_line_break(&self) -> bool {
        match self.byte() {
            b'\n' => true,
            b'\r' => self.ahead(1) == b'\n',
            _ => false,
        }
    }

    /// Whether a space, a tab, a line break or the end is there.
    pub(super) fn is_white(&self, ahead: usize) -> bool {
        matches!(self.ahead(ahead), 0 | b' ' | b'\t' | b'\n' | b'\r')
    }

    /// Moves over a line break, if one is here.
    pub(super) fn take_line_break(&mut self) -> bool {
        if !self.at_line_break() {
            return false;
        }
        self.at += if self.byte() == b'\r' { 2 } else { 1 };
        self.line = self.line.saturating_add(1);
        self.line_start = self.at;
        self.counted = (self.at, 0);
        true
    }

    /// Moves over spaces; says how many.
    pub(super) fn take_spaces(&mut self) -> usize {
        let count = self.rest().iter().take_while(|byte| **byte == b' ').count();
        self.at += count;
        count
    }

    /// Moves over spaces and tabs; says whether a tab was among them.
    pub(super) fn take_blanks(&mut self) -> bool {
        let mut tab = false;
        loop {
            match self.byte() {
                b' ' => {}
                b'\t' => tab = true,
                _ => return tab,
            }
            self.at += 1;
        }
    }

    /// Moves to the end of the line.
    pub(super) fn take_rest_of_line(&mut self) {
        self.at += self.rest().iter().take_while(|byte| **byte != b'\n').count();
        if self.ahead(0) == b'\n' && self.at > self.line_start && self.byte_before() == b'\r' {
            self.at -= 1;
        }
    }

    /// The byte before this one, or a line break at the start.
    pub(super) fn byte_before(&self) -> u8 {
        self.at.checked_sub(1).and_then(|at| self.source.as_bytes().get(at)).copied().unwrap_or(b'\n')
    }

    /// Whether `---` or `...` stands alone at the start of this line.
    pub(super) fn at_marker(&self) -> bool {
        self.at == self.line_start
            && (self.rest().starts_with(b"---") || self.rest().starts_with(b"..."))
            && self.is_white(3)
    }

    /// From the end of a line to the next one's text, if a scalar that must be indented by at least `indent` goes on
    /// there. Otherwise this stays where it is.
    pub(super) fn take_next_line(&mut self, indent: usize) -> NextLine {
        let before = *self;
        let mut breaks = 0;
        while self.take_line_break() {
            breaks += 1;
            if self.at_marker() {
                break;
            }
            let spaces = self.take_spaces();
            self.take_blanks();
            if self.at_line_break() {
                continue;
            }
            if self.byte() == 0 || spaces < indent {
                break;
            }
            return NextLine::Continues(breaks);
        }
        *self = before;
        NextLine::Stops
    }

    /// Line and column, counted in characters.
    pub(super) fn position(&mut self) -> Position {
        let (from, characters) = match self.counted.0.cmp(&self.at) {
            Ordering::Greater => (self.line_start, 0),
            _ => self.counted,
        };
        let more = self.source.as_bytes().get(from..self.at).unwrap_or_default();
        let more = more.iter().filter(|byte| (**byte & 0xC0) != 0x80).count();
        self.counted = (self.at, characters.saturating_add(u32::try_from(more).unwrap_or(u32::MAX)));
        Position { line: self.line, column: self.counted.1.saturating_add(1) }
    }

    /// A fault right here.
    pub(super) fn fault(&mut self, message: impl Into<String>) -> Fault {
        Fault { at: self.position(), message: message.into() }
    }
}

/// Whether that byte ends a plain scalar inside `[]` or `{}`.
pub(super) fn is_flow_indicator(byte: u8) -> bool {
    matches!(byte, b',' | b'[' | b']' | b'{' | b'}')
}
