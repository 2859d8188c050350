//! Plain and quoted scalars, which may run over several lines.

use std::borrow::Cow;

use super::cursor::{Cursor, Fault, NextLine, is_flow_indicator};

/// What lines are joined by: one break is a space, each further one a line feed.
fn push_breaks(out: &mut String, breaks: usize) {
    if breaks == 1 {
        out.push(' ');
    } else {
        out.extend(std::iter::repeat_n('\n', breaks.saturating_sub(1)));
    }
}

/// Where a plain scalar stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plain {
    /// Further lines must be indented by this much.
    pub(super) indent: usize,
    /// Inside `[]` or `{}`.
    pub(super) flow: bool,
    /// A key, which can't go on on the next line.
    pub(super) one_line: bool,
}

/// A plain scalar; the cursor stands at its first character.
pub(super) fn plain<'s>(cursor: &mut Cursor<'s>, place: Plain) -> Result<Cow<'s, str>, Fault> {
    match cursor.byte() {
        0 => return Err(cursor.fault("a value is missing")),
        b'@' | b'`' | b'%' => {
            let first = char::from(cursor.byte());
            return Err(cursor.fault(format!("a plain value can't start with `{first}`: put it into quotes")));
        }
        first if is_flow_indicator(first) => {
            return Err(cursor.fault(format!("`{}` is not expected here", char::from(first))));
        }
        _ => {}
    }
    let first = plain_line(cursor, place.flow);
    if place.one_line {
        return Ok(Cow::Borrowed(first));
    }
    let mut out = Cow::Borrowed(first);
    loop {
        let before = *cursor;
        cursor.take_blanks();
        if !cursor.at_line_break() {
            *cursor = before;
            return Ok(out);
        }
        let NextLine::Continues(breaks) = cursor.take_next_line(place.indent) else {
            *cursor = before;
            return Ok(out);
        };
        let line = if cursor.byte() == b'#' { "" } else { plain_line(cursor, place.flow) };
        if line.is_empty() {
            *cursor = before;
            return Ok(out);
        }
        push_breaks(out.to_mut(), breaks);
        out.to_mut().push_str(line);
    }
}

/// The part of a plain scalar that is on this line, without blanks after it.
fn plain_line<'s>(cursor: &mut Cursor<'s>, flow: bool) -> &'s str {
    let from = cursor.at();
    let rest = cursor.rest();
    let next = |at: usize| rest.get(at + 1).copied().unwrap_or(0);
    let mut end = 0;
    let mut blank = false;
    for (at, byte) in rest.iter().copied().enumerate() {
        match byte {
            b'\n' => break,
            b'\r' if next(at) == b'\n' => break,
            b' ' | b'\t' => {
                blank = true;
                continue;
            }
            b':' if matches!(next(at), 0 | b' ' | b'\t' | b'\n' | b'\r') => break,
            b':' if flow && is_flow_indicator(next(at)) => break,
            b'#' if blank => break,
            _ if flow && is_flow_indicator(byte) => break,
            _ => {}
        }
        blank = false;
        end = at + 1;
    }
    cursor.advance(end);
    cursor.since(from)
}

/// A `'single'` or `"double"` quoted scalar; the cursor stands at its first quote. Further lines must be indented by
/// at least `indent`.
pub(super) fn quoted<'s>(cursor: &mut Cursor<'s>, indent: usize) -> Result<Cow<'s, str>, Fault> {
    let opened = cursor.position();
    let quote = cursor.byte();
    cursor.advance(1);
    let unclosed = || Fault { at: opened, message: "this quote is not closed".to_owned() };
    let mut out = Cow::Borrowed("");
    // Up to here nothing is taken away again at a line's end.
    let mut kept = 0;
    loop {
        let from = cursor.at();
        let special = |byte: &u8| *byte == quote || *byte == b'\n' || (*byte == b'\\' && quote == b'"');
        let length = cursor.rest().iter().position(special).ok_or_else(unclosed)?;
        cursor.advance(length);
        push(&mut out, cursor.since(from));
        match cursor.byte() {
            b'\n' => {
                let trimmed = out.get(kept..).unwrap_or_default().trim_end_matches([' ', '\t', '\r']).len();
                out.to_mut().truncate(kept + trimmed);
                push_breaks(out.to_mut(), next_quoted_line(cursor, indent)?);
                kept = out.len();
            }
            b'\\' => {
                escape(cursor, out.to_mut(), indent)?;
                kept = out.len();
            }
            _ if quote == b'\'' && cursor.ahead(1) == b'\'' => {
                cursor.advance(2);
                out.to_mut().push('\'');
            }
            _ => {
                cursor.advance(1);
                return Ok(out);
            }
        }
    }
}

fn push<'s>(out: &mut Cow<'s, str>, text: &'s str) {
    if out.is_empty() {
        *out = Cow::Borrowed(text);
    } else if !text.is_empty() {
        out.to_mut().push_str(text);
    }
}

/// From a line's end to the text of the next; says how many line breaks are between.
fn next_quoted_line(cursor: &mut Cursor<'_>, indent: usize) -> Result<usize, Fault> {
    match cursor.take_next_line(indent) {
        NextLine::Continues(breaks) => Ok(breaks),
        NextLine::Stops => {
            cursor.take_line_break();
            Err(cursor.fault(format!(
                "text in quotes is not closed, or its next line is not indented by {indent} spaces"
            )))
        }
    }
}

/// What stands after a backslash.
fn escape(cursor: &mut Cursor<'_>, out: &mut String, indent: usize) -> Result<(), Fault> {
    let mut after = *cursor;
    after.advance(1);
    if after.at_line_break() {
        *cursor = after;
        let breaks = next_quoted_line(cursor, indent)?;
        out.extend(std::iter::repeat_n('\n', breaks - 1));
        return Ok(());
    }
    let digits = match after.byte() {
        b'x' => 2,
        b'u' => 4,
        b'U' => 8,
        _ => 0,
    };
    if digits > 0 {
        let code = after.rest().get(1..=digits).and_then(|code| std::str::from_utf8(code).ok());
        let code = code.filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let character = code.and_then(|code| u32::from_str_radix(code, 16).ok()).and_then(char::from_u32);
        let Some(character) = character else {
            return Err(cursor.fault(format!("`\\{}` is not a character", char::from(after.byte()))));
        };
        out.push(character);
        cursor.advance(2 + digits);
        return Ok(());
    }
    out.push(match after.byte() {
        b'0' => '\0',
        b'a' => '\u{7}',
        b'b' => '\u{8}',
        b't' | b'\t' => '\t',
        b'n' => '\n',
        b'v' => '\u{b}',
        b'f' => '\u{c}',
        b'r' => '\r',
        b'e' => '\u{1b}',
        plain @ (b' ' | b'"' | b'/' | b'\\') => char::from(plain),
        b'N' => '\u{85}',
        b'_' => '\u{a0}',
        b'L' => '\u{2028}',
        b'P' => '\u{2029}',
        _ => {
            return Err(cursor.fault(
                "a backslash in double quotes must be doubled, or be one of YAML's escapes; single quotes have none",
            ));
        }
    });
    cursor.advance(2);
    Ok(())
}
