//! `pattern` of `actions/download-artifact`: minimatch's language for one name, without what is rarer than braces (the
//! agent has the original run for that).

use slipway_glob::Segment;

use crate::failure::Failure;
use crate::limits::BRACES_MAX;

/// A pattern of artifacts' names.
#[derive(Debug, Clone)]
pub struct Pattern {
    negated: bool,
    /// What its braces stand for; any of them may match.
    choices: Vec<(String, Segment)>,
}

impl Pattern {
    /// Reads one.
    ///
    /// # Errors
    /// When its braces stand for too many names.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        // A comment matches nothing.
        if text.starts_with('#') {
            return Ok(Self { negated: false, choices: Vec::new() });
        }
        let bare = text.trim_start_matches('!');
        let negated = (text.len() - bare.len()) % 2 == 1;
        let mut choices = Vec::new();
        expand(bare, &mut choices).ok_or_else(|| {
            Failure::new(format!("the braces of pattern '{text}' stand for more than {BRACES_MAX} names"))
        })?;
        let choices = choices.into_iter().map(|choice| {
            let segment = Segment::parse(&choice);
            (choice, segment)
        });
        Ok(Self { negated, choices: choices.collect() })
    }

    /// Whether a name matches.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let any = self.choices.iter().any(|(text, segment)| {
            // Wildcards do not stand for a dot in front.
            let dot = !name.starts_with('.') || text.starts_with(['.', '\\']);
            dot && !text.contains('/') && segment.matches(name)
        });
        any != self.negated
    }
}

/// Adds what a text with braces stands for, in order. None: too many.
fn expand(text: &str, into: &mut Vec<String>) -> Option<()> {
    let Some((before, choices, after)) = first_braces(text) else {
        into.push(text.to_owned());
        return (into.len() <= BRACES_MAX).then_some(());
    };
    for choice in choices {
        expand(&format!("{before}{choice}{after}"), into)?;
    }
    Some(())
}

/// What is before the first braces with a comma, the choices in them, and what is after.
fn first_braces(text: &str) -> Option<(&str, Vec<&str>, &str)> {
    let mut start = 0;
    while let Some(open) = text.get(start..)?.find(['{', '\\']).map(|at| at + start) {
        if text.get(open..)?.starts_with('\\') {
            let escaped = text.get(open + 1..)?.chars().next().map_or(0, char::len_utf8);
            start = open + 1 + escaped;
            continue;
        }
        if let Some((choices, close)) = choices(text, open + 1).filter(|(choices, _)| choices.len() > 1) {
            return Some((text.get(..open)?, choices, text.get(close + 1..)?));
        }
        start = open + 1;
    }
    None
}

/// The choices that begin here, and where their brace closes.
fn choices(text: &str, from: usize) -> Option<(Vec<&str>, usize)> {
    let (mut depth, mut begun, mut escaped) = (0, from, false);
    let mut found = Vec::new();
    for (at, character) in text.get(from..)?.char_indices() {
        let at = at + from;
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' => {
                found.push(text.get(begun..at)?);
                return Some((found, at));
            }
            ',' if depth == 0 => {
                found.push(text.get(begun..at)?);
                begun = at + 1;
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const NAMES: [&str; 8] = ["linux-x64", "linux-arm", "mac-x64", ".hidden", "{a}", "b,c", "#x", "!y"];

    /// As `minimatch` 10.2.6 finds them.
    #[test]
    fn names_match_as_in_minimatch() {
        for (pattern, expected) in [
            ("*", &["linux-x64", "linux-arm", "mac-x64", "{a}", "b,c", "#x", "!y"][..]),
            ("linux-*", &["linux-x64", "linux-arm"]),
            ("{linux,mac}-x64", &["linux-x64", "mac-x64"]),
            ("{linux-{x64,arm},mac-*}", &["linux-x64", "linux-arm", "mac-x64"]),
            ("!linux-*", &["mac-x64", ".hidden", "{a}", "b,c", "#x", "!y"]),
            ("!!linux-*", &["linux-x64", "linux-arm"]),
            (".h*", &[".hidden"]),
            ("?hidden", &[]),
            ("{a}", &["{a}"]),
            ("#x", &[]),
            ("\\{linux,mac\\}*", &[]),
            ("[lm]*-x64", &["linux-x64", "mac-x64"]),
            ("linux/*", &[]),
            ("**", &["linux-x64", "linux-arm", "mac-x64", "{a}", "b,c", "#x", "!y"]),
        ] {
            let pattern_ = Pattern::parse(pattern).unwrap();
            let found: Vec<&str> = NAMES.into_iter().filter(|name| pattern_.matches(name)).collect();
            assert_eq!(found, expected, "{pattern}");
        }
        let many = "{a,b}".repeat(11);
        assert!(Pattern::parse(&many).unwrap_err().to_string().contains("more than 1000 names"));
    }
}
