//! The format of `GITHUB_ENV`, `GITHUB_OUTPUT` and `GITHUB_STATE`: `NAME=VALUE` lines and `NAME<<DELIMITER` blocks.
//!
//! Rule for rule GitHub's `EnvFileKeyValuePairs` on Linux: nothing is trimmed, a CR belongs to the value, whichever of
//! `=` and `<<` comes first decides, a delimiter is compared exactly.

use thiserror::Error;

/// Longest text that an error message repeats, in characters.
const MAX_SHOWN_CHARS: usize = 200;

/// What is wrong in a file; the texts are GitHub's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FormatError {
    /// Neither `=` nor `<<`.
    #[error("Invalid format '{0}'")]
    Line(String),
    /// Nothing before `=`.
    #[error("Invalid format '{0}'. Name must not be empty")]
    EmptyName(String),
    /// Nothing before or after `<<`.
    #[error("Invalid format '{0}'. Name must not be empty and delimiter must not be empty")]
    EmptyNameOrDelimiter(String),
    /// The file ends inside a block.
    #[error("Invalid value. Matching delimiter not found '{0}'")]
    NoDelimiter(String),
    /// The file's last line lies inside a block and has no line end.
    #[error("Invalid value. EOF marker missing new line.")]
    NoLineEnd,
    /// A process cannot be given a NUL.
    #[error("Invalid value. The name or value of '{0}' holds a NUL character")]
    Nul(String),
}

/// What a file says, up to its first error: GitHub applies what stands before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pairs {
    /// Names and values in the file's order.
    pub pairs: Vec<(String, String)>,
    /// Why reading stopped early.
    pub error: Option<FormatError>,
}

/// Parses a file's text (after [`decode`]).
pub fn parse_pairs(text: &str) -> Pairs {
    let mut reader = Reader { rest: text };
    let mut pairs = Vec::new();
    loop {
        match next_pair(&mut reader) {
            Ok(Some(pair)) => pairs.push(pair),
            Ok(None) => return Pairs { pairs, error: None },
            Err(error) => return Pairs { pairs, error: Some(error) },
        }
    }
}

/// A file's bytes as text: UTF-8, what is not replaced by U+FFFD, without a byte order mark.
pub(super) fn decode(bytes: &[u8]) -> String {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    String::from_utf8_lossy(text).into_owned()
}

fn next_pair(reader: &mut Reader<'_>) -> Result<Option<(String, String)>, FormatError> {
    let line = loop {
        match reader.line() {
            None => return Ok(None),
            Some(("", _)) => {}
            Some((line, _)) => break line,
        }
    };
    let (name, value) = match (line.find('='), line.find("<<")) {
        (Some(equals), block) if block.is_none_or(|block| equals < block) => {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            if name.is_empty() {
                return Err(FormatError::EmptyName(shown(line)));
            }
            (name, value)
        }
        (_, Some(_)) => {
            let (name, delimiter) = line.split_once("<<").unwrap_or((line, ""));
            if name.is_empty() || delimiter.is_empty() {
                return Err(FormatError::EmptyNameOrDelimiter(shown(line)));
            }
            (name, block(reader, delimiter)?)
        }
        _ => return Err(FormatError::Line(shown(line))),
    };
    if name.contains('\0') || value.contains('\0') {
        return Err(FormatError::Nul(shown(name)));
    }
    Ok(Some((name.to_owned(), value.to_owned())))
}

/// Reads up to the delimiter's line; the value has no line end at its end.
fn block<'a>(reader: &mut Reader<'a>, delimiter: &str) -> Result<&'a str, FormatError> {
    let start = reader.rest;
    let mut length = 0;
    loop {
        match reader.line() {
            Some((line, _)) if line == delimiter => return Ok(start.get(..length).unwrap_or_default()),
            None => return Err(FormatError::NoDelimiter(shown(delimiter))),
            Some((_, false)) => return Err(FormatError::NoLineEnd),
            Some((_, true)) => length = start.len() - reader.rest.len() - 1,
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN_CHARS).collect()
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// The next line, and whether a line end followed it.
    fn line(&mut self) -> Option<(&'a str, bool)> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest, ended) = match self.rest.split_once('\n') {
            Some((line, rest)) => (line, rest, true),
            None => (self.rest, "", false),
        };
        self.rest = rest;
        Some((line, ended))
    }
}
