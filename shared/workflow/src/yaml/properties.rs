//! What may stand before a node: its tag and its anchor.

use std::fmt;

use crate::diagnostics::Position;

use super::cursor::{Cursor, Fault, is_flow_indicator};

/// YAML's own tags: `!!int` is short for this and `int`.
const CORE: &str = "tag:yaml.org,2002:";

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tag<'s> {
    /// `!` alone: text.
    Text,
    /// One of YAML's own.
    Core(&'s str),
    /// Any other.
    Other(String),
}

impl fmt::Display for Tag<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tag::Text => f.write_str("!"),
            Tag::Core(name) => write!(f, "!!{name}"),
            Tag::Other(tag) => f.write_str(tag),
        }
    }
}

/// Tag and anchor of one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Properties<'s> {
    pub(super) anchor: Option<&'s str>,
    pub(super) tag: Option<Tag<'s>>,
    /// Where the tag stands.
    pub(super) tag_at: Position,
}

impl<'s> Properties<'s> {
    pub(super) fn is_empty(&self) -> bool {
        self.anchor.is_none() && self.tag.is_none()
    }

    /// Reads tags and anchors and the blanks after each; says whether there was any. `handles` are those of `%TAG`.
    pub(super) fn read(
        &mut self,
        cursor: &mut Cursor<'s>,
        flow: bool,
        handles: &[(&'s str, &'s str)],
    ) -> Result<bool, Fault> {
        let mut any = false;
        loop {
            match cursor.byte() {
                b'&' if self.anchor.is_none() => self.anchor = Some(name(cursor, "an anchor")?),
                b'!' if self.tag.is_none() => {
                    self.tag_at = cursor.position();
                    self.tag = Some(tag(cursor, handles)?);
                }
                b'&' | b'!' => return Err(cursor.fault("a node has one anchor and one tag at most")),
                _ => return Ok(any),
            }
            any = true;
            let ended = cursor.is_white(0) || (flow && is_flow_indicator(cursor.byte()));
            if !ended {
                return Err(cursor.fault("a blank must follow a tag or an anchor"));
            }
            cursor.take_blanks();
        }
    }

    /// Takes over what `other` has.
    pub(super) fn merge(&mut self, other: Self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        if (self.anchor.is_some() && other.anchor.is_some()) || (self.tag.is_some() && other.tag.is_some()) {
            return Err(cursor.fault("a node has one anchor and one tag at most"));
        }
        self.anchor = self.anchor.or(other.anchor);
        if other.tag.is_some() {
            (self.tag, self.tag_at) = (other.tag, other.tag_at);
        }
        Ok(())
    }
}

/// The name after `&` or `*`.
pub(super) fn name<'s>(cursor: &mut Cursor<'s>, what: &str) -> Result<&'s str, Fault> {
    cursor.advance(1);
    let from = cursor.at();
    let length = cursor
        .rest()
        .iter()
        .take_while(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') && !is_flow_indicator(**byte))
        .count();
    if length == 0 {
        return Err(cursor.fault(format!("{what} needs a name")));
    }
    cursor.advance(length);
    Ok(cursor.since(from))
}

fn tag<'s>(cursor: &mut Cursor<'s>, handles: &[(&'s str, &'s str)]) -> Result<Tag<'s>, Fault> {
    let from = cursor.at();
    if cursor.ahead(1) == b'<' {
        let Some(length) = cursor.rest().iter().position(|byte| matches!(byte, b'>' | b'\n')) else {
            return Err(cursor.fault("this tag is not closed"));
        };
        cursor.advance(length + 1);
        let whole = cursor.since(from);
        let uri = whole.strip_prefix("!<").and_then(|tag| tag.strip_suffix('>'));
        let Some(uri) = uri.filter(|uri| !uri.is_empty()) else {
            return Err(cursor.fault("this tag is not closed"));
        };
        return Ok(uri.strip_prefix(CORE).map_or_else(|| Tag::Other(whole.to_owned()), Tag::Core));
    }
    let length = cursor
        .rest()
        .iter()
        .take_while(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') && !is_flow_indicator(**byte))
        .count();
    cursor.advance(length);
    let whole = cursor.since(from);
    if whole == "!" {
        return Ok(Tag::Text);
    }
    let split = whole.get(1..).and_then(|rest| rest.find('!')).map_or(1, |at| at + 2);
    let (handle, suffix) = whole.split_at_checked(split).unwrap_or((whole, ""));
    if suffix.is_empty() {
        return Err(cursor.fault("this tag has no name"));
    }
    match handles.iter().rev().find(|(known, _)| *known == handle) {
        Some((_, prefix)) if *prefix == CORE => Ok(Tag::Core(suffix)),
        Some((_, prefix)) => Ok(Tag::Other(format!("{prefix}{suffix}"))),
        None if handle == "!!" => Ok(Tag::Core(suffix)),
        None if handle == "!" => Ok(Tag::Other(whole.to_owned())),
        None => Err(cursor.fault(format!("the tag handle `{handle}` is not declared by `%TAG`"))),
    }
}
