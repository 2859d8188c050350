//! `[lists]` and `{mappings: …}`, over one line or several.

use crate::diagnostics::Position;

use super::block::{MAX_KEY, Token};
use super::build::{Scalar, Stop, complex_key};
use super::cursor::{Cursor, Fault, is_flow_indicator};
use super::document::Reader;
use super::properties::{Properties, name};
use super::text::{Plain, plain, quoted};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sequence,
    Mapping,
    /// `[key: value]`: a mapping of one entry without braces.
    Pair,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// An item or key, or the end.
    Item,
    /// A mapping's `:`, or the end of the entry.
    Colon,
    /// A value after `:`, or the end of the entry.
    Value,
    /// A comma or the end.
    Comma,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    kind: Kind,
    wait: Wait,
    at: Position,
    /// The key before was quoted, so that its `:` needs no blank.
    quoted_key: bool,
    /// `?` stood before the key.
    explicit: bool,
}

impl<'s> Reader<'_, 's> {
    /// A flow collection with all that is in it, whose lines are indented by at least `indent`. The cursor stands at
    /// its bracket, and its properties wait.
    pub(super) fn flow(&mut self, indent: usize) -> Result<(), Stop> {
        let mut open = Vec::new();
        self.open_flow(&mut open)?;
        while let Some(top) = open.last().copied() {
            self.flow_gap(indent, &open)?;
            let next_is_end = self.cursor.is_white(1) || is_flow_indicator(self.cursor.ahead(1));
            match self.cursor.byte() {
                0 => {
                    let bracket = if top.kind == Kind::Mapping { '{' } else { '[' };
                    let message = format!("this `{bracket}` is not closed");
                    return Err(Fault { at: top.at, message }.into());
                }
                b',' => {
                    self.end_entry(&mut open)?;
                    match open.last_mut() {
                        Some(top) if top.wait == Wait::Comma => top.wait = Wait::Item,
                        _ => return Err(self.cursor.fault("a value is missing before this `,`").into()),
                    }
                    self.cursor.advance(1);
                }
                close @ (b']' | b'}') => {
                    self.end_entry(&mut open)?;
                    let fits = open.last().is_some_and(|top| (top.kind == Kind::Mapping) == (close == b'}'));
                    if !fits {
                        let message = format!("`{}` closes nothing here", char::from(close));
                        return Err(self.cursor.fault(message).into());
                    }
                    self.cursor.advance(1);
                    self.close_flow(&mut open)?;
                }
                b':' if next_is_end || (top.wait == Wait::Colon && top.quoted_key) => {
                    self.flow_colon(&mut open)?
                }
                b'?' if next_is_end && top.wait == Wait::Item && !top.explicit => {
                    self.flow_question(&mut open)?
                }
                _ if matches!(top.wait, Wait::Comma | Wait::Colon) => {
                    return Err(self.cursor.fault("a `,` is missing before this").into());
                }
                b'[' | b'{' => self.open_flow(&mut open)?,
                b'-' | b'?' if next_is_end => {
                    return Err(self.cursor.fault("`- ` and `? ` can't stand here inside brackets").into());
                }
                _ => self.flow_scalar(&mut open, indent)?,
            }
        }
        Ok(())
    }

    fn flow_gap(&mut self, indent: usize, open: &[Open]) -> Result<(), Stop> {
        let gap = self.gap()?;
        if !gap.fresh || self.cursor.byte() == 0 {
            return Ok(());
        }
        // A last bracket at the indentation of what holds it is not quite right, and usual.
        let last = open.iter().filter(|open| open.kind != Kind::Pair).count() == 1
            && matches!(self.cursor.byte(), b']' | b'}')
            && gap.indent + 1 == indent;
        if self.cursor.at_marker() || (gap.indent < indent && !last) {
            let message = format!("brackets are not closed, or this line is not indented by {indent} spaces");
            return Err(self.cursor.fault(message).into());
        }
        Ok(())
    }

    fn open_flow(&mut self, open: &mut Vec<Open>) -> Result<(), Stop> {
        let at = self.cursor.position();
        let kind = if self.cursor.byte() == b'{' { Kind::Mapping } else { Kind::Sequence };
        let properties = std::mem::take(&mut self.pending);
        match kind {
            Kind::Mapping => self.builder.open_mapping(at, &properties)?,
            _ => self.builder.open_sequence(at, &properties)?,
        }
        self.cursor.advance(1);
        open.push(Open { kind, wait: Wait::Item, at, quoted_key: false, explicit: false });
        Ok(())
    }

    fn close_flow(&mut self, open: &mut Vec<Open>) -> Result<(), Stop> {
        self.builder.close()?;
        open.pop();
        let Some(top) = open.last_mut() else { return Ok(()) };
        top.wait = Wait::Comma;
        if top.kind == Kind::Sequence {
            let mut look = self.cursor;
            look.take_blanks();
            if look.byte() == b':' {
                return Err(complex_key(self.cursor.position()).into());
            }
        }
        Ok(())
    }

    /// Completes an entry before a comma or closing bracket, also one without a value.
    fn end_entry(&mut self, open: &mut Vec<Open>) -> Result<(), Stop> {
        let Some(top) = open.last_mut() else { return Ok(()) };
        let at = self.cursor.position();
        if top.wait == Wait::Item && (top.explicit || !self.pending.is_empty()) {
            self.null(at)?;
            top.wait = if top.kind == Kind::Sequence { Wait::Comma } else { Wait::Colon };
        }
        if matches!(top.wait, Wait::Colon | Wait::Value) {
            self.null(at)?;
            top.wait = Wait::Comma;
        }
        top.explicit = false;
        if top.kind == Kind::Pair {
            self.builder.close()?;
            open.pop();
            if let Some(top) = open.last_mut() {
                top.wait = Wait::Comma;
            }
        }
        Ok(())
    }

    fn flow_colon(&mut self, open: &mut Vec<Open>) -> Result<(), Stop> {
        let at = self.cursor.position();
        if let Some(top) = open.last_mut() {
            match (top.kind, top.wait) {
                (Kind::Mapping | Kind::Pair, Wait::Colon) => top.wait = Wait::Value,
                (Kind::Mapping | Kind::Pair, Wait::Item) => {
                    top.wait = Wait::Value;
                    self.null(at)?;
                }
                (Kind::Sequence, Wait::Item) => {
                    self.open_pair(open, at, Wait::Value)?;
                    self.null(at)?;
                }
                _ => return Err(self.cursor.fault("a `:` is not expected here").into()),
            }
        }
        self.cursor.advance(1);
        Ok(())
    }

    fn flow_question(&mut self, open: &mut Vec<Open>) -> Result<(), Stop> {
        let at = self.cursor.position();
        if open.last().is_some_and(|top| top.kind == Kind::Sequence) {
            self.open_pair(open, at, Wait::Item)?;
        }
        if let Some(top) = open.last_mut() {
            top.explicit = true;
        }
        self.cursor.advance(1);
        Ok(())
    }

    fn open_pair(&mut self, open: &mut Vec<Open>, at: Position, wait: Wait) -> Result<(), Stop> {
        self.builder.open_mapping(at, &Properties::default())?;
        open.push(Open { kind: Kind::Pair, wait, at, quoted_key: false, explicit: false });
        Ok(())
    }

    fn flow_scalar(&mut self, open: &mut Vec<Open>, indent: usize) -> Result<(), Stop> {
        let mut own = Properties::default();
        if own.read(&mut self.cursor, true, &self.handles)? {
            self.pending.merge(own, &mut self.cursor)?;
            return Ok(());
        }
        let from = self.cursor;
        let at = self.cursor.position();
        let quotes = matches!(self.cursor.byte(), b'"' | b'\'');
        let token = match self.cursor.byte() {
            b'*' => Token::Alias(at, name(&mut self.cursor, "an alias")?),
            b'"' | b'\'' => {
                Token::Scalar(Scalar { at, text: quoted(&mut self.cursor, indent)?, plain: false })
            }
            b'|' | b'>' => {
                return Err(self.cursor.fault("`|` and `>` can't stand inside brackets").into());
            }
            _ => {
                let place = Plain { indent, flow: true, one_line: false };
                Token::Scalar(Scalar { at, text: plain(&mut self.cursor, place)?, plain: true })
            }
        };
        let properties = std::mem::take(&mut self.pending);
        if open.last().is_some_and(|top| top.kind == Kind::Sequence && top.wait == Wait::Item)
            && self.is_pair(from, quotes)?
        {
            self.open_pair(open, at, Wait::Item)?;
        }
        self.token(token, &properties)?;
        if let Some(top) = open.last_mut() {
            let key = top.kind != Kind::Sequence && top.wait == Wait::Item;
            (top.wait, top.quoted_key) = (if key { Wait::Colon } else { Wait::Comma }, quotes);
            top.explicit = false;
        }
        Ok(())
    }

    /// Whether what began at `from` is the key of an entry without braces.
    fn is_pair(&self, mut from: Cursor<'s>, quotes: bool) -> Result<bool, Stop> {
        let mut look = self.cursor;
        look.take_blanks();
        let colon = look.byte() == b':' && (quotes || look.is_white(1) || is_flow_indicator(look.ahead(1)));
        if colon && (look.line() != from.line() || look.at() - from.at() > MAX_KEY) {
            return Err(from
                .fault("a key must be on one line with its `:`, and shorter than 1024 bytes")
                .into());
        }
        Ok(colon)
    }
}
