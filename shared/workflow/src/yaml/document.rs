//! A file: directives, markers and one document.

use super::block::Block;
use super::build::{Builder, Stop};
use super::cursor::Cursor;
use super::properties::Properties;
use super::{MAX_FILE_BYTES, Node};
use crate::diagnostics::{Position, Reporter};

/// Parses the reporter's source. `None` when it can't be used at all; then an error is recorded. Duplicate keys are
/// recorded as errors and skipped.
pub fn parse(reporter: &mut Reporter<'_>) -> Option<Node> {
    let source = reporter.source();
    let start = Position { line: 1, column: 1 };
    if source.len() > MAX_FILE_BYTES {
        reporter.error(start, "limit", format!("the file is larger than {MAX_FILE_BYTES} bytes"));
        return None;
    }
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let mut reader = Reader {
        cursor: Cursor::new(source),
        builder: Builder::new(reporter),
        blocks: Vec::new(),
        pending: Properties::default(),
        handles: Vec::new(),
    };
    match reader.file() {
        Ok(()) => {}
        Err(Stop::Recorded) => return None,
        Err(Stop::Fault(fault)) => {
            let message = format!("this is not valid YAML: {}", fault.message);
            reader.builder.reporter.error(fault.at, "yaml-syntax", message);
            return None;
        }
    }
    let Builder { root, reporter, .. } = reader.builder;
    if root.is_none() {
        reporter.error(start, "yaml-syntax", "the file is empty");
    }
    root
}

/// Reads one file. What is open is kept in lists, so no input makes it recurse.
pub(super) struct Reader<'r, 's> {
    pub(super) cursor: Cursor<'s>,
    pub(super) builder: Builder<'r, 's>,
    /// The block collections that are open, outermost first.
    pub(super) blocks: Vec<Block>,
    /// Properties on a line of their own; they are the next node's.
    pub(super) pending: Properties<'s>,
    /// The handles of `%TAG` and what they are short for.
    pub(super) handles: Vec<(&'s str, &'s str)>,
}

/// What was passed before a token.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gap {
    /// A line break, so that the token is the first of its line.
    pub(super) fresh: bool,
    /// A tab, on the token's line.
    pub(super) tab: bool,
    /// Spaces before the first tab or the token, when `fresh`.
    pub(super) indent: usize,
}

impl Reader<'_, '_> {
    fn file(&mut self) -> Result<(), Stop> {
        if let Some(at) = self.cursor.rest().iter().position(|byte| *byte == 0) {
            self.cursor.advance(at);
            return Err(self.cursor.fault("a NUL character: is this a text file?").into());
        }
        let gap = self.directives()?;
        self.document(gap)?;
        // What follows the document: comments and `...`, and nothing else.
        while self.cursor.at_marker() && self.cursor.byte() == b'.' {
            self.cursor.advance(3);
            self.end_of_line()?;
            self.gap()?;
        }
        if self.cursor.byte() != 0 {
            let at = self.cursor.position();
            self.builder.reporter.error(at, "yaml-syntax", "a workflow file holds one document");
            return Err(Stop::Recorded);
        }
        Ok(())
    }

    /// Everything before the document's first token.
    fn directives(&mut self) -> Result<Gap, Stop> {
        let mut gap = self.gap()?;
        gap.fresh = true;
        let mut any = false;
        while self.cursor.byte() == b'%' && self.cursor.offset_in_line() == 0 {
            any = true;
            let from = self.cursor.at();
            self.cursor.take_rest_of_line();
            let mut words = self.cursor.since(from).split([' ', '\t']).filter(|word| !word.is_empty());
            if let (Some("%TAG"), Some(handle), Some(prefix)) = (words.next(), words.next(), words.next()) {
                self.handles.push((handle, prefix));
            }
            gap = self.gap()?;
        }
        if self.cursor.at_marker() && self.cursor.byte() == b'-' {
            self.cursor.advance(3);
            return self.gap();
        }
        if any {
            return Err(self.cursor.fault("`---` must follow the directives").into());
        }
        Ok(gap)
    }

    /// Passes blanks, comments and line breaks.
    pub(super) fn gap(&mut self) -> Result<Gap, Stop> {
        let mut gap = Gap { fresh: self.cursor.at() == 0, ..Gap::default() };
        loop {
            let spaces = self.cursor.take_spaces();
            if gap.fresh {
                gap.indent = spaces;
            }
            gap.tab = self.cursor.take_blanks();
            if self.cursor.byte() == b'#' {
                if !matches!(self.cursor.byte_before(), b' ' | b'\t' | b'\n') {
                    return Err(self.cursor.fault("a blank must stand before `#`").into());
                }
                self.cursor.take_rest_of_line();
            }
            if !self.cursor.take_line_break() {
                return Ok(gap);
            }
            gap = Gap { fresh: true, ..Gap::default() };
        }
    }

    /// After a node nothing but a comment may stand on its line.
    pub(super) fn end_of_line(&mut self) -> Result<(), Stop> {
        let from = self.cursor.at();
        self.cursor.take_blanks();
        if self.cursor.byte() == b'#' && self.cursor.at() > from {
            self.cursor.take_rest_of_line();
        }
        if self.cursor.byte() == 0 || self.cursor.at_line_break() {
            return Ok(());
        }
        Err(self.cursor.fault("this is not expected after the value").into())
    }
}
