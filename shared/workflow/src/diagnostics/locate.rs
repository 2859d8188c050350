//! From an offset in a scalar's text to its place in the file.

use super::Position;

/// Longest piece of text that is searched for, in characters.
const SNIPPET: usize = 40;

/// Where byte `offset` of a scalar's `text` stands in `source`, given where the scalar starts.
///
/// The scalar may be plain, quoted or a block, so lines may be joined and indented: the text around the offset is
/// searched for from the scalar's start on. Where that fails (escapes) it is the scalar's start.
pub fn locate(source: &str, start: Position, text: &str, offset: usize) -> Position {
    find(source, start, text, offset).unwrap_or(start)
}

fn find(source: &str, start: Position, text: &str, offset: usize) -> Option<Position> {
    let from = byte_offset(source, start)?;
    let (before, after) = text.split_at_checked(offset.min(text.len()))?;
    // Lines may be joined in the text, so a whole line is tried first and its first word then.
    let line = first_line(after);
    for ahead in [line, line.split(' ').next().unwrap_or_default()] {
        if ahead.is_empty() {
            continue;
        }
        let occurrence = before.matches(ahead).count();
        if let Some((at, _)) = source.get(from..)?.match_indices(ahead).nth(occurrence) {
            return position(source, start, from, from + at);
        }
    }
    if !line.is_empty() {
        return None;
    }
    // At the end of the text or of a line: right after what stands before.
    let behind = before.trim_end().lines().last()?;
    let skip = behind.chars().count().saturating_sub(SNIPPET);
    let behind = &behind[behind.char_indices().nth(skip)?.0..];
    let at = source.get(from..)?.find(behind)?;
    position(source, start, from, from + at + behind.len())
}

fn first_line(text: &str) -> &str {
    let line = text.split('\n').next().unwrap_or_default();
    line.char_indices().nth(SNIPPET).map_or(line, |(end, _)| &line[..end])
}

fn byte_offset(source: &str, start: Position) -> Option<usize> {
    let mut line_start = 0;
    for _ in 1..start.line {
        line_start += source.get(line_start..)?.find('\n')? + 1;
    }
    let line = source.get(line_start..)?;
    let column = usize::try_from(start.column).ok()?.checked_sub(1)?;
    Some(line_start + line.char_indices().nth(column).map_or(line.len(), |(at, _)| at))
}

fn position(source: &str, start: Position, from: usize, at: usize) -> Option<Position> {
    let between = source.get(from..at)?;
    let newlines = between.matches('\n').count();
    let column = match between.rfind('\n') {
        Some(last) => between[last + 1..].chars().count() + 1,
        None => usize::try_from(start.column).ok()? + between.chars().count(),
    };
    Some(Position {
        line: start.line.checked_add(u32::try_from(newlines).ok()?)?,
        column: u32::try_from(column).ok()?,
    })
}
