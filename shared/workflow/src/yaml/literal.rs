//! `|` and `>` scalars.

use crate::diagnostics::Position;

use super::cursor::{Cursor, Fault};

/// What becomes of the line breaks at the end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Chomp {
    Strip,
    Clip,
    Keep,
}

struct Header {
    folded: bool,
    chomp: Chomp,
    /// Indentation beyond the parent's, when it is given.
    indent: Option<usize>,
}

/// A block scalar and where its text starts; the cursor stands at its `|` or `>`. Its text is indented by at least
/// `least`, and by `base` plus what the header says if it says so.
pub(super) fn literal(
    cursor: &mut Cursor<'_>,
    least: usize,
    base: usize,
) -> Result<(String, Position), Fault> {
    let mut start = cursor.position();
    let header = header(cursor)?;
    let indent = match header.indent {
        Some(more) => base + more,
        None => detect(cursor, least)?,
    };
    let mut out = String::new();
    // Line breaks since the last text, and whether that text started with a blank.
    let mut breaks = 0;
    let mut more_indented = false;
    let mut any = false;
    loop {
        let before = *cursor;
        if !cursor.take_line_break() {
            break;
        }
        if cursor.at_marker() {
            *cursor = before;
            break;
        }
        let blank = take_indent(cursor, indent);
        if blank && cursor.byte() != 0 {
            breaks += 1;
            continue;
        }
        if cursor.byte() == 0 {
            breaks += usize::from(cursor.offset_in_line() > 0);
            break;
        }
        if cursor.offset_in_line() < indent {
            let mut look = *cursor;
            if look.take_blanks() && look.at_line_break() {
                return Err(cursor.fault("tabs can't indent: use spaces"));
            }
            *cursor = before;
            break;
        }
        if !any {
            start = cursor.position();
        }
        let from = cursor.at();
        let is_blank = matches!(cursor.byte(), b' ' | b'\t');
        cursor.take_rest_of_line();
        if any && header.folded && !more_indented && !is_blank {
            if breaks == 0 {
                out.push(' ');
            }
        } else if any {
            out.push('\n');
        }
        out.extend(std::iter::repeat_n('\n', breaks));
        out.push_str(cursor.since(from));
        (any, breaks, more_indented) = (true, 0, is_blank);
    }
    match header.chomp {
        Chomp::Strip => {}
        Chomp::Clip if any => out.push('\n'),
        Chomp::Clip => {}
        Chomp::Keep => out.extend(std::iter::repeat_n('\n', breaks + usize::from(any))),
    }
    Ok((out, start))
}

/// Moves over at most `indent` spaces; says whether nothing else is on the line.
fn take_indent(cursor: &mut Cursor<'_>, indent: usize) -> bool {
    let spaces = cursor.rest().iter().take(indent).take_while(|byte| **byte == b' ').count();
    cursor.advance(spaces);
    cursor.at_line_break() || cursor.byte() == 0
}

fn header(cursor: &mut Cursor<'_>) -> Result<Header, Fault> {
    let mut header = Header { folded: cursor.byte() == b'>', chomp: Chomp::Clip, indent: None };
    cursor.advance(1);
    loop {
        match cursor.byte() {
            b'-' if header.chomp == Chomp::Clip => header.chomp = Chomp::Strip,
            b'+' if header.chomp == Chomp::Clip => header.chomp = Chomp::Keep,
            digit @ b'1'..=b'9' if header.indent.is_none() => {
                header.indent = Some(usize::from(digit - b'0'));
            }
            _ => break,
        }
        cursor.advance(1);
    }
    let from = cursor.at();
    cursor.take_blanks();
    if cursor.byte() == b'#' && cursor.at() > from {
        cursor.take_rest_of_line();
    }
    if !cursor.at_line_break() && cursor.byte() != 0 {
        return Err(cursor
            .fault("after `|` or `>` only `+`, `-` and a digit may stand; text starts on the next line"));
    }
    Ok(header)
}

/// The indentation of the first line that is not blank.
fn detect(cursor: &Cursor<'_>, least: usize) -> Result<usize, Fault> {
    let mut look = *cursor;
    let mut widest = 0;
    while look.take_line_break() {
        let spaces = look.take_spaces();
        if look.at_line_break() || look.byte() == 0 {
            widest = widest.max(spaces);
            continue;
        }
        if spaces < least {
            break;
        }
        if widest > spaces {
            return Err(look.fault("blank lines before the first line of text are indented more than it"));
        }
        return Ok(spaces);
    }
    Ok(widest.max(least))
}
