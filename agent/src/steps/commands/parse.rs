//! The two notations of a workflow command: `::name key=value,key=value::data` and `##[name key=value;key=value]data`.
//!
//! As GitHub's `ActionCommand`: the first must start the line (after blanks), the second may stand anywhere in it; a
//! name that is not a command leaves the line plain text.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// A command's properties; keys ignore case, a later one replaces an earlier.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties(Vec<(String, String)>);

impl Properties {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.as_str())
    }

    fn set(&mut self, key: &str, value: String) {
        self.0.retain(|(name, _)| !name.eq_ignore_ascii_case(key));
        self.0.push((key.to_owned(), value));
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Properties {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        let mut properties = Self::default();
        for (key, value) in pairs {
            properties.set(key, value.to_owned());
        }
        properties
    }
}

/// A command as written, unescaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    /// As written; compare without case.
    pub(super) name: String,
    pub(super) properties: Properties,
    pub(super) data: String,
}

/// A cheap test that lets through every line that [`parse`] could accept.
pub(super) fn may_be_command(line: &[u8]) -> bool {
    static BRACKETS: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("##["));
    let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'\x0b';
    let start = line.iter().position(|byte| !blank(byte)).unwrap_or(line.len());
    let rest = line.get(start..).unwrap_or_default();
    // What is not ASCII may be a blank of Unicode's.
    let colons = rest.starts_with(b"::") || rest.first().is_some_and(|byte| !byte.is_ascii());
    colons || BRACKETS.find(rest).is_some()
}

/// Parses a line; `is_command` says which names are commands.
pub(super) fn parse(line: &str, is_command: impl Fn(&str) -> bool) -> Option<Command> {
    parse_colons(line, &is_command).or_else(|| parse_brackets(line, &is_command))
}

const DATA: &[(&str, &str)] = &[("%0D", "\r"), ("%0A", "\n"), ("%25", "%")];
const PROPERTY: &[(&str, &str)] = &[("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")];
const BRACKETS: &[(&str, &str)] = &[("%3B", ";"), ("%0D", "\r"), ("%0A", "\n"), ("%5D", "]"), ("%25", "%")];

fn parse_colons(line: &str, is_command: &impl Fn(&str) -> bool) -> Option<Command> {
    let (head, data) = line.trim_start().strip_prefix("::")?.split_once("::")?;
    let (name, properties) = split_head(head);
    is_command(name).then(|| Command {
        name: name.to_owned(),
        properties: parse_properties(properties.trim(), ',', PROPERTY),
        data: unescape(data, DATA),
    })
}

fn parse_brackets(line: &str, is_command: &impl Fn(&str) -> bool) -> Option<Command> {
    let (_, after) = line.split_once("##[")?;
    let (head, data) = after.split_once(']')?;
    let (name, properties) = split_head(head);
    is_command(name).then(|| Command {
        name: name.to_owned(),
        properties: parse_properties(properties, ';', BRACKETS),
        data: unescape(data, BRACKETS),
    })
}

fn split_head(head: &str) -> (&str, &str) {
    head.split_once(' ').unwrap_or((head, ""))
}

/// Keys are not trimmed (`a=1, b=2` has a key ` b`) and a key without a value is dropped, both as on GitHub.
fn parse_properties(text: &str, separator: char, escapes: &[(&str, &str)]) -> Properties {
    let mut properties = Properties::default();
    for pair in text.split(separator) {
        if let Some((key, value)) = pair.trim_start_matches('=').split_once('=') {
            let value = value.trim_start_matches('=');
            if !value.is_empty() {
                properties.set(key, unescape(value, escapes));
            }
        }
    }
    properties
}

fn unescape(text: &str, escapes: &[(&str, &str)]) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    escapes.iter().fold(text.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}
