//! Collections by indentation: `- item` and `key: value`.

use crate::diagnostics::Position;

use super::build::{Scalar, Stop, complex_key};
use super::cursor::Cursor;
use super::document::{Gap, Reader};
use super::literal::literal;
use super::properties::{Properties, name};
use super::text::{Plain, plain, quoted};

/// A key's `:` stands at most this far from its start, in bytes (YAML 1.2.2, section 7.4.2: 1024 characters).
pub(super) const MAX_KEY: usize = 1024;

/// What an open block collection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// The next `- ` or key.
    Entry,
    /// A node: after `- `, `? ` or `key:`. It is null, and here, if none comes.
    Node(Position),
    /// The `:` of a key that began with `?`.
    Colon,
}

/// An open block collection.
#[derive(Debug)]
pub(super) struct Block {
    indent: usize,
    sequence: bool,
    wait: Wait,
    /// The node is a key that began with `?`.
    explicit_key: bool,
}

/// How a node may begin.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Block collections may start here: not after `key: ` on one line.
    collections: bool,
    /// A tab stands before it on its line.
    tab: bool,
}

impl<'s> Reader<'_, 's> {
    /// The document's nodes, up to its end.
    pub(super) fn document(&mut self, mut gap: Gap) -> Result<(), Stop> {
        // After `- `, `? ` and an explicit key's `: ` a block collection may start on the same line.
        let mut compact = false;
        while self.cursor.byte() != 0 && !self.cursor.at_marker() {
            if gap.fresh {
                compact = self.token_of_line(gap)?;
            } else {
                compact = self.node(Place { collections: compact, tab: gap.tab })?;
            }
            gap = self.gap()?;
        }
        while !self.blocks.is_empty() {
            self.close_block()?;
        }
        if !self.pending.is_empty() {
            let at = self.cursor.position();
            self.null(at)?;
        }
        Ok(())
    }

    /// The first token of a line. Says, as all that read tokens do, whether a block collection may follow on the line.
    fn token_of_line(&mut self, gap: Gap) -> Result<bool, Stop> {
        let column = self.cursor.offset_in_line();
        let place = Place { collections: true, tab: gap.tab };
        let dash = self.cursor.byte() == b'-' && self.cursor.is_white(1);
        while let Some(top) = self.blocks.last() {
            let continues = match (top.wait, top.sequence) {
                // A list may stand at its key's own indentation.
                (Wait::Node(_), false) => {
                    top.indent < column || (top.indent == column && dash && !top.explicit_key)
                }
                (_, true) if top.indent == column && top.wait == Wait::Entry => dash,
                (Wait::Node(_), true) => top.indent < column,
                _ => top.indent <= column,
            };
            if continues {
                break;
            }
            if top.indent == column && !top.sequence {
                self.fill()?;
                break;
            }
            if top.indent == column && matches!(top.wait, Wait::Node(_)) && dash {
                self.fill()?;
                break;
            }
            self.close_block()?;
        }
        let Some(top) = self.blocks.last() else {
            if self.builder.root.is_some() {
                return Err(self.misplaced(None).into());
            }
            if gap.tab && gap.indent == 0 && !matches!(self.cursor.byte(), b'[' | b'{') {
                return Err(self.tab().into());
            }
            return self.node(place);
        };
        if matches!(top.wait, Wait::Node(_)) {
            if gap.tab && gap.indent <= top.indent {
                return Err(self.tab().into());
            }
            return self.node(place);
        }
        if top.indent != column {
            let indent = top.indent;
            return Err(self.misplaced(Some(indent)).into());
        }
        if gap.tab {
            return Err(self.tab().into());
        }
        if top.sequence {
            return Ok(self.dash());
        }
        self.entry()
    }

    fn misplaced(&mut self, indent: Option<usize>) -> super::cursor::Fault {
        let message = match indent {
            _ if self.cursor.byte() == b':' && self.cursor.is_white(1) => {
                "no key stands before this `:`".to_owned()
            }
            Some(indent) => format!(
                "this line does not belong to what stands before it: it is indented by {} spaces, and {indent} or another open level was expected",
                self.cursor.offset_in_line()
            ),
            None => "nothing may follow the file's one value".to_owned(),
        };
        self.cursor.fault(message)
    }

    fn tab(&mut self) -> super::cursor::Fault {
        self.cursor.fault("tabs can't indent: use spaces")
    }

    /// Takes `-`.
    fn dash(&mut self) -> bool {
        self.wait_for_node(false);
        true
    }

    /// Takes the indicator that a node must follow.
    fn wait_for_node(&mut self, explicit_key: bool) {
        let at = self.cursor.position();
        self.cursor.advance(1);
        if let Some(top) = self.blocks.last_mut() {
            (top.wait, top.explicit_key) = (Wait::Node(at), explicit_key);
        }
    }

    /// The next key of the innermost mapping, which stands at its indentation.
    fn entry(&mut self) -> Result<bool, Stop> {
        let waits = self.blocks.last().map(|top| top.wait);
        if self.cursor.is_white(1) {
            match (self.cursor.byte(), waits) {
                (b':', Some(Wait::Colon)) => {
                    self.wait_for_node(false);
                    return Ok(true);
                }
                (b'?', _) => {
                    self.fill()?;
                    self.wait_for_node(true);
                    return Ok(true);
                }
                _ => {}
            }
        }
        self.fill()?;
        let mut own = Properties::default();
        own.read(&mut self.cursor, false, &self.handles)?;
        if matches!(self.cursor.byte(), b'[' | b'{' | b'-' | b'|' | b'>') && {
            let first = self.cursor.byte();
            first != b'-' || self.cursor.is_white(1)
        } {
            let at = self.cursor.position();
            return Err(complex_key(at).into());
        }
        let from = self.cursor;
        let token = self.inline(true)?;
        if !self.find_colon(from)? {
            let mut at = from;
            return Err(at.fault("a key and its colon are expected here, on one line").into());
        }
        self.token(token, &own)?;
        self.wait_for_node(false);
        Ok(false)
    }

    /// A node: after `- `, `? ` or `key:`, or the whole document.
    fn node(&mut self, place: Place) -> Result<bool, Stop> {
        let mut start = self.cursor;
        let mut own = Properties::default();
        let any = own.read(&mut self.cursor, false, &self.handles)?;
        if any && (self.cursor.byte() == 0 || self.cursor.byte() == b'#' || self.cursor.at_line_break()) {
            self.pending.merge(own, &mut self.cursor)?;
            return Ok(false);
        }
        if any && place.tab {
            return Err(start.fault("tabs can't indent: use spaces").into());
        }
        let least = self.least_indent();
        match self.cursor.byte() {
            first @ (b'-' | b'?' | b':') if self.cursor.is_white(1) => {
                if (any && first != b':') || !place.collections {
                    return Err(self.no_collection().into());
                }
                self.open_block(&mut start, first == b'-', place)?;
                if first == b':' {
                    let at = self.cursor.position();
                    self.builder.scalar(Scalar { at, text: "".into(), plain: true }, &own)?;
                }
                self.wait_for_node(first == b'?');
                Ok(first != b':')
            }
            b'[' | b'{' => {
                self.pending.merge(own, &mut self.cursor)?;
                self.flow(least)?;
                let mut look = self.cursor;
                look.take_blanks();
                if look.byte() == b':' && look.is_white(1) {
                    return Err(complex_key(start.position()).into());
                }
                self.done()
            }
            b'|' | b'>' => {
                self.pending.merge(own, &mut self.cursor)?;
                let (text, at) = literal(&mut self.cursor, least, least.saturating_sub(1))?;
                let properties = std::mem::take(&mut self.pending);
                self.builder.scalar(Scalar { at, text: text.into(), plain: false }, &properties)?;
                self.done()
            }
            _ => {
                let from = self.cursor;
                let token = self.inline(false)?;
                if self.find_colon(from)? {
                    if !place.collections {
                        return Err(self.no_collection().into());
                    }
                    self.open_block(&mut start, false, place)?;
                    self.token(token, &own)?;
                    self.wait_for_node(false);
                    return Ok(false);
                }
                self.pending.merge(own, &mut self.cursor)?;
                let properties = std::mem::take(&mut self.pending);
                self.token(token, &properties)?;
                self.done()
            }
        }
    }

    fn no_collection(&mut self) -> super::cursor::Fault {
        self.cursor.fault(
            "a list or mapping can't start on this line: start it on the next one, or put text with `: ` into quotes",
        )
    }

    /// What the text of the next node must at least be indented by.
    fn least_indent(&self) -> usize {
        self.blocks.last().map_or(0, |top| top.indent + 1)
    }

    /// Opens a block collection that starts at `start`.
    fn open_block(&mut self, start: &mut Cursor<'s>, sequence: bool, place: Place) -> Result<(), Stop> {
        if place.tab {
            return Err(start.fault("tabs can't indent: use spaces").into());
        }
        let properties = std::mem::take(&mut self.pending);
        let at = start.position();
        if sequence {
            self.builder.open_sequence(at, &properties)?;
        } else {
            self.builder.open_mapping(at, &properties)?;
        }
        let indent = start.offset_in_line();
        self.blocks.push(Block { indent, sequence, wait: Wait::Entry, explicit_key: false });
        Ok(())
    }

    /// A node is complete.
    fn done(&mut self) -> Result<bool, Stop> {
        self.end_of_line()?;
        self.advance_block();
        Ok(false)
    }

    fn advance_block(&mut self) {
        if let Some(top) = self.blocks.last_mut() {
            top.wait = if top.explicit_key { Wait::Colon } else { Wait::Entry };
            top.explicit_key = false;
        }
    }

    /// Gives the innermost collection null for the node it still waits for.
    fn fill(&mut self) -> Result<(), Stop> {
        match self.blocks.last().map(|top| top.wait) {
            Some(Wait::Node(at)) => {
                self.null(at)?;
                self.advance_block();
                // An explicit key without its value.
                self.fill()
            }
            Some(Wait::Colon) => {
                let at = self.cursor.position();
                self.null(at)?;
                self.advance_block();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn close_block(&mut self) -> Result<(), Stop> {
        self.fill()?;
        self.builder.close()?;
        self.blocks.pop();
        self.advance_block();
        Ok(())
    }

    /// Nothing where a node may be, with the properties that wait for one.
    pub(super) fn null(&mut self, at: Position) -> Result<(), Stop> {
        let properties = std::mem::take(&mut self.pending);
        self.builder.scalar(Scalar { at, text: "".into(), plain: true }, &properties)
    }

    /// A scalar or alias that may turn out to be a key.
    fn inline(&mut self, one_line: bool) -> Result<Token<'s>, Stop> {
        let at = self.cursor.position();
        let indent = self.least_indent();
        Ok(match self.cursor.byte() {
            b'*' => Token::Alias(at, name(&mut self.cursor, "an alias")?),
            b'"' | b'\'' => {
                Token::Scalar(Scalar { at, text: quoted(&mut self.cursor, indent)?, plain: false })
            }
            _ => {
                let place = Plain { indent, flow: false, one_line };
                Token::Scalar(Scalar { at, text: plain(&mut self.cursor, place)?, plain: true })
            }
        })
    }

    pub(super) fn token(&mut self, token: Token<'s>, properties: &Properties<'s>) -> Result<(), Stop> {
        match token {
            Token::Scalar(scalar) => self.builder.scalar(scalar, properties),
            Token::Alias(at, name) => self.alias(at, name, properties),
        }
    }

    pub(super) fn alias(
        &mut self,
        at: Position,
        name: &str,
        properties: &Properties<'s>,
    ) -> Result<(), Stop> {
        if !properties.is_empty() {
            return Err(self.cursor.fault("an alias has no tag and no anchor").into());
        }
        self.builder.alias(name, at)
    }

    /// Moves to the `:` that makes what began at `from` a key.
    fn find_colon(&mut self, mut from: Cursor<'s>) -> Result<bool, Stop> {
        let mut look = self.cursor;
        look.take_blanks();
        if look.byte() != b':' || !look.is_white(1) {
            return Ok(false);
        }
        if look.line() != from.line() || look.at() - from.at() > MAX_KEY {
            return Err(from
                .fault("a key must be on one line with its `:`, and shorter than 1024 bytes")
                .into());
        }
        self.cursor = look;
        Ok(true)
    }
}

/// A scalar or alias.
pub(super) enum Token<'s> {
    Scalar(Scalar<'s>),
    Alias(Position, &'s str),
}
